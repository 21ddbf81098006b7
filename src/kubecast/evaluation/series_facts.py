"""What is to be known of each series beside its error: its size, its bias, and what to look at."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from kubecast.data.findings import Finding
from kubecast.data.panel import Panel
from kubecast.documents import Document
from kubecast.evaluation.paths import MOST_PATHS
from kubecast.scoring.metrics import ENSEMBLE, intervals, quantile_column, scorable

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


def series_facts(
    table: pd.DataFrame,
    series: pd.DataFrame,
    panel: Panel,
    levels: Sequence[float],
    errors: pd.DataFrame,
    naives: Sequence[str],
) -> list[SeriesFacts]:
    """The facts of every series of a panel, in order of its series.

    Args:
        table: Forecasts of the test split.
        series: Scales.
        panel: Gives sizes and findings.
        levels: Of the quantile columns.
        errors: MASE on the test split, indexed by series, a column for each model.
        naives: The strongest naive forecast, if there is one.
    """
    by_model = {str(model): column.to_dict() for model, column in errors.items()}
    naive = by_model.get(naives[0], {}) if naives else {}
    measured = _bias_and_coverage(table, series, levels)
    noted = _noted(panel.report.findings)
    level = next((float(nominal) / 100 for nominal in intervals(levels)), None)
    facts = []
    for name, size in series_sizes(panel).items():
        bias, coverage = measured.get(name, (None, None))
        own = SeriesFacts(
            unique_id=name,
            size=size,
            mase=_known(by_model.get(ENSEMBLE, {}), name),
            naive_mase=_known(naive, name),
            bias=bias,
            coverage=coverage,
        )
        flags = [*_flags(own, level), *noted.get(name, [])]
        facts.append(own.model_copy(update={"flags": flags}))
    return facts


def series_sizes(panel: Panel) -> dict[str, float]:
    """By series, in their order, the mean absolute target; 0 where none was observed."""
    means = panel.frame["y"].abs().groupby(panel.series_codes).mean().fillna(0.0)
    return dict(zip(map(str, panel.ids), means.tolist(), strict=True))


def worst_and_largest(facts: Sequence[SeriesFacts], most: int = MOST_PATHS) -> list[str]:
    """The series that are worth a look: flagged ones first, then half by error and half by size."""
    if len(facts) <= most:
        return [fact.unique_id for fact in facts]
    worst = sorted(facts, key=lambda fact: (-len(fact.flags), -(fact.mase or 0.0), fact.unique_id))
    largest = sorted(facts, key=lambda fact: (-fact.size, fact.unique_id))
    chosen = dict.fromkeys(fact.unique_id for fact in [*worst[: most // 2], *largest])
    return sorted([*chosen][:most])


def _bias_and_coverage(
    table: pd.DataFrame, series: pd.DataFrame, levels: Sequence[float]
) -> dict[str, tuple[float | None, float | None]]:
    rows = table[scorable(table, series)]
    scale = rows["unique_id"].map(series.set_index("unique_id")["scale"]).astype(np.float64)
    bias = ((rows[ENSEMBLE] - rows["y"]) / scale).groupby(rows["unique_id"], observed=True).mean()
    bounds = next(iter(intervals(levels).values()), None)
    if bounds is None:
        return {str(name): (float(value), None) for name, value in bias.items()}
    low, high = (rows[quantile_column(level)] for level in bounds)
    held = rows["y"].between(low, high).groupby(rows["unique_id"], observed=True).mean()
    pairs = zip(bias.index, bias, held, strict=True)
    return {str(name): (float(value), float(share)) for name, value, share in pairs}


def _known(values: Mapping[Any, float], name: str) -> float | None:
    value = values.get(name)
    return None if value is None or value != value else float(value)


def _flags(fact: SeriesFacts, level: float | None) -> list[str]:
    conditions = {
        "naive is better": fact.naive_is_better,
        "level is off": fact.bias is not None and abs(fact.bias) > LEVEL,
        "intervals miss": None not in (level, fact.coverage) and fact.coverage < level - MISSES,  # type: ignore[operator]
    }
    return [name for name, holds in conditions.items() if holds]


def _noted(findings: Iterable[Finding]) -> dict[str, list[str]]:
    noted: dict[str, list[str]] = {}
    for finding in findings:
        if finding.series and finding.what in NOTED:
            noted.setdefault(finding.series, []).append(finding.what.replace("_", " "))
    return noted
