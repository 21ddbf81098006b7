import json
from pathlib import Path

import pytest
import yaml

from kubecast.config.schedules import ConnectionSettings
from kubecast.errors import ConfigError
from kubecast.settings.cluster import ClusterSettings
from kubecast.settings.loading import load_settings

ROOT = Path(__file__).parents[3]


def test_networks_ask_for_an_accelerator_and_nothing_else_does() -> None:
    cluster = ClusterSettings()
    asking = {name for name in type(cluster.tasks).model_fields if cluster.task(name).accelerator}
    assert asking == {"train_lstm", "train_transformer"}


def test_one_switch_takes_every_accelerator_and_its_nodes_away() -> None:
    overrides = ["cluster.gpu=false", "cluster.tasks.train_lstm.node_selector={a: b}"]
    overrides += ["cluster.tasks.train_lstm.affinity=[{key: nvidia.com/gpu.present, operator: Exists}]"]
    task = load_settings(None, overrides).cluster.task("train_lstm")
    assert task.accelerator is None
    assert not task.node_selector
    assert not task.tolerations
    assert not task.affinity
    assert task.memory_limit == "16Gi"


def test_a_task_that_asks_for_none_keeps_its_nodes_without_accelerators() -> None:
    overrides = ["cluster.gpu=false", "cluster.tasks.train_catboost.node_selector={pool: big}"]
    assert load_settings(None, overrides).cluster.task("train_catboost").node_selector == {"pool": "big"}


@pytest.mark.parametrize(
    ("gpu_nodes", "labels"),
    [
        ("operator", {"nvidia.com/gpu.present": "true"}),
        ("gke", {"cloud.google.com/gke-gpu": "true"}),
        ("eks", {"eks.amazonaws.com/instance-gpu-manufacturer": "nvidia"}),
        ("aks", {"kubernetes.azure.com/accelerator": "nvidia"}),
        ("none", {}),
        ("{pool: gpu, zone: a}", {"pool": "gpu", "zone": "a"}),
    ],
)
def test_tasks_with_an_accelerator_get_the_labels_of_gpu_nodes(
    gpu_nodes: str, labels: dict[str, str]
) -> None:
    cluster = load_settings(None, [f"cluster.gpu_nodes={gpu_nodes}"]).cluster
    for name in type(cluster.tasks).model_fields:
        expected = labels if name in ("train_lstm", "train_transformer") else {}
        assert cluster.task(name).node_selector == expected, name


@pytest.mark.parametrize("own", [{"pool": "a10"}, {}])
def test_nodes_that_a_task_names_itself_win_no_labels_at_all_too(own: dict[str, str]) -> None:
    override = f"cluster.tasks.train_lstm.node_selector={json.dumps(own)}"
    cluster = load_settings(None, [override, "cluster.gpu_nodes=aks"]).cluster
    assert cluster.task("train_lstm").node_selector == own
    assert cluster.task("train_transformer").node_selector == {"kubernetes.azure.com/accelerator": "nvidia"}


def test_a_network_on_processors_runs_on_any_node() -> None:
    cluster = load_settings(None, ["cluster.tasks.train_lstm.accelerator=null"]).cluster
    assert cluster.task("train_lstm").node_selector == {}


def test_one_key_of_a_task_keeps_its_others() -> None:
    task = load_settings(None, ["cluster.tasks.train_lstm.memory_limit=32Gi"]).cluster.task("train_lstm")
    assert task.memory_limit == "32Gi"
    assert task.accelerator is not None
    assert task.accelerator.type == "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("cluster.tasks.train_prophet={}", "unknown key cluster.tasks.train_prophet"),
        ("cluster.tasks.train_lstm.memory_limit=16G", "cluster.tasks.train_lstm.memory_limit"),
        ("cluster.tasks.train_lstm.cpu_limit=two", "cluster.tasks.train_lstm.cpu_limit"),
        ("cluster.tasks.tune_ensemble.accelerator={}", "tune_ensemble asks for an accelerator.*not use"),
        ("cluster.run_as_user=0", "cluster.run_as_user"),
        ("cluster.retries.backoff_factor=1.5", "cluster.retries.backoff_factor: .*valid integer, found 1.5"),
        ("cluster.retries.backoff_max_seconds=600", "is no setting any more: .*each task's timeout; allowed"),
        (
            "cluster.retries={attempts: 10, backoff_factor: 10}",
            "pauses of 33333333330 .*allowed: up to 86400",
        ),
        ("cluster.retries.seconds=3601", "cluster.retries.seconds: .*less than or equal to 3000"),
        ("cluster.labels={Team One: x}", "cluster.labels"),
        ("cluster.labels={kubecast/model: x}", "kubecast/model is kubecast's own; allowed: any but"),
        ("cluster.labels={app.kubernetes.io/name: x}", "app.kubernetes.io/name is kubecast's own"),
        ("cluster.images={kubecast-base: 'ghcr.io/team/base'}", "cluster.images"),
        ("cluster.images={kubecast-base: 'localhost:5000/team/base'}", "cluster.images"),
        ("cluster.images={kubecast-tensorflow-cpu: 'ghcr.io/team/a:1'}", "kubecast-tensorflow-cpu"),
        ("cluster.image_tag=latest", "cluster.image_tag: latest moves; allowed: a tag that never does"),
        ("cluster.image_tag='a:b'", "cluster.image_tag"),
        ("cluster.image_repository=ghcr.io/team", "ghcr.io/team without image_tag; allowed: both"),
        ("cluster.images={kubecast-base: 'ghcr.io/team/base:latest'}", "base:latest moves; allowed: a tag"),
        ("cluster.secrets=[{secret: store, variables: {}}]", "cluster.secrets.0.variables"),
        ("cluster.secrets=[{secret: store, value: hunter2}]", "cluster.secrets"),
        ("cluster.gpu_nodes=gcp", "'operator', 'gke', 'eks', 'aks' or 'none'"),
        ("cluster.gpu_nodes={}", "cluster.gpu_nodes"),
        ("cluster.gpu_nodes={pool: 1}", "cluster.gpu_nodes"),
        ("cluster.tasks.train_lstm.tolerations=[{key: a, value: b}]", "no effect with operator Exists"),
        (
            "cluster.tasks.train_lstm.affinity=[{key: zone}]",
            "0 values with operator In; allowed: one or more",
        ),
        (
            "cluster.tasks.train_lstm.affinity=[{key: a, operator: Exists, values: [b]}]",
            "1 values with operator Exists; allowed: none",
        ),
        (
            "cluster.tasks.train_lstm.affinity=[{key: a, operator: Gt, values: ['1', '2']}]",
            "2 values with operator Gt; allowed: one",
        ),
    ],
)
def test_what_no_cluster_would_take_is_refused(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(None, [override])


def test_examples_in_the_file_fit_the_manifests() -> None:
    [account_example] = ConnectionSettings.model_fields["service_account"].examples or []
    account, *_ = yaml.safe_load_all((ROOT / "manifests/base/pipeline-account.yaml").read_text())
    assert account["kind"] == "ServiceAccount"
    assert account_example == account["metadata"]["name"]


def test_references_by_tag_digest_and_port_are_taken(tmp_path: Path) -> None:
    for image in ("base:1.2", "ghcr.io/team/base@sha256:" + "a" * 64, "localhost:5000/team/base:1.2-abc"):
        settings = load_settings(None, [f"cluster.images={{kubecast-base: '{image}'}}"])
        assert settings.cluster.images["kubecast-base"] == image
