"""What is to be known of a batch of forecasts: how it differs from what was, and what to look at."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from kubecast.data.panel import Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.row_blocks import concat_rows
from kubecast.data.stale import stale_series
from kubecast.documents import Document
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.paths import SeriesPath, series_paths
from kubecast.evaluation.series_facts import SeriesFacts, sizes_of, worst_and_largest
from kubecast.evaluation.skill import Skill
from kubecast.evaluation.words import percent
from kubecast.scoring.metrics import intervals, quantile_column
from kubecast.scoring.significance import finite

CHANGED = 0.25  # of a series' total: a change of more is worth a look
HISTORY = 3  # horizons of the sum of all series, before the forecasts

Floats = NDArray[np.float64]


class Total(Document):
    """The forecast total of all series against that of the same steps some seasons before.

    Attributes:
        back: Steps between the two.
        change: Forecast less actual over the actual's absolute value, of the series that have both; None
            where none has, or where there is nothing but zero to divide by.
    """

    back: int
    change: float | None


class SumRow(Document):
    """The sum of all series that go on, at one time: actual, or forecast."""

    ds: datetime
    actual: float | None = None
    forecast: float | None = None


class BatchReview(Document):
    """A batch of forecasts beside the data that it was made of.

    Attributes:
        rows: Of the table of forecasts.
        steps: Of each series.
        total: Sum of all forecasts.
        totals: Its changes, against one season and, where there is one, against the longer season.
        changes: By series, the smaller of its changes against those; None where its history is too short, or
            zero then and not now.
        new: Series that the version was not trained on.
        gone: Series that it was trained on, and that the data lacks.
        stale: Series that ended before the others.
        fallback: Series that a model could not fit itself.
        from_zero: Series that were zero then, and are forecast to be larger than they ever are on average.
        series: What is to be known of each, with the flags of the batch.
        paths: The newest actuals of the worst and the largest series.
        sums: Of all series that go on, in order of time.
        data_to: The last time of the data.
        naive: The seasonal naive that the version was held to; None where there is none.
    """

    rows: int
    steps: int
    total: float
    totals: list[Total]
    changes: dict[str, float | None]
    new: list[str] = Field(default=[])
    gone: list[str] = Field(default=[])
    stale: list[str] = Field(default=[])
    fallback: list[str] = Field(default=[])
    from_zero: list[str] = Field(default=[])
    series: list[SeriesFacts]
    paths: list[SeriesPath]
    sums: list[SumRow]
    data_to: datetime
    naive: str | None = None

    @property
    def changed(self) -> list[str]:
        """Series whose total changes by more than a quarter."""
        return [name for name, change in self.changes.items() if _is_large(change)]

    @property
    def not_compared(self) -> list[str]:
        """Series of which it is not known whether they change."""
        return [name for name, change in self.changes.items() if change is None]

    @property
    def flagged(self) -> list[str]:
        """Series to look at."""
        return [fact.unique_id for fact in self.series if fact.flags]


class EarlierBatch(Document):
    """An earlier batch on the targets that came in since.

    Attributes:
        batch: Its name.
        model: That made it.
        targets: How many came in.
        series: Of how many series.
        mase: Mean over them.
        level: Nominal coverage of the widest interval, in percent; empty where there is none.
        coverage: What it held.
    """

    batch: str
    model: str
    targets: int
    series: int
    mase: float
    level: str = ""
    coverage: float | None = None


def review_batch(
    panel: PanelBlocks, table: pd.DataFrame, trained_on: Collection[str], evaluation: Evaluation | None
) -> BatchReview:
    """Review a batch.

    Args:
        panel: The data.
        table: Forecasts: ``unique_id``, ``ds``, ``yhat`` and the quantiles, times as in the panel.
        trained_on: Series of the version.
        evaluation: Of the version; None where it has none.
    """
    series, spec = panel.series, panel.spec
    names = [str(name) for name in series["unique_id"]]
    forecast = {str(name): rows.to_numpy() for name, rows in table.groupby("unique_id")["yhat"]}
    steps = max(map(len, forecast.values()), default=0)
    backs = sorted({-(-steps // season) * season for season in spec.season_lengths[:2]})
    stale = sorted(map(str, stale_series(series, spec.frequency, spec.horizon)[0]))
    beside = [_Beside.of(block, forecast, backs, steps, stale) for block in panel]
    changes = {name: change for block in beside for name, change in block.changes.items()}
    known, fallback = set(trained_on), _fallback(evaluation)
    marks = {
        "new": [name for name in names if name not in known],
        "stale": stale,
        "fallback": [name for name in names if name in fallback],
        "from_zero": [name for block in beside for name in block.from_zero],
    }
    facts = _facts(panel.outline, changes, marks, evaluation)
    chosen = worst_and_largest(facts)
    return BatchReview(
        rows=len(table),
        steps=steps,
        total=float(table["yhat"].sum()),
        totals=[
            Total(back=back, change=_total_change([each.totals[back] for each in beside])) for back in backs
        ],
        changes=changes,
        gone=sorted(known - set(names)),
        series=facts,
        paths=series_paths(_NONE, panel.only(chosen), [], chosen),
        sums=_sums(
            [block.actuals for block in beside],
            table[~table["unique_id"].isin(stale)],
            len(set(names) - set(stale)),
            HISTORY * spec.horizon,
        ),
        data_to=series["end"].max().to_pydatetime(),
        naive=evaluation.skill.get("test", Skill()).naive if evaluation else None,
        **marks,
    )


class _Beside(NamedTuple):
    """The forecasts of a block of series beside its rows.

    Attributes:
        changes: See ``BatchReview``.
        from_zero: Likewise.
        totals: By steps back, the sums of forecasts and of the actuals before, of the series that have both;
            None where none has.
        actuals: ``sum`` and ``size``, by time, of the series that go on.
    """

    changes: dict[str, float | None]
    from_zero: list[str]
    totals: dict[int, tuple[float, float] | None]
    actuals: pd.DataFrame

    @classmethod
    def of(
        cls,
        panel: Panel,
        forecast: Mapping[str, Floats],
        backs: Sequence[int],
        steps: int,
        stale: Collection[str],
    ) -> "_Beside":
        """Compare the forecasts with what was so many steps before."""
        before = {back: _before(panel, back, steps) for back in backs}
        changes = {
            name: _nearest([_change(forecast.get(name), rows.get(name)) for rows in before.values()])
            for name in map(str, panel.ids)
        }
        own = {name: forecast[name] for name in changes if name in forecast}
        frame = panel.frame[["ds"]].assign(actual=panel.filled)[~panel.frame["unique_id"].isin(stale)]
        return cls(
            changes,
            _from_zero(panel, own, before.values(), changes),
            {back: _totals(own, rows) for back, rows in before.items()},
            frame.groupby("ds")["actual"].agg(["sum", "size"]),
        )


_NONE = pd.DataFrame({"unique_id": [], "cutoff": [], "ds": [], "split": []})


def _nearest(changes: Sequence[float | None]) -> float | None:
    """The smallest change: what is usual on this weekday is none."""
    return min((change for change in changes if change is not None), key=abs, default=None)


def _is_large(change: float | None) -> bool:
    return change is not None and abs(change) > CHANGED


def _fallback(evaluation: Evaluation | None) -> set[str]:
    return {name for log in evaluation.fits.values() for name in log.fallbacks} if evaluation else set()


def _before(panel: Panel, back: int, steps: int) -> dict[str, Floats]:
    """By series, the values ``back`` steps before its forecasts, where its history is long enough."""
    bounds = zip(panel.ids, panel.indptr[:-1], panel.indptr[1:], strict=True)
    return {
        str(name): panel.filled[end - back : end - back + steps]
        for name, start, end in bounds
        if end - back >= start
    }


def _change(forecast: Floats | None, before: Floats | None) -> float | None:
    if forecast is None or before is None:
        return None
    return _relative(float(np.sum(forecast)), float(np.sum(before[: len(forecast)])))


def _relative(after: float, before: float) -> float | None:
    """A change in terms of what was before; None where that is 0 and the other is not."""
    if before == 0:
        return 0.0 if after == 0 else None
    return finite((after - before) / abs(before))


def _from_zero(
    panel: Panel,
    forecast: Mapping[str, Floats],
    before: Collection[Mapping[str, Floats]],
    changes: Mapping[str, float | None],
) -> list[str]:
    """Series without a change for their zeros before, whose forecasts are above their mean by a quarter."""
    known = {name for rows in before for name in rows}
    usual = sizes_of(panel)
    return [
        name
        for name, values in forecast.items()
        if changes.get(name) is None
        and name in known
        and float(np.mean(np.abs(values))) > (1 + CHANGED) * usual.get(name, 0.0)
    ]


def _totals(forecast: Mapping[str, Floats], before: Mapping[str, Floats]) -> tuple[float, float] | None:
    """The sums over the series that have both."""
    both = [name for name in forecast if name in before]
    if not both:
        return None
    return (
        float(np.concatenate([forecast[name] for name in both]).sum()),
        float(np.concatenate([before[name][: len(forecast[name])] for name in both]).sum()),
    )


def _total_change(blocks: Sequence[tuple[float, float] | None]) -> float | None:
    known = [totals for totals in blocks if totals is not None]
    return _relative(*map(sum, zip(*known, strict=True))) if known else None


def _facts(
    panel: Panel,
    changes: Mapping[str, float | None],
    marks: Mapping[str, Sequence[str]],
    evaluation: Evaluation | None,
) -> list[SeriesFacts]:
    """The version's facts of each series, with the batch's own flags."""
    known = {fact.unique_id: fact for fact in evaluation.series} if evaluation else {}
    marked = {mark: set(names) for mark, names in marks.items()}
    facts = []
    for name, size in sizes_of(panel).items():
        change = changes.get(name)
        flags = [f"{percent(change, 0)} change"] if change is not None and _is_large(change) else []
        flags += [mark.replace("_", " ") for mark, names in marked.items() if name in names]
        fact = known.get(name) or SeriesFacts(unique_id=name, size=0.0)
        facts.append(fact.model_copy(update={"size": size, "flags": flags}))
    return facts


def _sums(actuals: Sequence[pd.DataFrame], forecasts: pd.DataFrame, count: int, most: int) -> list[SumRow]:
    """Sums over the series that go on, ``count``, at the newest times at which all of them have a row."""
    ahead = forecasts.groupby("ds")["yhat"].agg(["sum", "size"])
    rows: list[SumRow] = []
    for column, at_time in (("actual", pd.concat(actuals).groupby(level="ds").sum()), ("forecast", ahead)):
        sums = at_time.loc[at_time["size"] == count, "sum"].tail(most)
        rows += [
            SumRow.model_validate({"ds": ds, column: total})
            for ds, total in zip(pd.DatetimeIndex(sums.index), sums.tolist(), strict=True)
        ]
    return rows


def score_earlier(
    batch: str, model: str, table: pd.DataFrame, panel: PanelBlocks, scales: Mapping[str, float]
) -> EarlierBatch | None:
    """Score an earlier batch on the targets of newer data; None where none came in.

    Args:
        batch: Its name.
        model: That made it.
        table: Its forecasts, times as in the panel.
        panel: The newer data.
        scales: By series.
    """
    table = table.astype({"unique_id": str})
    rows = concat_rows([_with_targets(table, block) for block in panel]).reset_index(drop=True)
    scale = rows["unique_id"].map(dict(scales)).astype(np.float64)
    rows = rows[scale > 0]
    if rows.empty:
        return None
    errors = ((rows["y"] - rows["yhat"]).abs() / scale[rows.index]).groupby(rows["unique_id"]).mean()
    names = [str(name) for name in rows.columns]
    levels = [float(name[1:]) for name in names if name[:1] == "q" and name[1:2].isdigit()]
    level, (low, high) = next(iter(intervals(levels).items()), ("", (0.0, 0.0)))
    coverage = None
    if level:
        inside = rows["y"].between(rows[quantile_column(low)], rows[quantile_column(high)])
        coverage = float(inside.groupby(rows["unique_id"]).mean().mean())
    return EarlierBatch(
        batch=batch,
        model=model,
        targets=len(rows),
        series=len(errors),
        mase=float(errors.mean()),
        level=level,
        coverage=coverage,
    )


def _with_targets(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The forecasts whose targets are in a block, with these."""
    own = table[table["unique_id"].isin(panel.ids)]
    truth = panel.frame.loc[panel.frame["observed"].astype(bool), ["unique_id", "ds", "y"]]
    return own.merge(truth[truth["ds"] >= own["ds"].min()].astype({"unique_id": str}), on=["unique_id", "ds"])
