"""A published ensemble with everything that forecasting with it needs.

bundle.json      what the data must look like, and what the ensemble has seen
ensemble.json    weights and quantiles
members/<name>/  the members' own files
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from kubecast.config.training import Columns, TrainingSettings
from kubecast.data.clock import as_given, as_kubecast
from kubecast.data.history import history_blocks, history_panel
from kubecast.data.origins import join_forecasts
from kubecast.data.panel import Cutoffs, Panel, PanelSpec
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.row_blocks import Keep, Rows, concat_rows, in_memory, one_block
from kubecast.data.splits import filled_scales, own_scales, relative_scales
from kubecast.data.stale import treat_stale
from kubecast.documents import Document
from kubecast.ensemble.forecaster import Ensemble
from kubecast.ensemble.naive import naive_candidates
from kubecast.ensemble.recipe import StackRecipe
from kubecast.errors import DataError, InputError
from kubecast.models.blocks import FORECAST_ROWS
from kubecast.names import check_name
from kubecast.scoring.metrics import lead_times


class Contract(Document):
    """The shape that the data must have, and the rows that the ensemble has seen.

    Attributes:
        spec: Of the panel that it was fitted to.
        training: Says how a data file is read.
        fitted_through: The last row of each series that anything in the ensemble was fitted to or chosen on.
    """

    document_name: ClassVar[str] = "a bundle"
    former_names: ClassVar[Mapping[str, str]] = {"fit_until": "fitted_through"}

    schema_version: int = 1
    spec: PanelSpec
    training: TrainingSettings
    fitted_through: dict[str, datetime]

    def history(
        self,
        source: Rows,
        keep: Keep,
        future: pd.DataFrame | None = None,
        as_of: pd.Timestamp | None = None,
        horizon: int | None = None,
    ) -> PanelBlocks:
        """The rows on a grid, as ``Bundle.predict`` takes them.

        Args:
            source: The rows, all at once or in blocks of series: see ``kubecast.data.files.open_data``.
            keep: Keeps them for later passes.
            future: As for ``Bundle.forecast``, and the others.
            as_of: See there.
            horizon: See there.

        Raises:
            InputError: The rows, the horizon or the covariates do not fit the ensemble.
        """
        self.steps(horizon)
        if future is not None and not self.spec.future:
            raise InputError(
                "known-future covariates are given; allowed: none, as this model was fitted without any"
            )
        return history_blocks(
            source, self.training, self.spec, keep, future=future, as_of=as_of, known=self.fitted_through
        )

    def steps(self, horizon: int | None) -> int:
        """The steps of a forecast: those that are asked for, else the horizon of the fit.

        Raises:
            InputError: They are none, or more.
        """
        most = self.spec.horizon
        steps = most if horizon is None else horizon
        if not 1 <= steps <= most:
            raise InputError(
                f"horizon {steps}: allowed: 1 to {most}, the steps that this model was fitted for"
            )
        return steps

    @property
    def columns(self) -> Columns:
        """The names of series, time and target in forecasts: those of the training data."""
        return Columns.model_validate(self.spec.columns)

    def fitted_through_of(self, names: "pd.Series[Any]") -> "pd.Series[Any]":
        """Up to when each series' rows were fitted to or chosen on.

        Nothing in the ensemble has seen rows of a new series after the newest of the others'.
        """
        newest = max(self.fitted_through.values())
        return names.map(self.fitted_through).fillna(newest).astype("datetime64[ns]")


def write_bundle(
    directory: Path, contract: Contract, recipe: StackRecipe, members: Mapping[str, Path]
) -> None:
    """Lay out a bundle from the files of its members; no framework is needed.

    Args:
        directory: Where it goes.
        contract: See there.
        recipe: The weights and quantiles; members without weight are left out.
        members: Directory of each trained member's forecaster.
    """
    directory.mkdir(parents=True)
    contract.write(directory / "bundle.json")
    recipe.write(directory / "ensemble.json")
    for name, weight in recipe.weights.items():
        if not weight:
            continue
        target = directory / "members" / check_name(name, "member")
        if name in members:
            shutil.copytree(members[name], target)
        else:
            naive = {member.name: member for member in naive_candidates(contract.spec)}
            naive[name].save(target)


@dataclass(frozen=True)
class Bundle:
    """An ensemble ready to forecast from a data file's rows."""

    contract: Contract
    ensemble: Ensemble

    @classmethod
    def load(cls, directory: Path) -> "Bundle":
        """Read what ``write_bundle`` wrote."""
        return cls(Contract.read(directory / "bundle.json"), Ensemble.load(directory))

    @property
    def columns(self) -> Columns:
        """The names of series, time and target in what it returns: those of the training data."""
        return self.contract.columns

    def forecast(
        self,
        rows: pd.DataFrame,
        horizon: int | None = None,
        future: pd.DataFrame | None = None,
        as_of: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Forecast beyond the end of each series.

        Args:
            rows: As a data file holds them, under its own column names.
            horizon: Steps; default and largest: the horizon that the ensemble was fitted for.
            future: Known-future covariates over the horizon, with the columns for series and time.
            as_of: Targets after it are not seen.

        Returns:
            Series and time under the training data's names, ``yhat``, then the quantiles as ``q0.1`` and so
            on; with ``training.data.stale: mark`` whether the series has ended. Times are on
            ``training.data.timezone``, even UTC, or on the place that the ensemble was trained on; else on
            the clock of the rows.

        Raises:
            InputError: The rows, the horizon or the covariates do not fit the ensemble.
        """
        panel = self.contract.history(one_block(rows), in_memory, future, as_of, horizon)
        return self.predict(panel, horizon)

    def predict(self, panel: PanelBlocks, horizon: int | None = None) -> pd.DataFrame:
        """Forecast beyond the end of each series of a panel, a block at a time; see ``forecast``."""
        steps = self.contract.steps(horizon)
        blocks = ((_padded(block, steps), block.ends) for block in panel.larger(FORECAST_ROWS))
        ensemble = replace(self.ensemble, recipe=with_measure(self.ensemble.recipe, panel))
        ensemble.warn_of_unseen(panel.series["unique_id"])
        tables = [
            table[lead_times(table) <= steps].drop(columns="cutoff")
            for table in ensemble.predict_blocks(blocks)
        ]
        table = treat_stale(
            concat_rows(tables).reset_index(drop=True), panel.outline, self.contract.training.data.stale
        )
        return as_given(table, panel.spec)

    def backtest(self, rows: pd.DataFrame, stride: int, start: pd.Timestamp | None = None) -> pd.DataFrame:
        """Rolling forecasts from origins that nothing in the ensemble has seen beyond.

        Args:
            rows: As a data file holds them.
            stride: Steps between origins.
            start: The first origin; default the earliest allowed.

        Returns:
            Series, ``cutoff``, time and target under the training data's names, ``observed``, ``scale``,
            ``yhat`` and the quantiles; times on the same clock as those of ``forecast``.

        Raises:
            DataError: ``start``, or all the data, lies before what the ensemble was fitted to.
        """
        if stride < 1:
            raise InputError(f"stride {stride}: allowed: 1 or more steps")
        training, spec, known = self.contract.training, self.contract.spec, self.contract.fitted_through
        panel = history_panel(rows, training, spec, known=known)
        origins = self._origins(panel, stride, start)
        forecasts = self.ensemble.predict(panel, origins)
        targets = panel.targets(origins)
        scales = all_scales(self.ensemble.recipe, PanelBlocks.of(panel))
        table = join_forecasts(targets, forecasts)
        table.insert(5, "scale", table["unique_id"].map(scales))
        return as_given(table, panel.spec)

    def _origins(self, panel: Panel, stride: int, start: pd.Timestamp | None) -> Cutoffs:
        after = self.contract.fitted_through_of(panel.frame["unique_id"])
        if start is not None and (start < after).any():
            name = panel.frame.loc[start < after, "unique_id"].iloc[0]
            raise DataError(
                f"series {name}: origin {start} lies before {after[start < after].iloc[0]}, up to which the"
                " model was fitted or chosen; allowed: a later start"
            )
        last = panel.series_codes
        ends = panel.frame["ds"].to_numpy()[panel.indptr[1:] - 1][last]
        first = after if start is None else after.where(after > start, start)
        eligible = panel.frame[(panel.frame["ds"] >= first) & (panel.frame["ds"] < ends)]
        step = eligible.groupby("unique_id").cumcount()
        origins = Cutoffs.from_frame(eligible[step % stride == 0], "ds")
        origins = Cutoffs(origins.frame[panel.has_future_covariates(origins)].reset_index(drop=True))
        if not len(origins):
            raise DataError(
                f"no origin comes after {after.min()}, up to which the model was fitted or chosen;"
                " allowed: data with later rows, and known-future covariates over a horizon after them"
            )
        return origins


def with_measure(recipe: StackRecipe, panel: PanelBlocks) -> StackRecipe:
    """The recipe, with the data's relative scale where a series needs one and the recipe has none."""
    lacking = any(recipe.scales.get(str(name)) is None for name in panel.series["unique_id"])
    if recipe.relative_scale is not None or not lacking:
        return recipe
    usual = pd.concat(relative_scales(block.frame, recipe.season_length) for block in panel).median()
    return recipe.model_copy(update={} if np.isnan(usual) else {"relative_scale": float(usual)})


def all_scales(recipe: StackRecipe, panel: PanelBlocks) -> dict[str, float]:
    """The scale of each series: that of the fit, else of the panel's own rows."""
    season = panel.spec.season_lengths[0]
    own = filled_scales(pd.concat(own_scales(block.frame, season) for block in panel))
    scales = dict(zip(own["unique_id"], own["scale"], strict=True))
    known = {name: value for name, value in recipe.scales.items() if value is not None}
    return {**scales, **known}


def _padded(panel: Panel, steps: int) -> Panel:
    """Repeat the last known covariates where they end after ``steps``: no forecast is made there."""
    if steps == panel.spec.horizon or not panel.spec.future:
        return panel
    ends, names = panel.ends, panel.spec.future
    replace(panel, spec=panel.spec.model_copy(update={"horizon": steps})).future(ends)  # raises if one lacks
    known = panel.grid(ends).merge(panel.future_covariates, on=["unique_id", "ds"], how="left")
    known[names] = known.groupby("unique_id", sort=False)[names].ffill()
    return replace(panel, future_covariates=known.drop(columns="cutoff"))


def mase(table: pd.DataFrame, columns: Columns) -> float:
    """Mean over series of the mean absolute error over the series' scale.

    Args:
        table: From ``Bundle.backtest``.
        columns: The data's names.
    """
    scored = as_kubecast(table, columns)[lambda rows: rows["observed"] & rows["scale"].notna()]
    errors = (scored["y"] - scored["yhat"]).abs() / scored["scale"]
    return float(np.mean(errors.groupby(scored["unique_id"]).mean()))
