"""The sample series that ships with pmdarima: half-hourly electricity demand in England and Wales, in MW."""

from pathlib import Path


def write_sample(path: Path) -> int:
    """Write the series as CSV with ``unique_id``, ``ds``, ``y``.

    Source: Taylor (2003), "Short-term electricity demand forecasting using double seasonal exponential
    smoothing", Monday 5 June to Sunday 27 August 2000.

    Returns:
        The number of rows.
    """
    import pandas as pd
    from pmdarima.datasets import load_taylor

    values = load_taylor(as_series=False)
    times = pd.date_range("2000-06-05", periods=len(values), freq="30min")
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"unique_id": "demand", "ds": times, "y": values}).to_csv(path, index=False)
    return len(values)
