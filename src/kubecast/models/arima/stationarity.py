"""The number of differences of a series, by the KPSS test.

``statsforecast.arima.ndiffs`` drops a value too many at each difference, and so may take another second
difference of a short series.

Source: Kwiatkowski, Phillips, Schmidt & Shin (1992), "Testing the null hypothesis of stationarity against the
alternative of a unit root".
"""

import numpy as np

from kubecast.models.arima.filter import Floats

KPSS_CRITICAL = 0.463  # at 5 %


def count_differences(values: Floats, most: int) -> int:
    """Count the differences after which the KPSS test, at 5 %, does not reject a constant level."""
    for count in range(most):
        if np.ptp(values) == 0 or _kpss(values) <= KPSS_CRITICAL:
            return count
        values = np.diff(values)
    return most


def _kpss(values: Floats) -> float:
    errors, size = values - values.mean(), len(values)
    lags = int(3 * np.sqrt(size) / 13)
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    covariances = [errors[lag:] @ errors[: size - lag] for lag in range(lags + 1)]
    variance = (covariances[0] + 2 * weights @ np.array(covariances[1:])) / size
    return float(np.sum(np.cumsum(errors) ** 2) / (size**2 * variance))
