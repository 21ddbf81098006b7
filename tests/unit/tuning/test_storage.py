"""A study's database that is away for a while: SQLite, whose folder is. PostgreSQL is in tests/database."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError, PendingRollbackError, ProgrammingError

from kubecast.errors import ConfigError, TuningError, TuningUnavailable
from kubecast.retrying import spending
from kubecast.tuning import storage as storages
from kubecast.tuning.storage import URL_VARIABLE, Database, connect, database
from tests.support.clock import Clock

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Heartbeat of storage:UserWarning"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there"


@pytest.fixture
def storage(folder: Path) -> Iterator[Database]:
    storage = connect(f"sqlite:///{folder / 'study.db'}", "database", 20)
    yield storage
    storage.remove_session()
    storage.engine.dispose()


def away(folder: Path) -> Clock:
    """Take the folder away, and bring it back in the third pause."""
    elsewhere = folder.rename(folder.with_name("elsewhere"))
    return Clock(during=lambda number: elsewhere.rename(folder) and None if number == 3 else None)


def asking(storage: Database) -> optuna.Study:
    return optuna.create_study(storage=storage, study_name="study", load_if_exists=True)


def test_database_that_is_not_there_yet_is_waited_for(folder: Path) -> None:
    clock = away(folder)
    with spending(clock.budget(600)):
        storage = connect(f"sqlite:///{folder / 'study.db'}", "database", 20)
    assert len(clock.pauses) == 3
    assert asking(storage).trials == []
    storage.engine.dispose()


CALLS: dict[str, Callable[[optuna.Study, optuna.Trial], Any]] = {
    "ask": lambda study, trial: study.ask(),
    "suggest": lambda study, trial: trial.suggest_float("x", 0, 1),
    "report": lambda study, trial: trial.report(1.0, 1),
    "attribute": lambda study, trial: trial.set_user_attr("a", 1),
    "tell": lambda study, trial: study.tell(trial, 1.0),
    "trials": lambda study, trial: study.trials,
    "study": lambda study, trial: study.set_user_attr("a", 1),
    "heartbeat": lambda study, trial: study._storage.record_heartbeat(trial._trial_id),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("call", CALLS)
def test_call_waits_for_a_database_that_went_away(call: str, folder: Path, storage: Database) -> None:
    study = asking(storage)
    trial = study.ask()
    storage.engine.dispose()
    clock = away(folder)
    with spending(clock.budget(600)):
        CALLS[call](study, trial)
    assert len(clock.pauses) == 3
    assert len(study.trials) == (2 if call == "ask" else 1)


@pytest.mark.parametrize("call", CALLS)
def test_statement_that_breaks_is_made_again_as_a_whole(call: str, storage: Database) -> None:
    study = asking(storage)
    trial = study.ask()
    left = 2

    def break_it(*_: Any) -> None:
        nonlocal left
        if left:
            left -= 1
            raise OperationalError("", {}, Exception("server closed the connection unexpectedly"))

    event.listen(storage.engine, "before_cursor_execute", break_it)
    clock = Clock()
    with spending(clock.budget(600)):
        CALLS[call](study, trial)
    assert left == 0
    assert len(study.trials) == (2 if call == "ask" else 1)


def test_trial_whose_end_was_written_before_its_answer_was_lost_has_ended(
    storage: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = asking(storage)
    trial, lost = study.ask(), [True]
    commit = storage.engine.dialect.do_commit

    def lose(connection: Any) -> None:
        commit(connection)
        if lost and lost.pop():
            raise sqlite3.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(storage.engine.dialect, "do_commit", lose)
    with (
        spending(Clock().budget(600)),
        pytest.raises(optuna.exceptions.UpdateFinishedTrialError),  # as where another worker ended it
    ):
        storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])
    assert [each.value for each in study.trials] == [1.0]


def test_database_that_stays_away_is_told_with_tries_and_time(folder: Path, storage: Database) -> None:
    study = asking(storage)
    storage.engine.dispose()
    folder.rename(folder.with_name("secret"))
    message = (
        r"^the study's database cannot be used now: OperationalError; tried \d+ times in 60 s,"
        r" KUBECAST_RETRY_SECONDS is 60$"
    )
    with spending(Clock().budget(60)), pytest.raises(TuningUnavailable, match=message):
        study.trials  # noqa: B018  a property


class PostgresError(Exception):
    def __init__(self, text: str, sqlstate: str | None = None) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


def sql(kind: type[Any], error: Exception) -> Any:
    return kind("", {}, error)


@pytest.mark.parametrize(
    ("error", "passes", "at_first"),
    [
        (sql(OperationalError, PostgresError("connection failed: Connection refused")), True, True),
        (
            sql(OperationalError, PostgresError("failed to resolve host 'db': Name or service not known")),
            True,
            True,
        ),
        (sql(OperationalError, PostgresError("FATAL:  the database system is starting up")), True, True),
        (
            sql(OperationalError, PostgresError("terminating connection due to administrator command")),
            True,
            True,
        ),
        (
            sql(OperationalError, PostgresError('FATAL:  password authentication failed for user "k"')),
            False,
            False,
        ),
        (sql(OperationalError, PostgresError('FATAL:  database "none" does not exist')), False, False),
        (sql(OperationalError, PostgresError("FATAL:  no pg_hba.conf entry for host")), False, False),
        (sql(OperationalError, Exception(2003, "Can't connect to MySQL server")), True, True),
        (sql(OperationalError, Exception(2013, "Lost connection to MySQL server during query")), True, True),
        (sql(OperationalError, Exception(1045, "Access denied for user")), False, False),
        (sql(OperationalError, Exception(1049, "Unknown database")), False, False),
        (sql(ProgrammingError, PostgresError('relation "studies" already exists', "42P07")), False, True),
        (sql(ProgrammingError, PostgresError("permission denied for schema public", "42501")), False, False),
        (sql(IntegrityError, PostgresError("pg_type_typname_nsp_index", "23505")), False, True),
        (PendingRollbackError("Can't reconnect until invalid transaction is rolled back."), True, True),
    ],
    ids=lambda value: str(getattr(value, "orig", value))[:40],
)
def test_what_passes_is_known_by_the_databases_answer(error: Any, passes: bool, at_first: bool) -> None:
    assert storages.is_away(error) is passes
    assert storages.is_away_at_first(error) is at_first


def test_password_that_is_refused_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise sql(OperationalError, PostgresError('FATAL:  password authentication failed for user "secret"'))

    monkeypatch.setattr(storages, "Database", refuse)
    clock = Clock()
    with (
        spending(clock.budget(600)),
        pytest.raises(TuningError, match=r"^database study cannot be used: OperationalError$"),
    ):
        connect("postgresql+psycopg://user:secret@db/study", "database study", 20)
    assert not clock.pauses


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "KUBECAST_OPTUNA_URL is not set"),
        ("sqlite:///secret.db", "is not the URL of a known database"),
        ("nothing", "is not the URL of a known database"),
    ],
    ids=["none", "kind", "words"],
)
def test_database_url_that_cannot_be_used_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv(URL_VARIABLE, url)
    with pytest.raises(ConfigError, match=why) as raised:
        database().__enter__()
    assert "secret" not in str(raised.value)


def test_database_that_does_not_answer_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "postgresql://user:secret@127.0.0.1:1/trials")
    with pytest.raises(TuningError, match=r"database trials at 127\.0\.0\.1 cannot be used") as raised:
        database().__enter__()
    assert "secret" not in str(raised.value)


def test_database_of_another_optuna_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    storage = optuna.storages.RDBStorage(url)
    with storage.engine.begin() as connection:
        connection.exec_driver_sql("update version_info set schema_version = 11")
        connection.exec_driver_sql("update alembic_version set version_num = 'v2.6.0.a'")
    storage.engine.dispose()
    with pytest.raises(TuningError, match=r"database study cannot be used: .*optuna storage upgrade"):
        connect(url, "database study", storages.HEARTBEAT)
