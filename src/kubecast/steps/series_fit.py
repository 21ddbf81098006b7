"""The fit of a model that has one of its own for each series, a block of series at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from kubecast.data.panel import Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.errors import ModelError
from kubecast.models import join_forecasters, load_forecaster, make_trainer
from kubecast.models.artifact import ModelCard
from kubecast.models.base import FitLog, Forecaster
from kubecast.models.blocks import FORECAST_ROWS, fitted_panel, fitted_series
from kubecast.steps.fit import Fit, rows_seen

EVIDENCE_ROWS = 2_000_000
"""Training rows that what holds for all series alike is decided on."""


@dataclass(frozen=True, kw_only=True)
class SeriesFit(Fit):
    """A fit of series that is the same whatever its blocks, and whatever part of the series it has.

    Attributes:
        whole: All series, of which ``panel`` may have some.
    """

    whole: PanelBlocks

    @cached_property
    def series(self) -> "pd.Series[int]":
        """The training rows of the series that show what holds for all; the page is about them."""
        return fitted_series(self.whole.series, EVIDENCE_ROWS)

    @cached_property
    def sample(self) -> Panel:
        """The panel of these series, and of those too short for a fit where these are all."""
        return fitted_panel(self.whole, self.series)

    def fit(self, evaluated: FitLog | None) -> tuple[Forecaster, ModelCard]:
        """See ``Fit.fit``.

        Raises:
            ModelError: All series were to be fitted, and none could be.
        """
        final, done = evaluated is not None, 0
        evidence = rows_seen(self.sample, self.series.index, final)
        plan = replace(
            self._plan(evaluated), evidence=evidence, checkpoint=None
        )  # which is of one block alone
        trainer = make_trainer(self.kind, self.settings)
        logs: list[FitLog] = []
        parts: list[Path] = []
        with TemporaryDirectory() as folder:
            for block in self.panel.larger(FORECAST_ROWS):
                usable = block.series.loc[block.series["route"] == "model", "unique_id"]
                report = partial(_report_from, done, self.report)
                forecaster, log = trainer.fit(*rows_seen(block, usable, final), replace(plan, on_step=report))
                parts.append(Path(folder, f"{len(parts)}"))
                forecaster.save(parts[-1])
                logs.append(log)
                done += len(usable)
            joined = self._join(parts)
        log = FitLog.joined(logs)
        if self.panel is self.whole:
            self._require_fitted(log)
        return joined, self._card(joined, log)

    def _join(self, parts: Sequence[Path]) -> Forecaster:
        """Load the forecaster of all series that those in some folders have together."""
        with TemporaryDirectory() as folder:
            join_forecasters(self.kind, parts, Path(folder))
            return load_forecaster(self.kind, Path(folder))

    def _require_fitted(self, log: FitLog) -> None:
        if len(log.fallbacks) >= len(self.whole.series) and log.stopped != "time_limit":
            name, reason = next(iter(log.fallbacks.items()))
            raise ModelError(f"no series could be fitted; the first, {name}: {reason}")


def _report_from(done: int, report: Callable[[int, float], None], step: int, loss: float) -> None:
    """Report a step of a block as one of all blocks."""
    report(done + step, loss)
