"""The steps, one after another on a small panel, as containers would run them."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.config.training import TrainingSettings
from kubecast.data.panel import Cutoffs, Panel
from kubecast.ensemble.bundle import Bundle
from kubecast.models import KINDS
from kubecast.models.base import FitLog, Forecaster
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.registry import Registry
from kubecast.settings.loading import AllSettings
from kubecast.settings.pipeline import PipelineSettings
from kubecast.steps import fit
from kubecast.steps.evaluate import evaluate_models
from kubecast.steps.prepare import prepare_data
from kubecast.steps.register import register_model
from kubecast.steps.resolve import Resolved, resolve_inputs
from kubecast.steps.run_settings import RunSettings
from kubecast.steps.stack import stack_ensemble
from kubecast.steps.train import train_model
from tests.support.panels import SMALL

CATBOOST = CatBoostSettings(iterations=20, depth=3).model_dump_json()


def texts(**changes: Any) -> dict[str, str]:
    training = TrainingSettings.model_validate({"season_lengths": [24], **SMALL, **changes})
    settings = AllSettings(training=training)
    names = ("training", *KINDS, "ensemble")
    return {name: getattr(settings, name).model_dump_json() for name in names} | {"catboost": CATBOOST}


def resolved_inputs(
    folder: Path, as_of: str = "", mode: str = "train", source: str = "", **changes: Any
) -> Resolved:
    """As the pipeline's parameters make them; ``parameters`` go over them."""
    run = {"on_trainer_failure": changes.pop("on_failure", "stop"), "models": ["catboost"]}
    parameters: dict[str, Any] = {"seed": changes.pop("seed", 1)}
    parameters |= {"horizon": 6, "frequency": "h", "season_lengths": "24"}
    own = changes.pop("parameters", {})
    parameters |= {f"{name}_settings": text for name, text in texts(**changes).items()}
    parameters["pipeline_settings"] = PipelineSettings.model_validate(run).model_dump_json()
    parameters |= {"search_settings": "{}", **own}
    data = source or str(folder / "data.csv")
    return resolve_inputs(data, as_of, mode, str(folder / "registry"), "", parameters)


def prepare(rows: pd.DataFrame, folder: Path, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    rows.to_csv(folder / "data.csv", index=False)
    resolved = resolved_inputs(folder, **changes)
    prepare_data(str(folder / "data.csv"), resolved.digest, "", resolved.settings, folder / "panel")
    return folder / "panel"


def panel_with(panel: Path, into: Path, **changes: Any) -> Path:
    """The panel with other settings of the run."""
    shutil.copytree(panel, into)
    RunSettings.read(into).model_copy(update=changes).write(into)
    return into


def run(rows: pd.DataFrame, folder: Path, **changes: Any) -> Path:
    """Every step with CatBoost alone; the folder then holds all artifacts and a registry."""
    train(rows, folder, **changes)
    register(folder)
    return folder


def train(rows: pd.DataFrame, folder: Path, **changes: Any) -> Path:
    """Every step up to the ensemble."""
    panel = prepare(rows, folder, **changes)
    train_model("catboost", panel, folder / "evaluated")
    train_model("catboost", panel, folder / "final", fitted=folder / "evaluated")
    stack_ensemble(panel, {"catboost": folder / "evaluated"}, "", folder / "ensemble")
    return folder


def register(
    folder: Path,
    champion: Path | None = None,
    registry: Path | None = None,
    inputs: str = "inputs",
    **members: Path,
) -> str:
    evaluate_models(folder / "panel", folder / "ensemble", folder / "evaluation", champion)
    published = publish(folder, registry, inputs, **members)
    (folder / "published").write_text(published)
    return published


def publish(folder: Path, registry: Path | None = None, inputs: str = "inputs", **members: Path) -> str:
    members["catboost"] = folder / "final"
    return register_model(
        folder / "panel", folder / "ensemble", folder / "evaluation", members,
        str(registry or folder / "registry"), "", inputs, folder / "forecast.parquet", folder / "report.html",
    )  # fmt: skip


def another(folder: Path) -> None:
    """Alter a byte, without which the same artifacts are the same version."""
    with (folder / "evaluation/leaderboard.json").open("a") as file:
        file.write("\n")


def bundle(folder: Path, part: str, into: Path) -> Bundle:
    registry = Registry.open(str(folder / "registry"))
    version = registry.resolve((folder / "published").read_text())
    return Bundle.load(registry.fetch(version, part, into))


class BrokenTrainer:
    """Fits with an error, or a model whose forecasts are not finite."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.name = "catboost"

    def fit(self, panel: Panel, until: Cutoffs, plan: Any) -> tuple[Forecaster, FitLog]:
        if self.error:
            raise self.error
        return self, FitLog(stopped="converged")

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        return panel.grid(origins).assign(catboost=np.nan)

    def save(self, directory: Path) -> None:
        raise AssertionError("a broken model is not saved")


def broken(monkeypatch: pytest.MonkeyPatch, error: Exception | None) -> None:
    """Let every trainer be broken."""
    monkeypatch.setattr(fit, "make_trainer", lambda kind, settings: BrokenTrainer(error))
