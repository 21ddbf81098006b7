"""A search: what is tried, in what order, and what is made of it."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState

from kubecast.data.panel import Panel
from kubecast.errors import ModelError, TuningError
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.neural.settings import LstmSettings
from kubecast.settings.search import SearchSettings
from kubecast.tuning import storage as storages
from kubecast.tuning.objective import ModelObjective, Report
from kubecast.tuning.pruning import MedianAtStep
from kubecast.tuning.storage import URL_VARIABLE, connect, database, journal
from kubecast.tuning.study import Study
from tests.support.panels import hourly
from tests.support.studies import search

pytestmark = pytest.mark.slow

DEPTHS = SearchSettings(
    catboost={
        "depth": {"type": "int", "low": 1, "high": 9},
        "learning_rate": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
    }
).catboost
BASE = CatBoostSettings(depth=6, learning_rate=0.1)


class Bowl:
    """Best at depth 3, whatever the seed adds; a depth of 9 fails."""

    def __init__(self, seeds: dict[int, float] | None = None, steps: int = 4) -> None:
        self.steps, self.trained, self.scored = steps, 0, [(0, 0)][:0]
        self._seeds = seeds or {}

    def error(self, settings: Any, seed: int, report: Report) -> float:
        self.scored.append((settings.depth, seed))
        if settings.depth == 9:
            raise ModelError("too deep")
        error = 1.0 + (settings.depth - 3) ** 2 + settings.learning_rate / 10
        error += self._seeds.get(seed, 0.0) if settings.depth == 3 else 0.0
        for step in range(1, self.steps + 1):
            self.trained += 1
            report(step, error)
        return float(error)


def searched(objective: Any = None, storage: Any = None, **changes: Any) -> Study:
    study = Study(search(**changes), objective or Bowl(), storage or InMemoryStorage(), "study")
    study.enqueue()
    study.wait(lambda done: None)
    return study


def params(study: Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.counted()]


def test_files_and_champions_settings_are_tried_first() -> None:
    study = searched(champion=CatBoostSettings(depth=2, learning_rate=0.5))
    assert params(study)[:2] == [{"depth": 6, "learning_rate": 0.1}, {"depth": 2, "learning_rate": 0.5}]
    assert study.table()["origin"].tolist()[:3] == ["base", "champion", None]
    assert len(study.counted()) == 12


def test_settings_outside_the_space_are_not_tried(caplog: pytest.LogCaptureFixture) -> None:
    study = searched(champion=CatBoostSettings(depth=12), limits={"n_trials": 3})
    assert study.table()["origin"].tolist() == ["base", None, None]
    assert "the champion configuration lies outside the search space" in caplog.text


def test_same_seed_finds_the_same_and_another_something_else() -> None:
    assert params(searched()) == params(searched())
    assert params(searched(seed=2)) != params(searched())


@pytest.mark.parametrize("killed_after", [1, 7])
def test_search_that_was_killed_ends_as_one_that_was_not(tmp_path: Path, killed_after: int) -> None:
    class Killed(BaseException):
        pass

    def on_progress(done: int) -> None:
        if done == killed_after:
            raise Killed

    whole = searched(storage=journal(tmp_path / "whole"))
    first = Study(search(), Bowl(), journal(tmp_path / "killed"), "study")
    first.enqueue()
    with pytest.raises(Killed):
        first.run(on_progress)
    assert len(first.counted()) == killed_after
    again = searched(storage=journal(tmp_path / "killed"))
    assert params(again) == params(whole)
    assert again.outcome() == whole.outcome()


def test_failed_and_undefined_trials_are_recorded_and_the_search_goes_on() -> None:
    class Broken(Bowl):
        def error(self, settings: Any, seed: int, report: Report) -> float:
            error = super().error(settings, seed, report)
            if settings.depth in (1, 8):
                return float("nan" if settings.depth == 8 else "-inf")
            if settings.depth == 7:
                raise MemoryError("no room")
            return error

    study = searched(Broken(), limits={"n_trials": 40})
    table = study.table()
    failed = table[table["state"] == "fail"].set_index("depth")
    assert len(study.counted()) == 40
    assert failed["reason"].to_dict() == {
        1: "ModelError: catboost: the error is -inf; allowed: a finite number",
        7: "MemoryError: no room",
        8: "ModelError: catboost: the error is nan; allowed: a finite number",
        9: "ModelError: too deep",
    }
    assert study.outcome().parameters["depth"] == 3


def test_search_ends_when_nothing_improves() -> None:
    study = searched(limits={"n_trials": 500, "patience": 5})
    trials = study.counted()
    best = min(trials, key=lambda trial: (trial.value or float("inf"), trial.number))
    assert len(trials) == best.number + 1 + 5 < 500


def test_search_ends_when_nothing_succeeds() -> None:
    space = SearchSettings(catboost={"depth": {"type": "int", "low": 9, "high": 9}}).catboost
    assert len(searched(space=space, limits={"n_trials": 500, "patience": 5}).counted()) == 5


@pytest.mark.slow
def test_search_ends_after_its_time() -> None:
    class Slow(Bowl):
        def error(self, settings: Any, seed: int, report: Report) -> float:
            import time

            time.sleep(0.4)
            return super().error(settings, seed, report)

    study = searched(Slow(), limits={"n_trials": 500, "timeout": 1})
    assert 2 <= len(study.counted()) <= 3


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_pruned_trials_take_fewer_steps(pruner: str) -> None:
    whole, pruned = Bowl(steps=20), Bowl(steps=20)
    searched(whole, limits={"n_trials": 30})
    study = searched(pruned, limits={"n_trials": 30, "pruner": pruner})
    assert whole.trained == 20 * sum(depth != 9 for depth, _ in whole.scored)
    assert pruned.trained < 0.8 * whole.trained
    assert study.finished(TrialState.PRUNED)
    assert study.outcome().epochs == sum(trial.user_attrs["epochs"] for trial in study.counted())


class Folds(Bowl):
    """Two folds of ten epochs, the first as easy for any settings; reports the mean so far."""

    def error(self, settings: Any, seed: int, report: Report) -> float:
        second = 1.0 + (settings.depth - 3) ** 2
        for step in range(1, 21):
            self.trained += 1
            report(step, 0.5 if step <= 10 else (0.5 + second) / 2)
        return (0.5 + second) / 2


def test_median_pruner_ends_trials_in_a_harder_block_after_an_easy_one() -> None:
    objective = Folds(steps=20)
    study = searched(objective, limits={"n_trials": 30, "pruner": "median", "folds": 2})
    pruned = study.finished(TrialState.PRUNED)
    assert len(pruned) > 5
    assert {trial.last_step for trial in pruned} == {11}
    assert objective.trained == 20 * 30 - 9 * len(pruned)


def reported(state: TrialState, *values: float) -> optuna.trial.FrozenTrial:
    intermediate = dict(enumerate(values, 1))
    return optuna.trial.create_trial(state=state, value=values[0], intermediate_values=intermediate)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([2.9], False),  # too early
        ([9.0, 3.0], False),  # the median
        ([0.5, 3.1], True),
        ([0.5, 3.1, 3.0], False),  # complete trials that stopped early stand by their last report
        ([0.5, 3.1, 3.1], True),
        ([0.5, 0.5, float("nan")], True),
    ],
    ids=["early", "median", "worse", "others-stopped", "worse-than-stopped", "undefined"],
)
def test_median_is_of_the_same_step(values: list[float], ends: bool) -> None:
    study = optuna.create_study()
    pruner = MedianAtStep(warmup=2)
    tried = reported(TrialState.PRUNED, *values)
    for each in ([1.0, 1.0], [1.0, 2.0], [1.0, 3.0], [1.0, 4.0]):
        study.add_trial(reported(TrialState.COMPLETE, *each))
    assert not pruner.prune(study, tried)
    study.add_trial(reported(TrialState.COMPLETE, 1.0, 5.0))
    study.add_trial(reported(TrialState.COMPLETE, 2.0, float("nan")))
    assert pruner.prune(study, tried) == ends


@pytest.mark.long
def test_median_pruner_saves_epochs_of_a_real_network(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1))
    base = LstmSettings(sequence_length=24, patch_length=4, hidden_units=[4], epochs=6, batch_size=64)
    space = SearchSettings(
        lstm={"learning_rate": {"type": "float", "low": 1e-6, "high": 1e-1, "log": True}}
    ).lstm
    epochs = {}
    for pruner, trials in (("none", 2), ("median", 10)):
        objective = ModelObjective.from_panel(panel, "lstm", base, 1)
        limits = {"n_trials": trials, "pruner": pruner}
        study = searched(objective, kind="lstm", base=base, space=space, limits=limits)
        assert len(study.counted()) == trials
        epochs[pruner] = objective.trained / trials
    assert epochs["none"] == 6
    assert epochs["median"] < 0.85 * 6


def test_better_trial_takes_the_place_of_the_files_settings() -> None:
    objective = Bowl()
    study = searched(objective, limits={"n_trials": 40})
    outcome = study.outcome()
    assert outcome.accepted
    assert outcome.parameters["depth"] == 3
    assert outcome.seeds == [2, 3]
    assert set(objective.scored[-4:]) == {(6, 2), (6, 3), (3, 2), (3, 3)}
    assert outcome.again is not None
    assert outcome.base is not None
    assert outcome.again < outcome.base
    assert (outcome.trials["complete"], outcome.reproducible) == (
        len(study.finished(TrialState.COMPLETE)),
        True,
    )


def test_trial_that_only_one_seed_favours_is_not_used() -> None:
    outcome = searched(Bowl(seeds={2: 20.0, 3: 20.0}), limits={"n_trials": 40}).outcome()
    assert not outcome.accepted
    assert outcome.reason == "with 2 other seeds it is not better than the base configuration"


class Fragile(Bowl):
    """With other seeds than that of the search, some depths fail."""

    def __init__(self, failures: dict[int, Exception]) -> None:
        super().__init__()
        self.failures = failures

    def error(self, settings: Any, seed: int, report: Report) -> float:
        if seed != 1 and settings.depth in self.failures:
            raise self.failures[settings.depth]
        return super().error(settings, seed, report)


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (ModelError("diverged"), "ModelError: diverged"),
        (MemoryError("no room\nat all"), "MemoryError: no room at all"),
    ],
    ids=["own", "framework"],
)
def test_best_trial_that_fails_with_another_seed_is_not_used(failure: Exception, why: str) -> None:
    outcome = searched(Fragile({3: failure}), limits={"n_trials": 40}).outcome()
    assert (outcome.accepted, outcome.again) == (False, None)
    assert outcome.reason == f"with another seed the best trial fails: {why}"


def test_best_trial_with_an_undefined_error_with_another_seed_is_not_used() -> None:
    outcome = searched(Bowl(seeds={2: float("nan")}), limits={"n_trials": 40}).outcome()
    assert (outcome.accepted, outcome.again) == (False, None)
    assert "catboost: the error is nan" in outcome.reason


def test_best_trial_is_used_where_the_files_settings_cannot_be_fitted() -> None:
    outcome = searched(Fragile({BASE.depth: ModelError("too deep")}), limits={"n_trials": 40}).outcome()
    assert (outcome.accepted, outcome.base, outcome.parameters["depth"]) == (True, None, 3)
    assert outcome.again is not None
    assert outcome.reason == "the base configuration cannot be fitted: ModelError: too deep"


def test_best_trial_and_files_settings_that_both_fail_with_other_seeds_are_told() -> None:
    failures: dict[int, Exception] = {3: ModelError("diverged"), BASE.depth: ModelError("too deep")}
    study = searched(Fragile(failures), limits={"n_trials": 40})
    with pytest.raises(ModelError, match=r"neither the best trial \(ModelError: diverged\) nor .*too deep"):
        study.outcome()


def test_storage_that_fails_in_a_second_run_is_no_failure_of_the_best_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise optuna.exceptions.StorageInternalError

    study = searched(limits={"n_trials": 40})
    monkeypatch.setattr(study.optuna, "set_user_attr", fail)
    with pytest.raises(optuna.exceptions.StorageInternalError):
        study.outcome()


def test_base_that_is_the_best_is_not_run_again() -> None:
    objective = Bowl()
    outcome = searched(
        objective, base=CatBoostSettings(depth=3, learning_rate=0.01), limits={"n_trials": 5}
    ).outcome()
    assert (outcome.accepted, outcome.reason) == (False, "the base configuration is the best")
    assert len(objective.scored) == 5


def test_second_runs_are_not_repeated_after_a_restart(tmp_path: Path) -> None:
    first = searched(Bowl(), storage=journal(tmp_path / "j"), limits={"n_trials": 40})
    outcome, again = first.outcome(), Bowl()
    second = searched(again, storage=journal(tmp_path / "j"), limits={"n_trials": 40})
    assert second.outcome() == outcome
    assert again.scored == []


def test_search_without_a_trial_that_succeeded_says_why() -> None:
    space = SearchSettings(catboost={"depth": {"type": "int", "low": 9, "high": 9}}).catboost
    with pytest.raises(ModelError, match=r"tuning catboost: no trial succeeded; ModelError: too deep"):
        searched(space=space, limits={"n_trials": 2}).outcome()


def test_trials_of_another_tuner_are_judged_alike() -> None:
    study = Study(search(reproducible=False), Bowl(), InMemoryStorage(), "study")
    study.add({"depth": "3", "learning_rate": "0.01"}, "complete", 1.1)
    study.add({"depth": "5", "learning_rate": "0.2"}, "pruned", 4.0)
    study.add({"depth": "9", "learning_rate": "0.2"}, "failed", None, "too deep")
    outcome = study.outcome()
    assert outcome.accepted
    assert outcome.trials == {"complete": 1, "pruned": 1, "fail": 1}
    assert (outcome.parameters, outcome.reproducible) == ({"depth": 3, "learning_rate": 0.01}, False)
    assert study.table()["reason"].tolist() == [None, None, "too deep"]


def test_trial_of_another_tuner_that_is_outside_the_space_or_undefined_is_a_failed_one() -> None:
    study = Study(search(), Bowl(), InMemoryStorage(), "study")
    study.add({"depth": "10", "learning_rate": "0.01"}, "complete", 1.1)
    study.add({"depth": "3", "learning_rate": "0.01"}, "failed", 0.5, "OOM")
    study.add({"depth": "3", "learning_rate": "0.01"}, "complete", float("-inf"))
    assert study.table()["reason"].tolist() == [
        "outside the search space: depth=10",
        "OOM",
        "the error is -inf; allowed: a finite number",
    ]
    assert study.table()["error"].isna().all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning")
def test_trial_whose_worker_was_killed_before_its_first_heartbeat_is_tried_again(tmp_path: Path) -> None:
    storage = connect(f"sqlite:///{tmp_path / 'study.db'}", "study", heartbeat=1)
    study = Study(search(limits={"n_trials": 3}), Bowl(), storage, "study")
    number = study.optuna.ask().number  # its worker is killed here
    study.wait(lambda done: None)
    assert study.optuna.trials[number].state == TrialState.FAIL
    assert {trial.state for trial in study.counted()} == {TrialState.COMPLETE}
    assert len(study.counted()) == 3
    assert number not in {trial.number for trial in study.counted()}
    storage.remove_session()
    storage.engine.dispose()


@pytest.mark.parametrize("when", ["before-report", "before-end", "while-it-is-told"])
@pytest.mark.parametrize("storage", ["journal", "database"])
def test_worker_whose_trial_another_one_took_over_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    storage: str,
    when: str,
) -> None:
    def opened() -> BaseStorage:
        if storage == "journal":
            return journal(tmp_path / "journal")
        return optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")

    def take_over(*_: Any) -> bool:
        other.optuna.tell(0, state=TrialState.FAIL, skip_if_finished=True)
        return True

    class Silent(Bowl):
        def error(self, settings: Any, seed: int, report: Report) -> float:
            if when == "before-report":
                take_over()
            error = super().error(settings, seed, report)
            if when == "before-end":
                take_over()
            return error

    other = Study(search(workers=2), Bowl(), opened(), "study")
    if when == "while-it-is-told":
        monkeypatch.setattr(logging.getLogger("kubecast.tuning.study"), "filters", [take_over])
    study = searched(Silent(), opened(), workers=2, limits={"n_trials": 4})
    assert study.counted()[0].state == TrialState.FAIL
    assert len(study.counted()) == 4
    assert "trial 0: another worker took it over" in caplog.text


def test_error_of_a_storage_is_not_taken_for_a_trial_that_was_taken_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("no trial")

    study = searched(limits={"n_trials": 1})
    monkeypatch.setattr(study.optuna, "ask", fail)
    study.search = search(limits={"n_trials": 2})
    with pytest.raises(ValueError, match="no trial"):
        study.run(lambda done: None)


@pytest.mark.parametrize(
    "use",
    [
        lambda study: study.enqueue(),
        lambda study: study.run(lambda done: None),
        lambda study: study.wait(lambda done: None),
        lambda study: study.table(),
        lambda study: study.outcome(),
    ],
    ids=["enqueue", "run", "wait", "table", "outcome"],
)
def test_database_that_fails_later_is_told_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Study], Any]
) -> None:
    monkeypatch.setattr(storages, "DRIVERS", {"sqlite": "sqlite"})
    monkeypatch.setenv(URL_VARIABLE, f"sqlite:///{tmp_path / 'secret.db'}")

    def use_broken() -> None:
        with database() as storage:
            study = Study(search(), Bowl(), storage, "study")
            storage.engine.dispose()  # type: ignore[attr-defined]  # of a database
            (tmp_path / "secret.db").write_bytes(b"no database any more" * 100)
            use(study)

    with pytest.raises(TuningError, match="the study's database fails") as raised:
        use_broken()
    assert "secret" not in str(raised.value)


def test_outcome_survives_json() -> None:
    outcome = searched(limits={"n_trials": 20}).outcome()
    assert json.loads(outcome.model_dump_json())["parameters"] == outcome.parameters
