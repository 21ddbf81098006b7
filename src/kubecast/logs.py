"""Log lines of kubecast: one JSON object a line in a pod, plain lines elsewhere.

All of them go to the logger ``kubecast``. Lines of other libraries, and of KFP's executor, are theirs.
"""

import atexit
import functools
import gc
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from kubecast.errors import ConfigError
from kubecast.masking import masked
from kubecast.retrying import Budget, spending

FORMAT_VARIABLE = "KUBECAST_LOG_FORMAT"
RUN_VARIABLE = "KUBECAST_RUN_ID"  # of a task's pod: the run that it is of
TASK_VARIABLE = "KUBECAST_TASK"  # and the task's name
FIELDS = ("run", "task", "model", "series", "done", "total", "state")
"""The fields of a line besides time, level, logger and message, where they are known."""

_LOG = logging.getLogger(__name__)
_EXECUTOR = "kfp.dsl.executor_main"
_bound: ContextVar[Mapping[str, str]] = ContextVar("fields", default=MappingProxyType({}))

P = ParamSpec("P")
T = TypeVar("T")


def configure() -> logging.Handler:
    """Write the records of the logger ``kubecast`` to standard error; may be called again.

    The format is ``KUBECAST_LOG_FORMAT``'s, ``json`` or ``plain``; where that is not set, JSON in a pod that
    nobody types in, else plain.

    Returns:
        The logger's only handler.

    Raises:
        ConfigError: ``KUBECAST_LOG_FORMAT`` is neither.
    """
    handler = _StandardError()
    handler.setFormatter(_Json() if _format() == "json" else _Plain())
    logger = logging.getLogger("kubecast")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False  # KFP's executor has a handler of its own on the root
    return handler


def bind(**fields: str) -> None:
    """Put fields on every line that the step logs from now on."""
    _bound.set({**_bound.get(), **fields})


def step(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function a step: its lines are formatted, what it binds ends with it, and so does its process.

    All that it tries again spends from one budget: see ``kubecast.retrying``.

    An application that has set up logging keeps its own; only KFP's executor does it for nobody but itself.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        if _left_to_us():
            configure()
        if _by_executor():
            # Python would look through all that frameworks hold once more as it ends, for up to seconds.
            atexit.register(gc.freeze)
        with spending(Budget.from_environment()):
            context = copy_context()
        try:
            return context.run(function, *args, **kwargs)
        except Exception as error:
            if _in_json():  # else the trace that Python prints is enough
                context.run(_LOG.exception, "%s: %s", type(error).__name__, error)
            raise

    return wrapped


def _by_executor() -> bool:
    main = getattr(sys.modules["__main__"], "__spec__", None)
    return main is not None and main.name == _EXECUTOR


@contextmanager
def shown_by(handler: logging.Handler) -> Iterator[None]:
    """Hand the records of kubecast, as plain lines, to a handler in place of standard error."""
    logger = logging.getLogger("kubecast")
    before = logger.handlers[:], logger.level, logger.propagate
    handler.setFormatter(_Plain())
    logger.handlers[:], logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = before[0], before[2]
        logger.setLevel(before[1])


def is_set_up() -> bool:
    """Whether an application has set up logging, for kubecast or for all."""
    theirs = [each for each in logging.getLogger("kubecast").handlers if not isinstance(each, _StandardError)]
    return bool(theirs) or logging.getLogger().hasHandlers()


def _left_to_us() -> bool:
    return _by_executor() or FORMAT_VARIABLE in os.environ or not is_set_up()


def _in_json() -> bool:
    return any(isinstance(handler.formatter, _Json) for handler in logging.getLogger("kubecast").handlers)


def _format() -> str:
    name = os.environ.get(FORMAT_VARIABLE, "")
    if name not in ("", "json", "plain"):
        raise ConfigError(f"{FORMAT_VARIABLE} {name!r}; allowed: json, plain")
    # Python sets ps1 where somebody types, a notebook's server among them.
    watched = sys.stderr.isatty() or hasattr(sys, "ps1")
    return name or ("json" if "KUBERNETES_SERVICE_HOST" in os.environ and not watched else "plain")


class _StandardError(logging.Handler):
    """Standard error as it is when a line is logged: a progress bar puts something in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, at once and whole."""
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


class _Plain(logging.Formatter):
    """``warning: …``, and the message alone of what is no warning."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and under it the trace of an error."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        line = level + " ".join(masked(record.getMessage()).split())
        return f"{line}\n{masked(self.formatException(record.exc_info))}" if record.exc_info else line


class _Json(logging.Formatter):
    """An object with ``time``, ``level``, ``logger``, ``message``, and of ``FIELDS`` what is known."""

    def __init__(self) -> None:
        super().__init__()
        variables = {"run": RUN_VARIABLE, "task": TASK_VARIABLE}
        self._pod = {field: os.environ[name] for field, name in variables.items() if os.environ.get(name)}

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, in ASCII, so that it is JSON in every locale."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": masked(record.getMessage()),
        }
        known = {**self._pod, **_bound.get(), **vars(record)}
        line |= {field: known[field] for field in FIELDS if field in known}
        if record.exc_info:
            line["exception"] = masked(self.formatException(record.exc_info))
        return json.dumps(line, default=str)
