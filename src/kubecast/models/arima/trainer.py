"""Auto-ARIMA, one for each series.

Seasons are removed by a causal profile, or by Fourier terms, before the orders are searched. The models are
then applied to any history by one filter pass, so a further origin costs no new fit.

Of the covariates an ARIMA uses the known-future ones alone: past-only ones are not known over the horizon,
and static ones are constant within a series.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

import numpy as np
from pydantic import JsonValue

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ConfigError, ModelError
from kubecast.models.arima.filter import Floats
from kubecast.models.arima.forecaster import ArimaForecaster
from kubecast.models.arima.naive import best_naive, fewest_rows
from kubecast.models.arima.parallel import fit_all
from kubecast.models.arima.recipe import Recipe, SeriesModel, read_recipe
from kubecast.models.arima.regressors import fourier
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.arima.task import FEWEST_ROWS, Engine, Search, Task
from kubecast.models.base import Evidence, FitLog, FitPlan, Trainer

LONGEST_SEASON = 60  # a longer seasonal ARIMA takes the libraries minutes to hours for each series
SHORT = 150  # rows up to which a likelihood is worth its time
SAVING = 0.5  # seconds kept for saving before a deadline

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArimaTrainer:
    """Searches the orders of every series.

    Attributes:
        settings: See ``ArimaSettings``.
        name: Of the forecaster.
    """

    settings: ArimaSettings
    name: str

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple[ArimaForecaster, FitLog]:
        """See ``Trainer.fit``; a series that cannot be fitted gets the seasonal naive, its reason in the log.

        Raises:
            ModelError: No series could be fitted, and there is no evidence of others.
            ConfigError: The settings do not fit the panel's season lengths.
        """
        began = time.monotonic()
        deadline = None if plan.deadline is None else plan.deadline - SAVING
        seasons = [m for m in panel.spec.season_lengths if m > 1]
        _check(self.settings, seasons)
        recipes = _read_recipes(plan.fixed_fit)
        evidence = plan.evidence or Evidence(panel, until)
        fewest = fewest_rows(*evidence) if recipes is None else 0
        tasks, reasons = self._tasks(panel, until, recipes, fewest)
        compared = tasks if plan.evidence is None else self._tasks(*evidence, recipes, fewest)[0]
        search = self._search(panel, compared, plan.fixed_fit)
        outcomes = fit_all(tasks, search, deadline, plan.on_step)
        models = {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, list)}
        reasons |= {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, str)}
        late = [task.unique_id for task in tasks if task.unique_id not in outcomes]
        reasons |= dict.fromkeys(late, "time limit")
        if not models and not late and plan.evidence is None:
            key, reason = next(iter(reasons.items()), ("", "the panel is empty"))
            raise ModelError(f"no series could be fitted; the first, {key}: {reason}")
        _warn_of_dropped(models, panel.spec.future, self.name)
        forecaster = ArimaForecaster(
            name=self.name,
            models=models,
            covariates=panel.spec.future,
            season_lengths=seasons,
            fourier_terms=self._fourier_terms,
            fallback_season=best_naive(*evidence),
        )
        log = FitLog(
            stopped="time_limit" if late else "converged" if plan.fixed_fit is None else "replayed",
            fixed_fit=_fixed_fit(models, search.engine)
            if plan.fixed_fit is None or late
            else _of_series(plan.fixed_fit, panel.ids),
            seconds=time.monotonic() - began,
            fallbacks=dict(sorted(reasons.items())),
        )
        return forecaster, log

    @property
    def _fourier_terms(self) -> int:
        return self.settings.fourier_terms if self.settings.deseasonalize == "fourier" else 0

    def _search(self, panel: Panel, tasks: list[Task], fixed_fit: Mapping[str, JsonValue] | None) -> Search:
        settings, seasons = self.settings, panel.spec.season_lengths
        period = seasons[0] if settings.seasonal else 1
        engine = (fixed_fit or {}).get("engine", settings.engine)
        if engine == "auto":
            longest = max((len(task.y) for task in tasks), default=0)
            engine = "css" if longest > SHORT else "statsforecast"
        profiled = settings.deseasonalize == "profile" or (
            settings.deseasonalize == "auto" and not settings.seasonal
        )
        profiles = [m for m in seasons if m > 1] if profiled else []
        return Search(settings, cast(Engine, engine), period, profiles, panel.spec.horizon)

    def _tasks(
        self, panel: Panel, until: Cutoffs, recipes: Mapping[str, list[Recipe]] | None, fewest: int
    ) -> tuple[list[Task], dict[str, str]]:
        """Cut every series to the rows that the fit may see; a reason for each that is not fitted."""
        ends = dict(zip(until.frame["unique_id"], panel.row_index(until), strict=True))
        short = set(panel.series.loc[panel.series["route"] == "fallback", "unique_id"])
        observed = panel.frame["observed"].to_numpy(dtype=bool)
        seasons = [m for m in panel.spec.season_lengths if m > 1]
        tasks, reasons = [], {}
        for key, first in zip(panel.ids, panel.indptr[:-1], strict=True):
            stop = int(ends.get(key, first - 1)) + 1
            rows = slice(max(int(first), stop - self.settings.max_rows), stop)
            known = recipes is None or key in recipes
            reason = _unfit(panel.filled[rows], stop - int(first), key in short, known, fewest)
            if reason:
                reasons[key] = reason
                continue
            size = rows.stop - rows.start
            x = panel.frame[panel.spec.future].iloc[rows].to_numpy(dtype=np.float64)
            x = np.hstack([x, fourier(0, size, seasons, self._fourier_terms)])
            anchor = str(panel.frame["ds"].iloc[rows.start])
            fixed = recipes[key] if recipes is not None else None
            tasks.append(Task(key, panel.filled[rows], observed[rows], x, anchor, fixed))
        return tasks, reasons


def _check(settings: ArimaSettings, seasons: list[int]) -> None:
    """Refuse settings that have no effect, or no end, at these season lengths."""
    if not seasons and (settings.seasonal or settings.deseasonalize in ("profile", "fourier")):
        key = "seasonal: true" if settings.seasonal else f"deseasonalize: {settings.deseasonalize}"
        raise ConfigError(
            f"arima.{key} has no effect, the season length is 1; allowed: a longer one, or leave it out"
        )
    if settings.seasonal and seasons[0] > LONGEST_SEASON and settings.engine not in ("auto", "css"):
        raise ConfigError(
            f"arima.seasonal with season length {seasons[0]} does not end in useful time with engine"
            f" {settings.engine}; allowed: at most {LONGEST_SEASON}, or engine: css"
        )


def _unfit(y: Floats, history: int, short: bool, known: bool, fewest: int) -> str:
    """Why a series is not fitted; empty where it is.

    Args:
        y: The rows to fit to.
        history: The number of all rows up to the cut-off, of which ``y`` may be the newest alone.
        short: Whether it is left to the fallback already.
        known: Whether its orders are there, where orders are replayed.
        fewest: Rows of a history that shows the season.
    """
    if len(y) == 0:
        return "no rows up to the cut-off"
    if short or len(y) < FEWEST_ROWS:
        return f"too short: {len(y)} training rows"
    if not known:
        return "no orders to replay"
    if history < fewest:
        return f"too short: {history} training rows, two cycles of a season that others show take {fewest}"
    return "constant: every training value is the same" if np.ptp(y) == 0 else ""


def _read_recipes(fixed_fit: Mapping[str, JsonValue] | None) -> dict[str, list[Recipe]] | None:
    if fixed_fit is None:
        return None
    orders = cast(dict[str, list[dict[str, Any]]], fixed_fit.get("orders", {}))
    return {key: [read_recipe(fields) for fields in each] for key, each in orders.items()}


def _fixed_fit(models: Mapping[str, list[SeriesModel]], engine: str) -> dict[str, JsonValue]:
    orders = {key: [asdict(model.recipe) for model in each] for key, each in sorted(models.items())}
    return cast(dict[str, JsonValue], json.loads(json.dumps({"engine": engine, "orders": orders})))


def _of_series(fixed_fit: Mapping[str, JsonValue], names: Iterable[str]) -> dict[str, JsonValue]:
    """The part that is of some series: each part of a fit would else hold the orders of all."""
    orders = cast(dict[str, JsonValue], fixed_fit.get("orders", {}))
    return {**fixed_fit, "orders": {name: orders[name] for name in names if name in orders}}


def _warn_of_dropped(models: Mapping[str, list[SeriesModel]], covariates: list[str], name: str) -> None:
    for position, covariate in enumerate(covariates):
        dropped = [key for key, (model, *_) in models.items() if position not in model.columns]
        if dropped:
            _LOG.warning(
                "%s: covariate %s is constant or a combination of others in %d of %d series, %s the first;"
                " it is not used there",
                name,
                covariate,
                len(dropped),
                len(models),
                dropped[0],
                extra={"model": name, "series": dropped[0]},
            )


_trainer: type[Trainer] = ArimaTrainer
