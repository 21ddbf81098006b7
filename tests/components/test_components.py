"""The components' bodies, with KFP's own artifacts, one after another as the pipeline wires them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from kubecast.components.data_processing.prepare_data import prepare_data
from kubecast.components.data_processing.resolve_inputs import resolve_inputs
from kubecast.components.deployment.forecast_shard import forecast_shard
from kubecast.components.deployment.notify_failure import notify_failure
from kubecast.components.deployment.notify_success import notify_success
from kubecast.components.deployment.prepare_history import prepare_history
from kubecast.components.deployment.publish_batch import publish_batch
from kubecast.components.deployment.register_model import register_model
from kubecast.components.evaluation.evaluate_models import evaluate_models
from kubecast.components.evaluation.forecast_champion import forecast_champion
from kubecast.components.training.final_fit import final_fit
from kubecast.components.training.stack_ensemble import stack_ensemble
from kubecast.components.training.train_arima import train_arima
from kubecast.components.training.train_catboost import train_catboost
from kubecast.components.training.train_lstm import train_lstm
from kubecast.components.training.train_transformer import train_transformer
from kubecast.registry import Registry
from kubecast.settings.loading import AllSettings
from tests.support.launcher import Launcher
from tests.support.models import SETTINGS
from tests.support.panels import hourly, small_settings

pytestmark = pytest.mark.slow

RECORDINGS = Path(__file__).parents[1] / "recordings"
TRAINERS = {
    "arima": train_arima,
    "lstm": train_lstm,
    "transformer": train_transformer,
    "catboost": train_catboost,
}


@pytest.fixture(scope="module")
def artifacts(launcher: Launcher, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every output of a run with all four models, by ``task_output``."""
    folder = tmp_path_factory.mktemp("artifacts")
    made: dict[str, Any] = {"folder": folder}

    def run(component: Any, task: str, **given: Any) -> dict[str, Any]:
        outputs = launcher.run(component, task, **given)
        made.update({f"{task}_{name}": each for name, each in outputs.items()})
        return outputs

    hourly().to_csv(folder / "data.csv", index=False)
    texts = {
        "training": small_settings(),
        **SETTINGS,
        "ensemble": AllSettings().ensemble,
    }
    settings = {f"{name}_settings": section.model_dump_json() for name, section in texts.items()}
    data = str(folder / "data.csv")
    published = {"registry": str(folder / "registry"), "model_name": "demand"}
    resolved = run(
        resolve_inputs, "resolved", data=data, as_of="", scheduled="", mode="train", horizon=6, frequency="h",
        season_lengths="24", seed=1, **published, **settings,
        pipeline_settings='{"on_trainer_failure": "stop"}',
        search_settings="{}",
    )  # fmt: skip
    assert resolved["search"] == ""  # nothing is tuned
    fixed = {name: resolved[name] for name in ("digest", "as_of", "settings")}
    published["inputs_digest"] = resolved["inputs_digest"]
    panel = run(prepare_data, "prepared", data=data, **fixed)["panel"]
    evaluated = {kind: run(train, kind, panel=panel)["model"] for kind, train in TRAINERS.items()}
    ensemble = run(stack_ensemble, "stacked", panel=panel, **evaluated)["ensemble"]
    champion = run(forecast_champion, "champion", panel=panel, version=resolved["champion"], **published)
    evaluation = run(
        evaluate_models, "evaluated", panel=panel, ensemble=ensemble, champion=champion["champion"]
    )["evaluation"]
    final = {
        kind: run(final_fit, f"{kind}_final", panel=panel, kind=kind, fitted=model)["model"]
        for kind, model in evaluated.items()
    }
    run(
        register_model, "registered", panel=panel, ensemble=ensemble, evaluation=evaluation, **published,
        **final,
    )  # fmt: skip
    return made


def test_executor_input_has_the_form_of_the_recorded_one(
    launcher: Launcher, artifacts: dict[str, Any]
) -> None:
    """The recorded task had other inputs and outputs; each is to be described as the recorded ones are."""
    recorded = json.loads((RECORDINGS / "executor-input-stack-ensemble.json").read_text())
    del recorded["outputs"]["artifacts"]["executor-logs"]  # the launcher's own
    mine = next(each for each in launcher.inputs if "lstm" in each["inputs"].get("artifacts", {}))
    assert recorded.keys() == mine.keys()
    assert recorded["outputs"].keys() == mine["outputs"].keys()
    for side in ("inputs", "outputs"):
        [form] = _forms(recorded[side]["artifacts"])
        assert _forms(mine[side]["artifacts"]) == {form}
    assert json.loads(_forms(mine["inputs"]["artifacts"]).pop())["artifacts"][0]["type"] == {
        "instanceSchema": ""
    }


def _forms(artifacts: dict[str, Any]) -> set[str]:
    """Keys and types, once for each form, as JSON."""
    return {json.dumps(_form(each), sort_keys=True) for each in artifacts.values()}


