"""A fit as an artifact: the model, its forecasts, its page, and how it ended."""

import logging
from dataclasses import replace
from pathlib import Path

from kubecast.errors import ModelError
from kubecast.models.artifact import (
    Status,
    keep_evaluated,
    load_model,
    read_card,
    read_status,
    write_model,
    write_status,
)
from kubecast.models.blocks import production_origins
from kubecast.reports.training import Fitted, render_training
from kubecast.reports.unexplained import page_or_reason
from kubecast.resources import Usage, watched
from kubecast.steps.fit import Fit, FitResult

_LOG = logging.getLogger(__name__)


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


def _first(fit: Fit, on_failure: str) -> FitResult:
    """Fit on the training split; forecast validation, test and production origins."""
    try:
        forecaster, card = fit.fit_and_forecast(None)
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
        forecaster, card = fit.fit_and_forecast(evaluated.log)
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
        fitted = Fitted.production(result.forecaster, result.log, table, changes, refused)
    else:
        fitted = Fitted.evaluated(result.forecaster, result.log, fit.sample, fit.seed, table, changes)
    return replace(fitted, part=fit.part, shards=len(fit.shards))
