"""train_<model> and final_<model>: one fit, and its forecasts from every origin that it is evaluated at."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from kubecast.config.model import ModelSettings
from kubecast.config.validation import parse_settings, validate
from kubecast.data.levels import LevelChanges
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.parquet import read_parquet, write_series
from kubecast.errors import ModelError
from kubecast.logs import bind, step
from kubecast.models import make_trainer
from kubecast.models.artifact import (
    FORECASTS,
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
from kubecast.models.base import FitLog, FitPlan, Forecaster, Sample, deadline_after
from kubecast.models.blocks import (
    Origins,
    evaluated_origins,
    fitted_panel,
    fitted_series,
    forecast_blocks,
    log_unforecast,
    production_origins,
    usable_series,
)
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
    panel = PanelBlocks.open(panel_dir)
    run = RunSettings.read(panel_dir)
    model_settings = _settings(kind, run, settings, fitted)
    series = fitted_series(panel.series, model_settings.sample_rows)
    task = f"{'train' if fitted is None else 'final'}_{kind}"
    progress = progress_reporter(task, model_settings.rounds or len(series))
    key = _fit_key(panel_dir, task, model_settings, run, fitted)
    url = run.training.checkpoint_url
    with checkpoints(url, key, progress) as (checkpoint, keep):
        with watched() as usage:
            fit = _Fit(kind, panel, model_settings, run.seed, series, model_dir, checkpoint, keep)
            result = fit.first(run.on_failure) if fitted is None else fit.final(fitted)
        if fitted is not None:
            keep_evaluated(model_dir, fitted)
        if report is not None:  # before the checkpoint goes, after the last sample
            page = _page(task.replace("_", "-"), fit, result, fitted is not None, usage)
            report.write_text(page, "utf-8")
    status = result.status
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


def _page(title: str, fit: "_Fit", result: "_FitResult", final: bool, usage: Usage) -> str:
    """Write the page on a fit; an error costs the page, not the fit."""
    return page_or_reason(
        title,
        lambda: render_training(title, result.status, fit.report_input(result, final), usage, fit.sample),
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
    forecaster: Forecaster | None = None
    log: FitLog | None = None


@dataclass(frozen=True)
class _Fit:
    kind: str
    panel: PanelBlocks
    settings: ModelSettings
    seed: int
    series: "pd.Series[int]"
    model_dir: Path
    checkpoint: Path | None
    report: Callable[[int, float], None]
    changes: list[LevelChanges] = field(default_factory=list)

    @cached_property
    def sample(self) -> Panel:
        """The panel of the series that are fitted, and of those too short for it where these are all."""
        return fitted_panel(self.panel, self.series)

    @property
    def _is_whole(self) -> bool:
        return len(self.series) == usable_series(self.panel.series)

    def _sample_size(self) -> Sample | None:
        if self._is_whole:
            return None
        usable = usable_series(self.panel.series)
        return Sample(series=len(self.series), of_series=usable, rows=int(self.series.sum()))

    def first(self, on_failure: str) -> _FitResult:
        """Fit on the training split; forecast validation, test and production origins."""
        try:
            forecaster, card = self._fit(self.sample.train_end, None)
            # Production on its own, as the published model forecasts it.
            self._write_forecasts(forecaster, evaluated_origins, production_origins)
        except ModelError as error:
            if on_failure == "stop":
                raise
            return self._failed(Status(state="failed", reason=str(error), settings=self._document))
        write_model(self.model_dir, forecaster, card)
        return _FitResult(Status(), forecaster, card.log)

    def final(self, fitted: Path) -> _FitResult:
        """Replay an evaluated fit on all rows; where that fails, keep the evaluated model."""
        status = read_status(fitted)
        if status.state == "failed":
            return self._failed(status)
        evaluated = read_card(fitted)
        try:
            forecaster, card = self._fit(self.sample.ends, evaluated.log)
            self._write_forecasts(forecaster, production_origins)
        except ModelError as error:
            status = Status(state="evaluated", reason=f"final fit refused: {error}")
            forecaster, card = load_model(fitted), evaluated
            self._write_forecasts(forecaster, production_origins)
        write_model(self.model_dir, forecaster, card, status)
        return _FitResult(status, forecaster, card.log)

    def report_input(self, result: _FitResult, final: bool) -> Fitted | None:
        """The fit as its page needs it, with the series that it was fitted to; None for one that failed."""
        if result.forecaster is None or result.log is None:
            return None
        some = None if self._is_whole else [("unique_id", "in", self.series.index.tolist())]
        table = read_parquet(self.model_dir / FORECASTS, filters=some)
        changes = LevelChanges.joined(self.changes)
        if final:
            refused = result.status.state == "evaluated"
            return Fitted.production(result.forecaster, result.log, table, changes, refused)
        return Fitted.evaluated(result.forecaster, result.log, self.sample, self.seed, table, changes)

    def _fit(self, until: Cutoffs, evaluated: FitLog | None) -> tuple[Forecaster, ModelCard]:
        cutoffs = until.frame[until.frame["unique_id"].isin(self.series.index)].reset_index(drop=True)
        plan = FitPlan(
            seed=self.seed,
            deadline=deadline_after(self.settings.time_limit),
            fixed_fit=None if evaluated is None else evaluated.fixed_fit,
            checkpoint=self.checkpoint,
            on_step=self.report,
        )
        forecaster, log = make_trainer(self.kind, self.settings).fit(self.sample, Cutoffs(cutoffs), plan)
        log = log.model_copy(update={"sample": self._sample_size()})
        card = ModelCard(
            kind=self.kind,
            name=forecaster.name,
            settings=self._document,
            seed=self.seed,
            panel_digest=self.panel.spec.digest,
            versions=package_versions(),
            log=log,
        )
        return forecaster, card

    @property
    def _document(self) -> dict[str, Any]:
        return self.settings.model_dump(mode="json")

    def _write_forecasts(self, forecaster: Forecaster, *origins: Origins) -> None:
        log_unforecast(self.panel)
        self.changes.clear()
        blocks = chain(*(forecast_blocks(forecaster, self.panel, each, self._keep) for each in origins))
        first = next(blocks, self._no_forecasts())
        self.model_dir.mkdir(parents=True, exist_ok=True)
        write_series(chain([first], blocks), self.model_dir / FORECASTS)

    def _keep(self, changes: LevelChanges) -> None:
        """Keep what the page needs."""
        if not self._is_whole:
            origins = changes.origins.frame
            own = origins["unique_id"].isin(self.series.index)
            changes = changes.only(Cutoffs(origins[own].reset_index(drop=True)))
        self.changes.append(changes)

    def _failed(self, status: Status) -> _FitResult:
        write_status(self.model_dir, status)
        write_series([self._no_forecasts()], self.model_dir / FORECASTS)
        return _FitResult(status)

    def _no_forecasts(self) -> pd.DataFrame:
        none = Cutoffs(self.panel.outline.ends.frame)
        return self.panel.outline.grid(none).assign(split="", fold=0, **{self.kind: 0.0})


def fit_metrics(model_dir: Path) -> dict[str, float]:
    """The finite figures of a fit for the dashboard; none for a model that failed."""
    if read_status(model_dir).state == "failed":
        return {}
    log = read_card(model_dir).log
    figures = {"fit_seconds": log.seconds, "fallback_series": float(len(log.fallbacks))}
    if log.best is not None:
        figures["best_step"] = float(log.best)
    return figures
