from itertools import product
from math import gcd

import numpy as np
import pandas as pd
import pytest

from kubecast.config.training import DataSettings, ValidationSettings
from kubecast.data.splits import (
    origin_steps,
    plan_splits,
    scales,
    series_scales,
    smallest_lengths,
    stride_of,
)

DATA = DataSettings()


def test_parts_are_shares_of_the_length_counted_back_from_the_end() -> None:
    splits = plan_splits(1000, 10, [24], DATA, ValidationSettings())
    assert (splits.train, splits.validation, splits.test) == (700, 200, 100)


def test_parts_make_room_for_the_horizon_and_the_folds() -> None:
    splits = plan_splits(400, 60, [24], DATA, ValidationSettings(cv_folds=3, origin_stride=10))
    assert (splits.train, splits.validation, splits.test) == (240, 100, 60)


@pytest.mark.parametrize(
    ("horizon", "season", "folds", "stride"), list(product([1, 7, 48], [1, 24, 336], [2, 5], [None, 1, 24]))
)
def test_smallest_length_of_each_rung_is_the_first_that_reaches_it(
    horizon: int, season: int, folds: int, stride: int | None
) -> None:
    validation = ValidationSettings(cv_folds=folds, origin_stride=stride)
    lengths = smallest_lengths(horizon, season, DATA, validation)
    order = list(lengths)
    assert lengths["full"] - 1 >= horizon + season
    for rung, length in lengths.items():
        splits = plan_splits(length, horizon, [season], DATA, validation)
        assert order.index(splits.rung) <= order.index(rung)
        if rung in ("full", "no_test"):
            continue
        shorter = plan_splits(length - 1, horizon, [season], DATA, validation)
        assert order.index(shorter.rung) > order.index(rung) or shorter.season_lengths == [1]


def test_a_split_that_the_settings_ask_for_is_the_one_it_always_was() -> None:
    splits = plan_splits(57, 12, [12], DATA, ValidationSettings())
    assert (splits.rung, splits.train, splits.validation, splits.test) == ("full", 25, 20, 12)
    assert (splits.minimum, splits.folds, splits.season_lengths) == (16, 5, [12])
    assert splits.describe(12) == ""


@pytest.mark.parametrize(("season", "minimum"), [(1, 14), (2, 15), (3, 16), (12, 16)])
def test_a_full_split_needs_fewer_rows_of_a_series_with_hardly_a_season(season: int, minimum: int) -> None:
    assert plan_splits(120, 12, [season], DATA, ValidationSettings()).minimum == minimum
    assert plan_splits(30, 12, [season], DATA, ValidationSettings()).minimum == 16


LADDER = [  # rows of monthly series, horizon 12, no season
    (44, 1, "fewer_origins", (16, 16, 12)),
    (43, 1, "one_fold", (16, 15, 12)),
    (40, 1, "one_fold", (16, 12, 12)),
    (39, 1, "short_leads", (16, 11, 12)),
    (34, 1, "short_leads", (16, 6, 12)),
    (33, 1, "no_validation", (21, 0, 12)),
    (28, 1, "no_validation", (16, 0, 12)),
    (27, 1, "no_test", (27, 0, 0)),
    (9, 1, "no_test", (9, 0, 0)),
]


@pytest.mark.parametrize(("length", "season", "rung", "steps"), LADDER)
def test_each_rung_of_the_ladder_keeps_the_rows_that_a_fit_needs(
    length: int, season: int, rung: str, steps: tuple[int, int, int]
) -> None:
    wide = ValidationSettings(cv_folds=5)
    data = DataSettings(train_ratio=0.4, val_ratio=0.5, test_ratio=0.1)  # a full split wants half of the rows
    splits = plan_splits(length, 12, [season], data, wide)
    assert (splits.rung, (splits.train, splits.validation, splits.test)) == (rung, steps)
    assert splits.minimum == 16
    assert splits.describe(12)


