"""The ensemble as a forecaster: members' forecasts, combined as a recipe says."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kubecast.data.levels import changes_by_block, forecast_at_present_level
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.splits import series_scales
from kubecast.ensemble.recipe import StackRecipe, Weights
from kubecast.ensemble.weights import combine_columns
from kubecast.errors import ModelError
from kubecast.models import PER_SERIES, load_forecaster
from kubecast.models.base import Forecaster
from kubecast.scoring.metrics import ENSEMBLE

_LOG = logging.getLogger(__name__)


def usable_weights(recipe: StackRecipe, available: Iterable[str]) -> Weights:
    """The weights of the members at hand, renormalised; a missing one is named in the log.

    Raises:
        ModelError: No member with weight is at hand.
    """
    at_hand = set(available)
    lacking = [name for name in recipe.active if name not in at_hand]
    weights = {name: recipe.weights[name] for name in recipe.active if name in at_hand}
    if not weights:
        raise ModelError(
            f"no forecast of {', '.join(recipe.active)}; allowed: at least one member with weight"
        )
    if lacking:
        _LOG.warning(
            "ensemble: forecasting without %s; the other weights are renormalised", ", ".join(lacking)
        )
        # Weights of OLS sum to nearly 1 and may be negative.
        total, target = sum(weights.values()), sum(recipe.weights.values())
        equal = abs(total) < 1e-6
        weights = {
            name: 1 / len(weights) if equal else weight * target / total for name, weight in weights.items()
        }
    return weights


def own_scales(recipe: StackRecipe, panel: Panel, origins: Cutoffs) -> dict[str, float]:
    """Scales, from the rows up to their first origin, of series that the recipe has none for.

    One that was not there at the fit and has none of its own gets the recipe's.
    """
    earliest = origins.frame.groupby("unique_id")["cutoff"].min().reset_index()
    lacking = [name for name in earliest["unique_id"] if recipe.scales.get(name) is None]
    if not lacking:
        return {}
    # Of all series, since one without a scale of its own takes the others' as a measure.
    table = series_scales(panel.history(Cutoffs(earliest)), recipe.season_length, recipe.relative_scale)
    scales = dict(zip(table["unique_id"], table["scale"], strict=True))
    known = [scale for scale in recipe.scales.values() if scale is not None]
    usual = float(np.median(known)) if known else float("nan")
    unseen = {name for name in lacking if name not in recipe.scales}
    return {name: usual if name in unseen and np.isnan(scales[name]) else scales[name] for name in lacking}


def combine(
    recipe: StackRecipe, table: pd.DataFrame, scales: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """Combine members' forecasts.

    Args:
        recipe: Weights and quantiles.
        table: ``unique_id``, ``cutoff``, ``ds`` and a column for each member at hand; perhaps
            ``level_ratio``, see ``ConformalQuantiles.apply``.
        scales: Of series that the recipe has none for.

    Returns:
        ``unique_id``, ``cutoff``, ``ds``, ``yhat`` and the quantiles, in the order of ``table``.
    """
    weights = usable_weights(recipe, table.columns)
    kept = [name for name in (*KEYS, "level_ratio") if name in table]
    points = table[kept].assign(yhat=combine_columns(table, weights))
    laid = recipe.quantiles.apply(points, {**recipe.scales, **(scales or {})})
    return laid.drop(columns="level_ratio", errors="ignore")


@dataclass(frozen=True)
class Ensemble:
    """Fitted members and how to combine them.

    Attributes:
        members: By name; those without weight may be left out.
        recipe: Weights and quantiles.
    """

    members: Mapping[str, Forecaster]
    recipe: StackRecipe

    @property
    def name(self) -> str:
        """Column of the forecasts."""
        return ENSEMBLE

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``."""
        points = self.predict(panel, origins)[["unique_id", "cutoff", "ds", "yhat"]]
        return points.rename(columns={"yhat": ENSEMBLE})

    def predict(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """Forecast with quantiles.

        A series unseen at fit gets its scale from its history, and the forecasts of the members that are not
        fitted series by series; where there is no such member, their fallback.

        Returns:
            ``unique_id``, ``cutoff``, ``ds``, ``yhat``, ``q0.1`` …, in the order of ``origins``.
        """
        [table] = self.predict_blocks([(panel, origins)])
        self.warn_of_unseen(origins.frame["unique_id"])
        return table

    def predict_blocks(self, blocks: Iterable[tuple[Panel, Cutoffs]]) -> Iterator[pd.DataFrame]:
        """``predict`` from the origins in each of several panels, of different series."""
        for panel, changes in changes_by_block(blocks):
            # The quantiles too are laid at the former level, so that they widen with the series.
            yield forecast_at_present_level(panel, changes, self._predict, self.recipe.levels)

    def _predict(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        table, scales = self._member_forecasts(panel, origins), own_scales(self.recipe, panel, origins)
        unseen, local = self._is_unseen(table["unique_id"]), self._local
        if not unseen.any() or len(local) in (0, len(self.recipe.active)):
            return combine(self.recipe, table, scales)
        parts = [table[~unseen], table[unseen].drop(columns=local, errors="ignore")]
        return pd.concat(combine(self.recipe, part, scales) for part in parts if len(part)).sort_index()

    @property
    def _local(self) -> list[str]:
        """The active members that are fitted series by series."""
        return [name for name in self.recipe.active if self.recipe.members[name] in PER_SERIES]

    def _is_unseen(self, names: "pd.Series[Any]") -> "pd.Series[bool]":
        return ~names.isin(list(self.recipe.scales))

    def warn_of_unseen(self, names: "pd.Series[Any]") -> None:
        """Name in the log the series, of all that are forecast, that no member was fitted with."""
        unseen, local = self._is_unseen(names), self._local
        new = names[unseen].unique()[:5]
        if not len(new):
            return
        about = {"series": new[0]}
        if unseen.all():
            trained = next(iter(self.recipe.scales), "none")
            _LOG.warning("no series is known: the model was trained on others, e.g. %s", trained, extra=about)
        only_local = len(local) == len(self.recipe.active)
        fallback = f": the seasonal naive forecast of {local[0]} is used" if only_local else ""
        _LOG.warning("%s: new to the model%s", ", ".join(new), fallback, extra=about)

    def _member_forecasts(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        table = panel.grid(origins)
        for name in self.recipe.active:
            if name not in self.members:
                continue
            try:
                table[name] = self.members[name].forecast(panel, origins)[name].to_numpy()
            except ModelError as error:
                _LOG.warning("ensemble: %s cannot forecast (%s)", name, error, extra={"model": name})
        return table

    def save(self, directory: Path) -> None:
        """Write ``ensemble.json`` and, under ``members/<name>``, each member with weight."""
        directory.mkdir(parents=True, exist_ok=True)
        self.recipe.write(directory / "ensemble.json")
        for name in self.recipe.active:
            if name in self.members:
                self.members[name].save(directory / "members" / name)

    @classmethod
    def load(cls, directory: Path) -> "Ensemble":
        """Read what ``save`` wrote; a member whose folder is missing is left out.

        Raises:
            IntegrityError: ``ensemble.json`` is missing or not what ``save`` writes.
        """
        recipe = StackRecipe.read(directory / "ensemble.json")
        folders = {name: directory / "members" / name for name in recipe.active}
        members = {
            name: load_forecaster(recipe.members[name], folder)
            for name, folder in folders.items()
            if folder.is_dir()
        }
        return cls(members, recipe)
