from typing import get_args

import numpy as np
import pandas as pd
import pytest
from utilsforecast import losses

from kubecast.config.training import ScoringMetric
from kubecast.scoring import metrics
from kubecast.scoring.metrics import (
    METRICS,
    RANKING,
    Groups,
    count_points,
    intervals,
    lead_times,
    quantile_column,
    scorable,
    series_metrics,
)
from kubecast.scoring.over_series import OverSeries

HOURS = pd.date_range("2025-01-01", periods=3, freq="h")


def table(**columns: object) -> pd.DataFrame:
    """Two series, one origin each, two steps: targets 10, 20 and 2, 4."""
    base = {
        "unique_id": ["a", "a", "b", "b"],
        "cutoff": HOURS[0],
        "ds": [HOURS[1], HOURS[2]] * 2,
        "split": "test",
        "fold": 0,
        "y": [10.0, 20.0, 2.0, 4.0],
        "observed": True,
        "model": [11.0, 18.0, 2.0, 5.0],
    }
    return pd.DataFrame({**base, **columns})


def series(scale_b: float = 0.5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "unique_id": ["a", "b"],
            "scale": [3.0, scale_b],
            "rmsse_scale": [5.0, 1.0],
            "train_mean": [10.0, 3.0],
        }
    )


def figures(rows: pd.DataFrame, scales: pd.DataFrame, unique_id: str = "a") -> dict[str, float]:
    result = series_metrics(rows, scales, ["model"])
    return {name: float(frame.loc[("test", unique_id), "model"]) for name, frame in result.items()}


def test_point_metrics_of_one_series() -> None:
    result = figures(table(), series())
    assert result["mae"] == pytest.approx(1.5)
    assert result["mse"] == pytest.approx(2.5)
    assert result["rmse"] == pytest.approx(2.5**0.5)
    assert result["mase"] == pytest.approx(0.5)
    assert result["rmsse"] == pytest.approx(2.5**0.5 / 5)
    assert result["wape"] == pytest.approx(3 / 30)
    assert result["smape"] == pytest.approx((2 / 21 + 4 / 38) / 2)
    assert result["r2"] == pytest.approx(1 - 2.5 / 50)


def test_overall_weighs_series_the_same_whatever_their_rows() -> None:
    rows = pd.concat([table(), table(cutoff=HOURS[1]).query("unique_id == 'a'")], ignore_index=True)
    result = OverSeries.of(series_metrics(rows, series(), ["model"]), ["split"]).tables()
    assert result["mase"].loc["test", "model"] == pytest.approx((0.5 + 1.0) / 2)


def test_r2_overall_is_the_median_of_the_series() -> None:
    rows = pd.concat([table(), table(unique_id=["c", "c", "d", "d"], model=[1e6, -1e6, 2.0, 4.0])])
    scales = pd.concat([series(), series().assign(unique_id=["c", "d"])])
    result = series_metrics(rows.query("unique_id != 'd'"), scales, ["model"])
    assert OverSeries.of(result, ["split"]).tables()["r2"].loc["test", "model"] == pytest.approx(
        result["r2"]["model"].median()
    )


def test_unobserved_target_is_skipped_and_counted() -> None:
    rows = table(observed=[True, False, True, True], y=[10.0, np.nan, 2.0, 4.0])
    assert figures(rows, series())["mae"] == pytest.approx(1.0)
    counts = count_points(Groups.of(rows, ["split"]), scorable(rows, series()))
    assert counts.loc["test"].to_dict() == {"scored": 3, "skipped": 1}


def test_filled_value_of_an_unobserved_target_is_not_scored() -> None:
    rows = table(observed=[True, False, True, True], y=[10.0, 1e9, 2.0, 4.0])
    assert figures(rows, series())["mae"] == pytest.approx(1.0)


@pytest.mark.parametrize("scale", [np.nan, 0.0, np.inf])
def test_series_without_a_scale_is_left_out_and_counted(scale: float) -> None:
    result = series_metrics(table(), series(scale_b=scale), ["model"])
    assert list(result["mase"].index.get_level_values("unique_id")) == ["a"]
    groups = Groups.of(table(), ["split", "unique_id"])
    counts = count_points(groups, scorable(table(), series(scale_b=scale)))
    assert counts.loc[("test", "b")].to_dict() == {"scored": 0, "skipped": 2}


