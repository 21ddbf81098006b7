"""The page of a batch of forecasts: whether it is written, what to look at, and where it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from kubecast.data.clock import wall_clock
from kubecast.data.panel import PanelSpec
from kubecast.data.series_ranges import SeriesRange
from kubecast.evaluation.batch_review import BatchReview, EarlierBatch
from kubecast.evaluation.verdict import Verdict
from kubecast.evaluation.words import percent
from kubecast.reports import charts
from kubecast.reports.charts import Chart
from kubecast.reports.explorer import Forecasts, explorer
from kubecast.reports.html import count, figure, render

BINS = 20  # of the histogram of changes, which ends at -100 % and 100 %
LISTED = 100  # names of a list
LISTS = {
    "new": "New to the model",
    "gone": "Gone since training",
    "stale": "Ended before the others",
    "fallback": "Forecast by a fallback",
    "not_compared": "Not compared: too short a history, or zeros before",
}


@dataclass(frozen=True)
class Kept:
    """Where a batch is kept.

    Attributes:
        url: Of its file, or of the manifest that names several.
        new: Whether this run wrote it; else the same request did so before.
        latest: Whether ``latest.json`` points at it.
        columns: Of the file.
        missing: Series that it has no forecasts of, with the reasons.
    """

    url: str
    new: bool
    latest: bool
    columns: Sequence[str]
    missing: Sequence[tuple[SeriesRange, str]] = ()


def render_score(
    facts: Mapping[str, str],
    review: BatchReview,
    earlier: Sequence[EarlierBatch],
    kept: Kept,
    table: pd.DataFrame,
    spec: PanelSpec,
) -> str:
    """Render one self-contained page.

    Args:
        facts: What the batch is a function of, by name; ``made by`` among them.
        review: Its figures.
        earlier: Batches whose targets came in, newest first.
        kept: Where it is.
        table: Its forecasts, on the data's clock and under its names.
        spec: Of the data.
    """
    ahead = [row.ds for row in review.sums if row.forecast is not None] or [review.data_to]
    period = " to ".join(_times([min(ahead), max(ahead)], spec))
    forecasts = Forecasts.read(table, spec)
    named = {key: getattr(review, key) for key in LISTS}
    return render(
        "score.html",
        _charts(review, spec),
        explorer(review.paths, review.series, forecasts, spec, review.naive, review.changes),
        title=f"Batch of {facts['made by'].partition('@')[0]}",
        period=period,
        newest=_times([review.data_to], spec)[0],
        verdict=_verdict(review, kept),
        tiles=_tiles(review, period),
        facts=facts,
        review=review,
        earlier=earlier,
        kept=kept,
        backs=_backs(review),
        lists=[(heading, named[key][:LISTED], len(named[key])) for key, heading in LISTS.items()],
    )


def _times(moments: Sequence[object], spec: PanelSpec) -> list[str]:
    """Times on the data's clock, without the hour where none has one."""
    times = wall_clock(pd.DatetimeIndex([*moments]), spec.timezone)
    days = all(moment == moment.normalize() for moment in times)
    return [f"{at:%Y-%m-%d}" if days else f"{at:%Y-%m-%d %H:%M}" for at in times]


def _verdict(review: BatchReview, kept: Kept) -> Verdict:
    written = "Written" if kept.new else "Written before, by the same request"
    if not kept.latest:
        written += "; latest.json stays at newer forecasts"
    reasons = [
        (sum(series.series for series, _ in kept.missing), "are missing, as their shards failed"),
        (len(review.changed), "change by more than a quarter"),
        (len(review.from_zero), "rise from zero"),
        (len(review.not_compared), "cannot be compared with the steps before"),
        (len(review.fallback), "have a fallback in place of a model"),
        (len(review.new), "are new to the model"),
        (len(review.stale), "ended before the others"),
        (len(review.gone), "are gone since training"),
    ]
    text = ", ".join(f"{number:,} {what}" for number, what in reasons if number)
    reason = f"Of the series, {text}." if text else "No series changes much, is new, gone or stale."
    if review.flagged:
        title = f"{written}: look at {len(review.flagged):,} of {len(review.series):,} series"
        return Verdict(title=title, reason=reason, tone="unsure")
    if len(review.not_compared) == len(review.series):
        written += ": nothing to compare with"
    clear = kept.latest and not kept.missing and not review.gone and not review.not_compared
    tone: Literal["good", "unsure"] = "good" if clear else "unsure"
    return Verdict(title=written, reason=reason, tone=tone)


def _tiles(review: BatchReview, period: str) -> list[dict[str, str]]:
    steps, series = count(review.steps, "step"), count(len(review.series), "series")
    compared = len(review.changes) - len(review.not_compared)
    against = [
        f"{percent(total.change)} on the steps {total.back} before"
        for total in review.totals
        if total.change is not None
    ]
    return [
        {
            "label": "Forecasts written",
            "value": count(review.rows, "row"),
            "about": f"{series}, {steps}: {period}",
        },
        {
            "label": f"Total of the next {steps}",
            "value": figure(review.total),
            "about": ", ".join(against) or "nothing to compare with",
        },
        {
            "label": "Changed by more than 25 %",
            "value": count(len(review.changed), "series"),
            "about": f"of {compared:,} compared with the steps {_backs(review)} before",
        },
        {
            "label": "Forecast by a fallback",
            "value": count(len(review.fallback), "series"),
            "about": f"{len(review.new):,} new, {len(review.gone):,} gone, {len(review.stale):,} stale",
        },
    ]


def _backs(review: BatchReview) -> str:
    """How far back the forecasts are compared."""
    backs = " and ".join(str(total.back) for total in review.totals)
    return f"{backs}, whichever is nearer," if len(review.totals) > 1 else backs


def _charts(review: BatchReview, spec: PanelSpec) -> dict[str, Chart]:
    drawn = {}
    if review.sums:
        times = wall_clock(pd.DatetimeIndex([row.ds for row in review.sums]), spec.timezone)
        sums = {
            "actual": [row.actual for row in review.sums],
            "forecast": [row.forecast for row in review.sums],
        }
        drawn["sum"] = charts.lines(
            "Sum of the series that go on: actual, and forecast",
            times.to_numpy("datetime64[s]").astype(int).tolist(),
            sums,
            styles=("ink", "own"),
            x_label="time",
            y_label=f"sum of {spec.columns.get('y', 'y')}",
            x_type="utc",
        )
    changes = [change for change in review.changes.values() if change is not None]
    if len(changes) > 1:
        counts, edges = np.histogram(np.clip(changes, -1, 1), BINS, (-1, 1))
        drawn["changes"] = charts.histogram(
            "Series by the change of their total; the outermost bars hold all beyond",
            edges.tolist(),
            counts.tolist(),
            x_label="change of the total",
            y_label="series",
            percent=True,
        )
    return drawn
