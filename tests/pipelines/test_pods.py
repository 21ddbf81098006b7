"""What the compiled pipelines ask of a cluster: the executors, and the document of the platform."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubecast.config.schedules import Mode
from kubecast.errors import ConfigError
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.pipelines.pods import SCRATCH, SHARED_MEMORY, label_of, trial_pod
from kubecast.settings.loading import load_settings

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "configs"
SET = [
    "training.horizon=48",
    "training.model_name=demand",
    "cluster.image_repository=registry.example.com:5000/team",
    "cluster.image_tag=1.2-abc",
    "cluster.images={kubecast-base: 'registry.example.com/base@sha256:" + "0" * 64 + "'}",
    "cluster.image_pull_secrets=[pull]",
    "cluster.labels={cost-center: '12'}",
    "cluster.secrets=[{secret: object-store, variables: {AWS_ACCESS_KEY_ID: access}}]",
    "cluster.tasks.train_lstm.node_selector={nvidia.com/gpu.product: NVIDIA-A10}",
    "cluster.tasks.train_lstm.affinity=[{key: zone, values: [a], weight: 5}, {key: disk, operator: Exists}]",
]

NOTICES = [
    "cluster.notifications={secret: hook}",
    "cluster.connection.dashboard=https://kf.example.com/pipeline",
]


def compiled(folder: Path, *overrides: str, mode: Mode = "train") -> tuple[dict[str, Any], dict[str, Any]]:
    path = compile_pipeline(load_settings(CONFIGS, [*SET, *overrides]), folder / "p.yaml", mode)
    spec, platform = yaml.safe_load_all(path.read_text())
    return spec, platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


@pytest.fixture(scope="module", params=["train", "tune", "katib", "retrain", "score", "notifications"])
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    folder = tmp_path_factory.mktemp("compiled")
    if request.param == "katib":
        return compiled(folder, "pipeline.tuning.tuner=katib", mode="tune")
    if request.param == "notifications":
        return compiled(folder, *NOTICES)
    return compiled(folder, mode=request.param)


def containers(spec: dict[str, Any]) -> dict[str, Any]:
    return {name: found["container"] for name, found in spec["deploymentSpec"]["executors"].items()}


def tasks(spec: dict[str, Any]) -> dict[str, Any]:
    """Every task by its executor, those of the exit handler's graph and the handler itself included."""
    components = spec["components"]
    graphs = [spec["root"]["dag"], *(each["dag"] for each in components.values() if "dag" in each)]
    every = [task for graph in graphs for task in graph["tasks"].values()]
    labelled = ((components[task["componentRef"]["name"]].get("executorLabel"), task) for task in every)
    return {label: task for label, task in labelled if label}


def test_every_executor_has_requests_and_limits(both: Any) -> None:
    required = {"resourceCpuRequest", "resourceCpuLimit", "resourceMemoryRequest", "resourceMemoryLimit"}
    assert {
        name for name, found in containers(both[0]).items() if required - set(found["resources"])
    } == set()


def test_every_executor_is_retried_with_backoff_and_has_a_deadline(both: Any) -> None:
    spec, pods = both
    assert set(tasks(spec)) == set(pods) == set(containers(spec))
    for name, task in tasks(spec).items():
        assert task["retryPolicy"] == {
            "maxRetryCount": 2,
            "backoffDuration": "30s",
            "backoffFactor": 2.0,  # Argo refuses 2.5
            "backoffMaxDuration": f"{3 * int(pods[name]['activeDeadlineSeconds']) + 30 + 60}s",
        }


def test_no_pause_or_deadline_of_a_retry_forbids_the_next(tmp_path: Path) -> None:
    retries = ["cluster.retries={attempts: 3, backoff_seconds: 10, backoff_factor: 3}"]
    spec, _ = compiled(tmp_path, *retries, "cluster.tasks.train_lstm.timeout=1000")
    policy = tasks(spec)["exec-train-lstm"]["retryPolicy"]
    assert policy["backoffMaxDuration"] == f"{4 * 1000 + 10 + 30 + 90}s"
    none, _ = compiled(tmp_path, "cluster.retries.attempts=0", "cluster.tasks.train_lstm.timeout=1000")
    assert tasks(none)["exec-train-lstm"]["retryPolicy"]["backoffMaxDuration"] == "1000s"


def test_every_pod_is_told_how_long_it_may_wait_for_a_fault_to_pass(tmp_path: Path) -> None:
    for found in containers(compiled(tmp_path, "cluster.retries.seconds=7")[0]).values():
        assert {"name": "KUBECAST_RETRY_SECONDS", "value": "7"} in found["env"]


def test_every_pod_runs_as_a_numeric_user_that_is_not_root(both: Any) -> None:
    expected = {"runAsUser": "1000", "runAsGroup": "0", "runAsNonRoot": True}
    assert [pod["securityContext"] for pod in both[1].values()] == [expected] * len(both[1])


