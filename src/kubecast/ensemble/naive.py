"""Seasonal naive forecasts: those the ensemble may be made of, and those it is only measured by.

A *candidate* is a member like any other. A *yardstick* is on the leaderboard and counts for skill, but the
ensemble is never made of it: what has to be beaten can grow without a change to what is published.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kubecast.data.calendars import steps_a_year
from kubecast.data.levels import LevelChanges, values_at_present_level
from kubecast.data.origins import join_forecasts
from kubecast.data.panel import Panel, PanelSpec
from kubecast.models.seasonal_naive import SeasonalNaive, season_before

WEEKS = 52  # of a year: the same weekday says more of last year than the same date
NEAR = 0.01  # of a year: a season of 365 days is last year's period
_PREFIX = "seasonal_naive_"


def naive_candidates(spec: PanelSpec) -> list[SeasonalNaive]:
    """Seasonal naive for each season length."""
    return [_naive(season) for season in spec.season_lengths]


def naive_yardsticks(panel: Panel) -> list[SeasonalNaive]:
    """The last value, and last year's period where the median series has a year of training rows.

    Those that are candidates already are left out, as is last year's where a season is within days of it.
    """
    seasons, year = panel.spec.season_lengths, year_of(panel.spec.frequency)
    rows = panel.series.loc[panel.series["train_rows"] > 0, "train_rows"]
    periods = [] if 1 in seasons else [1]
    if len(rows) and np.median(rows) >= year and all(abs(each - year) > NEAR * year for each in seasons):
        periods += [] if year == 1 else [year]
    return [_naive(each) for each in periods]


def year_of(frequency: str) -> int:
    """Steps of a year: 52 weeks where a week is whole steps, else the nearest whole number.

    >>> [year_of(each) for each in ("h", "D", "B", "W-SUN", "MS", "10D")]
    [8736, 364, 260, 52, 12, 37]
    """
    steps = steps_a_year(frequency)
    week = steps * 7 / 365.2425
    whole = round(week)
    return WEEKS * whole if whole and abs(week - whole) < 0.01 * whole else max(round(steps), 1)


def naive_label(name: str) -> str:
    """The name of a naive forecast's column in words.

    >>> naive_label("seasonal_naive_24"), naive_label("seasonal_naive_1")
    ('seasonal naive 24', 'the last value')
    """
    return "the last value" if name == f"{_PREFIX}1" else name.replace("_", " ")


def with_naive(
    table: pd.DataFrame, panel: Panel, changes: LevelChanges, naives: Sequence[SeasonalNaive]
) -> pd.DataFrame:
    """Put naive forecasts from the origins of ``changes`` beside the columns of a table of their horizons."""
    if not naives:
        return table
    forecasts = panel.grid(changes.origins)
    for naive in naives:
        rows = season_before(panel, changes.origins, naive.season_length)
        forecasts[naive.name] = values_at_present_level(panel, changes, rows).ravel()
    return join_forecasts(table, forecasts)


def _naive(period: int) -> SeasonalNaive:
    return SeasonalNaive(period, f"{_PREFIX}{period}")
