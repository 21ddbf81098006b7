"""How a batch of forecasts is held to the data before it."""

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.series_table import facts_of_rows
from kubecast.evaluation.batch_review import BatchReview, review_batch
from kubecast.reports.score import Kept, render_score

HOURS = pd.date_range("2024-01-01", periods=48, freq="h")
SPEC = PanelSpec.model_validate({"frequency": "h", "horizon": 6, "season_lengths": [24]})


NONE = pd.DataFrame({"unique_id": []})


def review(target: float, forecast: float, rows: int = 48) -> BatchReview:
    """Of one series with a constant target and forecast."""
    frame = pd.DataFrame({"unique_id": "s1", "ds": HOURS[-rows:], "y": target, "observed": True})
    return review_batch(PanelBlocks.of(panel(frame)), table(forecast), ["s1"], None)


def panel(frame: pd.DataFrame) -> Panel:
    return Panel(frame, NONE, SPEC, facts_of_rows(frame), NONE, NONE)


def table(forecast: float) -> pd.DataFrame:
    ahead = pd.date_range(HOURS[-1], periods=7, freq="h")[1:]
    return pd.DataFrame({"unique_id": "s1", "ds": ahead, "yhat": forecast})


@pytest.mark.parametrize(
    ("target", "forecast", "change"),
    [(10, 15, 0.5), (-10, -15, -0.5), (-10, 5, 1.5), (0, 0, 0.0), (0, 9, None)],
)
def test_change_is_the_difference_by_the_absolute_total(
    target: float, forecast: float, change: float | None
) -> None:
    found = review(target, forecast)
    assert found.changes == {"s1": change}
    assert found.totals[0].change == change


def test_a_series_of_negative_values_that_changes_is_flagged() -> None:
    assert review(-10, -15).changed == ["s1"]


def test_a_series_that_rises_from_zeros_is_flagged() -> None:
    found = review(0, 9)
    assert found.from_zero == found.not_compared == found.flagged == ["s1"]
    assert found.series[0].flags == ["from zero"]


def test_zeros_of_a_series_that_is_as_large_as_ever_are_not_flagged_but_counted() -> None:
    y = np.r_[np.full(24, 20.0), np.zeros(24)]
    frame = pd.DataFrame({"unique_id": "s1", "ds": HOURS, "y": y, "observed": True})
    found = review_batch(PanelBlocks.of(panel(frame)), table(9), ["s1"], None)
    assert found.from_zero == found.flagged == []
    assert found.not_compared == ["s1"]


def page(found: BatchReview) -> str:
    kept = Kept(url="batches/b.parquet", new=True, latest=True, columns=["yhat"])
    return render_score({"made by": "demand@v"}, found, [], kept, table(10), SPEC)


def test_where_nothing_could_be_compared_the_page_says_so_and_is_not_green() -> None:
    text = page(review(10, 10, rows=12))
    assert "Written: nothing to compare with" in text
    assert "of 0 compared with the steps 24 before" in text
    assert "1 cannot be compared with the steps before" in text
    assert "Not compared: too short a history, or zeros before: 1 series" in text
    assert 'class="verdict unsure"' in text
    assert 'class="verdict good"' in page(review(10, 10))
