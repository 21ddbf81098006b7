"""Searches in the compiled pipeline, read as a cluster would read it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubecast.components import images
from kubecast.config.schedules import Mode
from kubecast.errors import ConfigError
from kubecast.models import DEFAULT_KINDS, KINDS
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.pipelines.running.local import run_locally
from kubecast.settings.loading import load_settings
from tests.support.commands import kubecast_here
from tests.support.graphs import named, upstream

CONFIGS = Path(__file__).parents[2] / "configs"
DATABASE = ["pipeline.tuning.storage=database", "pipeline.tuning.workers=3"]


def compiled(
    folder: Path, *overrides: str, mode: Mode = "tune", on_cluster: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    settings = load_settings(CONFIGS, ["training.horizon=48", *overrides])
    path = compile_pipeline(settings, folder / "p.yaml", mode, on_cluster=on_cluster)
    spec, *platform = yaml.safe_load_all(path.read_text())
    pods = platform[0]["platforms"]["kubernetes"]["deploymentSpec"]["executors"] if platform else {}
    return spec, pods


def searches(spec: dict[str, Any]) -> list[str]:
    return sorted(name for name in named(spec) if name.startswith("tune-"))


def executor(spec: dict[str, Any], name: str) -> tuple[str, dict[str, Any]]:
    label = spec["components"][named(spec)[name]["componentRef"]["name"]]["executorLabel"]
    return label, spec["deploymentSpec"]["executors"][label]["container"]


def test_every_model_is_tuned_between_preparation_and_training(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path)
    kinds = sorted(DEFAULT_KINDS)
    assert searches(spec) == [f"tune-{kind}" for kind in kinds]
    for kind in kinds:
        assert upstream(spec, f"tune-{kind}") == set()  # within the graph train, which waits for the panel
        assert upstream(spec, f"train-{kind}") == {f"tune-{kind}"}
        settings = named(spec)[f"train-{kind}"]["inputs"]["parameters"]["settings"]
        assert settings["taskOutputParameter"]["producerTask"] == f"tune-{kind}"
        assert set(named(spec)[f"final-{kind}"]["inputs"]["parameters"]) == {"kind"}


def test_chosen_models_and_the_ensemble_are_tuned(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path, "pipeline.tuning.models=[lstm, ensemble]")
    assert searches(spec) == ["tune-ensemble", "tune-lstm"]
    assert upstream(spec, "tune-ensemble") == {"tune-lstm"}
    given = named(spec)["tune-ensemble"]["inputs"]["parameters"]
    told = {name: value for name, value in given.items() if name in (*KINDS, "ensemble")}
    assert told.pop("lstm")["taskOutputParameter"]["producerTask"] == "tune-lstm"
    assert all(value == {"runtimeValue": {"constant": "{}"}} for value in told.values())  # the files' own
    weighed = named(spec)["stack-ensemble"]["inputs"]["parameters"]["settings"]["taskOutputParameter"]
    assert weighed == {"outputParameterKey": "ensemble_settings", "producerTask": "train"}
    made = spec["components"]["comp-train"]["dag"]["outputs"]["parameters"]["ensemble_settings"]
    assert made["valueFromParameter"]["producerSubtask"] == "tune-ensemble"


@pytest.mark.parametrize(
    ("mode", "tuner", "found"),
    [
        ("train", "none", []),
        ("train", "optuna", ["tune-lstm"]),
        ("tune", "none", ["tune-lstm"]),
        ("retrain", "optuna", []),
    ],
    ids=["train", "train-with-a-tuner", "tune", "retrain"],
)
def test_mode_decides_whether_models_are_tuned(
    tmp_path: Path, mode: Mode, tuner: str, found: list[str]
) -> None:
    given = [f"pipeline.tuning.tuner={tuner}", "pipeline.tuning.models=[lstm]"]
    assert searches(compiled(tmp_path, *given, mode=mode)[0]) == found


def test_nothing_is_tuned_whose_every_parameter_is_set_by_hand(tmp_path: Path) -> None:
    fixed = ["ensemble.method=nnls", "ensemble.greedy_rounds=10"]
    spec, _ = compiled(tmp_path, "pipeline.tuning.models=[ensemble]", *fixed)
    assert searches(spec) == []


@pytest.mark.slow
def test_search_has_the_image_and_the_resources_of_its_model_and_the_time_of_both(tmp_path: Path) -> None:
    spec, pods = compiled(tmp_path, "pipeline.tuning.models=[lstm, catboost, ensemble]")
    for kind in ("lstm", "catboost"):
        (search, container), (training, trainer) = (executor(spec, f"{s}-{kind}") for s in ("tune", "train"))
        assert container["image"] == trainer["image"]
        assert container["resources"] == trainer["resources"]
        timeouts = [pods[label].pop("activeDeadlineSeconds") for label in (search, training)]
        for label in (search, training):
            del pods[label]["podMetadata"]["labels"]["kubecast/task"]
        assert pods[search] == pods[training]
        assert (
            int(timeouts[0]) - int(timeouts[1]) == 2 * 3600
        )  # training.optimization.timeout, and of its last trial
    assert executor(spec, "tune-ensemble")[1]["image"].startswith("kubecast-serving:")


@pytest.mark.slow
def test_workers_of_a_cluster_are_tasks_before_the_one_that_collects(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path, "pipeline.tuning.models=[lstm]", *DATABASE)
    workers = [f"tune-lstm-{number}" for number in (1, 2, 3)]
    assert searches(spec) == ["tune-lstm", *workers]
    for worker in workers:
        assert upstream(spec, worker) == set()
    assert upstream(spec, "tune-lstm") == set(workers)
    numbers = [named(spec)[w]["inputs"]["parameters"]["worker"]["runtimeValue"]["constant"] for w in workers]
    assert numbers == [1.0, 2.0, 3.0]
    assert named(spec)["tune-lstm"]["inputs"]["parameters"]["processes"]["runtimeValue"]["constant"] == 1.0


def test_workers_of_one_machine_are_processes_of_one_task(tmp_path: Path) -> None:
    spec, _ = compiled(tmp_path, "pipeline.tuning.models=[lstm]", *DATABASE, on_cluster=False)
    assert searches(spec) == ["tune-lstm"]
    assert named(spec)["tune-lstm"]["inputs"]["parameters"]["processes"]["runtimeValue"]["constant"] == 3.0


def test_workers_without_a_database_are_refused() -> None:
    with pytest.raises(ConfigError, match="workers 2 with storage journal") as raised:
        load_settings(CONFIGS, ["pipeline.tuning.workers=2"])
    assert raised.value.exit_status == 2


def test_katib_searches_before_the_task_that_runs_the_best_again(tmp_path: Path) -> None:
    spec, pods = compiled(tmp_path, "pipeline.tuning.models=[lstm, catboost]", "pipeline.tuning.tuner=katib")
    assert searches(spec) == ["tune-catboost", "tune-catboost-katib", "tune-lstm", "tune-lstm-katib"]
    assert "tune-lstm-katib" in upstream(spec, "tune-lstm")
    assert "tune-lstm" in upstream(spec, "train-lstm")
    label, container = executor(spec, "tune-lstm-katib")
    assert container["image"].startswith("kubecast-base:")
    assert executor(spec, "tune-lstm")[1]["image"] == executor(spec, "train-lstm")[1]["image"]
    run = {"name": "KUBECAST_RUN_ID", "fieldPath": "metadata.labels['pipeline/runid']"}
    assert run in pods[label]["fieldPathAsEnv"]
    workflow = {
        "name": "KUBECAST_WORKFLOW",
        "fieldPath": "metadata.labels['workflows.argoproj.io/workflow']",
    }
    knowing = {name for name, pod in pods.items() if workflow in pod["fieldPathAsEnv"]}
    assert label in knowing
    assert all("katib" in name for name in knowing)
    assert int(pods[label]["activeDeadlineSeconds"]) == 900 + 3600


@pytest.mark.slow
def test_trials_of_katib_have_the_image_and_the_resources_of_their_model(tmp_path: Path) -> None:
    given = ["pipeline.tuning.models=[lstm, ensemble]", "pipeline.tuning.tuner=katib"]
    own = ["cluster.image_repository=registry.example.com/team", "cluster.image_tag=1.2-abc"]
    own += ["cluster.katib.region=eu-west-1", "cluster.katib.early_stopping=median"]
    spec, _ = compiled(tmp_path, *given, *own)

    def pod(name: str) -> dict[str, Any]:
        text = named(spec)[name]["inputs"]["parameters"]["trial_pod"]["runtimeValue"]["constant"]
        found: dict[str, Any] = json.loads(text)
        return found

    trainer = executor(spec, "train-lstm")[1]
    found = pod("tune-lstm-katib")
    gpu = "registry.example.com/team/kubecast-tensorflow-gpu:1.2-abc"
    assert found["image"] == trainer["image"] == executor(spec, "tune-lstm")[1]["image"] == gpu
    assert found["task"]["accelerator"] == {"type": "nvidia.com/gpu", "count": 1}
    assert found["task"]["memory_limit"] == "16Gi"
    assert (found["service_account"], found["region"]) == ("kubecast-trial", "eu-west-1")
    assert found["early_stopping"] == "median"
    assert found["labels"]["app.kubernetes.io/name"] == "kubecast"
    assert found["labels"]["kubecast/version"] == "1.2-abc"
    assert "kubecast-serving" in pod("tune-ensemble-katib")["image"]
    assert pod("tune-ensemble-katib")["task"]["accelerator"] is None
    spec, _ = compiled(tmp_path, *given, "cluster.gpu=false")
    assert pod("tune-lstm-katib")["task"]["accelerator"] is None
    assert pod("tune-lstm-katib")["early_stopping"] == "none"  # whatever Optuna's pruner is
    assert pod("tune-lstm-katib")["image"] == executor(spec, "tune-lstm")[1]["image"] == images.TENSORFLOW


def test_katib_without_a_cluster_is_refused_with_a_hint(tmp_path: Path) -> None:
    settings = load_settings(CONFIGS, ["training.horizon=48", "pipeline.tuning.tuner=katib"])
    with pytest.raises(
        ConfigError, match=r"katib: its trials are pods of a cluster; allowed here: optuna"
    ) as e:
        run_locally(settings, "data.csv", tmp_path, "", "", "train", resume=False, on_progress=print)
    assert e.value.exit_status == 2


@pytest.mark.parametrize(
    ("given", "why", "hint"),
    [
        ("tuner=katib", "its trials are pods of a cluster", "--set pipeline.tuning.tuner=optuna"),
        ("workers=2", "workers 2 with storage journal", "allowed: storage database, or 1 worker"),
    ],
    ids=["katib", "workers"],
)
def test_command_refuses_what_cannot_search_here_in_one_line(
    tmp_path: Path, given: str, why: str, hint: str
) -> None:
    (tmp_path / "data.csv").write_text("unique_id,ds,y\n")
    words = ["--horizon", "48", "--mode", "tune", "--set", f"pipeline.tuning.{given}"]
    files = ["--data", str(tmp_path / "data.csv"), "--config", str(CONFIGS), "--output", str(tmp_path / "o")]
    done = kubecast_here("run", *files, *words)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert why in line
    assert hint in line


def test_space_that_a_model_does_not_allow_is_refused_before_anything_is_compiled(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"search\.lstm\.dropout_rate: .*less than 1, found 1\.5"):
        compiled(tmp_path, "search.lstm.dropout_rate.high=1.5")
    compiled(tmp_path, "search.lstm.dropout_rate.high=1.5", mode="train")
