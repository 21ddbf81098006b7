"""Auto-ARIMA, one for each series.

Seasons are removed by a causal profile, or by Fourier terms, before the orders are searched. What is found
is then applied to any history by one filter pass, so a further origin costs no new fit.

Of the covariates an ARIMA uses the known-future ones alone: past-only ones are not known over the horizon,
and static ones are constant within a series.
"""

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import JsonValue
from threadpoolctl import threadpool_limits

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ConfigError, DataError, ModelError
from kubecast.models.arima.filter import Arima, Floats, Ints, fourier
from kubecast.models.arima.series import (
    MIN_ROWS,
    Engine,
    Recipe,
    Search,
    SeriesModel,
    Task,
    fit_series,
    forecast_series,
)
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.base import FitLog, FitPlan, Forecaster, Trainer
from kubecast.models.seasonal_naive import forecast_frame, seasonal_naive

FILE = "arima.json"
LONGEST_SEASON = 60  # a longer seasonal ARIMA takes the libraries minutes to hours for each series
SHORT = 150  # rows up to which a likelihood is worth its time
PLAUSIBLE = 3.0  # ranges of the history that a forecast may leave it by
SMALL = 20_000  # rows that one process searches faster than new ones start
SAVING = 0.5  # seconds kept for saving before a deadline

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ArimaTrainer:
    """Searches the orders of every series.

    Attributes:
        settings: See ``ArimaSettings``.
        name: Of the forecaster.
    """

    settings: ArimaSettings
    name: str

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple["ArimaForecaster", FitLog]:
        """See ``Trainer.fit``; a series that cannot be fitted gets the seasonal naive, its reason in the log.

        Raises:
            ModelError: No series could be fitted.
            ConfigError: The settings do not fit the panel's season lengths.
        """
        began = time.monotonic()
        deadline = None if plan.deadline is None else plan.deadline - SAVING
        seasons = [m for m in panel.spec.season_lengths if m > 1]
        _check(self.settings, seasons)
        tasks, reasons = self._tasks(panel, until, _recipes(plan.replay))
        search = self._search(panel, tasks, plan.replay)
        found = _fit_all(tasks, search, deadline, plan.report)
        models = {key: outcome for key, outcome in found.items() if isinstance(outcome, list)}
        reasons |= {key: outcome for key, outcome in found.items() if isinstance(outcome, str)}
        late = [task.unique_id for task in tasks if task.unique_id not in found]
        reasons |= dict.fromkeys(late, "time limit")
        if not models and not late:
            key, reason = next(iter(reasons.items()), ("", "the panel is empty"))
            raise ModelError(f"no series could be fitted; the first, {key}: {reason}")
        _note_dropped(models, panel.spec.future, self.name)
        forecaster = ArimaForecaster(
            name=self.name,
            models=models,
            covariates=panel.spec.future,
            season_lengths=seasons,
            fourier_terms=self._fourier_terms,
            fallback_season=_best_naive(panel, until),
        )
        log = FitLog(
            stopped="time_limit" if late else "converged" if plan.replay is None else "replayed",
            replay=plan.replay if plan.replay is not None and not late else _replay(models, search.engine),
            seconds=time.monotonic() - began,
            fallbacks=dict(sorted(reasons.items())),
        )
        return forecaster, log

    @property
    def _fourier_terms(self) -> int:
        return self.settings.fourier_terms if self.settings.deseasonalize == "fourier" else 0

    def _search(self, panel: Panel, tasks: list[Task], replay: Mapping[str, JsonValue] | None) -> Search:
        settings, seasons = self.settings, panel.spec.season_lengths
        period = seasons[0] if settings.seasonal else 1
        engine = (replay or {}).get("engine", settings.engine)
        if engine == "auto":
            longest = max((len(task.y) for task in tasks), default=0)
            engine = "css" if longest > SHORT else "statsforecast"
        profiled = settings.deseasonalize == "profile" or (
            settings.deseasonalize == "auto" and not settings.seasonal
        )
        profiles = [m for m in seasons if m > 1] if profiled else []
        return Search(settings, cast(Engine, engine), period, profiles, panel.spec.horizon)

    def _tasks(
        self, panel: Panel, until: Cutoffs, recipes: Mapping[str, list[Recipe]] | None
    ) -> tuple[list[Task], dict[str, str]]:
        """Cut every series to what the fit may see, or tell why it is not fitted."""
        ends = dict(zip(until.frame["unique_id"], panel.rows_of(until), strict=True))
        short = set(panel.series.loc[panel.series["route"] == "fallback", "unique_id"])
        observed = panel.frame["observed"].to_numpy(dtype=bool)
        seasons = [m for m in panel.spec.season_lengths if m > 1]
        tasks, reasons = [], {}
        for key, first in zip(panel.ids, panel.starts[:-1], strict=True):
            stop = int(ends.get(key, first - 1)) + 1
            rows = slice(max(int(first), stop - self.settings.max_rows), stop)
            reason = _unfit(panel.filled[rows], key in short, recipes is not None and key not in recipes)
            if reason:
                reasons[key] = reason
                continue
            size = rows.stop - rows.start
            x = panel.frame[panel.spec.future].iloc[rows].to_numpy(dtype=np.float64)
            x = np.hstack([x, fourier(0, size, seasons, self._fourier_terms)])
            anchor = str(panel.frame["ds"].iloc[rows.start])
            replayed = recipes[key] if recipes is not None else None
            tasks.append(Task(key, panel.filled[rows], observed[rows], x, anchor, replayed))
        return tasks, reasons