def test_every_pod_is_labelled_and_pulls_with_the_secret(both: Any) -> None:
    for pod in both[1].values():
        assert pod["podMetadata"]["labels"] == {
            "app.kubernetes.io/name": "kubecast",
            "cost-center": "12",
            "kubecast/model": "demand",
            "kubecast/task": pod["podMetadata"]["labels"]["kubecast/task"],  # see below
            "kubecast/version": "1.2-abc",
        }
        assert [found["secretName"] for found in pod["imagePullSecret"]] == ["pull"]


def test_every_pod_knows_its_run_and_its_task_under_the_dashboards_name(both: Any) -> None:
    spec, pods = both
    run = {"name": "KUBECAST_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"}
    assert all(run in pod["fieldPathAsEnv"] for pod in pods.values())
    names = {label: task["taskInfo"]["name"] for label, task in tasks(spec).items()}
    assert {label: pod["podMetadata"]["labels"]["kubecast/task"] for label, pod in pods.items()} == names
    for label, found in containers(spec).items():
        assert {"name": "KUBECAST_TASK", "value": names[label]} in found["env"]


def test_secrets_come_by_reference_alone(both: Any) -> None:
    spec, pods = both
    for name, pod in pods.items():
        secret, *more = pod["secretAsEnv"]
        assert [each["secretName"] for each in more] == (["hook"] if "notify" in name else [])
        assert secret["secretName"] == "object-store"
        assert secret["keyToEnv"] == [{"secretKey": "access", "envVar": "AWS_ACCESS_KEY_ID"}]
    plain = {each["name"] for found in containers(spec).values() for each in found["env"]}
    assert plain == {"KUBECAST_TASK", "KUBECAST_RETRY_SECONDS"}


def test_images_come_from_the_repository_with_their_tag_or_by_digest(both: Any) -> None:
    for found in containers(both[0]).values():
        tagged = r"registry\.example\.com:5000/team/kubecast-[a-z-]+:1\.2-abc"
        assert re.fullmatch(tagged + r"|registry\.example\.com/base@sha256:0{64}", found["image"])


NETWORKS = {f"exec-{stage}-{kind}" for kind in ("lstm", "transformer") for stage in ("train", "final")}


@pytest.mark.parametrize(("gpu", "image"), [("true", "tensorflow-gpu"), ("false", "tensorflow")])
def test_image_of_networks_is_the_one_for_the_accelerator_that_they_ask_for(
    tmp_path: Path, gpu: str, image: str
) -> None:
    found = containers(compiled(tmp_path, f"cluster.gpu={gpu}")[0])
    images = {name: each["image"].rpartition("/")[2].partition(":")[0] for name, each in found.items()}
    networks = {name for name, each in images.items() if each.startswith("kubecast-tensorflow")}
    assert networks == NETWORKS
    assert {images[name] for name in networks} == {f"kubecast-{image}"}


def test_digest_of_the_image_for_accelerators_is_taken_by_its_own_name(tmp_path: Path) -> None:
    cpu, gpu = (f"registry.example.com/{kind}@sha256:{'0' * 64}" for kind in ("cpu", "gpu"))
    names = json.dumps({"kubecast-tensorflow": cpu, "kubecast-tensorflow-gpu": gpu})
    none = "cluster.tasks.train_transformer.accelerator=null"
    found = containers(compiled(tmp_path, f"cluster.images={names}", none)[0])
    assert found["exec-train-lstm"]["image"] == gpu
    assert found["exec-train-transformer"]["image"] == cpu


def test_trainers_of_networks_get_their_accelerator_and_their_nodes(tmp_path: Path) -> None:
    spec, pods = compiled(tmp_path)
    asking = {name for name, found in containers(spec).items() if "accelerator" in found["resources"]}
    assert asking == NETWORKS
    for name in ("exec-train-lstm", "exec-final-lstm"):
        pod = pods[name]
        assert pod["nodeSelector"]["labels"] == {"nvidia.com/gpu.product": "NVIDIA-A10"}
        assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
        assert len(pod["nodeAffinity"]) == 2
        [volume] = pod["emptyDirMounts"]
        assert (volume["mountPath"], volume["medium"], volume["sizeLimit"]) == (
            SHARED_MEMORY,
            "Memory",
            "2Gi",
        )


