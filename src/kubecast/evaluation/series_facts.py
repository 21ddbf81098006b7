"""What is to be known of each series beside its error: its size, its bias, and what to look at."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import Field

from kubecast.data.panel import Panel
from kubecast.documents import Document
from kubecast.evaluation.paths import MOST_PATHS
from kubecast.evaluation.series_table import SeriesTable, frame_of
from kubecast.scoring.metrics import intervals

WORSE = 1.05  # times the strongest naive's error
LEVEL = 1.0  # scales that forecasts are off on average: as much as a naive forecast misses by
MISSES = 0.3  # of targets that the widest interval holds fewer than it should
NOTED = ("short", "intermittent", "stale", "not_scored")  # findings that are flags of their series


class SeriesFacts(Document):
    """One series on the test split.

    Attributes:
        unique_id: Of the series.
        size: Mean absolute target over all its data.
        mase: Of the ensemble; None as the next three where it was not scored.
        naive_mase: Of the strongest seasonal naive of all series.
        bias: Mean of forecast less target, in scales of the series.
        coverage: Share of targets that the widest interval holds.
        flags: What to look at: ``naive is better``, ``level is off``, ``intervals miss``, or a finding in the
            data.
    """

    unique_id: str
    size: float
    mase: float | None = None
    naive_mase: float | None = None
    bias: float | None = None
    coverage: float | None = None
    flags: list[str] = Field(default=[])

    @property
    def loss(self) -> float | None:
        """The ensemble's MASE less the naive's: above 0 where the naive is better."""
        if self.mase is None or self.naive_mase is None:
            return None
        return self.mase - self.naive_mase

    @property
    def naive_is_better(self) -> bool:
        """Whether the naive is better by more than ``WORSE`` allows; less is no reason for a look."""
        return self.mase is not None and self.naive_mase is not None and self.mase > WORSE * self.naive_mase


def series_facts(panel: Panel, scored: pd.DataFrame, levels: Sequence[float]) -> SeriesTable[SeriesFacts]:
    """The facts of every series of a panel, in order of its series.

    Args:
        panel: Gives sizes and findings.
        scored: ``mase``, ``naive_mase``, ``bias`` and ``coverage`` on the test split, indexed by series; NaN
            where one is undefined.
        levels: Of the quantiles.
    """
    sizes = panel.series[["unique_id", "size"]].reset_index(drop=True)
    figures = scored.reindex(sizes["unique_id"]).replace([np.inf, -np.inf], np.nan).reset_index(drop=True)
    flags = _flags(figures, next((float(nominal) / 100 for nominal in intervals(levels)), np.nan))
    places = dict(zip(sizes["unique_id"], range(len(sizes)), strict=True))
    for finding in panel.report.findings:
        if finding.series in places and finding.what in NOTED:
            flags[places[finding.series]].append(finding.what.replace("_", " "))
    table = pd.concat([sizes, figures, pd.Series(flags, name="flags")], axis=1)
    return SeriesTable.of_frame(SeriesFacts, table)


def sizes_of(panel: Panel) -> dict[str, float]:
    """By series, in their order, the mean absolute target."""
    return dict(zip(panel.series["unique_id"], panel.series["size"], strict=True))


def worst_and_largest(facts: Sequence[SeriesFacts], most: int = MOST_PATHS) -> list[str]:
    """The series that are worth a look: flagged ones first, then half by error and half by size."""
    table = frame_of(facts)
    if len(table) <= most:
        return [fact.unique_id for fact in facts]
    table = table.assign(flagged=table["flags"].map(len), mase=table["mase"].astype(float).fillna(0.0))
    worst = table.sort_values(["flagged", "mase", "unique_id"], ascending=[False, False, True])
    largest = table.sort_values(["size", "unique_id"], ascending=[False, True])
    chosen = dict.fromkeys([*worst["unique_id"].head(most // 2), *largest["unique_id"].head(most)])
    return sorted([*chosen][:most])


def _flags(figures: pd.DataFrame, level: float) -> list[list[str]]:
    """The flags of each series by its figures; ``level`` is what the widest interval should hold."""
    flags: list[list[str]] = [[] for _ in range(len(figures))]
    conditions = {
        "naive is better": figures["mase"] > WORSE * figures["naive_mase"],
        "level is off": figures["bias"].abs() > LEVEL,
        "intervals miss": figures["coverage"] < level - MISSES,
    }
    for flag, holds in conditions.items():
        for place in np.flatnonzero(holds):
            flags[place].append(flag)
    return flags
