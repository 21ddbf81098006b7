"""The components' bodies, with KFP's own artifacts, one after another as the pipeline wires them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl
from kfp.dsl.types import artifact_types

from components.data_processing.prepare_data import prepare_data
from components.data_processing.resolve_inputs import resolve_inputs
from components.deployment.register_model import register_model
from components.evaluation.evaluate_models import evaluate_models
from components.evaluation.forecast_champion import forecast_champion
from components.training.stack_ensemble import stack_ensemble
from components.training.train_arima import train_arima
from components.training.train_catboost import train_catboost
from components.training.train_lstm import train_lstm
from components.training.train_transformer import train_transformer
from kubecast.config import AllSettings
from kubecast.registry import Registry
from tests.conftest import hourly, small_settings
from tests.launcher import Launcher
from tests.unit.models.test_every_model import SETTINGS

RECORDINGS = Path(__file__).parents[1] / "recordings"
TRAINERS = {
    "arima": train_arima,
    "lstm": train_lstm,
    "transformer": train_transformer,
    "catboost": train_catboost,
}


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact_types, "_MINIO_LOCAL_MOUNT_PREFIX", artifact_types._MINIO_LOCAL_MOUNT_PREFIX)
        yield Launcher(tmp_path_factory.mktemp("launcher"))


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
    shape = {"data": str(folder / "data.csv"), "horizon": 6, "frequency": "h", "season_lengths": "24"}
    published = {"registry": str(folder / "registry"), "model_name": "demand"}
    resolved = run(
        resolve_inputs, "resolved", **shape, as_of="", mode="train", seed=1, **published, **settings,
        pipeline_settings="{}",
        search_settings="{}",
    )  # fmt: skip
    assert {key: resolved[key] for key in settings if key != "training_settings"} == {
        key: text for key, text in settings.items() if key != "training_settings"
    }
    assert resolved["champion_settings"] == "{}"
    inputs = {"inputs_digest": resolved["inputs_digest"]}
    panel = run(prepare_data, "prepared", **shape, digest=resolved["digest"], as_of="", **settings)["panel"]
    members: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    for kind, train in TRAINERS.items():
        common = {"panel": panel, "settings": settings[f"{kind}_settings"], "seed": 1, "on_failure": "stop"}
        first = run(train, kind, **common)
        final = run(train, f"{kind}_final", **common, fitted=first["model"])
        members |= {f"{kind}_model": first["model"], f"{kind}_forecasts": first["forecasts"]}
        versions |= {f"{kind}_judged": first["model"], f"{kind}_final": final["model"]}
        versions |= {f"{kind}_forecasts": final["forecasts"]}
    stacked = run(stack_ensemble, "stacked", panel=panel, settings=settings["ensemble_settings"], **members)
    champion = run(
        forecast_champion, "champion", panel=panel, champion=resolved["champion"], **published, **inputs
    )
    evaluated = run(
        evaluate_models, "evaluated", panel=panel, ensemble=stacked["ensemble"],
        forecasts=stacked["forecasts"], champion_forecasts=champion["forecasts"],
        champion_status=champion["status"],
    )  # fmt: skip
    run(
        register_model, "registered", panel=panel, ensemble=stacked["ensemble"],
        evaluation=evaluated["evaluation"], report=evaluated["report"], **published, **inputs, **versions,
    )  # fmt: skip
    return made


def test_executor_input_has_the_form_of_the_recorded_one(
    launcher: Launcher, artifacts: dict[str, Any]
) -> None:
    recorded = json.loads((RECORDINGS / "executor-input-stack-ensemble.json").read_text())
    del recorded["outputs"]["artifacts"]["executor-logs"]  # the launcher's own
    mine = next(each for each in launcher.inputs if "arima_model" in each["inputs"].get("artifacts", {}))
    for name, each in recorded["inputs"]["artifacts"].items():
        if not name.startswith(("lstm", "transformer")):
            assert _shape(mine["inputs"]["artifacts"][name]) == _shape(each)
    assert _shape(mine["inputs"]["parameterValues"]) == _shape(recorded["inputs"]["parameterValues"])
    assert _shape(mine["outputs"]) == _shape(recorded["outputs"])


def _shape(value: Any) -> Any:
    """Keys, types and what is the same in every run."""
    if isinstance(value, dict):
        return {key: each if key == "type" else _shape(each) for key, each in value.items()}
    return [_shape(each) for each in value] if isinstance(value, list) else type(value)


def test_an_ensemble_of_one_model_needs_no_other(launcher: Launcher, artifacts: dict[str, Any]) -> None:
    found = launcher.run(
        stack_ensemble, panel=artifacts["prepared_panel"], settings="{}",
        catboost_model=artifacts["catboost_model"], catboost_forecasts=artifacts["catboost_forecasts"],
    )  # fmt: skip
    assert sorted(launcher.inputs[-1]["inputs"]["artifacts"]) == [
        "catboost_forecasts",
        "catboost_model",
        "panel",
    ]
    assert set(found) == {"ensemble", "forecasts", "metrics", "report"}


def test_every_output_exists(artifacts: dict[str, Any]) -> None:
    missing = [
        name
        for name, made in artifacts.items()
        if isinstance(made, dsl.Artifact) and not Path(made.path).exists()
    ]
    assert missing == []


def test_scalars_reach_the_dashboard_and_are_finite(artifacts: dict[str, Any]) -> None:
    for name in ("evaluated_metrics", "stacked_metrics", *(f"{kind}_metrics" for kind in TRAINERS)):
        found = artifacts[name].metadata
        assert found == json.loads(Path(artifacts[name].path).read_text())
        assert found
    assert {"mase", "skill", "coverage_80"} <= set(artifacts["evaluated_metrics"].metadata)


def test_summary_is_the_leaderboard(artifacts: dict[str, Any]) -> None:
    text = Path(artifacts["evaluated_summary"].path).read_text()
    assert "| ensemble |" in text
    assert "| seasonal_naive_24 |" in text


def test_trainers_tell_how_their_fit_ended(artifacts: dict[str, Any]) -> None:
    for kind in TRAINERS:
        first = Path(artifacts[f"{kind}_summary"].path).read_text()
        assert re.match(r"\*\*[A-Z][a-z -]+\*\*: .+\.\n\n- [0-9.e-]+ seconds\n", first)
        assert "**Repeated**" in Path(artifacts[f"{kind}_final_summary"].path).read_text()


def test_version_is_published_under_the_given_name(artifacts: dict[str, Any]) -> None:
    version = Registry.open(str(artifacts["folder"] / "registry")).resolve(artifacts["registered_Output"])
    assert version.name == "demand"
    assert set(version.metadata["seeds"]) == set(TRAINERS)


@pytest.mark.parametrize("component", [*TRAINERS.values(), prepare_data, stack_ensemble, register_model])
def test_body_is_wiring(component: Any) -> None:
    import inspect

    body = inspect.getsource(component.python_func).split('"""')[2]
    assert len(body.strip().splitlines()) <= 20


def test_no_component_has_an_optional_artifact_that_the_executor_cannot_make() -> None:
    """Without a schema title the executor calls the annotation, which a `typing.Union` is not."""
    files = list((Path(__file__).parents[2] / "components").rglob("*.py"))
    assert files
    assert not [path.parent.name for path in files if "Optional[dsl.Input" in path.read_text()]
