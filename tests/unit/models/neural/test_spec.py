"""What is learnt about a panel before a network is fitted to it."""

from collections.abc import Callable

import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import DataError
from kubecast.models.neural.settings import LstmSettings
from kubecast.models.neural.spec import difference_lag, sequence_length
from tests.support.panels import WITH_COVARIATES, hourly
from tests.unit.models.neural.support import WINDOWS, spec_of


@pytest.mark.parametrize(
    ("horizon", "season_lengths", "patch_length", "expected"),
    [(6, (24, 168), 24, 168), (48, (24,), 24, 96), (1, (1,), 1, 2), (14, (7, 365), 24, 384)],
)
def test_automatic_window_holds_the_longest_season_and_two_horizons(
    panel: Panel, horizon: int, season_lengths: tuple[int, ...], patch_length: int, expected: int
) -> None:
    settings = LstmSettings(sequence_length="auto", patch_length=patch_length)
    spec = panel.spec.model_copy(update={"horizon": horizon, "season_lengths": season_lengths})
    assert sequence_length(settings, spec) == expected


@pytest.mark.parametrize(
    ("rung", "train", "horizon", "patch_length", "expected"),
    [
        ("full", 27, 6, 1, 120),
        ("no_validation", 27, 6, 1, 15),
        ("no_validation", 27, 6, 4, 12),
        ("no_validation", 27, 6, 24, 15),  # less than a patch: one token
        ("no_validation", 12, 6, 1, 6),  # no window fits, as its error then says
        ("no_validation", 27, 12, 8, 12),  # one patch of 8 is below the horizon, two are too long: one token
        ("no_validation", 39, 12, 8, 15),
        ("no_validation", 40, 12, 8, 16),
        ("one_fold", 200, 6, 1, 120),
    ],
)
def test_window_of_a_short_history_leaves_rows_to_be_fitted_to(
    panel: Panel, rung: str, train: int, horizon: int, patch_length: int, expected: int
) -> None:
    settings = LstmSettings(sequence_length=120, patch_length=patch_length)
    splits = panel.spec.splits.model_copy(update={"rung": rung, "train": train})
    spec = panel.spec.model_copy(update={"horizon": horizon, "splits": splits})
    assert sequence_length(settings, spec) == expected


def test_the_shortest_season_is_the_lag_in_any_order(panel: Panel) -> None:
    settings = WINDOWS.model_copy(update={"difference": "season"})
    for seasons in ([168, 24], [1, 24], [24, 168]):
        spec = panel.spec.model_copy(update={"season_lengths": seasons})
        assert difference_lag(settings, spec) == 24


def test_no_season_is_no_difference(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1), season_lengths=[1])
    assert spec_of(panel, difference="season").difference == 0


def test_series_moments_are_those_of_the_changes(panel: Panel) -> None:
    spec = spec_of(panel, difference=24, normalization="series")
    y = panel.frame.loc[panel.frame["unique_id"] == "s1", "y"].to_numpy()
    assert spec.series["s1"] == pytest.approx(((y[24:] - y[:-24]).mean(), (y[24:] - y[:-24]).std()))


@pytest.mark.parametrize("difference", [None, "season"])
def test_rows_after_the_cutoff_are_not_learnt_from(
    make_panel: Callable[..., Panel], difference: str | None
) -> None:
    rows = hourly(covariates=True)
    cut = pd.Timestamp("2024-01-14T23:00")
    specs = []
    for factor in (1.0, 50.0):
        changed = rows.copy()
        late = changed["ds"] > cut
        changed.loc[late, ["y", "visitors", "promotion"]] *= factor
        panel = make_panel(changed, data=WITH_COVARIATES)
        until = Cutoffs(pd.DataFrame({"unique_id": panel.ids, "cutoff": cut}))
        specs.append(spec_of(panel, until, normalization="series", difference=difference))
    assert specs[0] == specs[1]


def test_another_panel_must_have_the_same_columns(panel: Panel, covariate_panel: Panel) -> None:
    with pytest.raises(DataError, match="known-future covariates: \\[\\]; allowed: \\['promotion'\\]"):
        spec_of(covariate_panel).check(panel)
