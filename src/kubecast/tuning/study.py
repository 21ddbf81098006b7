"""A search by Optuna: trials one after the other, in one process or in several that share a database.

What a trial is to try follows from the seed and the trials that are finished, so a search that was killed and
goes on is the same search; several workers see one another's trials as they come, and are not reproducible.
"""

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import pandas as pd
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState
from pydantic import Field, JsonValue

from kubecast.config.base import Settings
from kubecast.config.search import Space, parameters_of, parse_parameters, with_parameters
from kubecast.config.training import OptimizationSettings
from kubecast.documents import Document
from kubecast.errors import ModelError, one_line
from kubecast.models.base import ignore
from kubecast.tuning.objective import Objective, Report
from kubecast.tuning.pruning import make_pruner

_LOG = logging.getLogger(__name__)
_STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
_SEEDS = 2  # with which the best trial is run again

optuna.logging.set_verbosity(optuna.logging.ERROR)  # trials are logged below


@dataclass(frozen=True)
class Search:
    """The settings that are searched, and how.

    Attributes:
        kind: Of the model, or ``ensemble``.
        base: The settings of the configuration files.
        champion: Those of the champion, if it has such a member.
        space: What may be changed.
        optimization: How long.
        seed: Of the sampler and of every trial's fits.
        workers: Processes that search at once.
        reproducible: Whether the same search finds the same.
    """

    kind: str
    base: Settings
    champion: Settings | None
    space: Space
    optimization: OptimizationSettings
    seed: int
    workers: int = 1
    reproducible: bool = True

    def settings(self, values: dict[str, Any]) -> Settings:
        """The settings of a trial."""
        return with_parameters(self.base, self.space, values)


class Outcome(Document):
    """The result of a search.

    Attributes:
        kind: Of the model, or ``ensemble``.
        study: Its name.
        parameters: Of the best trial.
        best: Error of the best trial.
        seeds: That the best trial and the base configuration were run again with.
        again: Mean error of the best trial over them; None if that failed.
        base: Mean error of the base configuration over them; None if that failed.
        accepted: Whether the best trial takes its place.
        reason: Why, or why not.
        trials: How many there were, by state.
        epochs: Of all of them together.
        reproducible: Whether the same search finds the same.
    """

    kind: str
    study: str = ""
    parameters: dict[str, JsonValue] = Field(default={})
    best: float | None = None
    seeds: list[int] = Field(default=[])
    again: float | None = None
    base: float | None = None
    accepted: bool = False
    reason: str
    trials: dict[str, int] = Field(default={})
    epochs: int = 0
    reproducible: bool = True


