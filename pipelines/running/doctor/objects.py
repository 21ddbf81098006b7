"""Checks of what an administrator puts into the namespace: accounts, Secrets, ConfigMaps."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from kubecast.pipelines.running.defaults import APPLY, LEVEL, missing_account
from kubecast.pipelines.running.doctor.context import Context
from kubecast.pipelines.running.doctor.findings import Finding, NotKnown, missing, not_known, ok
from kubecast.pipelines.running.preflight import images_of, unnamed_images
from kubecast.pipelines.running.submitting import compile_mode
from kubecast.settings.cluster import ClusterSettings

KFP_SECRET = "mlpipeline-minio-artifact"  # noqa: S105  a name
DEFAULT_REPOSITORY = "workflows.argoproj.io/default-artifact-repository"

_DEFAULT_ROOT = "minio://mlpipeline/v2/artifacts"


def check_kubernetes(context: Context) -> Finding:
    """Check that the API server of Kubernetes answers."""
    if context.kubernetes_error:
        return not_known(context.kubernetes_error, "kubectl cluster-info")
    return ok(f"answers at {context.kubernetes.host}")


def check_namespace(context: Context) -> Finding:
    """Check that the namespace is there."""
    if context.get("namespaces", context.namespace, namespace="") is None:
        return missing(f"there is no namespace {context.namespace}", APPLY)
    return ok(context.namespace)


def check_account(context: Context) -> Finding:
    """Check that the service account of the runs' pods is there."""
    named, name = context.settings.cluster.connection.service_account, context.account
    if context.get("serviceaccounts", name) is not None:
        return ok(name if named else f"{name}, the default of Kubeflow Pipelines")
    return missing(*missing_account(context.settings.cluster.connection, name))


def check_images(context: Context) -> Finding:
    """Check that the settings name every image of a training run."""
    with TemporaryDirectory() as folder:
        compiled = compile_mode(context.settings, "train", Path(folder))
    images = images_of(compiled)
    if lacking := unnamed_images(context.settings.cluster, images):
        return missing(
            f"the settings name no registry for {', '.join(lacking)}: nodes would look on Docker Hub",
            "make push, and set cluster.image_repository and image_tag as it prints them, or cluster.images",
        )
    return ok(", ".join(images))


def secrets_of(cluster: ClusterSettings) -> dict[str, list[str]]:
    """The keys that the settings take from each Secret; none of one by which images are pulled."""
    keys: dict[str, list[str]] = {name: [] for name in cluster.image_pull_secrets}
    for secret in (*cluster.secrets, *cluster.tuning.secrets):
        keys.setdefault(secret.secret, []).extend(secret.variables.values())
    if cluster.notifications:
        keys.setdefault(cluster.notifications.secret, []).append(cluster.notifications.key)
    return {name: sorted(set(needed)) for name, needed in keys.items()}


def check_secret(context: Context, name: str, keys: list[str]) -> Finding:
    """Check that a Secret has the keys that tasks take from it; nobody looks at their values."""
    secret = context.get("secrets", name)
    files = " ".join(f"--from-file={key}" for key in keys)
    generic = f"kubectl --namespace {context.namespace} create secret generic {name} {files}"
    if secret is None:
        pull = (
            f"kubectl --namespace {context.namespace} create secret docker-registry {name}"
            " --docker-server=SERVER --docker-username=USER"
        )
        return missing(f"there is no such Secret in {context.namespace}", generic if keys else pull)
    lacking = sorted(set(keys) - set(secret.get("data") or {}))
    if lacking:
        again = f"kubectl --namespace {context.namespace} delete secret {name}; {generic}"
        return missing(f"lacks {', '.join(lacking)}", again)
    return ok(f"has {', '.join(keys)}" if keys else "is there")


def check_launcher(context: Context) -> Finding:
    """Check that the settings of KFP's launcher, and the Secrets that they name, are there."""
    config_map = context.get("configmaps", "kfp-launcher")
    if config_map is None:
        if context.get("secrets", KFP_SECRET) is not None:
            return ok(f"there is none: artifacts go to {_DEFAULT_ROOT}, with the keys in {KFP_SECRET}")
        return missing(
            f"there is no ConfigMap kfp-launcher and no Secret {KFP_SECRET}: no store for artifacts",
            APPLY,
        )
    data: Mapping[str, str] = config_map.get("data") or {}
    root = data.get("defaultPipelineRoot") or _DEFAULT_ROOT
    absent = [name for name in _secret_names(_yaml(data.get("providers"))) if not _exists(context, name)]
    if absent:
        return missing(
            f"artifacts go to {root}, with the keys in Secret {absent[0]}, which is not there",
            f"kubectl --namespace {context.namespace} create secret generic {absent[0]}"
            " --from-file=accesskey --from-file=secretkey",
        )
    return ok(f"artifacts go to {root}")


def check_repositories(context: Context) -> Finding:
    """Check that Argo has the credentials for archiving logs, without which no pod starts."""
    config_map = context.get("configmaps", "artifact-repositories")
    if config_map is not None:
        key = (config_map["metadata"].get("annotations") or {}).get(DEFAULT_REPOSITORY, "")
        if key not in (config_map.get("data") or {}):
            return missing(
                f"the ConfigMap artifact-repositories has no key {key!r}, its {DEFAULT_REPOSITORY}",
                APPLY,
            )
        return ok("set by the ConfigMap artifact-repositories")
    if context.get("secrets", KFP_SECRET) is not None:
        return ok(f"logs are archived with the Secret {KFP_SECRET}, if at all")
    return missing(
        f"the namespace has neither the Secret {KFP_SECRET}, with which Argo archives logs, nor a ConfigMap"
        " artifact-repositories: pods would stay in ContainerCreating",
        APPLY,
    )


def level_of(context: Context) -> str:
    """The level of Pod Security that the namespace enforces; empty for none."""
    return context.namespace_labels.get(LEVEL, "")


def check_pod_security(context: Context) -> Finding:
    """Report the level of Pod Security that is enforced; each admits the pods of a run."""
    level = level_of(context)
    return ok(f"{level} is enforced, which every pod of a run meets" if level else "no level is enforced")


def _exists(context: Context, secret: str) -> bool:
    try:
        return context.get("secrets", secret) is not None
    except NotKnown:  # the line of the Secret says so, if the settings name it
        return True


def _secret_names(providers: Any) -> list[str]:
    """The ``secretName`` of every ``secretRef``."""
    if not isinstance(providers, dict):
        return []
    names = [str(providers["secretName"])] if "secretName" in providers else []
    return names + [name for value in providers.values() for name in _secret_names(value)]


def _yaml(text: str | None) -> Any:
    try:
        return yaml.safe_load(text or "")
    except yaml.YAMLError:
        return None
