from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import special

from kubecast.data.levels import ScaleLevels
from kubecast.data.origins import split_targets
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.sample import generate_series
from kubecast.ensemble.short_history import (
    ORIGINS,
    Substitute,
    naive_quantiles,
    substitute_quantiles,
    training_scores,
)
from kubecast.ensemble.stacking import UNCALIBRATED, UNVALIDATED
from kubecast.ensemble.summary import summarise
from kubecast.scoring.conformal import ConformalQuantiles
from kubecast.scoring.metrics import ENSEMBLE
from kubecast.scoring.score_counts import ScoreCounts
from tests.support.forecasts import forecasts, scales, stack_table, stack_whole
from tests.unit.ensemble.stacks import GREEDY, KINDS

LEVELS = GREEDY.quantiles
SCORES = ScoreCounts.of(np.tile(np.arange(1, 6), 20), np.linspace(-7, 7, 100))
FITTED = ConformalQuantiles.fit(SCORES, LEVELS, horizon=5)
SHORT = Substitute(FITTED, FITTED)


def offsets(panel: Panel) -> NDArray[np.float64]:
    return np.asarray(naive_quantiles(panel.spec, [panel], LEVELS).offsets)


def monthly(rows: int, season: int = 12) -> pd.DataFrame:
    ds = pd.date_range("2020-01-01", periods=rows, freq="MS")
    y = 10 * np.sin(2 * np.pi * np.arange(rows) / season) + np.arange(rows)
    return pd.DataFrame({"unique_id": "a", "ds": ds, "y": y})


@pytest.mark.parametrize(("series", "rows", "lacking"), [(1, 400, False), (1, 40, True), (9, 40, False)])
def test_few_series_of_a_full_split_need_a_substitute_where_they_are_short(
    make_panel: Callable[..., Panel], series: int, rows: int, lacking: bool
) -> None:
    panel = make_panel(generate_series(series, rows), season_lengths=[1])
    assert panel.spec.splits.is_full
    assert (substitute_quantiles(panel.spec, [panel], LEVELS) is not None) == lacking


def test_widths_of_a_single_series_are_the_naive_forecasts_own(make_panel: Callable[..., Panel]) -> None:
    steps = np.random.default_rng(3).choice([-2.0, 2.0], 23)
    ds = pd.date_range("2000-01-01", periods=24, freq="YS")
    rows = pd.DataFrame({"unique_id": "a", "ds": ds, "y": 50 + np.cumsum(np.append(0.0, steps))})
    panel = make_panel(rows, frequency="YS", season_lengths=[1])
    substitute = substitute_quantiles(panel.spec, [panel], LEVELS)
    assert substitute is not None
    assert substitute.validation.counts == [panel.row_index(panel.train_end)[0]] * 6
    quantiles = substitute.published
    assert panel.series["scale"].item() == 2.0  # so that a change is one unit
    assert quantiles.counts == [17] * 6
    student = 1.333379  # the upper decile of t with 17 degrees of freedom
    offsets = np.asarray(quantiles.offsets)
    np.testing.assert_allclose(offsets[:, -1], student * np.sqrt(np.arange(1, 7)), 1e-5)
    np.testing.assert_allclose(offsets[:, 1], 0.0, atol=1e-12)


