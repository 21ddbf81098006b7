"""Series to try things on: electricity demand that ships with pmdarima, and synthetic panels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kubecast.data.calendars import offset_of
from kubecast.errors import ConfigError


def sample_series() -> pd.DataFrame:
    """Half-hourly electricity demand in England and Wales, in MW: ``unique_id``, ``ds``, ``y``.

    Source: Taylor (2003), "Short-term electricity demand forecasting using double seasonal exponential
    smoothing", Monday 5 June to Sunday 27 August 2000.
    """
    from pmdarima.datasets import load_taylor

    values = load_taylor(as_series=False)
    times = pd.date_range("2000-06-05", periods=len(values), freq="30min")
    return pd.DataFrame({"unique_id": "demand", "ds": times, "y": values})


def write_sample(path: Path) -> int:
    """Write ``sample_series`` as CSV, and return the number of its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = sample_series()
    rows.to_csv(path, index=False)
    return len(rows)


def generate_series(
    n_series: int = 3,
    length: int | Sequence[int] = 400,
    *,
    frequency: str = "h",
    season_length: int = 24,
    covariates: bool = False,
    start: str | pd.Timestamp = "2024-01-01",
    seed: int = 0,
) -> pd.DataFrame:
    """Synthetic series that end at the same time: a level of their own, one season and normal noise.

    The level of the first series is 100, of the second 200 and so on; the season moves it by 30 %, and the
    noise has a standard deviation of 3 % of it.

    Args:
        n_series: Number of series, which are called ``s0``, ``s1`` and so on.
        length: Rows of each series, or a sequence with the rows of every one.
        frequency: A pandas offset alias.
        season_length: Period of the season, in steps.
        covariates: Add one covariate of each kind: ``promotion``, 0 or 1, known in the future, which raises
            the target by half its level in a tenth of the rows; ``visitors``, known up to the present, which
            has no influence; ``region``, static.
        start: The first timestamp of the longest series.
        seed: Seed of the noise and of the covariates; the same seed gives the same series.

    Returns:
        One row for each series and timestamp: ``unique_id``, ``ds``, ``y``, then any covariates.

    Raises:
        ConfigError: A number is too small, or ``length`` has not one entry for each series.

    Example:
        >>> from kubecast.data.sample import generate_series
        >>> generate_series(n_series=2, length=[3, 2], frequency="D", season_length=7).round(1)
          unique_id         ds      y
        0        s0 2024-01-01  100.4
        1        s0 2024-01-02  123.1
        2        s0 2024-01-03  131.2
        3        s1 2024-01-02  200.6
        4        s1 2024-01-03  243.7
    """
    lengths = [length] * n_series if isinstance(length, int) else list(length)
    _check(n_series, lengths, season_length)
    random = np.random.default_rng(seed)
    times = pd.date_range(start, periods=max(lengths), freq=offset_of(frequency))
    tables = [
        _one_series(number, times[-rows:], season_length, covariates, random)
        for number, rows in enumerate(lengths)
    ]
    return pd.concat(tables, ignore_index=True)


def _check(n_series: int, lengths: Sequence[int], season_length: int) -> None:
    if n_series < 1 or len(lengths) != n_series:
        raise ConfigError(
            f"n_series is {n_series}, with {len(lengths)} lengths; allowed: one for each, from 1"
        )
    if min(lengths) < 1:
        raise ConfigError(f"length is {min(lengths)}; allowed: from 1")
    if season_length < 1:
        raise ConfigError(f"season_length is {season_length}; allowed: from 1")


def _one_series(
    number: int, times: pd.DatetimeIndex, season_length: int, covariates: bool, random: np.random.Generator
) -> pd.DataFrame:
    rows, level = len(times), 100.0 * (number + 1)
    season = np.sin(2 * np.pi * np.arange(rows) / season_length)
    y = level * (1 + 0.3 * season) + random.normal(0, 0.03 * level, rows)
    table = pd.DataFrame({"unique_id": f"s{number}", "ds": times, "y": y})
    if covariates:
        table["promotion"] = (random.random(rows) < 0.1).astype(float)
        table["visitors"] = random.normal(10, 1, rows)
        table["region"] = f"r{number % 2}"
        table["y"] += 0.5 * level * table["promotion"]
    return table