@dataclass(frozen=True)
class ArimaForecaster:
    """ARIMAs of each series, averaged; the seasonal naive where there is none or it is not plausible.

    Attributes:
        name: Column of the forecasts.
        models: By series.
        covariates: Known-future covariates, in the order of the regressors.
        season_lengths: Of the Fourier terms.
        fourier_terms: Pairs for each season; 0 for none.
        fallback_season: Season length of the seasonal naive.
    """

    name: str
    models: Mapping[str, list[SeriesModel]]
    covariates: list[str]
    season_lengths: list[int]
    fourier_terms: int
    fallback_season: int

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``."""
        ends = panel.rows_of(origins)
        values = seasonal_naive(panel, origins, self.fallback_season)
        x_future = self._future(panel, origins)
        codes = panel.codes[ends]
        order = np.argsort(codes, kind="stable")
        replaced = 0
        for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []:
            models = self.models.get(panel.ids[codes[rows[0]]], [])
            first = panel.starts[codes[rows[0]]]
            rows = rows[ends[rows] - first >= min([model.needed for model in models], default=np.inf)]
            if len(rows) == 0:
                continue
            found, good = self._forecast_series(models, panel, first, ends[rows] - first, x_future[rows])
            values[rows[good]] = found[good]
            replaced += int((~good).sum())
        if replaced:
            _log.warning(
                "%s: %d of %d forecasts were not plausible; the seasonal naive of %d steps replaces them",
                self.name,
                replaced,
                len(ends),
                self.fallback_season,
                extra={"model": self.name},
            )
        return forecast_frame(panel, origins, values, self.name)

    def _future(self, panel: Panel, origins: Cutoffs) -> Floats:
        """Known-future covariates after each origin; shape (origins, horizon, covariates)."""
        missing = [name for name in self.covariates if name not in panel.spec.future]
        if missing:
            raise DataError(
                f"known-future covariate {', '.join(missing)} is missing; allowed: those of the fit,"
                f" {', '.join(self.covariates)}"
            )
        shape = (len(origins), panel.spec.horizon, len(self.covariates))
        if not self.covariates:
            return np.zeros(shape)
        return panel.future(origins)[self.covariates].to_numpy(dtype=np.float64).reshape(shape)

    def _forecast_series(
        self, models: list[SeriesModel], panel: Panel, first: int, ends: Ints, x_future: Floats
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """One series' forecasts from origins on its rows ``ends``, and which of them are plausible.

        From an origin whose history is too short for some of the models the others forecast.
        """
        size, horizon = int(ends.max()) + 1, panel.spec.horizon
        rows = slice(first, first + size)
        y = panel.filled[rows]
        x = panel.frame[self.covariates].iloc[rows].to_numpy(dtype=np.float64)
        if self.fourier_terms:
            shift = _steps_between(
                pd.Timestamp(models[0].anchor), panel.frame["ds"].iloc[first], panel.spec.frequency
            )
            terms = fourier(shift, size + horizon, self.season_lengths, self.fourier_terms)
            x = np.hstack([x, terms[:size]])
            x_future = np.concatenate([x_future, terms[ends[:, None] + 1 + np.arange(horizon)]], axis=2)
        total, weight = np.zeros((len(ends), horizon)), np.zeros((len(ends), 1))
        for model in models:
            use = np.flatnonzero(ends >= model.needed)
            with np.errstate(over="ignore", invalid="ignore"):  # caught by the check below
                total[use] += model.recipe.weight * forecast_series(model, y, x, x_future[use], ends[use])
            weight[use] += model.recipe.weight
        found = total / weight
        lowest, highest = np.minimum.accumulate(y)[ends], np.maximum.accumulate(y)[ends]
        margin = PLAUSIBLE * (highest - lowest)
        good = (found >= (lowest - margin)[:, None]) & (found <= (highest + margin)[:, None])
        return found, np.asarray(good.all(axis=1))

    def save(self, directory: Path) -> None:
        """Write ``arima.json``; numbers are written so that they read back exactly."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FILE).write_text(json.dumps(asdict(self), allow_nan=False))

    @classmethod
    def load(cls, directory: Path) -> "ArimaForecaster":
        """Read what ``save`` wrote."""
        fields = json.loads((directory / FILE).read_text())
        models = {key: [_series_model(model) for model in each] for key, each in fields.pop("models").items()}
        return cls(models=models, **fields)


def _series_model(fields: Mapping[str, Any]) -> SeriesModel:
    arima = {**fields["arima"], "differences": tuple(fields["arima"]["differences"])}
    return SeriesModel(**{**fields, "recipe": _recipe(fields["recipe"]), "arima": Arima(**arima)})


