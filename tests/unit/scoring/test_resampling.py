"""Resamples of a grid of losses: what they draw, and what they make of it."""

import numpy as np
import pandas as pd
import pytest

from kubecast.scoring.loss_grid import LossGrid, Means
from kubecast.scoring.resampling import RESAMPLES, Interval, Resamples

Cells = np.ndarray


def grid_of(
    cells: dict[str, Cells], same_dates: bool = True, overlap: int = 1, groups: Cells | None = None
) -> LossGrid:
    first = next(iter(cells.values()))
    codes = np.arange(len(first)) if groups is None else groups
    return LossGrid(cells, np.ones_like(first), codes, overlap, same_dates)


def interval_of(grid: LossGrid, model: str = "a") -> Interval:
    interval = Resamples.draw(grid).interval(lambda means: means[model])
    assert interval is not None
    return interval


def width(interval: Interval) -> float:
    return interval.high - interval.low


@pytest.fixture(scope="module")
def cells() -> Cells:
    return np.random.default_rng(0).normal(1.0, 0.2, size=(30, 12))


def test_draws_are_the_same_each_time(cells: Cells) -> None:
    assert interval_of(grid_of({"a": cells})) == interval_of(grid_of({"a": cells}))


def test_width_is_that_of_the_standard_error(cells: Cells) -> None:
    series = cells + np.random.default_rng(1).normal(0, 1, size=(30, 1))
    interval = interval_of(grid_of({"a": series}, same_dates=False))
    assert width(interval) == pytest.approx(2 * 2.05 * series.mean(axis=1).std(ddof=1) / 30**0.5, rel=0.15)


def test_what_all_series_share_on_a_date_widens_an_interval(cells: Cells) -> None:
    shared = cells + np.random.default_rng(2).normal(0, 1, size=(1, 12))
    assert width(interval_of(grid_of({"a": shared}))) > 5 * width(interval_of(grid_of({"a": shared}, False)))


def test_few_dates_have_the_wide_tails_of_student(cells: Cells) -> None:
    shared = np.random.default_rng(3).normal(0, 1, size=(1, 3)) + np.zeros((30, 3))
    error = shared[0].std(ddof=1) / 3**0.5
    assert width(interval_of(grid_of({"a": shared}))) > 2 * 2.5 * error


def test_series_of_one_group_are_drawn_together(cells: Cells) -> None:
    groups = np.repeat(np.arange(6), 5)
    shared = cells + np.random.default_rng(4).normal(0, 1, size=6)[groups][:, None]
    alone, together = (grid_of({"a": shared}, False, groups=each) for each in (None, groups))
    assert width(interval_of(together)) > 1.7 * width(interval_of(alone))


def test_origins_that_share_targets_are_drawn_in_blocks_of_a_horizon(cells: Cells) -> None:
    steps = np.repeat(np.random.default_rng(5).normal(0, 1, size=(1, 6)), 4, axis=1) + np.zeros((2, 24))
    overlapping, disjoint = grid_of({"a": steps}, overlap=4), grid_of({"a": steps})
    assert width(interval_of(overlapping)) > 1.7 * width(interval_of(disjoint))


def test_difference_of_what_is_alike_is_narrow(cells: Cells) -> None:
    grid = grid_of({"a": cells, "b": cells + 0.01})
    difference = Resamples.draw(grid).interval(lambda means: means["b"] - means["a"])
    assert difference is not None
    assert width(difference) < 1e-9
    assert width(interval_of(grid)) > 0.01


def test_best_of_several_is_chosen_again_in_each_resample(cells: Cells) -> None:
    random = np.random.default_rng(6)
    naives = {name: random.normal(1.0, 1.0, size=(30, 12)) for name in "bcd"}
    drawn = Resamples.draw(grid_of(naives))
    chosen = min(naives, key=lambda name: float(drawn.means[name]))

    def best(means: Means) -> Cells:
        return np.asarray(np.min([means[name] for name in naives], axis=0))

    again, once = drawn.interval(best), drawn.interval(lambda means: means[chosen])
    assert again is not None
    assert once is not None
    assert again.high < once.high
    assert again.low <= once.low


def test_series_without_a_row_in_a_block_is_not_in_its_mean() -> None:
    sums = np.array([[1.0, 0.0, 1.0], [2.0, 2.0, 2.0]])
    grid = LossGrid({"a": sums}, np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]]), np.arange(2), 1, True)
    drawn = Resamples.draw(grid)
    assert drawn.over_series is None
    assert drawn.over_dates is not None
    assert set(np.round(drawn.over_dates.means["a"], 9)) == {1.5, 2.0}
    assert len(drawn.over_dates.means["a"]) == RESAMPLES


@pytest.mark.parametrize(("series", "origins"), [(3, 1), (0, 0), (1, 1)])
def test_too_little_to_draw_from_has_no_interval(series: int, origins: int) -> None:
    drawn = Resamples.draw(grid_of({"a": np.ones((series, origins))}))
    assert drawn.interval(lambda means: means["a"]) is None
    assert drawn.spread(lambda means: means["a"]) is None


def test_undefined_figure_has_no_interval(cells: Cells) -> None:
    drawn = Resamples.draw(grid_of({"a": cells, "b": np.zeros_like(cells)}))
    assert drawn.interval(lambda means: means["a"] / means["b"]) is None


def test_top_groups_are_those_of_the_static_text_with_the_fewest_values() -> None:
    from tests.support.forecasts import forecasts, panel_of, scales

    table = forecasts({"a": 1.0}, series=12, folds=1, origins=2, splits=["test"])
    names = sorted(table["unique_id"].unique())
    static = pd.DataFrame(
        {
            "unique_id": names,
            "kind": [str(at % 2) for at in range(12)],
            "region": [str(at % 5) for at in range(12)],
            "shop": [str(at % 7) for at in range(12)],
        }
    )
    panel = panel_of(table)
    spec = panel.spec.model_copy(update={"categories": ["kind", "shop", "region"]})
    grouped = type(panel)(panel.frame, static, spec, panel.series, panel.origins)
    grid = LossGrid.from_table(table, scales(table), grouped, ["a"])
    assert len(np.unique(grid.groups)) == 5
    assert list(grid.groups[:6]) == [0, 1, 2, 3, 4, 0]
