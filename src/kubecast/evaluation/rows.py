"""The rows of the leaderboard's tables: one model over a split, a series, a fold and so on."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from kubecast.data.panel import Split
from kubecast.documents import Document
from kubecast.scoring.metrics import COVERAGE, METRICS
from kubecast.scoring.resampling import Interval


def fields_of(columns: Mapping[Any, Any]) -> dict[str, Any]:
    """The fields of a row from the columns of a table: NaN is None, shares of intervals are in ``coverage``.

    >>> fields_of({"model": "arima", "mase": float("nan"), "coverage_80": 0.75, "coverage_95": None})
    {'model': 'arima', 'mase': None, 'coverage': {'80': 0.75}}
    """
    known = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in columns.items()
    }
    shares = {name.removeprefix(COVERAGE): known.pop(name) for name in columns if name.startswith(COVERAGE)}
    inside = {nominal: share for nominal, share in shares.items() if share is not None}
    return known | ({"coverage": inside} if inside else {})


def columns_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a table from the fields of a row, as ``fields_of`` takes them.

    >>> columns_of({"model": "arima", "coverage": {"80": 0.75}})
    {'model': 'arima', 'coverage_80': 0.75}
    """
    if not isinstance(shares := fields.get("coverage"), Mapping):
        return dict(fields)
    known = {name: value for name, value in fields.items() if name != "coverage"}
    return known | {f"{COVERAGE}{nominal}": share for nominal, share in shares.items()}


class Figures(Document):
    """Metrics of one model; None where undefined.

    Beside the fields it has a value for each metric of ``METRICS``, under its key.

    Attributes:
        model: Column of the forecasts.
        split: Of the data.
        mase: The metric that ranks.
        coverage: Share of targets inside each interval, by its nominal coverage in percent; the ensemble's.
        scored: Targets that count.
        skipped: Targets that were not observed or whose series has no scale.
    """

    model_config = ConfigDict(extra="allow")
    former_names: ClassVar[Mapping[str, str]] = {"part": "split", "block": "fold"}
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    model: str
    split: Split
    mase: float | None = None
    coverage: dict[str, float] = Field(default={})
    scored: int = 0
    skipped: int = 0

    @model_validator(mode="after")
    def _refuse_unknown(self) -> Self:
        if unknown := set(self.__pydantic_extra__) - set(METRICS):
            raise ValueError(f"unknown metric {', '.join(sorted(unknown))}")
        return self

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Put the metrics together, in the order of their table."""
        fields: dict[str, Any] = handler(self)
        first = {name: fields[name] for name in ("model", "split", *METRICS) if name in fields}
        return first | fields

    def metric(self, name: str) -> float | None:
        """The value of a metric; None where it is undefined, or was not there yet."""
        value: float | None = getattr(self, name, None)
        return value


class LeaderboardRow(Figures):
    """One model over one split.

    Attributes:
        skill: 1 - MASE / MASE of the naive forecast that is the strongest on this split.
        difference: MASE less that of the ensemble.
        mase_interval: Of MASE at 95 %; None, as each of the following, where it is undefined.
        skill_interval: Of skill, the strongest naive forecast chosen again in each resample.
        difference_interval: Of the difference, on the same targets.
        coverage_intervals: Of the coverage, by nominal coverage in percent.
        mase_median: Over series.
        mase_worst_five: Share of the sum of all series' MASE that the five worst have.
        undefined: Reason by metric that has no value.
    """

    skill: float | None = None
    difference: float | None = None
    mase_interval: Interval | None = None
    skill_interval: Interval | None = None
    difference_interval: Interval | None = None
    coverage_intervals: dict[str, Interval] = Field(default={})
    mase_median: float | None = None
    mase_worst_five: float | None = None
    undefined: dict[str, str] = Field(default={})


class LeadTimeRow(Figures):
    """One model at one lead time, in steps from 1."""

    lead_time: int


class SeriesRow(Figures):
    """One model on one series."""

    unique_id: str


class FoldRow(Figures):
    """One model on one fold of origins."""

    fold: int


class OriginRow(Figures):
    """One model on the forecasts from one origin, the last visible time."""

    cutoff: datetime


class PhaseRow(Figures):
    """The ensemble on the targets at one phase of the season, in steps from 0."""

    phase: int
