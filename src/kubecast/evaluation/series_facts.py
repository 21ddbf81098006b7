"""What is to be known of each series beside its error: its size, its bias, and what to look at."""

from collections.abc import Iterable, Sequence

import pandas as pd
from pydantic import Field

from kubecast.data.findings import Finding
from kubecast.data.panel import Panel
from kubecast.documents import Document
from kubecast.evaluation.paths import MOST_PATHS
from kubecast.scoring.metrics import intervals
from kubecast.scoring.significance import finite

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


def series_facts(panel: Panel, scored: pd.DataFrame, levels: Sequence[float]) -> list[SeriesFacts]:
    """The facts of every series of a panel, in order of its series.

    Args:
        panel: Gives sizes and findings.
        scored: ``mase``, ``naive_mase``, ``bias`` and ``coverage`` on the test split, indexed by series; NaN
            where one is undefined.
        levels: Of the quantiles.
    """
    known = scored.reindex(panel.series["unique_id"])
    figures = [{str(name): finite(each) for name, each in row.items()} for row in known.to_dict("records")]
    noted = _noted(panel.report.findings)
    level = next((float(nominal) / 100 for nominal in intervals(levels)), None)
    facts = []
    for (name, size), own_figures in zip(sizes_of(panel).items(), figures, strict=True):
        own = SeriesFacts(unique_id=name, size=size, **own_figures)
        flags = [*_flags(own, level), *noted.get(name, [])]
        facts.append(own.model_copy(update={"flags": flags}))
    return facts


def sizes_of(panel: Panel) -> dict[str, float]:
    """By series, in their order, the mean absolute target."""
    return dict(zip(panel.series["unique_id"], panel.series["size"], strict=True))


def worst_and_largest(facts: Sequence[SeriesFacts], most: int = MOST_PATHS) -> list[str]:
    """The series that are worth a look: flagged ones first, then half by error and half by size."""
    if len(facts) <= most:
        return [fact.unique_id for fact in facts]
    worst = sorted(facts, key=lambda fact: (-len(fact.flags), -(fact.mase or 0.0), fact.unique_id))
    largest = sorted(facts, key=lambda fact: (-fact.size, fact.unique_id))
    chosen = dict.fromkeys(fact.unique_id for fact in [*worst[: most // 2], *largest])
    return sorted([*chosen][:most])


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