def _form(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "..." if key == "schemaTitle" else _form(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_form(each) for each in value]
    return "" if value == "" else type(value).__name__


def test_an_ensemble_of_one_model_needs_no_other(launcher: Launcher, artifacts: dict[str, Any]) -> None:
    outputs = launcher.run(
        stack_ensemble, panel=artifacts["prepared_panel"], catboost=artifacts["catboost_model"]
    )
    assert sorted(launcher.inputs[-1]["inputs"]["artifacts"]) == ["catboost", "panel"]
    assert set(outputs) == {"ensemble", "report"}


def test_batch_and_notices_run_by_the_executor(
    launcher: Launcher, artifacts: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("KUBECAST_NOTICE_URL", "KUBECAST_WORKFLOW"):
        monkeypatch.delenv(name, raising=False)
    folder = artifacts["folder"]
    kept = {"registry": str(folder / "registry"), "destination": str(tmp_path)}
    prepared = launcher.run(
        prepare_history, data=str(folder / "data.csv"), model="demand", horizon=0, future="", as_of="",
        shards="2", work="", keep_days=1, **kept,
    )  # fmt: skip
    statuses = [
        launcher.run(forecast_shard, shard=shard, registry=kept["registry"], attempts=0)["Output"]
        for shard in prepared["Output"]
    ]
    batch = launcher.run(publish_batch, statuses=statuses, min_shards=1.0, **kept)
    assert batch["forecasts"].metadata["batch"] == batch["Output"]
    assert "made by" in Path(batch["report"].path).read_text()
    run = {"run": "", "dashboard": "", "style": "webhook"}
    version = artifacts["registered_Output"]
    launcher.run(notify_success, evaluation=artifacts["evaluated_evaluation"], version=version, **run)
    status = {"state": "RUNNING", "pipelineJobResourceName": "", "pipelineTaskName": "exit-handler-1"}
    launcher.run(notify_failure, status={**status, "error": {}}, **run)


def test_every_output_exists(artifacts: dict[str, Any]) -> None:
    missing = [
        name
        for name, made in artifacts.items()
        if isinstance(made, dsl.Artifact) and not Path(made.path).exists()
    ]
    assert missing == []


def test_scalars_reach_the_dashboard_and_are_finite(artifacts: dict[str, Any]) -> None:
    for kind in TRAINERS:
        metrics = artifacts[f"{kind}_metrics"].metadata
        assert metrics == json.loads(Path(artifacts[f"{kind}_metrics"].path).read_text())
        assert metrics["fit_seconds"] > 0
    summary = artifacts["evaluated_evaluation"].metadata
    assert {"mase", "skill", "coverage_80", "validation_mase", "weight_catboost"} <= set(summary)


def test_evaluation_is_the_leaderboard(artifacts: dict[str, Any]) -> None:
    folder = Path(artifacts["evaluated_evaluation"].path)
    board = json.loads((folder / "leaderboard.json").read_text())["leaderboard"]
    assert {"ensemble", "seasonal_naive_24", *TRAINERS} <= {row["model"] for row in board}
    assert sorted(path.name for path in folder.glob("*.parquet")) == ["by_series.parquet", "series.parquet"]


def test_version_is_published_under_the_given_name(artifacts: dict[str, Any]) -> None:
    version = Registry.open(str(artifacts["folder"] / "registry")).resolve(artifacts["registered_Output"])
    assert version.name == "demand"
    assert set(version.metadata["seeds"]) == set(TRAINERS)


@pytest.mark.parametrize(
    "component", [*TRAINERS.values(), final_fit, prepare_data, stack_ensemble, register_model]
)
def test_body_is_wiring(component: Any) -> None:
    import inspect

    body = inspect.getsource(component.python_func).split('"""')[2]
    assert len(body.strip().splitlines()) <= 20


def test_no_component_has_an_optional_artifact_that_the_executor_cannot_make() -> None:
    """Without a schema title the executor calls the annotation, which a `typing.Union` is not."""
    files = list((Path(__file__).parents[2] / "components").rglob("*.py"))
    assert files
    assert not [path.parent.name for path in files if "Optional[dsl.Input" in path.read_text()]


def test_compiled_component_names_its_function_and_repeats_no_text() -> None:
    [executor] = train_arima.pipeline_spec.deployment_spec["executors"].values()
    *_, script, source = executor["container"]["command"]
    assert source.splitlines() == [
        "from kubecast.components.training.trainer import trainer",
        "train_arima = trainer('arima')",
    ]
    assert "  " not in script
    assert "description" not in str(train_arima.pipeline_spec)


def test_function_of_a_component_is_what_the_executor_finds_in_its_image(tmp_path: Path) -> None:
    """As the launcher starts it, but for the installation."""
    script = (
        "from kubecast.components.training.stack_ensemble.component import stack_ensemble\n"
        "from kubecast.components.data_processing.resolve_inputs.component import resolve_inputs\n"
        "print(type(stack_ensemble).__name__, resolve_inputs.__annotations__['return']._fields[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "_KFP_RUNTIME": "true"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["function", "digest"]
