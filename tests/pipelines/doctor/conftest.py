"""A healthy cluster, and `kubecast doctor` that looks at it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubecast.pipelines.running.doctor import Line
from tests.pipelines.doctor.clusters import (
    CORE,
    NAMESPACE,
    POLICIES,
    RECORDED,
    Examine,
    katib_config,
    lines,
    manifests,
    secret,
    settings,
)
from tests.support.gpu_nodes import OPERATOR, node
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi


@pytest.fixture
def cluster() -> Iterator[KubernetesApi]:
    """As the manifests make it, with a GPU node, and Katib."""
    with KubernetesApi() as api:
        api.add("/api/v1/namespaces", *manifests("base/namespace.yaml"))
        account, *_ = manifests("base/pipeline-account.yaml")
        trial, heartbeats, *_ = manifests("components/katib/accounts.yaml")
        api.add(f"{CORE}/serviceaccounts", account, trial)
        api.add(f"{CORE}/configmaps", *manifests("base/kfp-launcher.yaml"), heartbeats)
        api.add(f"{CORE}/configmaps", *manifests("base/artifact-repositories.yaml"))
        api.add(f"{CORE}/secrets", secret("kubecast-object-store", "accesskey", "secretkey"))
        api.add(POLICIES, *manifests("base/network-policies.yaml"))
        quota, limits = manifests("base/quota.yaml")
        api.add(f"{CORE}/resourcequotas", quota, *manifests("components/gpu/quota.yaml"))
        api.add(f"{CORE}/limitranges", limits)
        api.add("/api/v1/nodes", node("a", {}), node("b", OPERATOR, 2))
        api.objects["/apis/kubeflow.org/v1beta1"] = {"resources": [{"name": "experiments"}]}
        api.add("/api/v1/namespaces/kubeflow/configmaps", katib_config())
        yield api


@pytest.fixture
def kfp() -> Iterator[KfpApi]:
    with KfpApi() as api:
        api.health, api.namespaces = dict(RECORDED), {NAMESPACE}
        yield api


@pytest.fixture
def examined(
    cluster: KubernetesApi, kfp: KfpApi, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Examine:
    """Every line, by its check."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig(tmp_path / "kubeconfig")))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def run(*overrides: str) -> dict[str, Line]:
        return lines(settings(kfp.host, s3_url, *overrides))

    return run
