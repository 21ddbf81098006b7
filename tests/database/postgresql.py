"""Studies in a real PostgreSQL, which Debian's package brings: `make test-database`, as root."""

import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from kubecast.steps.tune import Request, run_worker, tune_model
from kubecast.tuning import study as studies
from tests.conftest import hourly
from tests.unit.steps.test_steps import prepare
from tests.unit.steps.test_tune import asked

TRIALS = 24
# As `python -m kubecast.steps.tune`, but that the sign of life comes sooner.
WORKER = (
    "from kubecast.steps import tune; from kubecast.tuning import study; study.HEARTBEAT = 1; tune.main()"
)
BINARIES = max(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of a server that runs as the user postgres."""
    folder = tmp_path_factory.mktemp("postgresql")
    folder.chmod(0o755)
    for parent in (folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    (folder / "password").write_text("secret")
    shutil.chown(folder, "postgres")
    as_postgres = ["runuser", "-u", "postgres", "--"]
    data = folder / "data"
    how = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--username=kubecast"]
    run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
    run([*as_postgres, BINARIES / "initdb", "-D", data, *how])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = f"-p {port} -h 127.0.0.1 -k {folder} -F"
    control = [*as_postgres, BINARIES / "pg_ctl", "-D", data, "-w"]
    run([*control, "-o", options, "-l", folder / "log", "start"])
    yield f"postgresql://kubecast:secret@127.0.0.1:{port}/postgres"
    run([*control, "-m", "immediate", "stop"])


@pytest.fixture
def request_(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    monkeypatch.setenv(studies.URL_VARIABLE, server)
    monkeypatch.setattr(studies, "HEARTBEAT", 1)
    panel = prepare(
        hourly(), tmp_path / "tuned", optimization={"n_trials": TRIALS, "folds": 2, "pruner": "none"}
    )
    settings = '{"iterations": 400, "depth": 6, "learning_rate": 0.1, "od_wait": 400}'
    return asked(panel, settings=settings, tuning='{"storage": "database", "workers": 4}')


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
    return sum(trial.state == TrialState.RUNNING for trial in tried(request, server)) == 4


def test_every_trial_of_killed_workers_is_accounted_for(
    request_: Request, server: str, tmp_path: Path
) -> None:
    workers = [started(request_) for _ in range(4)]
    wait_for(lambda: four_are_running(request_, server))
    killed = workers[2:]
    for worker in killed:
        worker.send_signal(signal.SIGSTOP)  # so that each is in the middle of a trial when it is killed
    wait_for(lambda: four_are_running(request_, server))
    for worker in killed:
        worker.kill()
    assert [worker.wait() for worker in workers[:2]] == [0, 0]
    assert [worker.wait() for worker in killed] == [-signal.SIGKILL] * 2

    paths = tmp_path / "trials.csv", tmp_path / "report.html"
    _, outcome = tune_model(request_, 1, "stop", *paths)
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
    _, outcome = tune_model(request, 2, "stop", tmp_path / "trials.csv", tmp_path / "report.html")
    assert TRIALS <= sum(outcome.trials.values()) < TRIALS + 2
    told = capfd.readouterr().err + caplog.text  # of the processes, and of this one
    assert told.count(" complete ") == outcome.trials["complete"] >= TRIALS
