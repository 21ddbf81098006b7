"""The fit of a model to the series of a panel, or to a range of them, and its forecasts."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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
from kubecast.models import make_trainer
from kubecast.models.artifact import FORECASTS, ModelCard, Status, package_versions, read_card, read_status
from kubecast.models.base import Evidence, FitLog, FitPlan, Forecaster, Sample, deadline_after, ignore
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
from kubecast.settings.loading import SECTIONS
from kubecast.steps.run_settings import RunSettings


class FitResult(NamedTuple):
    """How a fit ended; without forecaster and log where it failed."""

    status: Status
    forecaster: Forecaster | None = None
    log: FitLog | None = None


def fit_settings(kind: str, run: RunSettings, searched: str, fitted: Path | None) -> ModelSettings:
    """The settings to fit with.

    Args:
        kind: Key of ``kubecast.models.KINDS``.
        run: Has those of the kind.
        searched: JSON of what a search chose in their place; empty where there was none.
        fitted: The model as evaluated, which is fitted again as it was; None: this is the first fit.
    """
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


@dataclass(frozen=True)
class Fit:
    """A fit of one model.

    Attributes:
        kind: Key of ``kubecast.models.KINDS``.
        panel: The series that are fitted to, and forecast.
        settings: Of the model.
        seed: Of every random choice.
        model_dir: Gets the forecasts.
        checkpoint: As for ``FitPlan``.
        report: Called with step and loss.
        shards: Directories of its parts, where other tasks fitted it.
    """

    kind: str
    panel: PanelBlocks
    settings: ModelSettings
    seed: int
    model_dir: Path
    checkpoint: Path | None = None
    report: Callable[[int, float], None] = ignore
    shards: Sequence[Path] = ()
    _changes: list[LevelChanges] = field(default_factory=list)

    @cached_property
    def series(self) -> "pd.Series[int]":
        """The training rows of the series that are fitted to, by their names."""
        return fitted_series(self.panel.series, self.settings.sample_rows)

    @cached_property
    def sample(self) -> Panel:
        """The panel of these series, and of those too short for a fit where these are all."""
        return fitted_panel(self.panel, self.series)

    @property
    def part(self) -> Sample | None:
        """The size of these series; None where they are all that are long enough."""
        if self._is_whole:
            return None
        usable = usable_series(self.panel.series)
        return Sample(series=len(self.series), of_series=usable, rows=int(self.series.sum()))

    @property
    def document(self) -> dict[str, Any]:
        """The settings as JSON."""
        return self.settings.model_dump(mode="json")

    def fit(self, evaluated: FitLog | None) -> tuple[Forecaster, ModelCard]:
        """Fit on the training split, or repeat a fit on all rows.

        Raises:
            ModelError: The model cannot be fitted.
        """
        seen = rows_seen(self.sample, self.series.index, evaluated is not None)
        forecaster, log = make_trainer(self.kind, self.settings).fit(*seen, self._plan(evaluated))
        return forecaster, self._card(forecaster, log.model_copy(update={"sample": self.part}))

    def fit_and_forecast(self, evaluated: FitLog | None) -> tuple[Forecaster, ModelCard]:
        """Fit, and write the forecasts from where this fit has not seen.

        Args:
            evaluated: As for ``fit``: with it, they are those of production alone.

        Raises:
            ModelError: The model cannot be fitted, or a forecast is not finite.
        """
        forecaster, card = self.fit(evaluated)
        # Production on its own, as the published model forecasts it.
        origins = [evaluated_origins, production_origins] if evaluated is None else [production_origins]
        self.write_forecasts(forecaster, *origins)
        return forecaster, card

    def write_forecasts(self, forecaster: Forecaster, *origins: Origins) -> None:
        """Write the forecasts from some origins of each series, and then from others."""
        log_unforecast(self.panel)
        self._changes.clear()
        blocks = (forecast_blocks(forecaster, self.panel, each, self._keep) for each in origins)
        self.write_tables(chain.from_iterable(blocks))

    def write_tables(self, tables: Iterable[pd.DataFrame] = ()) -> None:
        """Write forecasts, as ``forecast_blocks`` yields them; without any a table without rows."""
        none = self.panel.outline.grid(Cutoffs(self.panel.outline.ends.frame))
        given = iter(tables)
        first = next(given, none.assign(split="", fold=0, **{self.kind: 0.0}))
        self.model_dir.mkdir(parents=True, exist_ok=True)
        write_series(chain([first], given), self.model_dir / FORECASTS)

    def shown(self) -> tuple[pd.DataFrame, LevelChanges]:
        """The forecasts of the series that are fitted to, and the changes of level that they follow."""
        some = None if self._is_whole else [("unique_id", "in", self.series.index.tolist())]
        return read_parquet(self.model_dir / FORECASTS, filters=some), LevelChanges.joined(self._changes)

    @property
    def _is_whole(self) -> bool:
        return len(self.series) == usable_series(self.panel.series)

    def _plan(self, evaluated: FitLog | None) -> FitPlan:
        return FitPlan(
            seed=self.seed,
            deadline=deadline_after(self.settings.time_limit),
            fixed_fit=None if evaluated is None else evaluated.fixed_fit,
            checkpoint=self.checkpoint,
            on_step=self.report,
        )

    def _card(self, forecaster: Forecaster, log: FitLog) -> ModelCard:
        return ModelCard(
            kind=self.kind,
            name=forecaster.name,
            settings=self.document,
            seed=self.seed,
            panel_digest=self.panel.spec.digest,
            versions=package_versions(),
            log=log,
        )

    def _keep(self, changes: LevelChanges) -> None:
        """Keep what the page needs."""
        if not self._is_whole:
            origins = changes.origins.frame
            own = origins["unique_id"].isin(self.series.index)
            changes = changes.only(Cutoffs(origins[own].reset_index(drop=True)))
        self._changes.append(changes)


def rows_seen(panel: Panel, series: "Collection[str] | pd.Series[Any]", final: bool) -> Evidence:
    """A panel, and the rows of the chosen series that the first fit may see, or the final one."""
    frame = (panel.ends if final else panel.train_end).frame
    return Evidence(panel, Cutoffs(frame[frame["unique_id"].isin(series)].reset_index(drop=True)))
