"""Nodes for the tasks that ask for an accelerator, read from an API server of Kubernetes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubecast.errors import ConfigError
from kubecast.pipelines.running.gpu_nodes import NODES, check_gpu_nodes
from kubecast.settings.loading import AllSettings, load_settings
from tests.support.clusters import SET, folder_with, invoke
from tests.support.gpu_nodes import AKS, OPERATOR, node
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi

GKE_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi() as server:
        yield server


def settings(*overrides: str) -> AllSettings:
    return load_settings(None, list(overrides))


def refusal(api: KubernetesApi, *overrides: str) -> str:
    with pytest.raises(ConfigError) as raised:
        check_gpu_nodes(settings(*overrides), api.connect())
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_node_with_label_and_resource_is_enough(api: KubernetesApi) -> None:
    api.add(NODES, node("a", {}), node("b", {}), node("c", OPERATOR, 1, GKE_TAINT))
    check_gpu_nodes(settings(), api.connect())


def test_no_node_is_refused_with_the_preset_that_would_match(api: KubernetesApi) -> None:
    api.add(NODES, node("a", {}), node("b", AKS, 1), node("c", AKS, 4))
    assert refusal(api) == (
        "no node has nvidia.com/gpu.present=true and nvidia.com/gpu, which cluster.tasks.train_lstm asks for;"
        " 2 nodes have kubernetes.azure.com/accelerator=nvidia: set cluster.gpu_nodes: aks; or set gpu: false"
        " to train on processors, or gpu_scale_from_zero: true where an autoscaler makes GPU nodes (by the"
        f" nodes that {api.host} lists)"
    )
    check_gpu_nodes(settings("cluster.gpu_nodes=aks"), api.connect())
    check_gpu_nodes(settings("cluster.gpu_nodes=none"), api.connect())


@pytest.mark.parametrize(
    ("labels", "preset"),
    [
        ({"cloud.google.com/gke-gpu": "true"}, "gke"),
        ({"eks.amazonaws.com/instance-gpu-manufacturer": "nvidia"}, "eks"),
        (OPERATOR, "operator"),
    ],
)
def test_each_preset_is_named_where_its_nodes_are(
    api: KubernetesApi, labels: dict[str, str], preset: str
) -> None:
    api.add(NODES, node("a", labels, 1))
    assert f"1 node has {next(iter(labels))}=" in refusal(api, "cluster.gpu_nodes=aks")
    assert f"set cluster.gpu_nodes: {preset};" in refusal(api, "cluster.gpu_nodes=aks")


def test_labels_of_no_preset_are_named(api: KubernetesApi) -> None:
    api.add(NODES, node("a", {"karpenter.k8s.aws/instance-gpu-manufacturer": "nvidia", "zone": "b"}, 1))
    message = refusal(api)
    assert "1 node has nvidia.com/gpu with labels such as" in message
    assert "karpenter.k8s.aws/instance-gpu-manufacturer=nvidia: set cluster.gpu_nodes to one of" in message
    assert "zone" not in message


def test_no_gpu_at_all_names_the_ways_out(api: KubernetesApi) -> None:
    api.add(NODES, node("a", {}))
    assert (
        "train_lstm asks for; set gpu: false to train on processors, or gpu_scale_from_zero: true where an"
        " autoscaler makes GPU nodes ("
    ) in refusal(api)


def test_a_label_without_the_resource_points_at_the_device_plugin(api: KubernetesApi) -> None:
    api.add(NODES, node("a", OPERATOR))
    assert "1 node has the label and no free nvidia.com/gpu: is its device plugin running?" in refusal(api)


def test_more_than_a_node_has_is_refused(api: KubernetesApi) -> None:
    api.add(NODES, node("a", OPERATOR, 1))
    assert "no node has nvidia.com/gpu.present=true and nvidia.com/gpu x 2, which" in refusal(
        api, "cluster.tasks.train_lstm.accelerator.count=2"
    )


def test_a_tasks_own_labels_are_to_be_changed_at_the_task(api: KubernetesApi) -> None:
    api.add(NODES, node("a", OPERATOR, 1))
    assert "change or remove cluster.tasks.train_transformer.node_selector" in refusal(
        api, "cluster.tasks.train_transformer.node_selector={nvidia.com/gpu.product: H100}"
    )


def test_a_taint_that_is_not_tolerated_is_named(api: KubernetesApi) -> None:
    api.add(NODES, node("a", OPERATOR, 1, {"key": "sku", "value": "gpu", "effect": "NoSchedule"}))
    message = refusal(api)
    assert "but the taint sku=gpu:NoSchedule, which cluster.tasks.train_lstm does not tolerate" in message
    allowed = "{key: sku, operator: Exists, effect: NoSchedule}"
    assert allowed in message
    tolerations = [f"cluster.tasks.train_{kind}.tolerations=[{allowed}]" for kind in ("lstm", "transformer")]
    check_gpu_nodes(settings(*tolerations), api.connect())


@pytest.mark.parametrize(
    "taint",
    [
        {"key": "sku", "value": "gpu", "effect": "PreferNoSchedule"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
    ],
)
def test_taints_that_do_not_last_or_do_not_block_refuse_nothing(
    api: KubernetesApi, taint: dict[str, str]
) -> None:
    api.add(NODES, node("a", OPERATOR, 1, taint))
    check_gpu_nodes(settings(), api.connect())


@pytest.mark.parametrize(
    "override",
    [
        "cluster.gpu=false",
        "pipeline.models=[arima, catboost]",
        "cluster.gpu_scale_from_zero=true",
    ],
)
def test_no_node_is_looked_for_where_none_is_needed(api: KubernetesApi, override: str) -> None:
    api.add(NODES, node("a", {}))
    check_gpu_nodes(settings(override), api.connect())
    assert api.requests == []


def test_who_may_not_list_nodes_is_told_nothing(api: KubernetesApi) -> None:
    api.forbidden = ["list /api/v1/nodes"]
    check_gpu_nodes(settings(), api.connect())


def test_a_cluster_that_is_not_there_refuses_nothing() -> None:
    with KubernetesApi() as gone:
        cluster = gone.connect(timeout=1)
    check_gpu_nodes(settings(), cluster)


DATA = ["--param", "data=s3://demand/demand.csv"]
NETWORK = ["--set", "pipeline.models=[lstm]"]
NIGHTLY = """\
    - name: nightly
      cron: "0 2 * * *"
      parameters: {data: "s3://demand/demand.csv"}
