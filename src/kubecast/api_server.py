"""The API server of Kubernetes: its address, the caller's credentials, and the namespace to work in."""

import os
from pathlib import Path
from typing import Any

from kubecast.errors import ClusterUnreachable

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def connect(context: str | None = None) -> tuple[Any, str]:
    """Reach the pod's own cluster or, elsewhere, that of the kubeconfig.

    Args:
        context: Of the kubeconfig; default: the pod's own cluster, else the current context.

    Returns:
        A ``kubernetes.client.ApiClient``, and the namespace to work in.

    Raises:
        ClusterUnreachable: There is neither, or it cannot be read.
    """
    if context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return connect_in_pod()
    return _connect_by_kubeconfig(context)


def connect_in_pod() -> tuple[Any, str]:
    """Reach the pod's own cluster, as its service account.

    Returns:
        A ``kubernetes.client.ApiClient``, and the pod's namespace.

    Raises:
        ClusterUnreachable: This is no pod, or one without a service account's token.
    """
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_incluster_config(configuration)
        return client.ApiClient(configuration), NAMESPACE_FILE.read_text().strip()
    except (config.ConfigException, OSError) as error:
        raise ClusterUnreachable(
            "no API server of Kubernetes: this pod has no service account's token:"
            f" {' '.join(str(error).split())}"
        ) from None


def _connect_by_kubeconfig(context: str | None) -> tuple[Any, str]:
    import yaml
    from kubernetes import client, config

    files = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    configuration = client.Configuration()
    try:
        contexts, current = config.list_kube_config_contexts(files)
        names = {each["name"]: each["context"] for each in contexts}
        if context is not None and context not in names:
            raise ClusterUnreachable(f"no context {context} in {files}; there: {', '.join(sorted(names))}")
        config.load_kube_config(files, context, configuration)
        chosen = names[context] if context is not None else current["context"]
        return client.ApiClient(configuration), str(chosen.get("namespace") or "default")
    except (config.ConfigException, OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
        # The text of such an error may hold the file's content.
        raise ClusterUnreachable(
            f"no API server of Kubernetes: {files} is missing or cannot be used; allowed: a kubeconfig"
            " that kubectl can use, or a pod with a service account"
        ) from None
