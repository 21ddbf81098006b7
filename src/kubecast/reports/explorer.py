"""The explorer: any series' actuals, its last evaluated forecast and the one beyond the data, in few bytes.

Values are whole numbers of a thousandth of the series' range, and times the first one and the steps to the
others, which most series share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kubecast.config.training import Columns
from kubecast.data.clock import as_kubecast, wall_clock
from kubecast.data.panel import PanelSpec
from kubecast.evaluation.paths import SeriesPath, fine_decimals
from kubecast.evaluation.series_facts import SeriesFacts, worst_and_largest
from kubecast.evaluation.words import plain
from kubecast.reports.html import pack
from kubecast.scoring.metrics import intervals, quantile_column

LARGEST = 1_450_000  # bytes of the packed payload, beside which the page's own are a quarter of its limit
NARROW = 50  # nominal coverage in percent that the inner interval is nearest to

ORDERS = {
    "flagged": "what to look at",
    "error": "largest error",
    "loss": "lost most to naive",
    "bias": "largest bias",
    "change": "largest change",
    "size": "largest series",
    "name": "name",
}


@dataclass(frozen=True)
class Explorer:
    """The explorer of a page.

    Attributes:
        packed: For the script.
        count: The number of series in it.
        note: One sentence where it does not have all series; empty where it has.
        columns: ``key``, ``label`` and perhaps ``percent`` of each column of its list.
        orders: Key and label of each order of its list.
    """

    packed: str
    count: int
    note: str
    columns: list[dict[str, Any]]
    orders: list[tuple[str, str]]


@dataclass(frozen=True)
class Forecasts:
    """Forecasts beyond the data, as they are published.

    Attributes:
        by_series: The rows of each series, in order of time.
        levels: Quantile levels of their columns.
    """

    by_series: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    levels: Sequence[float] = ()

    @classmethod
    def read(cls, table: pd.DataFrame | None, spec: PanelSpec) -> "Forecasts":
        """Take a table as ``Bundle.forecast`` gives it, on the data's clock and under its names."""
        if table is None or table.empty:
            return cls()
        columns = Columns.model_validate(spec.columns)
        rows = as_kubecast(table, columns).sort_values(["unique_id", "ds"])
        levels = [float(name[1:]) for name in map(str, rows.columns) if _is_quantile(name)]
        return cls({str(name): group for name, group in rows.groupby("unique_id", sort=False)}, levels)


def explorer(
    paths: Sequence[SeriesPath],
    facts: Sequence[SeriesFacts],
    forecasts: Forecasts,
    spec: PanelSpec,
    naive: str | None,
    changes: Mapping[str, float | None] | None = None,
) -> Explorer:
    """Make the explorer of as many series as fit in a page.

    Args:
        paths: Of the series to show.
        facts: Of all series.
        forecasts: Beyond the data.
        spec: Gives the clock and the name of the target.
        naive: The strongest seasonal naive.
        changes: By series, the forecast total over the total of the period before, less 1; None: not shown.
    """
    known = {fact.unique_id: fact for fact in facts}
    of_path = {path.unique_id: path for path in paths}
    kept = [name for name in of_path if name in known]
    while True:
        content = _content([of_path[name] for name in kept], known, forecasts, spec, naive, changes)
        packed = pack(content)
        if len(packed) <= LARGEST or len(kept) < 2:
            break
        fewer = min(len(kept) - 1, int(0.95 * len(kept) * LARGEST / len(packed)))
        kept = worst_and_largest([known[name] for name in kept], max(1, fewer))
    note = (
        ""
        if len(kept) == len(facts)
        else (
            f"The {len(kept):,} worst and largest of {len(facts):,} series are here; series.parquet and the"
            " tables of forecasts have all of them."
        )
    )
    used = {
        "error": any(fact.mase is not None for fact in facts),
        "loss": any(fact.loss is not None for fact in facts),
        "bias": any(fact.bias is not None for fact in facts),
        "change": changes is not None,
    }
    orders = [each for each in ORDERS.items() if used.get(each[0], True)]
    return Explorer(packed, len(kept), note, content["columns"], orders)