"""


@pytest.fixture
def kubeconfig(api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster of Kubeflow Pipelines, with its namespace, is that of the kubeconfig."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.add("/api/v1/namespaces", {"metadata": {"name": "kubeflow", "labels": labels}})
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))


@pytest.mark.slow
@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]], ids=["run", "dry-run"])
def test_submit_refuses_before_anything_is_made(api: KubernetesApi, dry_run: list[str]) -> None:
    api.add(NODES, node("a", AKS, 1))
    with KfpApi() as kfp:
        with pytest.raises(ConfigError, match=r"set cluster\.gpu_nodes: aks"):
            invoke("submit", *SET, *NETWORK, *DATA, "--host", kfp.host, *dry_run)
        assert kfp.requests == []
        invoke("submit", *SET, *NETWORK, *DATA, "--host", kfp.host, "--set", "cluster.gpu_nodes=aks")
        assert len(kfp.runs) == 1


@pytest.mark.usefixtures("kubeconfig")
def test_nodes_of_another_cluster_refuse_nothing(api: KubernetesApi) -> None:
    del api.objects["/api/v1/namespaces/kubeflow"]
    api.add(NODES, node("a", AKS, 1))
    with KfpApi() as kfp:
        invoke("submit", *SET, *NETWORK, *DATA, "--host", kfp.host)
        assert len(kfp.runs) == 1


@pytest.mark.usefixtures("kubeconfig")
def test_run_that_only_forecasts_asks_for_no_gpu(api: KubernetesApi) -> None:
    api.add(NODES, node("a", {}))
    with KfpApi() as kfp:
        score = ["--mode", "score", *DATA, "--param", "destination=s3://demand/out"]
        invoke("submit", *SET, *NETWORK, *score, "--host", kfp.host)
        assert len(kfp.runs) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("kubeconfig")
def test_submit_refuses_katibs_early_stopping_where_the_namespace_would(api: KubernetesApi) -> None:
    search = ["--set", "pipeline.tuning.tuner=katib", "--set", "cluster.katib.early_stopping=median"]
    with KfpApi() as kfp:
        with pytest.raises(ConfigError) as raised:
            invoke("submit", *SET, *DATA, *search, "--mode", "tune", "--host", kfp.host)
        assert str(raised.value) == (
            "cluster.katib.early_stopping median: namespace kubeflow has the label"
            " pod-security.kubernetes.io/enforce: restricted, which refuses Katib's container early-stopping;"
            " allowed: none, with --set cluster.katib.early_stopping=none, or a namespace that enforces"
            " baseline"
        )
        assert kfp.requests == []
        invoke("submit", *SET, *DATA, *search, "--mode", "retrain", "--host", kfp.host)
        api.forbidden = ["get /api/v1/namespaces/kubeflow"]
        invoke("submit", *SET, *DATA, *search, "--mode", "tune", "--host", kfp.host)


@pytest.mark.usefixtures("kubeconfig")
def test_schedule_apply_refuses_before_anything_is_made(api: KubernetesApi, tmp_path: Path) -> None:
    api.add(NODES, node("a", AKS, 1))
    folder = folder_with(tmp_path / "demand", NIGHTLY)
    with KfpApi() as kfp:
        with pytest.raises(ConfigError, match=r"set cluster\.gpu_nodes: aks"):
            invoke("schedule", "apply", "--config", str(folder), *NETWORK, "--host", kfp.host)
        assert kfp.requests == []
