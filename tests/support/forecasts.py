"""Tables of forecasts whose right answers are known."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.series_table import facts_of_rows
from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.stacked import Stacked
from kubecast.ensemble.stacking import stack
from kubecast.evaluation.comparison import Champion
from kubecast.scoring.forecasts import Forecasts

START = pd.Timestamp("2025-01-01")
KINDS = {"good": "catboost", "bad": "lstm", "naive_5": "seasonal_naive", "naive_9": "seasonal_naive"}
NOISE = {"good": 1.0, "bad": 3.0, "naive_5": 4.0, "naive_9": 2.0}
SETTINGS = EnsembleSettings(quantiles=[0.1, 0.3, 0.5, 0.7, 0.9])


def forecasts(
    noise: dict[str, float],
    series: int = 3,
    folds: int = 3,
    origins: int = 4,
    horizon: int = 5,
    seed: int = 0,
    splits: Sequence[str] = ("validation", "test"),
    stride: int = 1,
    gap: int = 0,
) -> pd.DataFrame:
    """Targets around 100 times the series' number, and members that miss them by independent normal errors.

    Args:
        noise: Standard deviation of each member's errors, in units of the series' scale, which is its number.
        series: How many.
        folds: In each split.
        origins: In each fold.
        horizon: In hours.
        seed: Of targets and errors.
        splits: One after the other, without overlap.
        stride: Hours between origins.
        gap: Further hours between folds.
    """
    random = np.random.default_rng(seed)
    origins_at: list[tuple[str, int, str, int]] = []
    targets: list[float] = []
    errors: dict[str, list[NDArray[np.float64]]] = {name: [] for name in noise}
    for number in range(1, series + 1):
        hour, truth = 0, {}
        for split in splits:
            for fold in range(folds):
                for _ in range(origins):
                    origins_at.append((f"s{number}", hour, split, fold))
                    ahead = range(hour + 1, hour + horizon + 1)
                    targets += [truth.setdefault(at, number * (100 + random.normal())) for at in ahead]
                    for name, sd in noise.items():
                        errors[name].append(number * random.normal(0, sd, horizon))
                    hour += stride
                hour += gap
            hour += horizon
    table = pd.DataFrame(origins_at, columns=["unique_id", "hour", "split", "fold"])
    table = table.loc[table.index.repeat(horizon)].reset_index(drop=True)
    cutoff = START + pd.to_timedelta(table["hour"], unit="h")
    lead = pd.to_timedelta(np.tile(np.arange(1, horizon + 1), len(origins_at)), unit="h")
    y = np.asarray(targets)
    return pd.DataFrame(
        {
            "unique_id": table["unique_id"],
            "cutoff": cutoff,
            "ds": cutoff + lead,
            "split": table["split"],
            "fold": table["fold"],
            "y": y,
            "observed": True,
            **{name: y + np.concatenate(errors[name]) for name in noise},
        }
    )


def scales(table: pd.DataFrame) -> pd.DataFrame:
    """Each series' number as its scales, and 100 times it as its training mean."""
    names = sorted(table["unique_id"].unique())
    number = [float(name[1:]) for name in names]
    mean = [100 * value for value in number]
    return pd.DataFrame({"unique_id": names, "scale": number, "rmsse_scale": number, "train_mean": mean})


def stack_table(table: pd.DataFrame, *arguments: Any, **options: Any) -> tuple[StackRecipe, Stacked]:
    """``stack`` of a table in memory."""
    return stack(Forecasts.of_table(table), *arguments, **options)


def stack_whole(table: pd.DataFrame, *arguments: Any, **options: Any) -> tuple[StackRecipe, pd.DataFrame]:
    """The recipe and the whole table of ``stack``."""
    recipe, stacked = stack_table(table, *arguments, **options)
    return recipe, stacked.whole()


def in_one_block(table: pd.DataFrame) -> Forecasts:
    """Forecasts that are read at once."""

    def blocks(columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        yield table if columns is None else table[[*columns]]

    return Forecasts([*table.columns], blocks)


def champion_of(version: str, not_comparable: str, table: pd.DataFrame, **options: Any) -> Champion:
    """A champion with these forecasts."""
    ordered = table.sort_values("unique_id", kind="stable") if len(table) else table
    return Champion(version, not_comparable, in_one_block(ordered), **options)


def panel_of(table: pd.DataFrame, align: str = "calendar") -> Panel:
    """A panel of these targets whose training rows are one for each series, at the mean of ``scales``."""
    series = scales(table)
    means = series[["unique_id", "train_mean"]].rename(columns={"train_mean": "y"})
    known = pd.concat([means.assign(ds=START), table[["unique_id", "ds", "y"]]])
    known = known.drop_duplicates(["unique_id", "ds"]).set_index(["unique_id", "ds"])
    hours = pd.date_range(START, table["ds"].max(), freq="h")
    grid = pd.MultiIndex.from_product([series["unique_id"], hours], names=["unique_id", "ds"])
    frame = known.reindex(grid).reset_index()
    frame["observed"] = frame["y"].notna()
    spec = PanelSpec.model_validate(
        {"frequency": "h", "horizon": 5, "season_lengths": [24, 168], "align": align}
    )
    rows = series.assign(train_end=START, train_rows=1).merge(facts_of_rows(frame), on="unique_id")
    return Panel(frame, series[["unique_id"]], spec, rows, pd.DataFrame({"unique_id": [], "cutoff": []}))
