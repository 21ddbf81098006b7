"""Importance of a model's inputs: how much worse its forecasts are where one of them is shuffled.

Source: Breiman (2001), "Random forests", for permutation importance; here of any forecaster, over several
windows of the validation split.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.levels import LevelChanges, forecast_at_present_level
from kubecast.data.origins import before_test, join_forecasts
from kubecast.data.panel import Cutoffs, Panel
from kubecast.documents import Document
from kubecast.models.base import Forecaster

WINDOWS = 3  # the newest folds of the validation split
SERIES = 50  # at most, evenly spread
SEASONS = 2  # of the target's history that are shuffled one by one; what is older, together


class Importance(Document):
    """One input of a model.

    Attributes:
        feature: Its name.
        value: Rise of the mean absolute scaled error where the input is shuffled, mean over the windows; or a
            model's own figure.
        spread: Standard deviation over the windows; None for a model's own figure, or one window.
    """

    feature: str
    value: float
    spread: float | None = None


@runtime_checkable
class HasFeatureImportance(Protocol):
    """A forecaster that knows the importance of its inputs."""

    def importance(self) -> dict[str, float]:
        """By input, in percent of all."""
        ...


def importance_of(forecaster: Forecaster, panel: Panel, seed: int) -> list[Importance]:
    """A model's own figures where it has some, else ``permutation_importance``'s; the largest first."""
    if not isinstance(forecaster, HasFeatureImportance):
        return permutation_importance(panel, forecaster, seed)
    shares = sorted(forecaster.importance().items(), key=lambda each: -each[1])
    return [Importance(feature=feature, value=value) for feature, value in shares]


def permutation_importance(panel: Panel, forecaster: Forecaster, seed: int) -> list[Importance]:
    """Shuffle one input after the other, and score; the largest rise first.

    Each series' own values are shuffled: a covariate's over all of its rows, the target's inside one season
    of its history before the origin. A static covariate is shuffled over the series.

    Args:
        panel: Targets of its validation split are the only ones that are scored.
        forecaster: A fitted model.
        seed: Of the shuffles.

    Returns:
        Empty where no origin of the validation split can be scored.
    """
    rises: dict[str, list[float]] = {}
    for origins in _windows(panel):
        changes = LevelChanges.find(panel, origins)
        plain = _error(panel, panel, forecaster, changes)
        if plain is None:
            continue
        for feature, shuffled in shuffled_inputs(panel, origins, seed):
            same_target = shuffled.frame["y"].equals(panel.frame["y"])
            own = changes if same_target else LevelChanges.detect(shuffled, origins)
            error = _error(shuffled, panel, forecaster, own)
            if error is not None:
                rises.setdefault(feature, []).append(error - plain)
    importances = [
        Importance(
            feature=feature,
            value=float(np.mean(values)),
            spread=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        )
        for feature, values in rises.items()
    ]
    return sorted(importances, key=lambda each: -each.value)


def _windows(panel: Panel) -> Iterator[Cutoffs]:
    """One origin of each series from each of the newest folds: its last."""
    origins = panel.origins[panel.origins["split"] == "validation"]
    names = pd.unique(origins["unique_id"])
    spread = np.unique(np.linspace(0, max(len(names) - 1, 0), SERIES).astype(np.int64))[: len(names)]
    origins = origins[origins["unique_id"].isin(names[spread])]
    for fold in sorted(origins["fold"].unique())[-WINDOWS:]:
        last = origins[origins["fold"] == fold].groupby("unique_id", sort=True)["cutoff"].max()
        yield Cutoffs(last.reset_index())


def _error(seen: Panel, panel: Panel, forecaster: Forecaster, changes: LevelChanges) -> float | None:
    """The mean over the series; None where no target counts."""
    targets = panel.targets(changes.origins)
    targets = targets[before_test(panel, targets)].reset_index(drop=True)
    forecasts = forecast_at_present_level(seen, changes, forecaster.forecast)
    table = join_forecasts(targets, forecasts)
    scale = table["unique_id"].map(panel.series.set_index("unique_id")["scale"]).astype(np.float64)
    scaled = ((table[forecaster.name] - table["y"]).abs() / scale.where(scale > 0)).where(table["observed"])
    mean = scaled.groupby(table["unique_id"]).mean().mean()
    return float(mean) if np.isfinite(mean) else None


def shuffled_inputs(panel: Panel, origins: Cutoffs, seed: int) -> Iterator[tuple[str, Panel]]:
    """Each input's name, and the panel with that input shuffled."""
    rng = np.random.default_rng(seed)
    for feature, rows in _history(panel, origins):
        y = panel.frame["y"].to_numpy().copy()
        seen = panel.frame["observed"].to_numpy(dtype=bool)
        for own in (each[seen[each]] for each in rows):  # a gap stays where it is
            y[own] = y[rng.permutation(own)]
        yield feature, replace(panel, frame=panel.frame.assign(y=y))
    for name in (*panel.spec.future, *panel.spec.past):
        values = panel.frame[name].to_numpy().copy()
        for first, end in zip(panel.indptr[:-1], panel.indptr[1:], strict=True):
            values[first:end] = rng.permutation(values[first:end])
        yield name, replace(panel, frame=panel.frame.assign(**{name: values}))
    for name in panel.spec.static if len(panel.static) > 1 else ():
        values = rng.permutation(panel.static[name].to_numpy())
        yield name, replace(panel, static=panel.static.assign(**{name: values}))


def _history(panel: Panel, origins: Cutoffs) -> Iterator[tuple[str, list[NDArray[np.int64]]]]:
    """Parts of the target's history by age: the newest seasons one by one, and what is older."""
    season = max(panel.spec.season_lengths[0], 2)
    ends = panel.row_index(origins)
    starts = panel.indptr[panel.series_codes[ends]]
    for age in range(SEASONS + 1):
        last = ends - age * season
        first = np.maximum(last - season + 1, starts) if age < SEASONS else starts
        rows = [np.arange(low, high + 1) for low, high in zip(first, last, strict=True) if high > low]
        name = f"target, {_AGES[age] if age < SEASONS else 'older'}"
        if rows:
            yield name, rows


_AGES = ["newest season", "season before"]
