"""train_<model> and final_<model>: one fit, and its forecasts from every origin that it is evaluated at."""

import hashlib
import json
from functools import partial
from importlib.metadata import version
from pathlib import Path

from kubecast.config.model import ModelSettings
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.logs import bind, step
from kubecast.models import KINDS
from kubecast.models.artifact import Status, read_card, read_status
from kubecast.models.blocks import fitted_series
from kubecast.steps.checkpoint import checkpoints
from kubecast.steps.fit import Fit, fit_settings
from kubecast.steps.outputs import progress_reporter
from kubecast.steps.run_settings import RunSettings
from kubecast.steps.series_fit import SeriesFit
from kubecast.steps.write_fit import write_fit


@step
def train_model(
    kind: str,
    panel_dir: Path,
    model_dir: Path,
    settings: str = "",
    fitted: Path | None = None,
    report: Path | None = None,
) -> Status:
    """Fit one model and forecast.

    Args:
        kind: Key of ``kubecast.models.KINDS``.
        panel_dir: From ``prepare_data``, with the run's settings.
        model_dir: Gets the model, and ``forecasts.parquet``: ``unique_id``, ``cutoff``, ``ds``,
            ``split``, ``fold``, ``<name>``.
        settings: JSON of the model's settings that a search chose; empty: the run's, or those that
            ``fitted`` was fitted with.
        fitted: The same model as evaluated: its fit is then replayed on all rows, for production.
        report: Gets an HTML page on the fit; None: there is none.

    Raises:
        ModelError: The model cannot be fitted, and the run's ``on_failure`` is ``stop``; else its reason is
            written, and the run goes on.
    """
    bind(model=kind)
    panel, run = PanelBlocks.open(panel_dir), RunSettings.read(panel_dir)
    model_settings = fit_settings(kind, run, settings, fitted)
    series = fitted_series(panel.series, model_settings.sample_rows)
    task = f"{'train' if fitted is None else 'final'}_{kind}"
    progress = progress_reporter(task, model_settings.rounds or len(series))
    key = _fit_key(panel_dir, task, model_settings, run, fitted)
    with checkpoints(run.training.checkpoint_url, key, progress) as (checkpoint, keep):
        make = partial(SeriesFit, whole=panel) if KINDS[kind].divisible else Fit
        fit = make(kind, panel, model_settings, run.seed, model_dir, checkpoint, keep)
        # The page is written before the checkpoint goes.
        return write_fit(fit, run.on_failure, fitted, report)


def _fit_key(
    panel_dir: Path, task: str, settings: ModelSettings, run: RunSettings, fitted: Path | None
) -> str:
    """Digest of everything that the fit is a function of, for its checkpoint."""
    fields = [task, settings.model_dump_json(), run.seed, version("kubecast")]
    fields += [(panel_dir / "panel.json").read_text(), run.training.model_dump_json()]
    if fitted is not None and read_status(fitted).state != "failed":
        fields.append(read_card(fitted).log.fixed_fit)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def fit_metrics(model_dir: Path) -> dict[str, float]:
    """The finite figures of a fit for the dashboard; none for a model that failed."""
    if read_status(model_dir).state == "failed":
        return {}
    log = read_card(model_dir).log
    figures = {"fit_seconds": log.seconds, "fallback_series": float(len(log.fallbacks))}
    if log.best is not None:
        figures["best_step"] = float(log.best)
    return figures
