"""The facts of each series that a panel holds beside its rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from tests.support.panels import hourly, small_settings


def gappy() -> pd.DataFrame:
    """Three series with missing targets and zeros, never at their ends."""
    rows, random = hourly(), np.random.default_rng(0)
    place = rows.groupby("unique_id").cumcount()
    inner = (place > 0) & (rows.groupby("unique_id").cumcount(ascending=False) > 0)
    rows.loc[inner & (random.random(len(rows)) < 0.2), "y"] = 0.0
    rows.loc[inner & (random.random(len(rows)) < 0.1), "y"] = np.nan
    return rows


@pytest.fixture(scope="module")
def panel() -> Panel:
    return build_panel(gappy(), small_settings())


EXPECTED: dict[str, Callable[[pd.DataFrame, Any], object]] = {
    "begin": lambda rows, _: rows["ds"].min(),
    "end": lambda rows, _: rows["ds"].max(),
    "size": lambda rows, _: rows["y"].abs().mean(),
    "train_rows": lambda rows, end: int((rows["ds"] <= end).sum()),
    "train_mean": lambda rows, end: rows.loc[rows["ds"] <= end, "y"].mean(),
    "zeros": lambda rows, end: (rows.loc[(rows["ds"] <= end) & rows["observed"], "y"] == 0).mean(),
}


@pytest.mark.parametrize("fact", [*EXPECTED])
def test_facts_are_those_of_a_series_own_rows(panel: Panel, fact: str) -> None:
    assert len(panel.series) == 3
    for row in panel.series.to_dict("records"):
        own = panel.frame[panel.frame["unique_id"] == row["unique_id"]]
        expected: Any = EXPECTED[fact](own, row["train_end"])
        assert row[fact] == (pytest.approx(expected) if isinstance(expected, float) else expected)


def test_later_rows_change_no_fact_of_training(panel: Panel) -> None:
    rows = gappy()
    late = rows["ds"] > rows["unique_id"].map(panel.series.set_index("unique_id")["train_end"])
    altered = build_panel(rows.assign(y=rows["y"].where(~late | rows["y"].isna(), 7.0)), small_settings())
    for fact in ("train_rows", "train_mean", "zeros", "scale", "rmsse_scale"):
        pd.testing.assert_series_equal(altered.series[fact], panel.series[fact])
