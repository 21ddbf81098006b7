"""Studies in a real PostgreSQL: `make test-database`, as root."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from kubecast import retrying
from kubecast.errors import TuningError
from kubecast.steps.search_request import Request
from kubecast.steps.tune import run_worker, tune_model
from kubecast.tuning import storage as storages
from kubecast.tuning.storage import connect
from tests.support.clock import Clock
from tests.support.panels import hourly
from tests.support.runs import prepare
from tests.support.searches import search_request
from tests.support.servers.postgresql import Server, running_postgres

TRIALS = 24
# As `python -m kubecast.steps.tune`, but that the sign of life comes sooner.
WORKER = (
    "from kubecast.steps import tune; from kubecast.tuning import storage; storage.HEARTBEAT = 1; tune.main()"
)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_postgres(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture
def server(postgres: Server) -> str:
    """The URL of its database."""
    return postgres.url


@pytest.fixture
def request_(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.setenv(storages.URL_VARIABLE, server)
    monkeypatch.setattr(storages, "HEARTBEAT", 1)
    monkeypatch.setenv(retrying.VARIABLE, "600")
    panel = prepare(
        hourly(), tmp_path / "tuned", optimization={"n_trials": TRIALS, "folds": 2, "pruner": "none"}
    )
    settings = {"iterations": 400, "depth": 6, "learning_rate": 0.1, "od_wait": 400}
    return search_request(panel, settings=settings, tuning={"storage": "database", "workers": 4})


@contextmanager
def opened(request: Request, server: str) -> Iterator[optuna.Study]:
    storage = optuna.storages.RDBStorage(server.replace("postgresql:", "postgresql+psycopg:"))
    try:
        yield optuna.load_study(study_name=f"kubecast-catboost-{request.key()[:16]}", storage=storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def tried(request: Request, server: str) -> list[FrozenTrial]:
    """Every trial; none while neither the tables nor the study are there."""
    try:
        with opened(request, server) as study:
            return study.trials
    except (SQLAlchemyError, KeyError):
        return []


def started(request: Request) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-W", "ignore", "-c", WORKER, request.model_dump_json()])


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def four_are_running(request: Request, server: str) -> bool:
    """Whether four trials are in their middle: each has its parameters, so that they can be tried again."""
    running = [trial for trial in tried(request, server) if trial.state == TrialState.RUNNING]
    return [trial.params.keys() for trial in running] == [request.space.keys()] * 4


def stopped_in_the_middle(workers: "list[subprocess.Popen[bytes]]", request: Request, server: str) -> bool:
    """Whether each of the workers that are stopped is in a trial; if not, they go on until the next look."""
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    for _ in range(20):  # the living ones may be between two trials
        if four_are_running(request, server):
            return True
        time.sleep(0.05)
    for worker in workers:
        worker.send_signal(signal.SIGCONT)
    return False


def test_every_trial_of_killed_workers_is_accounted_for(
    request_: Request, server: str, tmp_path: Path
) -> None:
    workers = [started(request_) for _ in range(4)]
    wait_for(lambda: four_are_running(request_, server))
    killed = workers[2:]
    wait_for(lambda: stopped_in_the_middle(killed, request_, server))
    for worker in killed:
        worker.kill()
    assert [worker.wait() for worker in workers[:2]] == [0, 0]
    assert [worker.wait() for worker in killed] == [-signal.SIGKILL] * 2

    paths = tmp_path / "trials.csv", tmp_path / "report.html"
    _, outcome = tune_model(request_, 1, *paths)
    trials = tried(request_, server)
    again = {number for trial in trials for number in trial.system_attrs.get("retry_history", [])}
    lost = [trial for trial in trials if trial.number in again]
    assert len(lost) == 2
    assert {trial.state for trial in lost} == {TrialState.FAIL}
    kept = [trial for trial in trials if trial.number not in again]
    assert {trial.state for trial in kept} == {TrialState.COMPLETE}
    assert all(any(trial.params == other.params for other in kept) for trial in lost)
    assert TRIALS <= len(kept) < TRIALS + 4
    assert outcome.trials == {"complete": len(kept), "pruned": 0, "fail": 0}
    assert not outcome.reproducible
    page = (tmp_path / "report.html").read_text()
    assert f"Study <code>kubecast-catboost-{request_.key()[:16]}</code>" in page
    assert "optuna-dashboard" in page
    assert "secret" not in page


def test_search_goes_on_when_the_database_has_restarted(
    request_: Request, postgres: Server, tmp_path: Path
) -> None:
    request = request_.model_copy(update={"seed": 9})
    workers = [started(request) for _ in range(2)]
    for _ in range(2):
        count = len(tried(request, postgres.url))
        wait_for(lambda count=count: len(tried(request, postgres.url)) >= count + 2)  # type: ignore[misc]
        postgres.stop()  # in the middle of trials; "immediate" is how a killed server ends
        time.sleep(3)  # over several signs of life
        postgres.start()
    assert [worker.wait() for worker in workers] == [0, 0]
    _, outcome = tune_model(request, 1, tmp_path / "trials.csv", tmp_path / "report.html")
    assert outcome.trials["complete"] >= TRIALS - 2  # one that lost its sign of life may be tried again
    assert not [trial for trial in tried(request, postgres.url) if trial.state == TrialState.RUNNING]


def test_server_that_is_away_at_first_is_waited_for_and_a_wrong_password_is_not(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url.replace("postgresql:", "postgresql+psycopg:")
    postgres.stop()
    clock = Clock(during=lambda number: postgres.start() and None if number == 2 else None)
    with retrying.spending(clock.budget(600)):
        storage = connect(url, "database", 20)
    assert len(clock.pauses) == 2
    postgres.stop()
    clock = Clock(during=lambda number: postgres.start() and None if number == 2 else None)
    with retrying.spending(clock.budget(600)):
        storage.get_all_studies()
    assert len(clock.pauses) == 2
    storage.remove_session()
    storage.engine.dispose()
    clock = Clock()
    for password, wrong in (("secret", f"{url.rpartition('/')[0]}/none"), ("wrong", url)):
        monkeypatch.setenv("PGPASSWORD", password)
        with (
            retrying.spending(clock.budget(600)),
            pytest.raises(TuningError, match=r"^database cannot be used: OperationalError$"),
        ):
            connect(wrong, "database", 20)
    assert not clock.pauses


def test_workers_that_begin_at_once_share_one_study(request_: Request, server: str, tmp_path: Path) -> None:
    request = request_.model_copy(update={"seed": 7})
    workers = [started(request) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    numbers = [trial.number for trial in tried(request, server)]
    assert numbers == list(range(len(numbers)))
    assert TRIALS <= len(numbers) < TRIALS + 4
    assert run_worker(request) == f"kubecast-catboost-{request.key()[:16]}"
    assert len(tried(request, server)) == len(numbers)


def test_processes_of_one_task_share_the_processors(
    request_: Request,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    request = request_.model_copy(update={"seed": 8})
    _, outcome = tune_model(request, 2, tmp_path / "trials.csv", tmp_path / "report.html")
    assert TRIALS <= sum(outcome.trials.values()) < TRIALS + 2
    told = capfd.readouterr().err + caplog.text  # of the processes, and of this one
    assert told.count(" complete ") == outcome.trials["complete"] >= TRIALS
