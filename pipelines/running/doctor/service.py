"""Checks of Kubeflow Pipelines itself."""

import re

from kubecast.config.schedules import TOKEN_VARIABLE
from kubecast.errors import ClusterForbidden, ClusterUnreachable, ConfigError, KubecastError
from kubecast.pipelines.running.defaults import KFP_NAMESPACE
from kubecast.pipelines.running.doctor.context import Context
from kubecast.pipelines.running.doctor.findings import Finding, missing, not_known, ok

NEEDED = (2, 17)

_FORWARD = f"kubectl port-forward --namespace {KFP_NAMESPACE} service/ml-pipeline-ui 8080:80"


def check_api(context: Context) -> Finding:
    """Check that Kubeflow Pipelines answers."""
    answer = context.answer
    if isinstance(answer, KubecastError):
        return missing(str(answer), _way_in(context, answer))
    host = context.kfp.connection.host
    if not answer.ready:
        return missing(
            f"the dashboard at {host} answers, the API server behind it does not",
            f"kubectl --namespace {KFP_NAMESPACE} rollout status deployment/ml-pipeline",
        )
    return ok(f"answers at {host}")


def _way_in(context: Context, error: KubecastError) -> str:
    if isinstance(error, ClusterForbidden):
        return _token(context)
    if isinstance(error, ConfigError):
        return f"{_FORWARD} & export KUBECAST_KFP_HOST=http://localhost:8080"
    if isinstance(error, ClusterUnreachable):
        return _FORWARD
    return "set --host to the address of Kubeflow Pipelines"


def check_version(context: Context) -> Finding:
    """Check that Kubeflow Pipelines is new enough."""
    version = re.match(r"v?(\d+)\.(\d+)", context.health.version)
    if not version:
        return not_known(f"it names no version (found {context.health.version or 'nothing'!r})")
    needed = ".".join(map(str, NEEDED))
    if (int(version[1]), int(version[2])) < NEEDED:
        return missing(
            f"{context.health.version}, needed: {needed} or later", f"install Kubeflow Pipelines {needed}"
        )
    return ok(context.health.version)


def check_users(context: Context) -> Finding:
    """Check that a namespace is set where Kubeflow Pipelines has several users, and only there."""
    namespace = context.settings.cluster.connection.namespace
    if context.health.multi_user is None:
        return not_known("Kubeflow Pipelines does not say whether it has several users")
    if context.health.multi_user:
        if namespace:
            return ok(f"it has several users; runs are in {namespace}")
        return missing(
            "it has several users, and no namespace is set",
            "set cluster.connection.namespace, or --namespace, to a profile of yours",
        )
    if namespace not in (None, KFP_NAMESPACE):
        return missing(
            f"it has a single user, whose runs are in its own namespace, not in {namespace}",
            "remove cluster.connection.namespace",
        )
    return ok(f"it has a single user; runs are in {KFP_NAMESPACE}")


def check_user(context: Context) -> Finding:
    """Check that this user may read the experiments of the namespace, which every command does first."""
    if isinstance(context.answer, ClusterUnreachable | ConfigError):
        return not_known("Kubeflow Pipelines is not reached")
    try:
        context.kfp.find_experiment(context.settings.training.model_name)
    except ClusterForbidden as error:
        return missing(str(error), _token(context))
    except KubecastError as error:
        return not_known(str(error))
    return ok(f"may read the experiments of {context.namespace}")


def _token(context: Context) -> str:
    """A token of an account that the manifests bind to kubeflow-pipelines-edit."""
    return (
        f"export {TOKEN_VARIABLE}=$(kubectl --namespace {context.namespace} create token kubecast-submitter"
        " --audience pipelines.kubeflow.org)"
    )