def test_zero_targets_have_no_percentage_and_no_infinity() -> None:
    rows = table(y=0.0, ensemble=[1.0, 2.0, 0.0, 0.0], **{"q0.5": 1.0})
    result = series_metrics(rows, series(), ["model", "ensemble"], levels=[0.5])
    assert result["wape"]["model"].isna().all()
    assert result["wql"]["ensemble"].isna().all()
    assert not any(np.isinf(frame.to_numpy()).any() for frame in result.values())


def test_r2_of_a_series_that_stays_at_its_training_mean_is_undefined() -> None:
    assert np.isnan(figures(table(y=[10.0, 10.0, 2.0, 4.0]), series())["r2"])


def test_r2_without_training_means_is_undefined() -> None:
    assert np.isnan(figures(table(), series().drop(columns="train_mean"))["r2"])


def test_quantile_metrics() -> None:
    rows = table(ensemble=10.0, **{"q0.1": [9.0, 21.0, 1.0, 1.0], "q0.9": [11.0, 22.0, 3.0, 3.0]})
    result = series_metrics(rows, series(), ["model", "ensemble"], levels=[0.1, 0.9])
    assert result["coverage_80"]["ensemble"].tolist() == [0.5, 0.5]
    low = (0.1 * 1 + 0.9 * 1) / 2
    high = (0.1 * 1 + 0.1 * 2) / 2
    assert result["wql"].loc[("test", "a"), "ensemble"] == pytest.approx(2 * (low + high) / 2 / 15)


def test_intervals_pair_symmetric_levels_widest_first() -> None:
    assert intervals([0.025, 0.1, 0.5, 0.9, 0.975]) == {"95": (0.025, 0.975), "80": (0.1, 0.9)}
    assert intervals([0.1, 0.5]) == {}


def test_by_lead_time() -> None:
    rows = table().assign(lead_time=lead_times)
    result = OverSeries.of(
        series_metrics(rows, series(), ["model"], by="lead_time"), ["split", "lead_time"]
    ).tables()
    assert result["mae"]["model"].tolist() == [0.5, 1.5]


def test_quantile_columns_are_named_by_level() -> None:
    assert [quantile_column(level) for level in (0.1, 0.05, 0.975)] == ["q0.1", "q0.05", "q0.975"]


def test_metrics_do_not_depend_on_how_many_rows_are_scored_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(ensemble=10.0, **{"q0.1": 9.0, "q0.9": 11.0})
    rows = pd.concat([rows, rows.assign(split="validation")]).iloc[::-1]
    expected = series_metrics(rows, series(), ["model", "ensemble"], by="fold", levels=[0.1, 0.9])
    monkeypatch.setattr(metrics, "CHUNK_ROWS", 1)
    result = series_metrics(rows, series(), ["model", "ensemble"], by="fold", levels=[0.1, 0.9])
    assert result.keys() == expected.keys()
    for name, frame in result.items():
        pd.testing.assert_frame_equal(frame, expected[name])


def test_settings_allow_the_names_of_the_metrics_but_the_ranking_one() -> None:
    assert [*get_args(ScoringMetric)] == [name for name in METRICS if name != RANKING]


def test_point_metrics_and_coverage_are_those_of_utilsforecast() -> None:
    random = np.random.default_rng(3)
    rows = pd.concat([table(cutoff=HOURS[at % 3], ds=HOURS[0]) for at in range(50)], ignore_index=True)
    rows = rows.assign(y=random.integers(-3, 3, len(rows)), fold=random.integers(0, 3, len(rows)))
    rows["ensemble"], rows["model"] = rows["y"] * 0.5, random.normal(size=len(rows)).round(1)
    rows["q0.1"], rows["q0.9"] = rows["model"] - 1, rows["model"] + 1
    rows.loc[::7, "ensemble"] = 0.0
    models = ["model", "ensemble"]
    result = series_metrics(rows.astype({"y": float}), series(), models, by="fold", levels=[0.1, 0.9])
    grouped = rows.assign(group=rows["unique_id"] + rows["fold"].astype(str)).drop(columns="cutoff")
    for name, loss, factor in (
        ("mae", losses.mae, 1),
        ("mse", losses.mse, 1),
        ("wape", losses.nd, 1),
        ("smape", losses.smape, 2),
    ):
        expected = factor * loss(grouped, models=models, id_col="group").set_index("group")
        np.testing.assert_allclose(result[name], expected.sort_index(), rtol=1e-12)
    bounds = grouped.rename(columns={"q0.1": "ensemble-lo-80", "q0.9": "ensemble-hi-80"})
    inside = losses.coverage(bounds, models=["ensemble"], level=80, id_col="group").set_index("group")
    np.testing.assert_allclose(result["coverage_80"], inside.sort_index(), rtol=1e-12)
