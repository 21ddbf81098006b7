import numpy as np
import pandas as pd
import pytest

from kubecast.errors import ConfigError, ModelError
from kubecast.scoring.conformal import ConformalQuantiles, conformal_scores, needed_scores
from kubecast.scoring.score_counts import ScoreCounts
from tests.support.forecasts import forecasts, scales

NINE = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def scores(values: dict[int, list[float]]) -> ScoreCounts:
    leads = np.repeat(np.array([*values], dtype=np.int64), [len(each) for each in values.values()])
    return ScoreCounts.of(leads, np.concatenate([np.array([]), *values.values()]))


def test_quantiles_are_the_order_statistics_of_n_plus_one() -> None:
    fitted = ConformalQuantiles.fit(scores({1: [float(v) for v in range(1, 10)]}), NINE, horizon=1)
    np.testing.assert_allclose(fitted.offsets, [[1, 2, 3, 4, 5, 6, 7, 8, 9]])
    assert fitted.counts == [9]


@pytest.mark.parametrize(
    ("levels", "count"), [([0.1, 0.9], 9), ([0.5], 1), ([0.05, 0.5], 19), ([0.2, 0.975], 39)]
)
def test_needed_scores_follow_from_the_outermost_level(levels: list[float], count: int) -> None:
    assert needed_scores(levels) == count


def test_neighbours_are_pooled_until_the_outermost_level_is_supported() -> None:
    values = {lead: [10.0 * lead] * 4 for lead in (1, 2, 3, 4)} | {5: [50.0] * 9}
    fitted = ConformalQuantiles.fit(scores(values), [0.1, 0.9], horizon=5)
    assert fitted.counts == [12, 12, 12, 17, 9]
    assert fitted.offsets[4] == [50.0, 50.0]
    assert fitted.offsets[1] == [10.0, 30.0]


def test_lead_time_without_scores_takes_its_neighbours() -> None:
    fitted = ConformalQuantiles.fit(scores({1: [1.0] * 9}), [0.1, 0.9], horizon=3)
    assert fitted.offsets == [[1.0, 1.0]] * 3


def test_too_few_scores_give_the_extremes() -> None:
    fitted = ConformalQuantiles.fit(scores({1: [-2.0], 2: [3.0]}), [0.1, 0.9], horizon=2)
    assert fitted.offsets == [[-2.0, 3.0]] * 2
    assert fitted.counts == [2, 2]


@pytest.mark.parametrize(
    ("values", "horizon"), [({}, 2), ({}, 0), ({3: [1.0]}, 2)], ids=["none", "no step", "beyond the horizon"]
)
def test_no_score_is_refused(values: dict[int, list[float]], horizon: int) -> None:
    with pytest.raises(ModelError, match="no forecast error"):
        ConformalQuantiles.fit(scores(values), NINE, horizon)


def test_applied_quantiles_scale_with_the_series_and_never_cross() -> None:
    fitted = ConformalQuantiles.fit(
        scores({1: [-1.0, 0.0, 4.0] * 3, 2: [-2.0, 0.0, 8.0] * 3}), NINE, horizon=2
    )
    points = pd.DataFrame(
        {
            "unique_id": ["a", "a", "b", "b"],
            "cutoff": pd.Timestamp("2025-01-01"),
            "ds": pd.date_range("2025-01-01T01", periods=2, freq="h").tolist() * 2,
            "yhat": [10.0, 10.0, 100.0, 100.0],
        }
    )
    result = fitted.apply(points, {"a": 1.0, "b": 10.0})
    assert list(result.columns) == [*points.columns, *fitted.columns]
    np.testing.assert_allclose(result["q0.1"], [9.0, 8.0, 90.0, 80.0])
    np.testing.assert_allclose(result["q0.9"], [14.0, 18.0, 140.0, 180.0])
    assert (np.diff(result[fitted.columns].to_numpy(), axis=1) >= 0).all()


def test_series_without_a_scale_gets_its_point() -> None:
    fitted = ConformalQuantiles.fit(scores({1: [-1.0, 1.0] * 5}), [0.1, 0.9], horizon=1)
    points = pd.DataFrame(
        {"unique_id": ["a", "b"], "cutoff": pd.Timestamp(0), "ds": pd.Timestamp(1), "yhat": [7.0, 8.0]}
    )
    result = fitted.apply(points, {"a": None})
    assert result["q0.9"].tolist() == [7.0, 8.0]


def test_longer_horizon_than_fitted_is_refused() -> None:
    fitted = ConformalQuantiles.fit(scores({1: [0.0]}), [0.5], horizon=1)
    points = pd.DataFrame(
        {"unique_id": "a", "cutoff": pd.Timestamp(0), "ds": [pd.Timestamp(1), pd.Timestamp(2)], "yhat": 1.0}
    )
    with pytest.raises(ConfigError, match="horizon 2 is longer"):
        fitted.apply(points, {"a": 1.0})


def test_scores_are_errors_in_units_of_the_scale_where_observed() -> None:
    table = forecasts({"m": 0.0}, series=2, folds=1, origins=1, horizon=3, splits=["validation"])
    table["m"] = table["y"] - np.array([1.0, 2.0, 3.0, 2.0, 4.0, 6.0])
    table.loc[1, ["y", "observed"]] = [np.nan, False]
    result = conformal_scores(table, scales(table), "m")
    np.testing.assert_allclose(result["score"], [1.0, 3.0, 1.0, 2.0, 3.0])
    assert result["lead_time"].tolist() == [1, 3, 1, 2, 3]


def test_scores_and_widths_are_in_units_of_the_present_level() -> None:
    table = forecasts({"m": 0.0}, series=1, folds=1, origins=1, horizon=3, splits=["validation"])
    table = table.assign(m=table["y"] - 6.0, level_ratio=[2.0, 2.0, 3.0])
    assert conformal_scores(table, scales(table), "m")["score"].tolist() == pytest.approx([3, 3, 2])
    fitted = ConformalQuantiles.fit(scores({1: [-1.0, 1.0] * 5}), [0.1, 0.9], horizon=3)
    result = fitted.apply(table, {"s1": 10.0}, "m")
    np.testing.assert_allclose(result["q0.9"] - result["m"], [20.0, 20.0, 30.0])


def test_survives_json() -> None:
    fitted = ConformalQuantiles.fit(scores({1: [0.1, 0.2, 0.3]}), NINE, horizon=1)
    assert ConformalQuantiles.model_validate_json(fitted.model_dump_json()) == fitted


@pytest.mark.slow
@pytest.mark.parametrize("count", [9, 20, 100])
def test_coverage_in_simulation_is_nominal(count: int) -> None:
    random = np.random.default_rng(1)
    inside = []
    for _ in range(400):
        fitted = ConformalQuantiles.fit(
            scores({1: random.gumbel(size=count).tolist()}), [0.1, 0.9], horizon=1
        )
        low, high = fitted.offsets[0]
        fresh = random.gumbel(size=100)
        inside.append(np.mean((fresh >= low) & (fresh <= high)))
    assert np.mean(inside) == pytest.approx(0.8, abs=0.02)
