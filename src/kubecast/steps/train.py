"""train_<model> and final_<model>: one fit, and its forecasts from every origin that it is evaluated at."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kubecast.config.model import ModelSettings
from kubecast.config.validation import parse_settings, validate
from kubecast.data.levels import LevelChanges, forecast_at_present_level
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.parquet import write_series
from kubecast.errors import ModelError
from kubecast.logs import bind, step
from kubecast.models import make_trainer
from kubecast.models.artifact import (
    FORECASTS,
    PRODUCTION,
    ModelCard,
    Status,
    keep_evaluated,
    load_model,
    package_versions,
    read_card,
    read_status,
    write_model,
    write_status,
)
from kubecast.models.base import FitLog, FitPlan, Forecaster, deadline_after
from kubecast.reports.training import Fitted, render_training
from kubecast.reports.unexplained import page_or_reason
from kubecast.resources import Usage, watched
from kubecast.settings.loading import SECTIONS
from kubecast.steps.checkpoint import checkpoints
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
    panel = Panel.load(panel_dir)
    run = RunSettings.read(panel_dir)
    model_settings = _settings(kind, run, settings, fitted)
    series = frozenset(panel.series.loc[panel.series["route"] == "model", "unique_id"])
    task = f"{'train' if fitted is None else 'final'}_{kind}"
    progress = progress_reporter(task, model_settings.rounds or len(series))
    key = _fit_key(panel_dir, task, model_settings, run, fitted)
    url = run.training.checkpoint_url
    with checkpoints(url, key, progress) as (checkpoint, keep):
        with watched() as usage:
            fit = _Fit(kind, panel, model_settings, run.seed, series, checkpoint, keep)
            result = fit.first(model_dir, run.on_failure) if fitted is None else fit.final(model_dir, fitted)
        status, table = result.status, result.table
        write_series([table], model_dir / FORECASTS)
        if fitted is not None:
            keep_evaluated(model_dir, fitted)
        if report is not None:  # before the checkpoint goes, after the last sample
            page = _page(task.replace("_", "-"), result, panel, run.seed, fitted is not None, usage)
            report.write_text(page, "utf-8")
    level = logging.WARNING if status.state == "failed" and fitted is None else logging.INFO
    text = ": ".join(filter(None, [status.state, status.reason]))
    _LOG.log(level, "%s: %s", kind, text, extra={"state": status.state})
    return status


def _settings(kind: str, run: RunSettings, searched: str, fitted: Path | None) -> ModelSettings:
    """The settings to fit with; those of a final fit are those that the model was fitted with."""
    if fitted is not None:
        status = read_status(fitted)
        document = status.settings if status.state == "failed" else read_card(fitted).settings
        settings = validate(SECTIONS[kind], document, f"{kind} settings of {fitted}")
    elif searched:
        settings = parse_settings(SECTIONS[kind], searched, f"{kind}_settings")
    else:
        settings = run.of_kind(kind)
    assert isinstance(settings, ModelSettings)  # noqa: S101  SECTIONS says so
    return settings


def _page(title: str, result: "_FitResult", panel: Panel, seed: int, final: bool, usage: Usage) -> str:
    """Write the page on a fit; an error costs the page, not the fit."""
    return page_or_reason(
        title,
        lambda: render_training(title, result.status, result.report_input(panel, seed, final), usage, panel),
        "The model and its forecasts are not affected.",
    )


def _fit_key(
    panel_dir: Path, task: str, settings: ModelSettings, run: RunSettings, fitted: Path | None
) -> str:
    """Digest of everything that the fit is a function of, for its checkpoint."""
    fields = [task, settings.model_dump_json(), run.seed, version("kubecast")]
    fields += [(panel_dir / "panel.json").read_text(), run.training.model_dump_json()]
    if fitted is not None and read_status(fitted).state != "failed":
        fields.append(read_card(fitted).log.fixed_fit)
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


class _FitResult(NamedTuple):
    status: Status
    table: pd.DataFrame
    forecaster: Forecaster | None = None
    log: FitLog | None = None
    changes: LevelChanges | None = None

    def report_input(self, panel: Panel, seed: int, final: bool) -> Fitted | None:
        """The fit as its page needs it; None for a model that failed."""
        if self.forecaster is None or self.log is None or self.changes is None:
            return None
        if final:
            refused = self.status.state == "evaluated"
            return Fitted.production(self.forecaster, self.log, self.table, self.changes, refused)
        return Fitted.evaluated(self.forecaster, self.log, panel, seed, self.table, self.changes)


@dataclass(frozen=True)
class _Fit:
    kind: str
    panel: Panel
    settings: ModelSettings
    seed: int
    series: frozenset[str]
    checkpoint: Path | None
    report: Callable[[int, float], None]

    def first(self, model_dir: Path, on_failure: str) -> _FitResult:
        """Fit on the training split; forecast validation, test and production origins."""
        try:
            forecaster, card = self._fit(self.panel.train_end, None)
            evaluated, changes = self._forecast(forecaster, self.panel.origins)
            # On its own, so that a batch holds the same rows as when the published model forecasts.
            production, _ = self._forecast(forecaster, self._production())
            table = pd.concat([evaluated, production], ignore_index=True)
        except ModelError as error:
            if on_failure == "stop":
                raise
            settings = self.settings.model_dump(mode="json")
            status = Status(state="failed", reason=str(error), settings=settings)
            write_status(model_dir, status)
            return _FitResult(status, self._no_forecasts())
        write_model(model_dir, forecaster, card)
        return _FitResult(Status(), table, forecaster, card.log, changes)

    def final(self, model_dir: Path, fitted: Path) -> _FitResult:
        """Replay an evaluated fit on all rows; where that fails, keep the evaluated model."""
        status = read_status(fitted)
        if status.state == "failed":
            write_status(model_dir, status)
            return _FitResult(status, self._no_forecasts())
        evaluated = read_card(fitted)
        try:
            forecaster, card = self._fit(self.panel.ends, evaluated.log)
            table, changes = self._forecast(forecaster, self._production())
        except ModelError as error:
            status = Status(state="evaluated", reason=f"final fit refused: {error}")
            forecaster, card = load_model(fitted), evaluated
            table, changes = self._forecast(forecaster, self._production())
        write_model(model_dir, forecaster, card, status)
        return _FitResult(status, table, forecaster, card.log, changes)

    def _fit(self, until: Cutoffs, evaluated: FitLog | None) -> tuple[Forecaster, ModelCard]:
        cutoffs = until.frame[until.frame["unique_id"].isin(self.series)].reset_index(drop=True)
        plan = FitPlan(
            seed=self.seed,
            deadline=deadline_after(self.settings.time_limit),
            fixed_fit=None if evaluated is None else evaluated.fixed_fit,
            checkpoint=self.checkpoint,
            on_step=self.report,
        )
        forecaster, log = make_trainer(self.kind, self.settings).fit(self.panel, Cutoffs(cutoffs), plan)
        card = ModelCard(
            kind=self.kind,
            name=forecaster.name,
            settings=self.settings.model_dump(mode="json"),
            seed=self.seed,
            panel_digest=self.panel.spec.digest,
            versions=package_versions(),
            log=log,
        )
        return forecaster, card

    def _production(self) -> pd.DataFrame:
        """The last row of each series whose known-future covariates reach over the horizon."""
        ends = self.panel.ends
        complete = self.panel.has_future_covariates(ends)
        if not complete.all():
            incomplete = ends.frame.loc[~complete, "unique_id"]
            _LOG.warning(
                "no production forecast of %d series, %s first: their known-future covariates end before the"
                " %d steps after the last row",
                len(incomplete),
                incomplete.iloc[0],
                self.panel.spec.horizon,
                extra={"series": incomplete.iloc[0]},
            )
        return ends.frame[complete].assign(split=PRODUCTION, fold=0)

    def _forecast(self, forecaster: Forecaster, origins: pd.DataFrame) -> tuple[pd.DataFrame, LevelChanges]:
        """The forecasts from these origins, and the changes of level that they follow."""
        changes = LevelChanges.find(self.panel, Cutoffs.from_frame(origins))
        if origins.empty:
            return self._no_forecasts(), changes
        table = forecast_at_present_level(self.panel, changes, forecaster.forecast)
        values = table[forecaster.name].to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            bad: Any = table.loc[~np.isfinite(values)].iloc[0]
            raise ModelError(
                f"{forecaster.name}: forecast of series {bad['unique_id']} from {bad['cutoff']} is not finite"
            )
        return table.merge(origins, on=["unique_id", "cutoff"]), changes

    def _no_forecasts(self) -> pd.DataFrame:
        none = Cutoffs(self.panel.ends.frame.iloc[:0])
        return self.panel.grid(none).assign(split="", fold=0, **{self.kind: 0.0})


def fit_metrics(model_dir: Path) -> dict[str, float]:
    """The finite figures of a fit for the dashboard; none for a model that failed."""
    if read_status(model_dir).state == "failed":
        return {}
    log = read_card(model_dir).log
    figures = {"fit_seconds": log.seconds, "fallback_series": float(len(log.fallbacks))}
    if log.best is not None:
        figures["best_step"] = float(log.best)
    return figures
