from itertools import product
from math import gcd

import numpy as np
import pandas as pd
import pytest

from kubecast.config.training import DataSettings, ValidationSettings
from kubecast.data.splits import origin_steps, plan_splits, scales, series_scales, smallest_length, stride_of
from kubecast.errors import DataError

DATA = DataSettings()


def test_parts_are_shares_of_the_length_counted_back_from_the_end() -> None:
    splits = plan_splits(1000, 10, 24, DATA, ValidationSettings())
    assert (splits.train, splits.validation, splits.test) == (700, 200, 100)


def test_parts_make_room_for_the_horizon_and_the_folds() -> None:
    splits = plan_splits(400, 60, 24, DATA, ValidationSettings(cv_folds=3, origin_stride=10))
    assert (splits.train, splits.validation, splits.test) == (240, 100, 60)


@pytest.mark.parametrize(
    ("horizon", "season", "folds", "stride"), list(product([1, 7, 48], [1, 24, 336], [2, 5], [None, 1, 24]))
)
def test_smallest_length_is_the_first_that_can_be_split(
    horizon: int, season: int, folds: int, stride: int | None
) -> None:
    validation = ValidationSettings(cv_folds=folds, origin_stride=stride)
    length = smallest_length(horizon, season, DATA, validation)
    assert plan_splits(length, horizon, season, DATA, validation).train >= horizon + season + 1
    for shorter in range(max(length - 50, 1), length):
        with pytest.raises(DataError, match=f"needs series of {length} rows, the median is {shorter}"):
            plan_splits(shorter, horizon, season, DATA, validation)


@pytest.mark.parametrize(
    ("length", "horizon", "season", "most", "stride"),
    list(product([500, 4032], [1, 24, 48], [1, 24, 48], [2, 10, 100], [None, 1, 24])),
)
def test_origins_never_cross_parts(
    length: int, horizon: int, season: int, most: int, stride: int | None
) -> None:
    validation = ValidationSettings(cv_folds=3, max_origins=most, origin_stride=stride)
    splits = plan_splits(length, horizon, season, DATA, validation)
    steps = origin_steps(splits, horizon, validation, season)
    validation, test = (steps.loc[steps["split"] == split] for split in ("validation", "test"))
    assert validation["back"].between(splits.test + horizon, splits.test + splits.validation).all()
    assert test["back"].between(horizon, splits.test).all()
    for split in (validation, test):
        assert 1 <= len(split) <= most
        assert split["back"].is_monotonic_decreasing
        assert split["fold"].is_monotonic_increasing
        assert split["fold"].nunique() == min(3, len(split))


@pytest.mark.parametrize(("span", "season"), list(product([0, 1, 97, 98, 800, 5000], [1, 7, 24, 336])))
def test_default_stride_meets_every_phase_of_the_season(span: int, season: int) -> None:
    validation = ValidationSettings(max_origins=50)
    stride = stride_of(span, validation, season)
    assert gcd(stride, season) == 1
    assert span // stride + 1 <= 50


def test_scales_are_seasonal_differences_of_observed_rows() -> None:
    y = np.array([1.0, 5.0, 2.0, 7.0, np.nan, 9.0])
    scale, rmsse_scale = scales(y, ~np.isnan(y), 2)
    assert scale == pytest.approx(np.mean([1, 2, 2]))
    assert rmsse_scale == pytest.approx(np.sqrt(np.mean([1, 4, 4])))


def test_a_purely_seasonal_series_falls_back_to_the_step_before() -> None:
    y = np.tile([1.0, 3.0], 10)
    assert scales(y, np.ones(20, dtype=bool), 2) == (2.0, 2.0)


def test_a_constant_or_short_series_has_no_scale_of_its_own() -> None:
    for y in (np.full(9, 4.0), np.array([4.0])):
        assert np.isnan(scales(y, np.ones(len(y), dtype=bool), 2)).all()


def test_a_series_without_a_scale_gets_the_median_relative_one() -> None:
    tables = [("a", [10.0, 11.0] * 5), ("b", [100.0, 110.0] * 5), ("c", [50.0] * 10), ("d", [0.0] * 10)]
    frame = pd.concat(pd.DataFrame({"unique_id": name, "y": y, "observed": True}) for name, y in tables)
    table = series_scales(frame, 1).set_index("unique_id")
    assert table.loc["c", "scale"] == pytest.approx(50 * np.mean([1 / 10.5, 10 / 105]))
    assert table.loc["a", "scale"] == 1
    assert np.isnan(table.loc["d"]).all()


def test_of_constant_series_alone_none_has_a_scale() -> None:
    frame = pd.DataFrame({"unique_id": ["a"] * 5 + ["b"] * 5, "y": 3.0, "observed": True})
    assert series_scales(frame, 2)[["scale", "rmsse_scale"]].isna().all(axis=None)
