"""train_<model> and final_<model>: one fit, and its forecasts from every origin that it is evaluated at."""

import hashlib
import json
import logging
from importlib.metadata import version
from pathlib import Path

from kubecast.config.model import ModelSettings
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.errors import ModelError
from kubecast.logs import bind, step
from kubecast.models.artifact import (
    Status,
    keep_evaluated,
    load_model,
    read_card,
    read_status,
    write_model,
    write_status,
)
from kubecast.models.blocks import evaluated_origins, fitted_series, production_origins
from kubecast.reports.training import Fitted, render_training
from kubecast.reports.unexplained import page_or_reason
from kubecast.resources import Usage, watched
from kubecast.steps.checkpoint import checkpoints
from kubecast.steps.fit import Fit, FitResult, fit_settings
from kubecast.steps.outputs import progress_reporter
from kubecast.steps.run_settings import RunSettings

_LOG = logging.getLogger(__name__)


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
        fit = Fit(kind, panel, panel, model_settings, run.seed, model_dir, checkpoint, keep)
        # The page is written before the checkpoint goes.
        return write_fit(fit, run.on_failure, fitted, report)


def write_fit(fit: Fit, on_failure: str, fitted: Path | None, report: Path | None) -> Status:
    """Fit, write the model and its forecasts, and log how it ended.

    Args:
        fit: Is done here.
        on_failure: As in the run's settings.
        fitted: As for ``train_model``, and ``report``.
        report: See there.

    Raises:
        ModelError: See there.
    """
    with watched() as usage:
        result = _first(fit, on_failure) if fitted is None else _final(fit, fitted)
    if fitted is not None:
        keep_evaluated(fit.model_dir, fitted)
    if report is not None:  # after the last sample of the usage
        report.write_text(_page(fit, result, fitted is not None, usage), "utf-8")
    status = result.status
    level = logging.WARNING if status.state == "failed" and fitted is None else logging.INFO
    text = ": ".join(filter(None, [status.state, status.reason]))
    _LOG.log(level, "%s: %s", fit.kind, text, extra={"state": status.state})
    return status


def _fit_key(
    panel_dir: Path, task: str, settings: ModelSettings, run: RunSettings, fitted: Path | None
) -> str:
    """Digest of everything that the fit is a function of, for its checkpoint."""
    fields = [task, settings.model_dump_json(), run.seed, version("kubecast")]
    fields += [(panel_dir / "panel.json").read_text(), run.training.model_dump_json()]
    if fitted is not None and read_status(fitted).state != "failed":
        fields.append(read_card(fitted).log.fixed_fit)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _first(fit: Fit, on_failure: str) -> FitResult:
    """Fit on the training split; forecast validation, test and production origins."""
    try:
        forecaster, card = fit.fit(None)
        # Production on its own, as the published model forecasts it.
        fit.write_forecasts(forecaster, evaluated_origins, production_origins)
    except ModelError as error:
        if on_failure == "stop":
            raise
        return _failed(fit, Status(state="failed", reason=str(error), settings=fit.document))
    write_model(fit.model_dir, forecaster, card)
    return FitResult(Status(), forecaster, card.log)


def _final(fit: Fit, fitted: Path) -> FitResult:
    """Replay an evaluated fit on all rows; where that fails, keep the evaluated model."""
    status = read_status(fitted)
    if status.state == "failed":
        return _failed(fit, status)
    evaluated = read_card(fitted)
    try:
        forecaster, card = fit.fit(evaluated.log)
        fit.write_forecasts(forecaster, production_origins)
    except ModelError as error:
        status = Status(state="evaluated", reason=f"final fit refused: {error}")
        forecaster, card = load_model(fitted), evaluated
        fit.write_forecasts(forecaster, production_origins)
    write_model(fit.model_dir, forecaster, card, status)
    return FitResult(status, forecaster, card.log)


def _failed(fit: Fit, status: Status) -> FitResult:
    write_status(fit.model_dir, status)
    fit.write_tables()
    return FitResult(status)


def _page(fit: Fit, result: FitResult, final: bool, usage: Usage) -> str:
    """Write the page on a fit; an error costs the page, not the fit."""
    title = f"{'final' if final else 'train'}-{fit.kind}".replace("_", "-")
    return page_or_reason(
        title,
        lambda: render_training(title, result.status, _shown(fit, result, final), usage, fit.sample),
        "The model and its forecasts are not affected.",
    )


def _shown(fit: Fit, result: FitResult, final: bool) -> Fitted | None:
    """The fit as its page needs it, with the series that it was fitted to; None for one that failed."""
    if result.forecaster is None or result.log is None:
        return None
    table, changes = fit.shown()
    if final:
        refused = result.status.state == "evaluated"
        return Fitted.production(result.forecaster, result.log, table, changes, refused)
    return Fitted.evaluated(result.forecaster, result.log, fit.sample, fit.seed, table, changes)


def fit_metrics(model_dir: Path) -> dict[str, float]:
    """The finite figures of a fit for the dashboard; none for a model that failed."""
    if read_status(model_dir).state == "failed":
        return {}
    log = read_card(model_dir).log
    figures = {"fit_seconds": log.seconds, "fallback_series": float(len(log.fallbacks))}
    if log.best is not None:
        figures["best_step"] = float(log.best)
    return figures
