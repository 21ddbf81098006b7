from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubecast.data.preparation import build_panel
from kubecast.data.sample import generate_series, write_sample
from kubecast.errors import ConfigError
from tests.support.panels import WITH_COVARIATES, small_settings


def test_sample_of_demand_has_twelve_weeks_of_half_hours(tmp_path: Path) -> None:
    assert write_sample(tmp_path / "new" / "demand.csv") == 12 * 7 * 48
    table = pd.read_csv(tmp_path / "new" / "demand.csv", parse_dates=["ds"])
    assert list(table.columns) == ["unique_id", "ds", "y"]
    assert table["ds"].diff().dropna().unique() == pd.Timedelta("30min")


@pytest.mark.parametrize(("length", "lengths"), [(50, [50, 50, 50]), ([50, 20, 10], [50, 20, 10])])
def test_series_have_their_lengths_and_one_end(length: int | Sequence[int], lengths: list[int]) -> None:
    rows = generate_series(3, length, frequency="MS", start="2020-01-01")
    assert rows.groupby("unique_id").size().tolist() == lengths
    assert rows.groupby("unique_id")["ds"].max().nunique() == 1
    assert rows["ds"].min() == pd.Timestamp("2020-01-01")


def test_seed_fixes_the_series() -> None:
    rows = generate_series(seed=7, covariates=True)
    pd.testing.assert_frame_equal(rows, generate_series(seed=7, covariates=True), check_exact=True)
    assert not rows["y"].equals(generate_series(seed=8, covariates=True)["y"])


def test_season_repeats_at_its_length() -> None:
    y = generate_series(1, 700, season_length=7)["y"]
    assert y.autocorr(7) > 0.9
    assert y.autocorr(3) < 0


def test_covariates_are_known_in_the_future_in_the_past_and_always() -> None:
    panel = build_panel(generate_series(covariates=True), small_settings(data=WITH_COVARIATES))
    assert panel.static["region"].tolist() == ["r0", "r1", "r0"]
    raised = panel.frame.groupby("promotion")["y"].mean()
    assert raised[1.0] > raised[0.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_series": 0}, "n_series is 0"),
        ({"n_series": 2, "length": [5]}, "n_series is 2, with 1 lengths"),
        ({"length": 0}, "length is 0; allowed: from 1"),
        ({"season_length": 0}, "season_length is 0"),
    ],
)
def test_number_that_is_too_small_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate_series(**arguments)
