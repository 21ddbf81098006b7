"""Fitted CatBoost models, averaged: their forecasts and their files."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
from catboost import CatBoostError, CatBoostRegressor
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from kubecast.data.panel import Cutoffs, Panel
from kubecast.documents import Document
from kubecast.errors import IntegrityError, one_line
from kubecast.models.catboost.features import FeatureSpec, recursive_forecast, usable
from kubecast.models.seasonal_naive import forecast_frame, seasonal_naive

SPEC_FILE = "catboost.json"
LARGEST_FILE = 4 << 30  # bytes


class _SavedMember(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    spec: FeatureSpec
    weight: float


class _Saved(Document):
    model_config = ConfigDict(strict=True)

    document_name: ClassVar[str] = "a saved CatBoost model"

    name: str
    members: list[_SavedMember] = Field(min_length=1)


@dataclass(frozen=True)
class Member:
    """One fitted model.

    Attributes:
        model: Forecasts one scaled, differenced step.
        spec: Its features.
        weight: Share in the forecast.
    """

    model: CatBoostRegressor
    spec: FeatureSpec
    weight: float = 1.0

    def forecast(self, panel: Panel, origins: Cutoffs) -> NDArray[np.float64]:
        """Forecast from each origin; shape (origins, horizon), NaN from short and constant histories."""
        values = np.full((len(origins), panel.spec.horizon), np.nan)
        use = usable(panel, origins, self.spec)
        forecasts = recursive_forecast(panel, Cutoffs(origins.frame[use]), self.spec, self.model)
        finite = np.isfinite(forecasts).all(axis=1, keepdims=True)
        values[use] = np.where(finite, forecasts, np.nan)
        return values


@dataclass(frozen=True)
class CatBoostForecaster:
    """Fitted CatBoost models, averaged.

    Attributes:
        members: Their weights sum to 1.
        name: Column of the forecasts.
    """

    members: list[Member]
    name: str

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``.

        Where a history is too short for some of the models the others forecast, and the seasonal naive where
        it is too short for all, or constant.
        """
        values = seasonal_naive(panel, origins, self.members[0].spec.season_lengths[0])
        total, weight = np.zeros_like(values), np.zeros((len(origins), 1))
        for member in self.members:
            forecasts = member.forecast(panel, origins)
            use = np.isfinite(forecasts).all(axis=1)
            total[use] += member.weight * forecasts[use]
            weight[use] += member.weight
        values = np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), values)
        return forecast_frame(panel, origins, values, self.name)

    def importance(self) -> dict[str, float]:
        """Compute how much the prediction changes with each feature, in percent of all features."""
        shares: dict[str, float] = {}
        for member in self.members:
            values = member.model.get_feature_importance()
            for name, value in zip(member.model.feature_names_, values, strict=True):
                shares[str(name)] = shares.get(str(name), 0.0) + member.weight * float(value)
        return shares

    def save(self, directory: Path) -> None:
        """Write ``catboost-1.cbm`` and so on, and ``catboost.json``."""
        directory.mkdir(parents=True, exist_ok=True)
        for number, member in enumerate(self.members, start=1):
            member.model.save_model(str(_model_file(directory, number)), format="cbm")
        members = [_SavedMember(spec=member.spec, weight=member.weight) for member in self.members]
        _Saved(name=self.name, members=members).write(directory / SPEC_FILE)

    @classmethod
    def load(cls, directory: Path) -> "CatBoostForecaster":
        """Read what ``save`` wrote.

        Raises:
            IntegrityError: A file is missing or not what ``save`` writes.
        """
        saved = _Saved.read(directory / SPEC_FILE)
        try:
            members = [
                Member(_load_model(_model_file(directory, number)), member.spec, member.weight)
                for number, member in enumerate(saved.members, start=1)
            ]
        except (OSError, CatBoostError) as error:
            raise IntegrityError(f"{directory}: not a saved CatBoost model ({one_line(error)})") from error
        return cls(members, saved.name)


def _model_file(directory: Path, number: int) -> Path:
    return directory / f"catboost-{number}.cbm"


def _load_model(path: Path) -> CatBoostRegressor:
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise IntegrityError(f"{path}: {size} bytes; allowed: 1 to {LARGEST_FILE}")
    return CatBoostRegressor().load_model(str(path), format="cbm")