def _steps_between(earlier: pd.Timestamp, later: pd.Timestamp, frequency: str) -> int:
    if later < earlier:
        return -_steps_between(later, earlier, frequency)
    return len(pd.date_range(earlier, later, freq=frequency)) - 1


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


def _unfit(y: Floats, short: bool, unknown: bool) -> str:
    """Why a series is not fitted; empty where it is."""
    if len(y) == 0:
        return "no rows up to the cut-off"
    if short or len(y) < MIN_ROWS:
        return f"too short: {len(y)} training rows"
    if unknown:
        return "no orders to replay"
    return "constant: every training value is the same" if np.ptp(y) == 0 else ""


def _recipes(replay: Mapping[str, JsonValue] | None) -> dict[str, list[Recipe]] | None:
    if replay is None:
        return None
    orders = cast(dict[str, list[dict[str, Any]]], replay.get("orders", {}))
    return {key: [_recipe(fields) for fields in each] for key, each in orders.items()}


def _recipe(fields: Mapping[str, Any]) -> Recipe:
    tuples = {"order": tuple(fields["order"]), "seasonal": tuple(fields["seasonal"])}
    tuples["seasons"] = tuple((int(length), float(smoothing)) for length, smoothing in fields["seasons"])
    return Recipe(**{**fields, **tuples})


def _replay(models: Mapping[str, list[SeriesModel]], engine: str) -> dict[str, JsonValue]:
    orders = {key: [asdict(model.recipe) for model in each] for key, each in sorted(models.items())}
    return cast(dict[str, JsonValue], json.loads(json.dumps({"engine": engine, "orders": orders})))


def _note_dropped(models: Mapping[str, list[SeriesModel]], covariates: list[str], name: str) -> None:
    for position, covariate in enumerate(covariates):
        dropped = [key for key, (model, *_) in models.items() if position not in model.columns]
        if dropped:
            _log.warning(
                "%s: covariate %s is constant or a combination of others in %d of %d series, %s the first;"
                " it is not used there",
                name,
                covariate,
                len(dropped),
                len(models),
                dropped[0],
                extra={"model": name, "series": dropped[0]},
            )


def _best_naive(panel: Panel, until: Cutoffs) -> int:
    """The season length whose naive forecast is best for the median series on rows up to the cut-offs."""
    seasons, horizon = panel.spec.season_lengths, panel.spec.horizon
    lags = [
        season * -(-horizon // season) for season in seasons
    ]  # the horizon's last steps repeat a whole season
    ends = panel.rows_of(until)
    rows = []
    for first, end in zip(panel.starts[panel.codes[ends]], ends, strict=True):
        y = panel.filled[first : end + 1]
        if len(y) > 2 * max(lags):
            rows.append([np.mean(np.abs(y[lag:] - y[:-lag])) for lag in lags])
    if not rows:
        return seasons[0]
    errors = np.array(rows)
    relative = errors / np.maximum(errors[:, :1], np.finfo(float).tiny)
    return seasons[int(np.argmin(np.median(relative, axis=0)))]


# --- all series ---------------------------------------------------------------------------------------


def _fit_all(
    tasks: list[Task], search: Search, deadline: float | None, report: Callable[[int, float], None]
) -> dict[str, list[SeriesModel] | str]:
    """Fit every series, or as many as the deadline allows; a reason in place of one that failed."""
    found = {}
    for key, outcome in _outcomes(tasks, search, deadline):
        found[key] = outcome
        report(len(found), len(found) / len(tasks))
    return found


def _outcomes(
    tasks: list[Task], search: Search, deadline: float | None
) -> Iterator[tuple[str, list[SeriesModel] | str]]:
    if _is_small(tasks, search, deadline):
        with threadpool_limits(1):  # the matrices are far too small to share
            for task in tasks:
                if _is_past(deadline):
                    return
                yield fit_series(task, search)
        return
    jobs = max(2, min(joblib.cpu_count(), len(tasks)))  # with one alone, joblib starts no process
    pool = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", max_nbytes=None)
    try:
        yield from pool(joblib.delayed(_fit_in_worker)(task, search, deadline) for task in tasks)
    except BrokenProcessPool:
        if not _is_past(deadline):
            raise


def _is_past(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _is_small(tasks: list[Task], search: Search, deadline: float | None) -> bool:
    """Whether this process fits them: new ones take seconds to start, but can be ended at a deadline."""
    if search.engine == "pmdarima" or search.period > 1:
        return _is_past(deadline) or (len(tasks) == 1 and deadline is None)
    return sum(len(task.y) for task in tasks) <= SMALL


def _fit_in_worker(task: Task, search: Search, deadline: float | None) -> tuple[str, list[SeriesModel] | str]:
    """Fit in a process that the alarm ends at the deadline, wherever in a library it then is."""
    if deadline is not None:
        signal.setitimer(signal.ITIMER_REAL, max(deadline - time.monotonic(), 1e-3))
    try:
        return fit_series(task, search)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


_trainer: type[Trainer] = ArimaTrainer
_forecaster: type[Forecaster] = ArimaForecaster
