import pandas as pd
import pytest

from kubecast.ensemble.weights import MAX_ROWS, fit_weights
from kubecast.errors import ConfigError
from tests.support.forecasts import forecasts, scales
from tests.unit.ensemble.stacks import mixture


@pytest.mark.parametrize("method", ["greedy", "nnls"])
def test_known_mixture_is_found(method: str) -> None:
    table = mixture(noise=0.1)
    weights = fit_weights(table, scales(table), ["a", "b", "c"], method, rounds=50)
    assert weights["a"] == pytest.approx(0.7, abs=0.03)
    assert weights["b"] == pytest.approx(0.3, abs=0.03)


def test_ols_finds_weights_beyond_convexity_for_one_series() -> None:
    table = mixture(series=1)
    table["y"] = 1.5 * table["a"] - 0.5 * table["b"]
    weights = fit_weights(table, scales(table), ["a", "b"], "ols")
    assert weights == pytest.approx({"a": 1.5, "b": -0.5})


def test_ols_with_several_series_is_refused() -> None:
    table = mixture()
    with pytest.raises(ConfigError, match=r"ols with 3 series; allowed: one series"):
        fit_weights(table, scales(table), ["a", "b"], "ols")


def test_equal_weights() -> None:
    table = mixture()
    assert fit_weights(table, scales(table), ["a", "b"], "equal") == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("method", ["greedy", "nnls"])
@pytest.mark.parametrize("seed", range(3))
def test_weights_are_convex(method: str, seed: int) -> None:
    table = forecasts({"a": 1.0, "b": 0.8, "c": 2.0, "d": 0.9}, seed=seed)
    weights = fit_weights(table, scales(table), ["a", "b", "c", "d"], method, rounds=20)
    assert min(weights.values()) >= 0
    assert sum(weights.values()) == pytest.approx(1)


def test_greedy_weighs_each_series_the_same() -> None:
    many = forecasts({"a": 0.0, "b": 1.0}, series=1, origins=60)
    few = forecasts({"a": 1.0, "b": 0.0}, series=2, origins=2).query("unique_id == 's2'")
    few = few.assign(a=few["y"] + 6.0)
    both = pd.concat([many, few], ignore_index=True)
    assert fit_weights(both, scales(both), ["a", "b"])["b"] == 1.0


def test_perfect_member_takes_all_weight() -> None:
    table = forecasts({"a": 0.0, "b": 1.0})
    assert fit_weights(table, scales(table), ["b", "a"]) == {"b": 0.0, "a": 1.0}


@pytest.mark.parametrize("method", ["greedy", "nnls"])
def test_nothing_scored_gives_equal_weights(method: str) -> None:
    table = forecasts({"a": 0.0, "b": 1.0}).assign(observed=False)
    assert fit_weights(table, scales(table), ["a", "b"], method) == {"a": 0.5, "b": 0.5}


def test_nnls_without_a_positive_weight_falls_back_to_equal() -> None:
    table = forecasts({"a": 0.0, "b": 0.0})
    table = table.assign(a=-table["y"], b=-table["y"])
    assert fit_weights(table, scales(table), ["a", "b"], "nnls") == {"a": 0.5, "b": 0.5}


def test_large_tables_are_thinned_without_losing_the_mixture() -> None:
    table = pd.concat([mixture(noise=0.1)] * (MAX_ROWS // 800), ignore_index=True)
    assert len(table) > MAX_ROWS
    assert fit_weights(table, scales(table), ["a", "b", "c"], rounds=20)["a"] == pytest.approx(0.7, abs=0.06)
