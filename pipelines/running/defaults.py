"""What is taken where the settings name nothing, and names of others' that several modules ask for."""

from kubecast.config.schedules import ConnectionSettings

KFP_NAMESPACE = "kubeflow"
"""Where Kubeflow Pipelines is, and runs what a single user submits."""

SINGLE_USER_ACCOUNT, PROFILE_ACCOUNT = "pipeline-runner", "default-editor"
"""What Kubeflow Pipelines takes where no account is named: for one user, and for several."""

PIPELINE_ACCOUNT = "kubecast-pipeline"
"""Of the manifests."""

LEVEL = "pod-security.kubernetes.io/enforce"
"""The label of a namespace with the level of Pod Security that it enforces."""

APPLY = "kubectl apply --kustomize manifests/overlays/OVERLAY"


def namespace_of(connection: ConnectionSettings) -> str:
    """Where the runs are."""
    return connection.namespace or KFP_NAMESPACE


def account_of(connection: ConnectionSettings, multi_user: bool | None = None) -> str:
    """The service account of the runs' pods.

    Args:
        connection: See ``cluster.yaml``.
        multi_user: Whether Kubeflow Pipelines has several users; None: where that is not known, it has if
            the runs are not in its own namespace.
    """
    if multi_user is None:
        multi_user = namespace_of(connection) != KFP_NAMESPACE
    return connection.service_account or (PROFILE_ACCOUNT if multi_user else SINGLE_USER_ACCOUNT)
