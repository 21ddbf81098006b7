"""The database that the workers of a study share; one that restarts is waited for."""

import functools
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isfunction
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError, SQLAlchemyError

from kubecast.errors import TuningError, TuningUnavailable
from kubecast.retrying import retry

RETRIES = 3  # of a trial whose worker was killed
# PostgreSQL gives no code when it refuses a connection, so its words tell; MySQL's codes do.
_REFUSED = re.compile(r"authentication failed|no pg_hba\.conf entry|FATAL: .* (does not exist|not permitted)")
_REFUSED_CODES = {1044, 1045, 1049, 1698}
_MADE_AT_ONCE = {"23505", "42P07", "42710"}  # unique_violation, duplicate_table, duplicate_object


class Database(RDBStorage):
    """Optuna's storage, each of whose calls is made again while the database is unavailable.

    A connection that broke is found before a call uses it. A call that breaks in its middle is rolled back,
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
        where: To tell it by.
        heartbeat: Seconds between a worker's signs of life.

    Raises:
        TuningError: It cannot be reached, or cannot be used.
    """

    def once() -> Database:
        with _unavailable(where, _passes_at_first), warnings.catch_warnings():
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
    """Tell what a database raises without its text, which may hold the URL."""
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise TuningError(f"the study's database fails: {_cause(error)}") from None


@contextmanager
def _unavailable(where: str, passes: Callable[[BaseException], bool] | None = None) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        if not (passes or _passes)(_sql(error)):
            raise
        raise TuningUnavailable(f"{where} cannot be used now: {_cause(error)}") from None


def _passes(error: BaseException) -> bool:
    """Whether it was not reached, or went away; a password that it refuses stays wrong."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    code = getattr(error.orig, "args", (None,))[0]
    return code not in _REFUSED_CODES and not _REFUSED.search(str(error.orig))


def _passes_at_first(error: BaseException) -> bool:
    """Also where two workers make its tables at the same time."""
    return (
        _passes(error)
        or isinstance(error, IntegrityError)
        or getattr(getattr(error, "orig", None), "sqlstate", None) in _MADE_AT_ONCE
    )


def _sql(error: BaseException) -> BaseException:
    """What SQLAlchemy raised, which Optuna wraps."""
    return error if isinstance(error, SQLAlchemyError) else error.__cause__ or error


def _cause(error: BaseException) -> str:
    return type(_sql(error)).__name__