class Study:
    """A search: the trials that are to be made, and those that were."""

    def __init__(self, search: Search, objective: Objective, storage: BaseStorage, name: str) -> None:
        """Open the study, or the one of that name that is there already."""
        self.search, self.objective, self.name = search, objective, name
        self._trying: int | None = None
        self._storage = storage
        self.optuna = optuna.create_study(
            storage=storage,
            study_name=name,
            pruner=make_pruner(search.optimization, objective.steps),
            load_if_exists=True,
        )

    def enqueue(self) -> None:
        """Have the base configuration and the champion's tried first, if they lie inside the space."""
        for origin, settings in (("base", self.search.base), ("champion", self.search.champion)):
            values = None if settings is None else parameters_of(settings, self.search.space)
            if values is not None:
                self.optuna.enqueue_trial(values, user_attrs={"origin": origin}, skip_if_exists=True)
            elif settings is not None:
                _LOG.info("the %s configuration lies outside the search space", origin)

    def add(self, texts: Mapping[str, str], state: str, error: float | None, reason: str = "") -> None:
        """Put in a trial that was run elsewhere.

        Args:
            texts: Its parameters, as Katib writes them.
            state: ``complete``, ``pruned`` or ``failed``.
            error: None where it has none.
            reason: Why it failed.
        """
        values = parse_parameters(self.search.space, texts)
        outside = [name for name, each in self.search.space.items() if not each.contains(values[name])]
        if outside:
            listed = ", ".join(f"{name}={values[name]}" for name in outside)
            values, state, reason = {}, "failed", f"outside the search space: {listed}"
        if error is not None and not math.isfinite(error):
            state, reason = "failed", f"the error is {error}; allowed: a finite number"
        fixed = optuna.trial.FixedTrial(values)
        for name in values:
            self.search.space[name].suggest(fixed, name)
        self.optuna.add_trial(
            optuna.trial.create_trial(
                state=_STATES[state],
                value=None if state == "failed" else error,
                params=fixed.params,
                distributions=fixed.distributions,
                user_attrs={"reason": reason} if reason else {},
            )
        )

    def run(self, on_progress: Callable[[int], None]) -> None:
        """Try settings until there are enough trials.

        Args:
            on_progress: Called after each trial with the number of trials.
        """
        while (begun := self._begun()) is not None:
            self.optuna.sampler = self._sampler(begun)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._run_one()
            on_progress(len(self.counted()))

    def _run_one(self) -> None:
        """Try settings once; a worker that took this one for dead may have ended the trial meanwhile."""
        self._trying = None
        try:
            self.optuna.optimize(self._try, n_trials=1, catch=(Exception,))
        except (ValueError, AssertionError, optuna.exceptions.UpdateFinishedTrialError):
            if self._trying is None or not self.optuna.trials[self._trying].state.is_finished():
                raise
            _LOG.warning("trial %d: another worker took it over", self._trying)

    def wait(self, on_progress: Callable[[int], None]) -> None:
        """Go on until no trial is left that another worker began, whether it ends or that worker is dead."""
        self.run(on_progress)
        watched: set[int] = set()
        while running := {trial.number for trial in self.optuna.trials if trial.state == TrialState.RUNNING}:
            self._expect_life(running - watched)
            watched |= running
            time.sleep(1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                optuna.storages.fail_stale_trials(self.optuna)
            self.run(on_progress)

    def _expect_life(self, numbers: Iterable[int]) -> None:
        """Give each trial a first heartbeat.

        Optuna takes a trial for dead only by its last heartbeat, so one whose worker was killed before the
        first, or one that was begun for nobody, would be waited for in vain.
        """
        if isinstance(self._storage, RDBStorage):
            study = self._storage.get_study_id_from_name(self.name)
            for number in numbers:
                trial = self._storage.get_trial_id_from_study_id_trial_number(study, number)
                self._storage.record_heartbeat(trial)

    def counted(self) -> list[FrozenTrial]:
        """Every trial that was begun, but those whose worker was killed and that were begun again."""
        trials = self.optuna.trials
        again = {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}
        return [trial for trial in trials if trial.state != TrialState.WAITING and trial.number not in again]

    def table(self) -> pd.DataFrame:
        """One row for each trial: how it ended, what it tried and why it failed."""
        rows = [
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "error": trial.value,
                "seconds": trial.duration.total_seconds() if trial.duration else None,
                **{key: trial.user_attrs.get(key) for key in ("epochs", "origin", "reason")},
                **trial.params,
            }
            for trial in self.counted()
        ]
        columns = ["trial", "state", "error", "seconds", "epochs", "origin", "reason", *self.search.space]
        return pd.DataFrame(rows, columns=columns)

    def finished(self, state: TrialState) -> list[FrozenTrial]:
        """The trials that ended in a state."""
        return [trial for trial in self.counted() if trial.state == state]

    def _begun(self) -> int | None:
        """The number of trials that there were; None if that is enough."""
        limits, trials = self.search.optimization, self.counted()
        ended = [trial for trial in trials if trial.state.is_finished()]
        seconds = sum(trial.duration.total_seconds() for trial in ended if trial.duration is not None)
        enough = (
            len(trials) >= limits.n_trials
            or seconds / self.search.workers >= limits.timeout
            or (limits.patience is not None and _since_best(ended) >= limits.patience)
        )
        return None if enough else len(trials)

    def _sampler(self, begun: int) -> optuna.samplers.BaseSampler:
        # Made anew for each trial: a sampler that lives on draws other numbers after a restart.
        seed = (self.search.seed + begun) % 2**31
        return optuna.samplers.TPESampler(seed=seed, constant_liar=self.search.workers > 1)

    def _try(self, trial: optuna.Trial) -> float:
        values = {name: each.suggest(trial, name) for name, each in self.search.space.items()}
        before, error, self._trying = self.objective.trained, math.nan, trial.number

        def report(step: int, value: float) -> None:
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        state = "failed"
        try:
            error = self._error(self.search.settings(values), self.search.seed, report)
            state = "complete"
        except optuna.TrialPruned:
            state = "pruned"
            raise
        except Exception as failure:
            trial.set_user_attr("reason", _message(failure))
            raise
        finally:
            trial.set_user_attr("epochs", self.objective.trained - before)
            shown = ", ".join(f"{name}={_short(value)}" for name, value in values.items())
            result = f"{state} {_short(error)}" if state == "complete" else state
            _LOG.info("trial %d %s: %s", trial.number, result, shown)
        return error

    def _error(self, settings: Settings, seed: int, report: Report) -> float:
        error = self.objective.error(settings, seed, report)
        if not math.isfinite(error):
            raise ModelError(f"{self.search.kind}: the error is {error}; allowed: a finite number")
        return error

    def outcome(self, on_progress: Callable[[int], None] = ignore) -> Outcome:
        """Run the best trial again with new seeds, against the base configuration.

        A trial was the best with one seed among many: only another seed shows whether it is better.

        Args:
            on_progress: Called after each run with the number of trials.

        Raises:
            ModelError: No trial succeeded, or with new seeds neither of the two can be fitted.
        """
        states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
        outcome: dict[str, Any] = {
            "kind": self.search.kind,
            "study": self.name,
            "trials": {state.name.lower(): len(self.finished(state)) for state in states},
            "epochs": sum(trial.user_attrs.get("epochs", 0) for trial in self.counted()),
            "reproducible": self.search.reproducible,
        }
        complete = self.finished(TrialState.COMPLETE)
        if not complete:
            reasons = [trial.user_attrs.get("reason") for trial in self.finished(TrialState.FAIL)]
            raise ModelError(
                f"tuning {self.search.kind}: no trial succeeded; {next(filter(None, reasons), '')}"
            )
        best = min(complete, key=lambda trial: (trial.value, trial.number))
        outcome |= {"parameters": best.params, "best": best.value}
        if self.search.settings(best.params) == self.search.base:
            return Outcome(**outcome, reason="the base configuration is the best")
        return Outcome(**outcome, **self._compare(best.params, on_progress))

    def _compare(self, params: dict[str, Any], on_progress: Callable[[int], None]) -> dict[str, Any]:
        seeds = [(self.search.seed + more) % 2**31 for more in range(1, _SEEDS + 1)]
        base, unfit = self._mean("base", self.search.base, seeds, on_progress)
        again, failed = self._mean("best", self.search.settings(params), seeds, on_progress)
        errors: dict[str, Any] = {"seeds": seeds, "base": base, "again": again}
        if again is None and base is None:
            raise ModelError(
                f"tuning {self.search.kind}: with other seeds neither the best trial ({failed}) nor the base"
                f" configuration ({unfit}) can be fitted"
            )
        if again is None:
            return {**errors, "reason": f"with another seed the best trial fails: {failed}"}
        if base is None:
            reason = f"the base configuration cannot be fitted: {unfit}"
            return {**errors, "accepted": True, "reason": reason}
        accepted = again < base
        reason = (
            f"with {_SEEDS} other seeds it is {'' if accepted else 'not '}better than the base configuration"
        )
        return {**errors, "accepted": accepted, "reason": reason}

    def _mean(
        self, which: str, settings: Settings, seeds: Sequence[int], on_progress: Callable[[int], None]
    ) -> tuple[float | None, str]:
        """The error over seeds; None and why, where a run fails."""
        try:
            return sum(self._again(which, settings, seed, on_progress) for seed in seeds) / len(seeds), ""
        except ModelError as error:
            return None, str(error)

    def _again(self, which: str, settings: Settings, seed: int, on_progress: Callable[[int], None]) -> float:
        """The error with another seed, kept in the study so that a restart does not repeat it."""
        key = f"{which} with seed {seed}"
        kept = self.optuna.user_attrs.get(key)
        if kept is None:
            try:
                kept = self._error(settings, seed, ignore)
            except Exception as failure:  # as in a trial: whatever a framework raises
                raise ModelError(_message(failure)) from failure
            self.optuna.set_user_attr(key, kept)
            _LOG.info("%s: %s", key, _short(kept))
            on_progress(len(self.counted()))
        return float(kept)


def _since_best(ended: Sequence[FrozenTrial]) -> int:
    """Trials that ended after the best one; all of them while there is none."""
    complete = [trial for trial in ended if trial.state == TrialState.COMPLETE]
    if not complete:
        return len(ended)
    best = min(complete, key=lambda trial: (trial.value, trial.number))
    return sum(trial.number > best.number for trial in ended)


def _message(failure: Exception) -> str:
    return one_line(f"{type(failure).__name__}: {failure}", 300)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
