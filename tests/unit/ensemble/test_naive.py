"""Naive forecasts: candidates of the ensemble, and yardsticks that only measure it."""

import numpy as np
import pandas as pd
import pytest

from kubecast.data.levels import LevelChanges
from kubecast.data.panel import Cutoffs, Panel, PanelSpec
from kubecast.ensemble.naive import naive_candidates, naive_yardsticks, with_naive

START = pd.Timestamp("2020-01-06")


def panel_of(frequency: str, rows: int, seasons: list[int]) -> Panel:
    ds = pd.date_range(START, periods=rows, freq=frequency)
    frame = pd.DataFrame({"unique_id": "a", "ds": ds, "y": np.arange(rows, dtype=float), "observed": True})
    series = pd.DataFrame({"unique_id": ["a"], "train_end": [ds[-3]], "train_rows": [rows - 2]})
    spec = PanelSpec(frequency=frequency, horizon=2, season_lengths=seasons)
    return Panel(frame, pd.DataFrame(), spec, series, pd.DataFrame())


@pytest.mark.parametrize(
    ("frequency", "rows", "seasons", "expected"),
    [
        ("D", 400, [7], ["seasonal_naive_1", "seasonal_naive_364"]),
        ("D", 300, [7], ["seasonal_naive_1"]),
        ("D", 800, [7, 365], ["seasonal_naive_1"]),
        ("MS", 40, [12], ["seasonal_naive_1"]),
        ("28D", 30, [1], ["seasonal_naive_13"]),
        ("YS", 30, [1], []),
    ],
)
def test_yardsticks_are_the_last_value_and_last_year(
    frequency: str, rows: int, seasons: list[int], expected: list[str]
) -> None:
    panel = panel_of(frequency, rows, seasons)
    assert [naive.name for naive in naive_yardsticks(panel)] == expected
    assert [naive.season_length for naive in naive_candidates(panel.spec)] == seasons


def test_forecasts_stand_beside_the_targets() -> None:
    panel = panel_of("D", 400, [7])
    origins = Cutoffs(pd.DataFrame({"unique_id": ["a"], "cutoff": [START + pd.Timedelta(days=397)]}))
    naives = [*naive_candidates(panel.spec), *naive_yardsticks(panel)]
    changes = LevelChanges.find(panel, origins)
    table = with_naive(panel.targets(origins), panel, changes, naives)
    assert table["seasonal_naive_7"].tolist() == [391.0, 392.0]
    assert table["seasonal_naive_1"].tolist() == [397.0, 397.0]
    assert table["seasonal_naive_364"].tolist() == [34.0, 35.0]
    assert with_naive(table, panel, changes, []) is table