def _content(
    paths: Sequence[SeriesPath],
    facts: Mapping[str, SeriesFacts],
    forecasts: Forecasts,
    spec: PanelSpec,
    naive: str | None,
    changes: Mapping[str, float | None] | None,
) -> dict[str, Any]:
    clocks = _Clocks(spec.timezone)
    bands = list(intervals(forecasts.levels))
    level = bands[0] if bands else next((path.level for path in paths if path.level), "")
    columns: list[dict[str, Any]] = [{"key": "mase", "label": "MASE"}]
    if changes is not None:
        columns = [{"key": "change", "label": "change", "percent": True}, *columns]
    else:
        columns += [{"key": "skill", "label": "skill", "percent": True}]
    series = [
        _figures(facts[path.unique_id])
        | ({} if changes is None else {"change": changes.get(path.unique_id)})
        | _course(path, forecasts, clocks, spec.frequency)
        for path in paths
    ]
    return {
        "naive": plain(naive or "naive"),
        "level": level,
        "unit": spec.columns.get("y", "y"),
        "error": "mase" if changes is None else "change",
        "columns": columns,
        "steps": clocks.steps,
        "series": series,
    }


def _figures(fact: SeriesFacts) -> dict[str, Any]:
    skill = None
    if fact.mase is not None and fact.naive_mase:
        skill = 1 - fact.mase / fact.naive_mase
    return {
        "id": fact.unique_id,
        "flags": fact.flags,
        "size": fact.size,
        "mase": fact.mase,
        "naive": fact.naive_mase,
        "skill": skill,
        "bias": fact.bias,
        "coverage": fact.coverage,
    }


class _Clocks:
    """The steps between times, each list of them once."""

    def __init__(self, zone: str | None) -> None:
        self._zone = zone
        self._places: dict[bytes, int] = {}
        self.steps: list[list[int]] = []

    def place(self, times: pd.DatetimeIndex) -> tuple[int, int]:
        """The first time in seconds, and the place of the steps to the others."""
        seconds = wall_clock(times, self._zone).to_numpy("datetime64[s]").astype(np.int64)
        steps = np.diff(seconds)
        if steps.tobytes() not in self._places:
            self._places[steps.tobytes()] = len(self.steps)
            self.steps.append(steps.tolist())
        return int(seconds[0]), self._places[steps.tobytes()]


def _course(path: SeriesPath, forecasts: Forecasts, clocks: _Clocks, frequency: str) -> dict[str, Any]:
    rows = forecasts.by_series.get(path.unique_id)
    known = path.times(frequency)
    times = known if rows is None else pd.DatetimeIndex([*known, *rows["ds"]])
    evaluated = {"mid": path.forecast, "low": path.low, "high": path.high}
    ahead = {} if rows is None else _ahead(rows, forecasts.levels)
    drawn = [*path.y, *(value for each in (evaluated, ahead) for part in each.values() for value in part)]
    unit = 10.0 ** -fine_decimals(drawn)
    start, steps = clocks.place(times)
    course: dict[str, Any] = {
        "start": start,
        "steps": steps,
        "unit": unit,
        "y": _scaled(path.y, unit),
        "at": path.at,
    }
    for name, parts in (("evaluated", evaluated), ("ahead", ahead)):
        if filled := {key: _scaled(values, unit) for key, values in parts.items() if len(values)}:
            course[name] = filled
    return course


def _scaled(values: Sequence[float | None], unit: float) -> list[int | None]:
    return [None if value is None or not np.isfinite(value) else round(value / unit) for value in values]


def _ahead(rows: pd.DataFrame, levels: Sequence[float]) -> dict[str, list[float]]:
    """The point forecast, the widest interval, and the one nearest to half of the targets."""
    bounds = intervals(levels)
    ahead = {"mid": rows["yhat"].tolist()}
    if not bounds:
        return ahead
    inner = min(bounds, key=lambda nominal: abs(float(nominal) - NARROW))
    for nominal, suffix in {inner: "2", next(iter(bounds)): ""}.items():
        low, high = bounds[nominal]
        ahead[f"low{suffix}"] = rows[quantile_column(low)].tolist()
        ahead[f"high{suffix}"] = rows[quantile_column(high)].tolist()
    return ahead


def _is_quantile(name: str) -> bool:
    return name[:1] == "q" and name[1:].replace(".", "", 1).isdigit()