def test_tasks_in_the_loop_of_shards_are_configured_like_the_others(tmp_path: Path) -> None:
    spec, pods = compiled(tmp_path, "cluster.tasks.forecast_shard.timeout=700", mode="score")
    label = "exec-forecast-shard"
    found, pod = containers(spec)[label], pods[label]
    assert found["image"] == "registry.example.com:5000/team/kubecast-serving:1.2-abc"
    assert found["resources"]["resourceMemoryLimit"] == "8Gi"
    assert pod["activeDeadlineSeconds"] == "700"
    assert tasks(spec)[label]["retryPolicy"]["backoffMaxDuration"] == f"{3 * 700 + 30 + 60}s"
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["podMetadata"]["labels"]["kubecast/task"] == "forecast-shard"
    assert pod["podMetadata"]["labels"]["cost-center"] == "12"
    assert pod["secretAsEnv"][0]["secretName"] == "object-store"
    assert pod["imagePullSecret"][0]["secretName"] == "pull"


def test_scratch_is_a_volume_of_that_size_for_temporary_files(tmp_path: Path) -> None:
    overrides = [f"cluster.tasks.{name}.scratch=20Gi" for name in ("forecast_shard", "train_lstm")]
    pod = compiled(tmp_path, *overrides, mode="score")[1]["exec-forecast-shard"]
    [volume] = pod["emptyDirMounts"]
    assert (volume["mountPath"], volume["sizeLimit"]) == (SCRATCH, "20Gi")
    assert not volume.get("medium")  # the node's disk
    both = compiled(tmp_path, *overrides)[1]["exec-train-lstm"]["emptyDirMounts"]
    assert [(each["volumeName"], each["mountPath"]) for each in both] == [
        ("shared-memory", SHARED_MEMORY),
        ("scratch", SCRATCH),
    ]
    assert "emptyDirMounts" not in compiled(tmp_path, mode="score")[1]["exec-forecast-shard"]


def selectors(folder: Path, *overrides: str, mode: Mode = "tune") -> dict[str, dict[str, str]]:
    """The node selector of every executor that has one, by the name of its task."""
    path = compile_pipeline(
        load_settings(CONFIGS, ["training.horizon=48", *overrides]), folder / "p.yaml", mode
    )
    _, platform = yaml.safe_load_all(path.read_text())
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    found = {pod["podMetadata"]["labels"]["kubecast/task"]: pod.get("nodeSelector") for pod in pods}
    return {task: selector["labels"] for task, selector in found.items() if selector}


GPU_TASKS = {f"{step}-{kind}" for step in ("train", "final", "tune") for kind in ("lstm", "transformer")}


@pytest.mark.parametrize(
    ("override", "labels"),
    [
        (None, {"nvidia.com/gpu.present": "true"}),
        ("cluster.gpu_nodes=gke", {"cloud.google.com/gke-gpu": "true"}),
        ("cluster.gpu_nodes={pool: a10}", {"pool": "a10"}),
    ],
)
def test_every_task_of_a_network_selects_gpu_nodes_by_default(
    tmp_path: Path, override: str | None, labels: dict[str, str]
) -> None:
    found = selectors(tmp_path, *([override] if override else []))
    assert found == dict.fromkeys(GPU_TASKS, labels)


def test_a_tasks_own_node_selector_holds_for_its_search_and_its_final_fit(tmp_path: Path) -> None:
    found = selectors(tmp_path, "cluster.tasks.train_lstm.node_selector={pool: a10}")
    own = {task for task, labels in found.items() if labels == {"pool": "a10"}}
    assert own == {task for task in GPU_TASKS if task.endswith("lstm")}


@pytest.mark.parametrize("override", ["cluster.gpu_nodes=none", "cluster.gpu=false"])
def test_no_nodes_are_selected_where_none_is_to_be(tmp_path: Path, override: str) -> None:
    assert selectors(tmp_path, override) == {}


@pytest.mark.parametrize(("gpu", "labels"), [("true", {"nvidia.com/gpu.present": "true"}), ("false", {})])
def test_trials_of_katib_select_the_nodes_that_the_training_does(
    tmp_path: Path, gpu: str, labels: dict[str, str]
) -> None:
    settings = load_settings(CONFIGS, ["training.horizon=48", f"cluster.gpu={gpu}"])
    pod = trial_pod("kubecast-tensorflow:1", settings.cluster.task("train_lstm"), settings)
    assert pod.task.node_selector == labels
    over = ["pipeline.tuning.tuner=katib", f"cluster.gpu={gpu}"]
    assert set(selectors(tmp_path, *over)) <= GPU_TASKS
    compiled_in = (tmp_path / "p.yaml").read_text()
    assert ('"node_selector":{"nvidia.com/gpu.present":"true"}' in compiled_in) == bool(labels)


@pytest.mark.parametrize("count", [1, 2])
def test_pod_is_told_how_many_accelerators_it_asked_for(tmp_path: Path, count: int) -> None:
    _, pods = compiled(tmp_path, f"cluster.tasks.train_lstm.accelerator.count={count}")
    told = {"name": "KUBECAST_ACCELERATORS", "fieldPath": "metadata.annotations['kubecast/accelerators']"}
    assert {name for name, pod in pods.items() if told in pod["fieldPathAsEnv"]} == NETWORKS
    annotations = pods["exec-train-lstm"]["podMetadata"]["annotations"]
    assert annotations["kubecast/accelerators"] == str(count)
    _, pods = compiled(tmp_path, "cluster.gpu=false")
    assert "accelerators" not in str(pods).lower()


