"""What `kubecast doctor` says of GPU nodes and of the rights that `kubecast status` uses."""

import pytest

from kubecast.pipelines.running.doctor import nodes
from tests.pipelines.doctor.clusters import Examine, manifests
from tests.support.gpu_nodes import AKS, node
from tests.support.servers.kubernetes_api import KubernetesApi

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_gpu_nodes_of_another_preset_and_none(examined: Examine, cluster: KubernetesApi) -> None:
    cluster.add("/api/v1/nodes", node("b", AKS, 1))
    line = examined()["GPU nodes"]
    assert line.state == "missing"
    assert "set cluster.gpu_nodes: aks" in line.mend
    del cluster.objects["/api/v1/nodes/b"]
    assert examined()["GPU nodes"].mend.startswith("set gpu: false")
    cluster.add("/api/v1/nodes", node("b", AKS, 1))
    assert examined("cluster.gpu_nodes=aks")["GPU nodes"].state == "ok"
    assert examined("cluster.gpu_scale_from_zero=true")["GPU nodes"].state == "not known"
    h100 = "cluster.tasks.train_transformer.node_selector={nvidia.com/gpu.product: H100}"
    other = examined("cluster.gpu_nodes=aks", "cluster.gpu_scale_from_zero=true", h100)["GPU nodes"]
    assert other.detail.startswith("no node fits nvidia.com/gpu.product=H100 and nvidia.com/gpu now;")
    assert examined("cluster.gpu=false")["GPU nodes"].detail == "no task asks for a GPU"


def test_rights_that_status_needs(examined: Examine, cluster: KubernetesApi) -> None:
    cluster.forbidden = ["list .*/workflows", "get .*/pods/any/log"]
    line = examined()["rights for status"]
    assert line.state == "missing"
    assert "you may not list workflows, get pods/log in kubecast" in line.detail
    assert "--role=kubecast-viewer" in line.mend


def test_rights_that_are_asked_for_are_those_of_the_manifests() -> None:
    viewer = manifests("base/viewer.yaml")
    rules = [rule for each in viewer if each["kind"] == "Role" for rule in each["rules"]]
    for verb, resource, group in nodes.RIGHTS:
        assert any(
            group in rule["apiGroups"]
            and resource in rule["resources"]
            and verb in rule["verbs"]
            and "resourceNames" not in rule
            for rule in rules
        ), (verb, resource)
