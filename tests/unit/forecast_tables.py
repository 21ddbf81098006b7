"""Tables of forecasts whose right answers are known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

START = pd.Timestamp("2025-01-01")


def forecasts(
    noise: dict[str, float],
    series: int = 3,
    blocks: int = 3,
    origins: int = 4,
    horizon: int = 5,
    seed: int = 0,
    parts: Sequence[str] = ("validation", "test"),
    stride: int = 1,
    gap: int = 0,
) -> pd.DataFrame:
    """Targets around 100 times the series' number, and members that miss them by independent normal errors.

    Args:
        noise: Standard deviation of each member's errors, in units of the series' scale, which is its number.
        series: How many.
        blocks: In each part.
        origins: In each block.
        horizon: In hours.
        seed: Of targets and errors.
        parts: One after the other, without overlap.
        stride: Hours between origins.
        gap: Further hours between blocks.
    """
    random = np.random.default_rng(seed)
    tables = []
    for number in range(1, series + 1):
        hour, truth = 0, {}
        for part in parts:
            for block in range(blocks):
                for _ in range(origins):
                    cutoff = START + pd.Timedelta(hours=hour)
                    ds = pd.date_range(cutoff, periods=horizon + 1, freq="h")[1:]
                    y = [truth.setdefault(time, number * (100 + random.normal())) for time in ds]
                    tables.append(
                        pd.DataFrame(
                            {
                                "unique_id": f"s{number}",
                                "cutoff": cutoff,
                                "ds": ds,
                                "part": part,
                                "block": block,
                                "y": y,
                                "observed": True,
                                **{
                                    name: y + number * random.normal(0, sd, horizon)
                                    for name, sd in noise.items()
                                },
                            }
                        )
                    )
                    hour += stride
                hour += gap
            hour += horizon
    return pd.concat(tables, ignore_index=True)


def scales(table: pd.DataFrame) -> pd.DataFrame:
    """Each series' number as its scales, and 100 times it as its training mean."""
    names = sorted(table["unique_id"].unique())
    number = [float(name[1:]) for name in names]
    mean = [100 * value for value in number]
    return pd.DataFrame({"unique_id": names, "scale": number, "rmsse_scale": number, "train_mean": mean})