def test_a_wide_stride_is_given_up_before_the_folds_are() -> None:
    validation = ValidationSettings(origin_stride=12)
    rungs = [plan_splits(rows, 6, [1], DATA, validation).rung for rows in (130, 100, 69, 40, 25)]
    assert rungs == ["full", "fewer_origins", "overlapping", "overlapping", "one_fold"]
    splits = plan_splits(40, 6, [1], DATA, validation)
    assert (
        origin_steps(splits, 6, validation)
        .query("split == 'validation'")["back"]
        .diff()
        .dropna()
        .eq(-1)
        .all()
    )


def test_a_season_outlives_the_validation_split_but_not_the_test_split() -> None:
    monthly = plan_splits(39, 12, [12], DATA, ValidationSettings())
    assert (monthly.rung, monthly.train, monthly.season_lengths) == ("no_validation", 27, [12])
    shorter = plan_splits(35, 12, [12], DATA, ValidationSettings())
    assert (shorter.rung, shorter.season_lengths) == ("short_leads", [1])
    shortest = plan_splits(25, 12, [12], DATA, ValidationSettings())
    assert (shortest.rung, shortest.season_lengths) == ("no_test", [12])


def test_the_longer_of_two_seasons_is_given_up_first() -> None:
    validation = ValidationSettings()
    assert plan_splits(90, 12, [24, 168], DATA, validation).season_lengths == [24, 168]  # the full split
    assert plan_splits(68, 12, [24, 168], DATA, validation).season_lengths == [24]
    assert plan_splits(68, 12, [168, 24], DATA, validation).season_lengths == [24]


@pytest.mark.parametrize("length", range(7, 70))
def test_no_validation_target_lies_in_the_test_split(length: int) -> None:
    validation = ValidationSettings()
    splits = plan_splits(length, 6, [1], DATA, validation)
    assert splits.train + splits.validation + splits.test == length
    steps = origin_steps(splits, 6, validation)
    assert set(steps["split"]) == {
        *(["validation"] if splits.is_validated else []),
        *(["test"] if splits.is_evaluated else []),
    }
    origins = steps[steps["split"] == "validation"]
    leads = min(splits.validation, 6)
    assert (origins["back"] - leads >= splits.test).all()
    assert origins["fold"].nunique() == (splits.folds if len(origins) else 0)


@pytest.mark.parametrize(
    ("length", "horizon", "season", "most", "stride"),
    list(product([500, 4032], [1, 24, 48], [1, 24, 48], [2, 10, 100], [None, 1, 24])),
)
def test_origins_never_cross_parts(
    length: int, horizon: int, season: int, most: int, stride: int | None
) -> None:
    validation = ValidationSettings(cv_folds=3, max_origins=most, origin_stride=stride)
    splits = plan_splits(length, horizon, [season], DATA, validation)
    steps = origin_steps(splits, horizon, validation)
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
    scale, rmsse_scale = scales(y, ~np.isnan(y), 2, fewest=1)
    assert scale == pytest.approx(np.mean([1, 2, 2]))
    assert rmsse_scale == pytest.approx(np.sqrt(np.mean([1, 4, 4])))


def test_a_season_without_two_cycles_makes_no_scale() -> None:
    y = np.arange(20.0)
    assert scales(y, np.ones(20, dtype=bool), 10)[0] == 10.0
    assert scales(y[:19], np.ones(19, dtype=bool), 10)[0] == 1.0


def test_fewer_than_five_differences_make_no_scale_beside_series_that_have_one() -> None:
    tables = [("a", [10.0, 11.0] * 5), ("b", [100.0, 140.0, 100.0, 140.0, 100.0])]
    frame = pd.concat(pd.DataFrame({"unique_id": name, "y": y, "observed": True}) for name, y in tables)
    table = series_scales(frame, 1).set_index("unique_id")
    assert table.loc["b", "scale"] == pytest.approx(116 * 1 / 10.5)
    alone = series_scales(frame[frame["unique_id"] == "b"], 1)
    assert alone["scale"].tolist() == [40.0]


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
