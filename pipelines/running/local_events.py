"""Events of a run on this machine, read from the log lines of the process that runs it.

Steps, and ``local_runner``, write one JSON object a line (``kubecast.logs``). All other lines are KFP's, or
those of other libraries: they go to the log as they are, and are no events.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from kubecast import errors, logs
from kubecast.errors import KubecastError

RUNNER = "kubecast.local"
"""Name of the logger on which ``local_runner`` says what it will do, and that a task starts or has ended."""

PLANNED, STARTED, FINISHED, FAILED, CACHED = "planned", "started", "finished", "failed", "cached"
"""First words of its messages, before the task's name; before those of all tasks, where the run is planned.

Cached is a task for which an earlier run's outputs were taken."""


@dataclass(frozen=True)
class TaskEvent:
    """One event of a run: what it will do, or that a task started or ended, is so far along, or warns.

    Attributes:
        task: Name of the task; empty for the first event, ``planned``.
        state: ``planned``, ``started``, ``finished``, ``failed``, ``cached``, ``running`` or ``warning``.
        done: Of ``total``; 0 where that is not known.
        total: Epochs, trees or series.
        message: Of a warning.
        tasks: Of ``planned``: every task of the run.
    """

    task: str
    state: str
    done: int = 0
    total: int = 0
    message: str = ""
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One log line of kubecast.

    Attributes:
        fields: ``level``, ``logger``, ``message`` and others, see ``kubecast.logs.FIELDS``.
        indent: Blanks that KFP's local runner puts before the lines of a task.
    """

    fields: dict[str, Any]
    indent: str = ""

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """The record in a line; None where the line is not kubecast's."""
        text = line.lstrip(" ")
        if not text.startswith("{"):
            return None
        try:
            fields = json.loads(text)
        except ValueError:
            return None
        if not {"level", "logger", "message"} <= fields.keys():
            return None
        return cls(fields, line.removesuffix(text))

    @property
    def message(self) -> str:
        """The message in one line."""
        return " ".join(str(self.fields["message"]).split())

    @property
    def is_warning(self) -> bool:
        """Whether the record is a warning, and no error."""
        return bool(self.fields["level"] == logging.getLevelName(logging.WARNING))

    @property
    def error(self) -> KubecastError | None:
        """The error of kubecast that ended a step; None in all other records."""
        if not self._ends_a_step:
            return None
        name, _, message = str(self.fields["message"]).partition(": ")
        kind = getattr(errors, name, None)
        return kind(message) if isinstance(kind, type) and issubclass(kind, KubecastError) else None

    @property
    def failed_task(self) -> str:
        """The task of which the runner says that it failed; empty in all other records."""
        state, _, task = self.message.partition(" ")
        return task if self.fields["logger"] == RUNNER and state == FAILED else ""

    @property
    def text(self) -> str:
        """The record as a person reads it in the log, with the trace where Python prints none itself."""
        level = "" if self.fields["level"] == "INFO" else f"{str(self.fields['level']).lower()}: "
        trace = "" if self._ends_a_step else str(self.fields.get("exception", ""))
        lines = [level + self.message, *trace.splitlines()]
        return "".join(f"{self.indent}{each}\n" for each in lines)

    @property
    def _ends_a_step(self) -> bool:
        return bool(self.fields["logger"] == logs.__name__ and self.fields["level"] == "ERROR")


class EventReader:
    """Makes events of records; tasks run one after another, so a record is of the task that started last."""

    def __init__(self) -> None:
        self._task = ""
        self._model_failed = False
        self._warnings: set[TaskEvent] = set()

    def events(self, record: Record) -> Iterator[TaskEvent]:
        """The events that a record stands for, none or one; the same warning of a task is one event."""
        fields = record.fields
        if fields["logger"] == RUNNER:
            state, _, names = record.message.partition(" ")
            if state == PLANNED:
                yield TaskEvent("", PLANNED, tasks=tuple(names.split()))
                return
            self._task = names
            failed = self._model_failed and state == FINISHED
            self._model_failed = False
            yield TaskEvent(self._task, FAILED if failed else state)
            return
        # A task whose model could not be fitted succeeds, so that the run goes on without it.
        self._model_failed |= fields.get("state") == FAILED
        if record.is_warning:
            yield from self._warning(TaskEvent(self._task, "warning", message=record.message))
        elif "done" in fields and "total" in fields:
            yield TaskEvent(self._task, "running", fields["done"], fields["total"])

    def _warning(self, event: TaskEvent) -> Iterator[TaskEvent]:
        if event not in self._warnings:
            self._warnings.add(event)
            yield event
