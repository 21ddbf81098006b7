"""Publish the golden version anew: `python -m tests.golden.write`."""

import shutil
import tempfile
from pathlib import Path

import pandas as pd

from kubecast.config.training import TrainingSettings
from kubecast.data.sample import generate_series
from kubecast.ensemble.bundle import Bundle
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.neural.settings import LstmSettings, TransformerSettings
from kubecast.registry import CHAMPION, Registry
from kubecast.steps.evaluate import evaluate_models
from kubecast.steps.prepare import prepare_data
from kubecast.steps.register import register_model
from kubecast.steps.resolve import Resolved, resolve_inputs
from kubecast.steps.stack import stack_ensemble
from kubecast.steps.train import train_model
from tests.support.panels import SMALL

FOLDER = Path(__file__).parent
DATA = FOLDER / "data.csv"
FORECASTS = FOLDER / "forecasts.csv"
REGISTRY = FOLDER / "registry"
MODEL = "golden"
PARTS = ("evaluated", "production")
TRAINING = TrainingSettings.model_validate(
    {"horizon": 6, "frequency": "h", "season_lengths": [24], "model_name": MODEL, **SMALL}
)
_NETWORK = {"sequence_length": 48, "epochs": 3, "batch_size": 64, "difference": "season", "linear_skip": True}
SETTINGS = {
    "arima": ArimaSettings(max_order=[1, 1, 1]),
    "lstm": LstmSettings(patch_length=4, hidden_units=[4], **_NETWORK),
    "transformer": TransformerSettings(
        patch_length=4, d_model=8, num_heads=2, num_layers=1, dff=8, **_NETWORK
    ),
    "catboost": CatBoostSettings(iterations=60, depth=3, learning_rate=0.1, n_models=2),
}


def main() -> None:
    """Make the data, train every kind on it, publish, and keep what the version forecasts."""
    shutil.rmtree(REGISTRY, ignore_errors=True)
    generate_series(n_series=2, length=[240, 200], seed=1).to_csv(DATA, index=False)
    with tempfile.TemporaryDirectory() as folder:
        publish(Path(folder))
    forecasts(pd.read_csv(DATA, parse_dates=["ds"])).to_csv(FORECASTS, index=False)


def publish(folder: Path) -> str:
    """Run every step, as the pipeline does, and return the published version."""
    resolved = resolve()
    panel, ensemble, evaluation = folder / "panel", folder / "ensemble", folder / "evaluation.json"
    prepare_data(str(DATA), resolved.digest, resolved.as_of, resolved.settings, panel)
    evaluated = {kind: folder / "evaluated" / kind for kind in SETTINGS}
    final = {kind: folder / "final" / kind for kind in SETTINGS}
    for kind in SETTINGS:
        train_model(kind, panel, evaluated[kind])
        train_model(kind, panel, final[kind], fitted=evaluated[kind])
    stack_ensemble(panel, evaluated, "", ensemble)
    evaluate_models(panel, ensemble, evaluation)
    outputs = folder / "forecast.parquet", folder / "report.html"
    return register_model(
        panel, ensemble, evaluation, final, str(REGISTRY), MODEL, resolved.inputs_digest, *outputs
    )


def resolve() -> Resolved:
    """The settings of a run with all kinds, whose weights are equal so that every one of them counts."""
    sections = {"training": TRAINING, **SETTINGS, "ensemble": EnsembleSettings(method="equal")}
    texts = {f"{name}_settings": section.model_dump_json() for name, section in sections.items()}
    parameters = {"seed": 1, "pipeline_settings": "{}", "search_settings": "{}", **texts}
    return resolve_inputs(str(DATA), "", "train", str(REGISTRY), MODEL, parameters)


def forecasts(rows: pd.DataFrame) -> pd.DataFrame:
    """What each part of the published version forecasts after the last row of each series."""
    registry = Registry.open(str(REGISTRY))
    version = registry.resolve(f"{MODEL}@{CHAMPION}")
    tables = []
    for part in PARTS:
        with tempfile.TemporaryDirectory() as folder:
            bundle = Bundle.load(registry.fetch(version, part, Path(folder) / part))
            tables.append(bundle.forecast(rows).assign(part=part))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    main()