def test_all_required_affinities_are_one_term(tmp_path: Path) -> None:
    affinity = (
        "[{key: zone, values: [a]}, {key: near, values: [b], weight: 5}, {key: disk, operator: Exists}]"
    )
    _, pods = compiled(tmp_path, f"cluster.tasks.train_lstm.affinity={affinity}")
    required, preferred = pods["exec-train-lstm"]["nodeAffinity"]
    assert [found["key"] for found in required["matchExpressions"]] == ["zone", "disk"]
    assert [found["key"] for found in preferred["matchExpressions"]] == ["near"]
    assert preferred["weight"] == 5


@pytest.mark.parametrize(
    ("name", "label"),
    [("demand", "demand"), ("a" * 128, "a" * 63), ("a" * 62 + ".b", "a" * 62), ("a_-", "a")],
)
def test_every_model_name_makes_a_label(name: str, label: str) -> None:
    assert label_of(name) == label


def test_a_cluster_without_accelerators_is_asked_for_none(tmp_path: Path) -> None:
    spec, pods = compiled(tmp_path, "cluster.gpu=false")
    assert not [name for name, found in containers(spec).items() if "accelerator" in found["resources"]]
    assert not [name for name, pod in pods.items() if "tolerations" in pod or "nodeSelector" in pod]


def test_a_local_run_asks_for_nothing(tmp_path: Path) -> None:
    path = compile_pipeline(load_settings(CONFIGS, SET), tmp_path / "p.yaml", on_cluster=False)
    [spec] = yaml.safe_load_all(path.read_text())
    assert not [name for name, found in containers(spec).items() if "resources" in found]
    assert "retryPolicy" not in str(spec)


def told(mode: Mode, *overrides: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return compiled(folder, *NOTICES, *overrides, mode=mode)


@pytest.mark.parametrize("mode", ["train", "score"])
def test_nobody_is_told_unless_it_is_asked_for(tmp_path: Path, mode: Mode) -> None:
    assert "notify" not in str(compiled(tmp_path, mode=mode))
    local = compile_pipeline(load_settings(CONFIGS, [*SET, *NOTICES]), tmp_path / "p.yaml", on_cluster=False)
    assert "notify" not in local.read_text()


def test_secret_in_the_dashboards_address_is_not_compiled_in(tmp_path: Path) -> None:
    address = "cluster.connection.dashboard=https://me:hunter2@kf.example.com"
    with pytest.raises(ConfigError, match=r"cluster\.connection\.dashboard: holds a user") as caught:
        told("train", address, folder=tmp_path)
    assert "hunter2" not in str(caught.value)


def test_success_is_told_by_an_ordinary_last_task(tmp_path: Path) -> None:
    spec, pods = told("train", "cluster.notifications.events=[success]", folder=tmp_path)
    tasks = spec["root"]["dag"]["tasks"]
    assert set(tasks["notify-success"]["dependentTasks"]) == {"evaluate-models", "register-model"}
    assert not [name for name, task in tasks.items() if "notify-success" in task.get("dependentTasks", [])]
    assert "exit-handler" not in str(spec)
    assert [name for name, pod in pods.items() if "KUBECAST_NOTICE_URL" in str(pod)] == [
        "exec-notify-success"
    ]


@pytest.mark.parametrize("mode", ["train", "score"])
def test_failure_is_told_by_the_exit_handler_which_lacks_nothing(tmp_path: Path, mode: Mode) -> None:
    spec, pods = told(mode, "cluster.notifications.events=[failure]", folder=tmp_path)
    root = spec["root"]["dag"]["tasks"]
    assert set(root) == {"exit-handler-1", "notify-failure"}
    handler = root["notify-failure"]
    assert handler["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    given = {name: told.get("runtimeValue") for name, told in handler["inputs"]["parameters"].items()}
    read = {each["name"]: each["fieldPath"] for each in pods["exec-notify-failure"]["fieldPathAsEnv"]}
    assert read["KUBECAST_WORKFLOW"] == "metadata.labels['workflows.argoproj.io/workflow']"
    assert given["dashboard"] == {"constant": "https://kf.example.com/pipeline"}
    inside = {label: task["retryPolicy"]["maxRetryCount"] for label, task in tasks(spec).items()}
    assert inside == dict.fromkeys(containers(spec), 2)
    assert {task.get("cachingOptions", {}).get("enableCache", False) for task in [handler]} == {False}
    secrets = [name for name, pod in pods.items() if "KUBECAST_NOTICE_URL" in str(pod)]
    assert secrets == ["exec-notify-failure"]
