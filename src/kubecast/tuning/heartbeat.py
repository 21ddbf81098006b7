"""The heartbeat of a search by Katib: renewed each minute by the task that waits, read by its trials.

A run that is terminated keeps its Workflow for an hour, and a task that is killed deletes nothing: Katib
would go on starting trials that nobody waits for. The waiting task writes the time into an annotation of the
Experiment, for people and for ``kubecast doctor``, and into a ConfigMap that every trial's pod has as a file.
So a trial needs neither a token nor a way to the API server.
"""

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kubecast.errors import TuningError

RUN_LABEL = "kubecast/run"  # of the Experiment
ANNOTATION = "kubecast/renewed-at"  # and when somebody last waited for it
CONFIG_MAP = "kubecast-heartbeats"  # one key for each Experiment
FOLDER, FILE = "/var/run/kubecast", "heartbeat"  # of a trial's pod
RENEW_AFTER = timedelta(seconds=45)  # with the pause between two looks: each minute
STALE_AFTER = timedelta(minutes=10)
CHECK_SECONDS = 15.0

_LOG = logging.getLogger(__name__)


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def format_time(time: datetime) -> str:
    """As Kubernetes writes times, e.g. ``2026-01-01T00:00:00Z``."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime | None:
    """A time with its zone; None where the text is none."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return time if time.tzinfo else None


def is_stale(renewed_at: datetime, now: datetime) -> bool:
    """Whether nobody waits any more."""
    return now - renewed_at > STALE_AFTER


def check(file: Path, now: datetime) -> None:
    """Refuse to go on for nobody.

    Args:
        file: With the time of the last heartbeat. A search goes on where there is none: whoever waits may not
            be allowed to write it.
        now: With its zone.

    Raises:
        TuningError: The heartbeat is more than ten minutes old.
    """
    try:
        renewed_at = parse_time(file.read_text())
    except (OSError, ValueError):
        return
    if renewed_at and is_stale(renewed_at, now):
        raise TuningError(
            f"nobody waits for this trial: the last heartbeat of its search, {format_time(renewed_at)}, is"
            f" more than {STALE_AFTER.seconds // 60} minutes old"
        )


def _exit(error: TuningError) -> None:
    """End this process, whatever library its other threads are in."""
    _LOG.error("%s", error)
    sys.stdout.flush()
    os._exit(error.exit_status)


@contextmanager
def ending_without(
    file: Path | None, now: Callable[[], datetime] = utc_now, end: Callable[[TuningError], None] = _exit
) -> Iterator[None]:
    """End this process, before or while the body runs, where the search's heartbeat is stale.

    Args:
        file: See ``check``; None: the body runs on its own.
        now: Tells the time, with its zone.
        end: Called once, in a thread of its own.

    Raises:
        TuningError: It is stale before the body begins.
    """
    if file is None:
        yield
        return
    check(file, now())
    over = threading.Event()

    def watch() -> None:
        while not over.wait(CHECK_SECONDS):
            try:
                check(file, now())
            except TuningError as error:
                end(error)
                return

    threading.Thread(target=watch, name="heartbeat", daemon=True).start()
    try:
        yield
    finally:
        over.set()
