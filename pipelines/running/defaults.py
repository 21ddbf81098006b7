"""Defaults where the settings name nothing, and names of Kubeflow and Kubernetes that modules share."""

from kubecast.config.schedules import ConnectionSettings

KFP_NAMESPACE = "kubeflow"
"""Namespace of Kubeflow Pipelines, and of a single user's runs."""

SINGLE_USER_ACCOUNT, PROFILE_ACCOUNT = "pipeline-runner", "default-editor"
"""Service accounts that Kubeflow Pipelines takes where none is named: for one user, and for several."""

PIPELINE_ACCOUNT = "kubecast-pipeline"
"""Service account that the manifests create."""

LEVEL = "pod-security.kubernetes.io/enforce"
"""The label of a namespace with the level of Pod Security that it enforces."""

APPLY = "kubectl apply --kustomize manifests/overlays/OVERLAY"


def namespace_of(connection: ConnectionSettings) -> str:
    """The namespace of the runs."""
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


def missing_account(connection: ConnectionSettings, account: str) -> tuple[str, str]:
    """What is wrong where the runs' service account is not in their namespace, and what mends it."""
    given = connection.service_account or f"is not set; {account}, which is taken then,"
    detail = f"cluster.connection.service_account {given} is not in namespace {namespace_of(connection)}"
    if account == PIPELINE_ACCOUNT:
        return detail, APPLY
    return detail, f"set cluster.connection.service_account: {PIPELINE_ACCOUNT}, which the manifests make"
