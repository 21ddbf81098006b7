"""What the seasonal naive's errors on the training rows say of a panel's seasons."""

import numpy as np

from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.splits import CYCLES
from kubecast.models.arima.filter import Floats, Ints

LEADS = 8  # of the horizon, evenly spread, that a panel's seasons are looked for at


def naive_error(y: Floats, season: int, leads: Ints) -> float:
    """Mean absolute error of the seasonal naive over lead times; of season 1, of the naive."""
    lags = season * -(-leads // season) if season > 1 else leads
    return float(np.mean([np.abs(y[lag:] - y[:-lag]).mean() for lag in lags if lag < len(y)]))


def fewest_rows(panel: Panel, until: Cutoffs) -> int:
    """The rows that two cycles of the first season take, where series that have them show it; else 0.

    An ARIMA of fewer rows knows nothing of the season, which the seasonal naive repeats.
    """
    season, horizon = panel.spec.season_lengths[0], panel.spec.horizon
    histories = _histories(panel, until)
    long = [y for y in histories if len(y) >= CYCLES * season]
    if season == 1 or not long or len(long) == len(histories):
        return 0
    leads = np.unique(np.linspace(1, min(horizon, season), LEADS).astype(np.int64))
    better = [naive_error(y, season, leads) < naive_error(y, 1, leads) for y in long]
    return CYCLES * season if np.mean(better) >= 0.5 else 0


def best_naive(panel: Panel, until: Cutoffs) -> int:
    """The season length whose naive forecast is best for the median series on rows up to the cut-offs."""
    seasons, horizon = panel.spec.season_lengths, panel.spec.horizon
    # The horizon's last steps repeat a whole season.
    lags = [season * -(-horizon // season) for season in seasons]
    rows = [
        [np.mean(np.abs(y[lag:] - y[:-lag])) for lag in lags]
        for y in _histories(panel, until)
        if len(y) > 2 * max(lags)
    ]
    if not rows:
        return seasons[0]
    errors = np.array(rows)
    relative = errors / np.maximum(errors[:, :1], np.finfo(float).tiny)
    return seasons[int(np.argmin(np.median(relative, axis=0)))]


def _histories(panel: Panel, until: Cutoffs) -> list[Floats]:
    """Each series' filled target up to its cut-off."""
    ends = panel.row_index(until)
    starts = panel.indptr[panel.series_codes[ends]]
    return [panel.filled[first : end + 1] for first, end in zip(starts, ends, strict=True)]
