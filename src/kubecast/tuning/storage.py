"""Where the trials of a study are kept: a file of one process, or a database that its workers share.

A database that restarts is waited for.
"""

import functools
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isfunction
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    SQLAlchemyError,
)

from kubecast.errors import ConfigError, TuningError, TuningUnavailable
from kubecast.retrying import retry

URL_VARIABLE = "KUBECAST_OPTUNA_URL"
HEARTBEAT = 20  # seconds between a worker's signs of life; after three without one its trial is tried again
DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
RETRIES = 3  # of a trial whose worker was killed
# PostgreSQL gives no code when it refuses a connection, so its words decide; MySQL's codes do.
_REFUSED = re.compile(r"authentication failed|no pg_hba\.conf entry|FATAL: .* (does not exist|not permitted)")
_REFUSED_CODES = {1044, 1045, 1049, 1698}
_MADE_AT_ONCE = {"23505", "42P07", "42710"}  # unique_violation, duplicate_table, duplicate_object


def journal(path: Path) -> BaseStorage:
    """Keep the trials in a file, which only one process may write."""
    return JournalStorage(JournalFileBackend(str(path)))


@contextmanager
def database() -> Iterator[BaseStorage]:
    """Keep the trials in the database at ``KUBECAST_OPTUNA_URL``, where workers give signs of life.

    Raises:
        ConfigError: The variable is missing or names another kind of database. Its value is never shown.
        TuningError: The database cannot be reached, or fails while it is used.
    """
    url = os.environ.get(URL_VARIABLE, "")
    allowed = "postgresql://USER:PASSWORD@HOST/DATABASE or mysql://…, from a Secret"
    if not url:
        raise ConfigError(f"{URL_VARIABLE} is not set, which storage database needs; allowed: {allowed}")
    try:
        parsed = make_url(url)
        driver = DRIVERS[parsed.drivername.partition("+")[0]]
    except (ArgumentError, KeyError, ValueError):
        raise ConfigError(f"{URL_VARIABLE} is not the URL of a known database; allowed: {allowed}") from None
    url = parsed.set(drivername=driver).render_as_string(hide_password=False)
    storage = connect(url, f"database {parsed.database} at {parsed.host}", HEARTBEAT)
    with database_errors():
        try:
            yield storage
        finally:
            storage.remove_session()
            storage.engine.dispose()


class Database(RDBStorage):
    """Optuna's storage, each of whose calls is made again while the database is unavailable.

    A broken connection is noticed before a call uses it. A call that breaks in its middle is rolled back,
    unless its commit was the last thing that the database did: then a value is written twice, a trial that
    ends has ended, and one that begins is begun twice, the first for nobody: ``Study.wait`` ends it.
    """


def _patient(call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def patient(*args: Any, **kwargs: Any) -> Any:
        def once() -> Any:
            with _unavailable("the study's database"):
                return call(*args, **kwargs)

        return retry(once)

    return patient


for _name, _call in vars(RDBStorage).items():
    if isfunction(_call) and not _name.startswith("__"):
        setattr(Database, _name, _patient(_call))


def connect(url: str, where: str, heartbeat: int) -> Database:
    """Open the database and make its tables, once it is there.

    Args:
        url: With the driver.
        where: Its name in messages.
        heartbeat: Seconds between a worker's signs of life.

    Raises:
        TuningError: It cannot be reached, or cannot be used.
    """

    def once() -> Database:
        with _unavailable(where, is_away_at_first), warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return Database(
                url,
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=heartbeat,
                grace_period=3 * heartbeat,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(RETRIES),
            )

    try:
        return retry(once)
    except (RuntimeError, TypeError) as error:  # of its tables, and of what its driver takes
        raise TuningError(
            f"{where} cannot be used: {type(error).__name__}; allowed: one that is empty or of Optuna"
            f" {optuna.__version__} (optuna storage upgrade), with parameters that its driver knows"
        ) from None
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise TuningError(f"{where} cannot be used: {_cause(error)}") from None


@contextmanager
def database_errors() -> Iterator[None]:
    """Raise what a database raises without its text, which may hold the URL."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise TuningError(f"the study's database fails: {_cause(error)}") from None


@contextmanager
def _unavailable(where: str, away: Callable[[BaseException], bool] | None = None) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        if not (away or is_away)(_sql(error)):
            raise
        raise TuningUnavailable(f"{where} cannot be used now: {_cause(error)}") from None


def is_away(error: BaseException) -> bool:
    """Whether the database was not reached, or went away; a password that it refuses stays wrong."""
    if isinstance(error, PendingRollbackError):  # of a transaction whose connection broke before
        return True
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code = getattr(error.orig, "args", (None,))[0]
    return code not in _REFUSED_CODES and not _REFUSED.search(str(error.orig))


def is_away_at_first(error: BaseException) -> bool:
    """Whether it is away, or two workers make its tables at the same time."""
    return (
        is_away(error)
        or isinstance(error, IntegrityError)
        or getattr(getattr(error, "orig", None), "sqlstate", None) in _MADE_AT_ONCE
    )


def _sql(error: BaseException) -> BaseException:
    """The error of SQLAlchemy, which Optuna wraps."""
    return error if isinstance(error, SQLAlchemyError) else error.__cause__ or error


def _cause(error: BaseException) -> str:
    return type(_sql(error)).__name__