def test_widths_of_a_season_grow_by_the_cycle(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(monthly(39), horizon=12, frequency="MS", season_lengths=[12])
    quantiles = naive_quantiles(panel.spec, [panel], LEVELS)
    assert quantiles.counts == [15] * 12
    assert len({row[0] for row in quantiles.offsets}) == 1


def test_widths_of_a_single_series_see_no_row_of_the_test_split(make_panel: Callable[..., Panel]) -> None:
    rows = monthly(30)
    settings = {"horizon": 6, "frequency": "MS", "season_lengths": [1]}
    panel = make_panel(rows, **settings)
    late = rows["ds"] > panel.series["validation_end"].item()
    assert late.sum() == 6
    changed = make_panel(rows.assign(y=rows["y"].where(~late, 1e6)), **settings)
    assert naive_quantiles(panel.spec, [panel], LEVELS) == naive_quantiles(changed.spec, [changed], LEVELS)


def noisy(rows: int, season: int, frequency: str, name: str = "a") -> pd.DataFrame:
    values = 100 + 10 * np.sin(2 * np.pi * np.arange(rows) / season)
    y = values + np.random.default_rng(7).normal(size=rows)
    ds = pd.date_range("2012-01-01", periods=rows, freq=frequency)
    return pd.DataFrame({"unique_id": name, "ds": ds, "y": y})


def test_series_without_validation_errors_are_not_counted(make_panel: Callable[..., Panel]) -> None:
    settings = {"horizon": 12, "frequency": "MS", "season_lengths": [12]}
    ends = {**{f"long{number}": 90 for number in range(4)}, **{f"short{number}": 20 for number in range(9)}}
    rows = pd.concat(noisy(90, 12, "MS", name).tail(length) for name, length in ends.items())
    both = make_panel(rows, **settings)
    alone = make_panel(rows[rows["unique_id"].str.startswith("long")], **settings)
    assert both.spec.splits.is_full
    assert alone.spec.splits == both.spec.splits
    substitutes = [substitute_quantiles(panel.spec, [panel], LEVELS) for panel in (both, alone)]
    assert None not in substitutes
    assert substitutes[0].validation == substitutes[1].validation  # type: ignore[union-attr]


def test_one_bad_reading_does_not_set_the_widths(make_panel: Callable[..., Panel]) -> None:
    settings = {"horizon": 6, "frequency": "MS", "season_lengths": [12]}
    rows = noisy(72, 12, "MS")
    bad = rows.assign(y=rows["y"].where(np.arange(72) != 30, rows["y"] + 200))
    panel = make_panel(rows, **settings)
    altered = make_panel(bad, **settings)
    altered = replace(altered, series=panel.series)  # in the same units
    usual, wide = (
        np.asarray(naive_quantiles(each.spec, [each], LEVELS).offsets) for each in (panel, altered)
    )
    assert 1.0 < (wide[:, -1] / usual[:, -1]).max() < 1.3


def test_widths_of_normal_changes_are_those_of_their_mean_square(make_panel: Callable[..., Panel]) -> None:
    ds, random = pd.date_range("1970-01-01", periods=40, freq="YS"), np.random.default_rng(5)
    rows = pd.concat(
        pd.DataFrame({"unique_id": name, "ds": ds, "y": 50 + random.normal(size=40).cumsum()})
        for name in "abcd"
    )
    panel = make_panel(rows, frequency="YS", season_lengths=[1])
    before = panel.history(Cutoffs.from_frame(panel.series, "validation_end")).merge(panel.series)
    changes = (before["y"] / before["scale"]).groupby(before["unique_id"], observed=True).diff().dropna()
    expected = special.stdtrit(len(changes), 0.9) * np.sqrt(np.mean(changes**2))
    assert 0.97 < naive_quantiles(panel.spec, [panel], [0.1, 0.9]).offsets[0][1] / expected < 1 + 1e-9


def test_widths_of_changes_that_are_mostly_nothing_are_not_nothing(make_panel: Callable[..., Panel]) -> None:
    y = np.where(np.arange(40) % 9 == 4, 5.0, 1.0)
    ds = pd.date_range("1970-01-01", periods=40, freq="YS")
    panel = make_panel(pd.DataFrame({"unique_id": "a", "ds": ds, "y": y}), frequency="YS", season_lengths=[1])
    assert naive_quantiles(panel.spec, [panel], LEVELS).offsets[0][-1] > 1


@pytest.mark.parametrize(("factor", "added"), [(3.0, 0.0), (1.0, 300.0)])
def test_level_shift_does_not_widen_the_widths(
    make_panel: Callable[..., Panel], factor: float, added: float
) -> None:
    settings = {"horizon": 14, "frequency": "D", "season_lengths": [7]}
    rows = noisy(110, 7, "D")
    y = rows["y"] - (150 if added else 0)
    plain = make_panel(rows.assign(y=y), **settings)
    panel = make_panel(rows.assign(y=y.where(np.arange(110) < 55, y * factor + added)), **settings)
    levels = ScaleLevels.find(panel)
    assert list(levels.ratios) == ["a"]
    usual, widths = (
        np.asarray(naive_quantiles(each.spec, [each], LEVELS).offsets)[:, -1] for each in (plain, panel)
    )
    usual = usual * plain.series["scale"].item()
    widths = widths * panel.series["scale"].item() / levels.ratios["a"]
    np.testing.assert_allclose(widths, usual, rtol=0.1)


@pytest.mark.slow
def test_last_validation_targets_do_not_change_widths_of_the_validation_split(
    make_panel: Callable[..., Panel],
) -> None:
    settings = {"horizon": 12, "frequency": "MS", "season_lengths": [12]}
    rows, results = noisy(72, 12, "MS"), []
    end = make_panel(rows, **settings).series["validation_end"].item()
    for y in (rows["y"], rows["y"].where(rows["ds"] != end, rows["y"] + 5)):
        panel = make_panel(rows.assign(y=y), **settings)
        table = split_targets(panel).assign(**{name: 100.0 + at for at, name in enumerate(KINDS)})
        substitute = substitute_quantiles(panel.spec, [panel], LEVELS)
        _, result = stack_whole(table, panel.series, GREEDY, KINDS, {}, 12, substitute)
        offsets = result["q0.9"] - result[ENSEMBLE]
        results.append(offsets.groupby([result["split"], result["cutoff"]]).max())
    plain, altered = results
    pd.testing.assert_series_equal(altered["validation"], plain["validation"])
    assert (altered["test"] != plain["test"]).all()


def test_training_scores_are_the_seasonal_naives_with_both_signs(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(monthly(39), horizon=12, frequency="MS", season_lengths=[12])
    assert panel.spec.splits.rung == "no_validation"
    scores = training_scores(panel, ORIGINS)
    scale = panel.series["scale"].item()
    assert scale == pytest.approx(12)  # a trend of 1 a month
    assert set(scores["score"].round(6)) == {1.0, -1.0}
    assert set(scores["lead_time"]) == set(range(1, 13))
    # Origins are rows 11 to 25 of 27: each has as many targets as training rows after it, at most 12.
    assert len(scores) == 2 * sum(min(26 - row, 12) for row in range(11, 26))


def test_training_scores_see_no_row_after_the_training_split(make_panel: Callable[..., Panel]) -> None:
    rows = monthly(39)
    settings = {"horizon": 12, "frequency": "MS", "season_lengths": [12]}
    panel = make_panel(rows, **settings)
    late = rows["ds"] > panel.series["train_end"].item()
    changed = make_panel(rows.assign(y=rows["y"].where(~late, 1e6)), **settings)
    pd.testing.assert_frame_equal(training_scores(panel, ORIGINS), training_scores(changed, ORIGINS))


def test_without_a_validation_split_weights_are_equal_and_widths_those_of_training_rows() -> None:
    table = forecasts({"a": 1.0, "b": 2.0, "c": 3.0}, splits=["test"])
    recipe, result = stack_whole(table, scales(table), GREEDY, KINDS, {}, 24, SHORT)
    assert (recipe.method, recipe.best_member, recipe.loss) == ("equal", None, None)
    assert list(recipe.weights.values()) == pytest.approx([1 / 3] * 3)
    assert recipe.notes == [UNVALIDATED, UNCALIBRATED]
    assert not recipe.calibrated
    assert recipe.quantiles == recipe.evaluated_quantiles
    width = (result["q0.9"] - result["q0.1"]) / result["unique_id"].str[1:].astype(float)
    assert width.min() > 10
    summary = summarise(recipe)
    assert summary.figures() == {f"weight_{name}": 1 / 3 for name in KINDS}
    assert not summary.calibrated


def test_without_any_split_there_is_a_recipe_and_no_forecast() -> None:
    table = forecasts({"a": 1.0, "b": 2.0, "c": 3.0}, splits=["test"])
    recipe, result = stack_whole(table.iloc[:0], scales(table), GREEDY, KINDS, {}, 24, SHORT)
    assert len(recipe.quantiles.offsets) == 5
    assert result.empty
    assert ENSEMBLE in result


@pytest.mark.parametrize(("series", "calibrated"), [(8, False), (9, True)])
def test_widths_are_calibrated_from_as_many_series_as_the_outermost_level_needs(
    series: int, calibrated: bool
) -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, series=series, folds=1)
    recipe, result = stack_whole(table, scales(table), GREEDY, KINDS, {}, 24, SHORT)
    assert recipe.calibrated == calibrated
    assert (UNCALIBRATED in recipe.notes) != calibrated
    assert recipe.loss is not None
    rows = result[result["split"] == "test"]
    width = (rows["q0.9"] - rows["q0.1"]) / rows["unique_id"].str[1:].astype(float)
    assert (width.max() < 4) == calibrated


def test_published_widths_of_a_short_history_do_not_see_the_test_split() -> None:
    table = forecasts({"a": 1.0, "b": 1.0, "c": 1.0}, series=10, folds=1)
    is_validation = table["split"] == "validation"
    altered = table.assign(y=table["y"].where(is_validation, 0.0))
    endless = table.assign(a=table["a"].where(is_validation, np.inf))
    recipes = [
        stack_table(each, scales(table), GREEDY, KINDS, {}, 24, SHORT)[0]
        for each in (table, altered, endless)
    ]
    assert recipes[0] == recipes[1] == recipes[2]
