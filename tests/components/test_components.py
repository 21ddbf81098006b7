"""The components' bodies, with KFP's own artifacts, one after another as the pipeline wires them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

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
from tests.unit.models.test_every_model import SETTINGS

TRAINERS = {
    "arima": train_arima,
    "lstm": train_lstm,
    "transformer": train_transformer,
    "catboost": train_catboost,
}


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every artifact of a run with all four models, by ``task.output``."""
    folder = tmp_path_factory.mktemp("artifacts")
    made: dict[str, Any] = {"folder": folder}

    def new(key: str, kind: type[dsl.Artifact]) -> Any:
        made[key] = kind(name=key, uri=str(folder / key))
        return made[key]

    hourly().to_csv(folder / "data.csv", index=False)
    texts = {
        "training": small_settings(),
        **SETTINGS,
        "ensemble": AllSettings().ensemble,
    }
    settings = {f"{name}_settings": section.model_dump_json() for name, section in texts.items()}
    data = str(folder / "data.csv")
    published = {"registry": str(folder / "registry"), "model_name": "demand"}
    resolved = resolve_inputs.python_func(
        data, "", "train", horizon=6, frequency="h", season_lengths="24", seed=1, **published, **settings,
        pipeline_settings="{}",
        search_settings="{}",
    )  # fmt: skip
    digest, as_of, champion, inputs_digest, *texts_in_order, champion_settings = resolved
    prepare_data.python_func(
        data, digest, as_of, 6, "h", "24", **settings,
        panel=new("panel", dsl.Dataset), data_report=new("data_report", dsl.Markdown),
    )  # fmt: skip
    assert texts_in_order == [settings[f"{kind}_settings"] for kind in (*TRAINERS, "ensemble")]
    assert champion_settings == "{}"
    members: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    for kind, train in TRAINERS.items():
        outputs = {"model": dsl.Model, "forecasts": dsl.Dataset, "metrics": dsl.Metrics, "report": dsl.HTML}
        outputs |= {"summary": dsl.Markdown}
        first = {name: new(f"{kind}_{name}", cls) for name, cls in outputs.items()}
        final = {name: new(f"{kind}_final_{name}", cls) for name, cls in outputs.items()}
        common = made["panel"], settings[f"{kind}_settings"], 1, "stop"
        train.python_func(*common, **first)
        train.python_func(*common, **final, fitted=first["model"])
        members |= {f"{kind}_model": first["model"], f"{kind}_forecasts": first["forecasts"]}
        versions |= {f"{kind}_judged": first["model"], f"{kind}_final": final["model"]}
        versions |= {f"{kind}_forecasts": final["forecasts"]}
    stack_ensemble.python_func(
        made["panel"], settings["ensemble_settings"],
        new("ensemble", dsl.Model), new("forecasts", dsl.Dataset),
        new("ensemble_metrics", dsl.Metrics), new("ensemble_report", dsl.HTML), **members,
    )  # fmt: skip
    forecast_champion.python_func(
        made["panel"], champion, **published, inputs_digest=inputs_digest,
        forecasts=new("champion_forecasts", dsl.Dataset), status=new("champion_status", dsl.Artifact),
    )  # fmt: skip
    evaluate_models.python_func(
        made["panel"], made["ensemble"], made["forecasts"], made["champion_forecasts"],
        made["champion_status"], new("evaluation", dsl.Artifact),
        new("report", dsl.HTML), new("summary", dsl.Markdown), new("metrics", dsl.Metrics),
    )  # fmt: skip
    made["version"] = register_model.python_func(
        made["panel"], made["ensemble"], made["evaluation"], made["report"],
        **published, inputs_digest=inputs_digest, forecast=new("forecast", dsl.Dataset), **versions,
    )  # fmt: skip
    return made


def test_every_output_exists(artifacts: dict[str, Any]) -> None:
    missing = [
        name
        for name, made in artifacts.items()
        if isinstance(made, dsl.Artifact) and not Path(made.path).exists()
    ]
    assert missing == []


def test_scalars_reach_the_dashboard_and_are_finite(artifacts: dict[str, Any]) -> None:
    for name in ("metrics", "ensemble_metrics", *(f"{kind}_metrics" for kind in TRAINERS)):
        found = artifacts[name].metadata
        assert found == json.loads(Path(artifacts[name].path).read_text())
        assert found
    assert {"mase", "skill", "coverage_80"} <= set(artifacts["metrics"].metadata)


def test_summary_is_the_leaderboard(artifacts: dict[str, Any]) -> None:
    text = Path(artifacts["summary"].path).read_text()
    assert "| ensemble |" in text
    assert "| seasonal_naive_24 |" in text


def test_trainers_tell_how_their_fit_ended(artifacts: dict[str, Any]) -> None:
    for kind in TRAINERS:
        first = Path(artifacts[f"{kind}_summary"].path).read_text()
        assert re.match(r"\*\*[A-Z][a-z -]+\*\*: .+\.\n\n- [0-9.e-]+ seconds\n", first)
        assert "**Repeated**" in Path(artifacts[f"{kind}_final_summary"].path).read_text()


def test_version_is_published_under_the_given_name(artifacts: dict[str, Any]) -> None:
    version = Registry.open(str(artifacts["folder"] / "registry")).resolve(artifacts["version"])
    assert version.name == "demand"
    assert set(version.metadata["seeds"]) == set(TRAINERS)


@pytest.mark.parametrize("component", [*TRAINERS.values(), prepare_data, stack_ensemble, register_model])
def test_body_is_wiring(component: Any) -> None:
    import inspect

    body = inspect.getsource(component.python_func).split('"""')[2]
    assert len(body.strip().splitlines()) <= 20
