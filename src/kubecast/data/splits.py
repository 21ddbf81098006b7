"""Which rows are training, validation and test; the origins of each; and the scales of scaled errors."""

from collections.abc import Iterator, Sequence
from math import gcd
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kubecast.config.training import DataSettings, ValidationSettings

Rung = Literal[
    "full",
    "fewer_origins",
    "overlapping",
    "one_fold",
    "short_leads",
    "no_validation",
    "no_test",
]
"""What a panel's length allows, from all that the settings ask for to no evaluation at all."""

ENOUGH = 4  # rows beside a horizon that a series needs to be fitted
CYCLES = 2  # of a season before the cut-off, without which it is not one
FEWEST = 5  # differences that make a scale


class Splits(BaseModel):
    """The plan of a split, in whole steps counted back from the end.

    It is made once, in preparation, and kept in the panel: what follows asks it.

    Attributes:
        rung: The first of the ladder that the panel is long enough for.
        length: Steps that it was made for: of the median series, or of the long ones beside many short ones;
            0 in a panel of before there was a ladder.
        train: Steps before the validation split.
        validation: Steps of the validation split.
        test: Steps of the test split.
        minimum: Training rows that a series needs to be fitted; a shorter one gets the fallback.
        folds: Contiguous folds of validation origins.
        season_lengths: Those of the panel that are kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    rung: Rung = "full"
    length: int = 0
    train: int = 0
    validation: int = 0
    test: int = 0
    minimum: int = 0
    folds: int = 0
    season_lengths: list[int] = []

    @property
    def is_validated(self) -> bool:
        """Whether there are targets that weights and widths may be learned from."""
        return self.rung not in ("no_validation", "no_test")

    @property
    def is_evaluated(self) -> bool:
        """Whether there is a test split."""
        return self.rung != "no_test"

    @property
    def is_full(self) -> bool:
        """Whether the split is the one that the settings ask for."""
        return self.rung == "full"

    def describe(self, horizon: int) -> str:
        """Say in one sentence what a short history costs; empty where it costs nothing."""
        origins = self.validation - horizon + 1
        consequence = {
            "full": "",
            "fewer_origins": f"{self.folds} validation origins, one in each fold",
            "overlapping": f"{self.folds} validation origins of neighbouring steps",
            "one_fold": f"one fold of {origins} validation origin{'s' if origins != 1 else ''}",
            "short_leads": f"one validation origin, of which {self.validation} of {horizon} steps count",
            "no_validation": "no validation split: equal weights, and widths that are not calibrated",
            "no_test": "no test split: not evaluated, equal weights, and widths that are not calibrated",
        }[self.rung]
        return f"the median series has {self.length} rows: {consequence}" if consequence else ""


def plan_splits(
    length: int,
    horizon: int,
    seasons: Sequence[int],
    data: DataSettings,
    validation: ValidationSettings,
    unobserved: int = 0,
) -> Splits:
    """Split ``length`` steps by time: as the settings ask, or by the first rung of the ladder that fits.

    Each rung needs fewer rows than the one before. A season is given up before the test split is, and after
    the validation split: it is in every forecast, weights and widths have a fair substitute.

    Args:
        length: Steps of the panel's median series.
        horizon: Steps to forecast.
        seasons: Season lengths, the first is MASE's m.
        data: Holds the shares.
        validation: Holds the folds and the stride.
        unobserved: Steps without a target, which may all be training rows.
    """
    shorter = [tuple(m for m in seasons if m <= limit) for limit in sorted(seasons, reverse=True)]
    for lengths in dict.fromkeys((*shorter, (1,))):
        plan = _full(length, horizon, lengths, data, validation, unobserved) or _shortened(
            length, horizon, lengths, validation, unobserved
        )
        if plan is not None:
            return plan
    return Splits(
        rung="no_test",
        length=length,
        train=length,
        minimum=horizon + ENOUGH,
        season_lengths=_shown(seasons, length),
    )


def _full(
    length: int,
    horizon: int,
    seasons: Sequence[int],
    data: DataSettings,
    validation: ValidationSettings,
    unobserved: int = 0,
) -> Splits | None:
    stride = validation.origin_stride or 1
    test = max(horizon, round(data.test_ratio * length))
    held_out = max(horizon + 2 * stride * (validation.cv_folds - 1), round(data.val_ratio * length))
    least = horizon + seasons[0] + 1
    train = length - test - held_out
    if train - unobserved < least or train < _cycles(seasons[0]):
        return None
    return Splits(
        length=length,
        train=train,
        validation=held_out,
        test=test,
        minimum=min(horizon + ENOUGH, least),
        folds=validation.cv_folds,
        season_lengths=list(seasons),
    )


def _shortened(
    length: int, horizon: int, seasons: Sequence[int], validation: ValidationSettings, unobserved: int
) -> Splits | None:
    """The first rung below the full split that leaves enough training rows for a fit and its season."""
    least_train = max(horizon + ENOUGH + unobserved, _cycles(seasons[0]))
    room = length - horizon - least_train
    for rung, least, most, folds in _ladder(horizon, validation):
        if room < least:
            continue
        held_out = min(most, room)
        train = length - horizon - held_out
        return Splits(
            rung=rung,
            length=length,
            train=train,
            validation=held_out,
            test=horizon,
            minimum=horizon + ENOUGH,
            folds=folds,
            season_lengths=_shown(seasons, train),
        )
    return None


def _cycles(season: int) -> int:
    """The fewest rows that show a season."""
    return CYCLES * season if season > 1 else 0


def _shown(seasons: Sequence[int], rows: int) -> list[int]:
    """The seasons with two full cycles in so many rows, or 1."""
    return [season for season in seasons if CYCLES * season <= rows] or [1]


def _ladder(horizon: int, validation: ValidationSettings) -> Iterator[tuple[Rung, int, int, int]]:
    """Each rung with a test split: its name, the fewest and the most validation steps, and its folds."""
    folds, stride = validation.cv_folds, validation.origin_stride or 1
    apart, neighbours = horizon + stride * (folds - 1), horizon + folds - 1
    yield "fewer_origins", apart, apart, folds
    if stride > 1:
        yield "overlapping", neighbours, neighbours, folds
    yield "one_fold", horizon, neighbours - 1, 1
    if horizon > 1:
        yield "short_leads", -(-horizon // 2), horizon - 1, 1
    yield "no_validation", 0, 0, 0


def smallest_lengths(
    horizon: int, season: int, data: DataSettings, validation: ValidationSettings
) -> dict[Rung, int]:
    """The fewest rows of the median series for each rung of the ladder, without giving the season up."""
    least = max(horizon + ENOUGH, _cycles(season))
    full = horizon
    while _full(full, horizon, [season], data, validation) is None:
        full += 1
    lengths: dict[Rung, int] = {"full": full}
    for rung, steps, _, _ in _ladder(horizon, validation):
        lengths[rung] = min(least + steps + horizon, full)
    return {**lengths, "no_test": horizon + ENOUGH}


def stride_of(span: int, validation: ValidationSettings, season: int) -> int:
    """Steps between origins in a split whose first and last origin lie ``span`` steps apart.

    The default is the smallest that gives at most ``max_origins`` and has no factor in common with the
    season, so that origins fall on every phase of it.
    """
    if validation.origin_stride is not None:
        return validation.origin_stride
    stride = max(1, -(-span // max(validation.max_origins - 1, 1)))
    while gcd(stride, season) > 1:
        stride += 1
    return stride


def origin_steps(splits: Splits, horizon: int, validation: ValidationSettings) -> pd.DataFrame:
    """The origins of both splits, counted in steps back from the end of the series.

    Returns:
        ``back`` (steps between the origin and the end), ``split``, ``fold``; oldest first.
    """
    neighbours = validation.model_copy(update={"origin_stride": None})
    spaced = validation if splits.rung in ("full", "fewer_origins") else neighbours
    begin, test = splits.validation + splits.test, splits.test
    tables = [
        _origins_of("validation", begin, splits.validation, splits, horizon, spaced, splits.folds),
        _origins_of("test", test, test, splits, horizon, validation, validation.cv_folds),
    ]
    return pd.concat(tables, ignore_index=True)


def _origins_of(
    split: str,
    begin: int,
    size: int,
    splits: Splits,
    horizon: int,
    validation: ValidationSettings,
    folds: int,
) -> pd.DataFrame:
    """The origins of a split of ``size`` steps that begins ``begin`` steps before the end."""
    span = max(size - horizon, 0)
    stride = stride_of(span, validation, splits.season_lengths[0])
    steps = np.arange(0, span + 1, stride)[-validation.max_origins :] if size else np.array([], dtype=int)
    parts = np.array_split(np.arange(len(steps)), max(min(folds, len(steps)), 1))
    fold = np.concatenate([np.full(len(rows), number) for number, rows in enumerate(parts)])
    return pd.DataFrame({"back": begin - steps, "split": split, "fold": fold})


def scales(
    y: NDArray[np.float64], observed: NDArray[np.bool_], season: int, fewest: int = FEWEST
) -> tuple[float, float]:
    """The denominators of MASE and RMSSE of one series, from its observed training rows.

    Args:
        y: Shape (rows,).
        observed: Shape (rows,).
        season: m; a season without two full cycles, or a scale that is zero or undefined, falls back to
            m = 1.
        fewest: Differences that make a scale.

    Returns:
        The mean absolute and the root mean squared seasonal difference; NaN where both are zero or of too few
        differences.

    Source: Hyndman & Koehler (2006), "Another look at measures of forecast accuracy".
    """
    for lag in dict.fromkeys((season, 1) if len(y) >= CYCLES * season else (1,)):
        both = observed[lag:] & observed[:-lag]
        difference = (y[lag:] - y[:-lag])[both]
        if len(difference) >= fewest and np.any(difference != 0):
            return float(np.mean(np.abs(difference))), float(np.sqrt(np.mean(difference**2)))
    return float("nan"), float("nan")


def series_scales(frame: pd.DataFrame, season: int, relative: float | None = None) -> pd.DataFrame:
    """The scales of every series; one without its own gets the panel's median relative scale.

    Where no series has one of its own, as few differences as there are must do.

    Args:
        frame: Training rows alone: ``unique_id``, ``y``, ``observed``.
        season: The first season length.
        relative: The median of ``relative_scales`` of another panel, for series without a scale of their own.

    Returns:
        ``unique_id``, ``scale``, ``rmsse_scale``; NaN for a series that has none, which is then not scored.
    """
    return filled_scales(own_scales(frame, season), relative)


def filled_scales(own: pd.DataFrame, relative: float | None = None) -> pd.DataFrame:
    """``series_scales`` of all series of a panel, from their own scales.

    Args:
        own: From ``own_scales``, perhaps of several blocks.
        relative: As for ``series_scales``.
    """
    few = relative is None and own["scale"].isna().all()
    scales = {name: own[f"few_{name}"] if few else own[name] for name in ("scale", "rmsse_scale")}
    table, level_of = own[["unique_id"]].assign(**scales), own["level"].where(own["level"] > 0)
    for column in scales:
        usual = (table[column] / level_of).dropna().median() if relative is None else relative
        table[column] = table[column].fillna(level_of * usual)
    return table


def relative_scales(frame: pd.DataFrame, season: int) -> "pd.Series[float]":
    """The scale of each series that has one over its mean absolute target, which is above 0.

    Args:
        frame: Training rows alone: ``unique_id``, ``y``, ``observed``.
        season: The first season length.
    """
    table = own_scales(frame, season)
    return (table["scale"] / table["level"].where(table["level"] > 0)).dropna()


def own_scales(frame: pd.DataFrame, season: int) -> pd.DataFrame:
    """The scales that each series has by itself.

    Args:
        frame: As for ``series_scales``.
        season: The first season length.

    Returns:
        ``unique_id``, ``scale``, ``rmsse_scale``, NaN where it has none; ``few_scale``, ``few_rmsse_scale``:
        of as few differences as there are; ``level``, its mean absolute target.
    """
    codes, names = pd.factorize(frame["unique_id"], sort=True)
    order = np.argsort(codes, kind="stable")  # a group of a frame costs more than the scale of its rows
    y = frame["y"].to_numpy(dtype=np.float64)[order]
    observed = frame["observed"].to_numpy(dtype=bool)[order]
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    rows = []
    for unique_id, begin, end in zip(names, [0, *ends], ends, strict=False):
        own, seen = y[begin:end], observed[begin:end]
        level = float(np.mean(np.abs(own[seen]))) if seen.any() else float("nan")
        enough = scales(own, seen, season)
        few = scales(own, seen, season, fewest=1) if np.isnan(enough[0]) else enough
        rows.append((unique_id, *enough, *few, level))
    columns = ["unique_id", "scale", "rmsse_scale", "few_scale", "few_rmsse_scale", "level"]
    return pd.DataFrame(rows, columns=columns)
