"""tune_optuna and its kin, as the components call them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.storages import BaseStorage, RDBStorage

from kubecast.data import panel_blocks
from kubecast.data.panel import Panel
from kubecast.errors import ConfigError, ModelError
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.reports.tuning import render_tuning
from kubecast.settings.pipeline import TuningSettings
from kubecast.settings.search import SearchSettings
from kubecast.steps import tune
from kubecast.steps.run_settings import FROM_RUN, RunSettings, SearchPlan
from kubecast.steps.search_request import Request
from kubecast.steps.tune import choose_settings, outcome_metrics, run_worker, tune_model
from kubecast.steps.tune_katib import tune_katib
from kubecast.tuning import objective
from kubecast.tuning.objective import ModelObjective
from kubecast.tuning.study import Outcome
from tests.support.katib import plan
from tests.support.pages import read_payload
from tests.support.panels import hourly
from tests.support.runs import panel_with, prepare
from tests.support.searches import BASE, search_request
from tests.support.studies import search

pytestmark = pytest.mark.long

TITLES = ("What changed", "Search", "Trials")
CHARTS = {"History", "Slice of depth", "Slice of learning_rate"}


TUNE = """
import sys
from pathlib import Path
from kubecast.steps.tune import Request, tune_model
tune_model(Request.model_validate_json(sys.argv[1]), 1, Path(sys.argv[2]), Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def panel_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    limits = {"n_trials": 4, "folds": 2}
    return prepare(hourly(), folder, optimization=limits, checkpoint_url=str(folder / "checkpoints"))


def tuned(request: Request, folder: Path) -> Any:
    return tune_model(request, 1, folder / "trials.csv", folder / "report.html")


def test_search_leaves_settings_trials_and_a_page(panel_dir: Path, tmp_path: Path) -> None:
    chosen, outcome = tuned(search_request(panel_dir), tmp_path)
    found = CatBoostSettings.model_validate_json(chosen)
    changed = {"depth", "learning_rate"}
    assert found.model_dump(exclude=changed) == BASE.model_dump(exclude=changed)
    assert outcome.accepted == (found != BASE)
    table = pd.read_csv(tmp_path / "trials.csv")
    assert len(table) == 4
    assert table["error"].min() == pytest.approx(outcome.best)
    page = (tmp_path / "report.html").read_text()
    assert tuple(re.findall(r'<h2 tabindex="-1">(.*?)</h2>', page)) == TITLES
    assert page.index('class="verdict') < page.index('class="tiles"') < page.index('<h2 tabindex="-1">')
    assert set(read_payload(page)["charts"]) >= CHARTS
    assert f"{outcome.base:.3g} \N{RIGHTWARDS ARROW} {outcome.again:.3g}, " in page
    assert outcome.reason[1:] in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert len(page) < 1_000_000
    figures = outcome_metrics(outcome)
    assert figures["best_error"] == outcome.best
    assert (figures["trials_complete"] + figures["trials_pruned"], figures["trials_fail"]) == (4, 0)


def test_panel_is_read_once_for_all_trials(
    panel_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, folds = [], []
    blocks, cut = panel_blocks.series_blocks, objective.training_folds
    monkeypatch.setattr(panel_blocks, "series_blocks", lambda path: read.append(path) or blocks(path))
    monkeypatch.setattr(objective, "training_folds", lambda *given: folds.append(given) or cut(*given))
    tuned(search_request(panel_dir, seed=2), tmp_path)
    assert (len(read), len(folds)) == (1, 1)


def test_killed_search_goes_on_from_its_checkpoint_and_ends_as_one_that_was_not(
    panel_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = search_request(panel_dir, seed=3)
    whole = tuned(request, tmp_path)
    checkpoints = Path(RunSettings.read(panel_dir).training.checkpoint_url)
    command = [sys.executable, "-c", TUNE, request.model_dump_json(), str(tmp_path / "killed")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stderr is not None
        next(line for line in worker.stderr if line.startswith("progress tune_catboost 2/4"))
        worker.kill()
    assert [path for path in checkpoints.rglob("*") if path.is_file()]
    caplog.clear()
    assert tuned(request, tmp_path) == whole
    assert "goes on from the checkpoint" in caplog.text
    numbers = [message.split()[1] for message in caplog.messages if message.startswith("trial")]
    assert numbers in (["2", "3"], ["3"])  # the third may have ended before the signal came
    assert not [path for path in checkpoints.rglob("*") if path.is_file()]


def test_search_that_finds_nothing_keeps_the_files_settings_or_stops(panel_dir: Path, tmp_path: Path) -> None:
    flat = Panel.load(panel_dir)
    broken = tmp_path / "panel"
    Panel(flat.frame, flat.static, flat.spec, flat.series.assign(scale=float("nan")), flat.origins).save(
        broken
    )
    settings = RunSettings.read(panel_dir)
    settings.write(broken)
    with pytest.raises(ModelError, match="no target of the training split counts"):
        tuned(search_request(broken), tmp_path)
    katib = tmp_path / "found.json", tmp_path / "trials.csv", tmp_path / "report.html"
    katib[0].write_text("[]")
    with pytest.raises(ModelError, match="no target of the training split counts"):
        choose_settings(search_request(broken), *katib)
    settings.model_copy(update={"on_failure": "continue"}).write(broken)
    assert choose_settings(search_request(broken), *katib)[0] == BASE.model_dump_json()
    chosen, outcome = tuned(search_request(broken), tmp_path)
    assert CatBoostSettings.model_validate_json(chosen) == BASE
    assert not outcome.accepted
    assert "no target" in outcome.reason
    assert (tmp_path / "trials.csv").exists()
    assert outcome.reason[1:] in (tmp_path / "report.html").read_text()


def test_champions_settings_are_tried(panel_dir: Path, tmp_path: Path) -> None:
    champion = {**BASE.model_dump(), "depth": 3}
    tuned(search_request(panel_dir, champion=champion), tmp_path)
    table = pd.read_csv(tmp_path / "trials.csv")
    assert table["depth"].tolist()[:2] == [2, 3]
    assert table["origin"].tolist()[:2] == ["base", "champion"]


def test_ensemble_is_tuned_from_its_members(panel_dir: Path, tmp_path: Path) -> None:
    members = {"catboost": BASE.model_dump(mode="json")}
    space = {"method": {"type": "categorical", "choices": ["greedy", "equal"]}}
    request = search_request(panel_dir, kind="ensemble", settings={}, space=space, members=members)
    chosen, outcome = tuned(request, tmp_path)
    assert json.loads(chosen)["method"] in ("greedy", "equal")
    assert sum(outcome.trials.values()) == 4


def test_trials_of_katib_are_judged_and_shown_alike(panel_dir: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    trials: list[dict[str, Any]] = [
        {
            "parameters": {"depth": "3", "learning_rate": "0.3"},
            "error": 0.4,
            "state": "complete",
            "reason": "",
        },
        {
            "parameters": {"depth": "4", "learning_rate": "0.1"},
            "error": None,
            "state": "failed",
            "reason": "OOM",
        },
    ]
    found.write_text(json.dumps(trials))
    tuning = {"tuner": "katib", "workers": 2}
    paths = found, tmp_path / "trials.csv", tmp_path / "report.html"
    chosen, outcome = choose_settings(search_request(panel_dir, tuning=tuning), *paths)
    assert outcome.parameters == {"depth": 3, "learning_rate": 0.3}
    assert outcome.trials == {"complete": 1, "pruned": 0, "fail": 1}
    assert not outcome.reproducible
    assert outcome.accepted == (json.loads(chosen)["depth"] == 3)
    assert "Katib, 2 workers" in (tmp_path / "report.html").read_text()


def test_second_runs_are_not_repeated_by_the_next_attempt(
    panel_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    request, runs, real = search_request(panel_dir, seed=5), [], ModelObjective.error

    def error(self: ModelObjective, settings: Any, seed: int, report: Any) -> float:
        if seed != request.seed:
            if len(runs) == 3:
                raise Killed
            runs.append(seed)
        return real(self, settings, seed, report)

    with monkeypatch.context() as patched:
        patched.setattr(ModelObjective, "error", error)
        with pytest.raises(Killed):
            tuned(request, tmp_path)
    assert runs == [6, 7, 6]
    runs.clear()
    monkeypatch.setattr(ModelObjective, "error", error)
    tuned(request, tmp_path)
    assert runs == [7]


def test_second_runs_of_katibs_best_trial_are_not_repeated_by_the_next_attempt(
    panel_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    request, runs, real = search_request(panel_dir, seed=5), [], ModelObjective.error
    paths = tmp_path / "found.json", tmp_path / "trials.csv", tmp_path / "report.html"

    def found(error: float) -> None:
        values = {"depth": "3", "learning_rate": "0.3"}
        trial = {"parameters": values, "error": error, "state": "complete", "reason": ""}
        paths[0].write_text(json.dumps([trial]))

    def error(self: ModelObjective, settings: Any, seed: int, report: Any) -> float:
        if len(runs) == 3:
            raise Killed
        runs.append(seed)
        return real(self, settings, seed, report)

    monkeypatch.setattr(ModelObjective, "error", error)
    found(0.4)
    with pytest.raises(Killed):
        choose_settings(request, *paths)
    runs.clear()
    _, outcome = choose_settings(request, *paths)
    assert runs == [7]
    assert outcome.trials["complete"] == len(pd.read_csv(paths[1])) == 1
    runs.clear()
    found(0.3)  # of another experiment
    with pytest.raises(Killed):
        choose_settings(request, *paths)
    assert runs == [6, 7, 6]


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_any_worker_has_the_files_settings_tried_first(
    panel_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def database() -> Iterator[BaseStorage]:
        yield RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")

    monkeypatch.setattr(tune, "database", database)
    request = search_request(panel_dir, tuning={"storage": "database", "workers": 2})
    name = run_worker(request)
    assert run_worker(request) == name
    with database() as storage:
        trials = optuna.load_study(study_name=name, storage=storage).trials
    assert [trial.user_attrs.get("origin") for trial in trials] == ["base", None, None, None]


@pytest.mark.slow
def test_page_that_cannot_be_made_costs_the_page_alone(
    panel_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no <font>")

    monkeypatch.setattr(tune, "render_tuning", fail)
    settings, outcome = tuned(search_request(panel_dir), tmp_path)
    assert json.loads(settings)["depth"]
    assert outcome.trials["complete"]
    assert "RuntimeError: no &lt;font&gt;" in (tmp_path / "report.html").read_text()


def test_page_says_which_driver_the_dashboard_needs() -> None:
    outcome = Outcome(kind="catboost", study="kubecast-catboost-1", reason="no trial succeeded")
    page = render_tuning(search(), outcome, BASE, TuningSettings(storage="database", workers=2), None)
    assert "kubecast-catboost-1" in page
    assert all(f"<code>{word}</code>" in page for word in ("psycopg2-binary", "postgresql+psycopg://"))


@pytest.mark.parametrize("on_failure", ["continue", "stop"])
def test_series_that_are_too_short_for_workers_are_told_by_the_task_that_collects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, on_failure: str
) -> None:
    monkeypatch.setenv("KUBECAST_OPTUNA_URL", "postgresql://user@127.0.0.1:1/trials")
    limits = {"n_trials": 2, "folds": 2}
    short = prepare(
        hourly(series=1, rows=30),
        tmp_path,
        optimization=limits,
        on_failure=on_failure,
        parameters={"season_lengths": "1"},
    )
    request = search_request(short, tuning={"storage": "database", "workers": 2})
    assert run_worker(request) == f"kubecast-catboost-{request.key()[:16]}"
    assert "tuning needs series with" in caplog.text
    if on_failure == "stop":
        with pytest.raises(ModelError, match="tuning needs series with"):
            tuned(request, tmp_path)
    else:
        assert tuned(request, tmp_path)[0] == BASE.model_dump_json()


def test_katib_is_not_asked_for_trials_that_cannot_succeed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits, seasons = {"n_trials": 2, "folds": 2}, {"season_lengths": "1"}
    short = prepare(hourly(series=1, rows=30), tmp_path, optimization=limits, parameters=seasons)
    request = search_request(short, tuning={"tuner": "katib"})
    assert tune_katib(request, str(short), plan().pod.model_dump_json(), tmp_path / "found.json") == []
    assert "no trial can succeed: tuning needs series with" in caplog.text
    assert json.loads((tmp_path / "found.json").read_text()) == []


def test_request_has_the_runs_settings_and_what_searches_found(panel_dir: Path, tmp_path: Path) -> None:
    found = {"method": {"type": "categorical", "choices": ["greedy", "equal"]}}
    tuning = TuningSettings(tuner="optuna", models=["ensemble"], workers=2, storage="database")
    panel = panel_with(panel_dir, tmp_path / "panel", seed=7)
    run = RunSettings.read(panel)
    search = SearchPlan(tuning=tuning, spaces={"ensemble": found}, champion={"ensemble": {}}).text()
    request = Request.from_run("ensemble", panel, search, {"catboost": BASE.model_dump_json(), "arima": ""})
    assert request.members == {"catboost": BASE.model_dump(mode="json")}
    assert request.settings == run.of_kind("ensemble").model_dump(mode="json")
    assert (request.champion, request.tuning) == ({}, tuning)
    assert request.space == SearchSettings(ensemble=found).space_of("ensemble")
    assert Request.model_validate_json(request.model_dump_json()) == request
    assert request.seed == 7
    alone = Request.from_run("ensemble", panel, search, {"catboost": FROM_RUN, "lstm": ""})
    assert alone.members == {"catboost": run.of_kind("catboost").model_dump(mode="json")}
    assert alone.key() != request.key()
    assert Request.from_run("catboost", panel, search, {}).members == {}


def test_key_is_of_everything_that_a_search_depends_on(panel_dir: Path, tmp_path: Path) -> None:
    keys = {
        search_request(panel_dir).key(),
        search_request(panel_dir, seed=9).key(),
        search_request(panel_dir, settings={}).key(),
        search_request(panel_dir, space={}).key(),
        search_request(panel_dir, champion={}).key(),
        search_request(panel_dir, kind="lstm").key(),
    }
    assert len(keys) == 6
    assert search_request(panel_dir).key() == search_request(panel_dir, tuning={"workers": 1}).key()
    run = RunSettings.read(panel_dir)
    more = run.training.optimization.model_copy(update={"folds": 3})
    training = run.training.model_copy(update={"optimization": more})
    other = panel_with(panel_dir, tmp_path / "other", training=training)
    assert search_request(other).key() != search_request(panel_dir).key()
    same = panel_with(panel_dir, tmp_path / "same", on_failure="continue")
    assert search_request(same).key() == search_request(panel_dir).key()


def test_worker_without_a_database_is_refused(panel_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECAST_OPTUNA_URL", raising=False)
    with pytest.raises(ConfigError, match="KUBECAST_OPTUNA_URL is not set"):
        run_worker(search_request(panel_dir, tuning={"storage": "database", "workers": 2}))
