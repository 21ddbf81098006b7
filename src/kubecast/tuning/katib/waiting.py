"""An Experiment on a cluster: created or adopted, waited for, and deleted where nobody needs it any more."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kubernetes import client

from kubecast.errors import TuningError
from kubecast.tuning.heartbeat import RENEW_AFTER, format_time, utc_now
from kubecast.tuning.katib.blocking import find_blockage
from kubecast.tuning.katib.client import PAUSE, Client
from kubecast.tuning.katib.manifest import Plan, experiment
from kubecast.tuning.katib.trials import record, true_conditions

WATCHING = 20  # seconds of one watch, after which the pods are looked at: three times a minute
DELETING = timedelta(seconds=60)  # that an Experiment of the same name may take to go
_LOG = logging.getLogger(__name__)


@dataclass
class Running:
    """An Experiment on a cluster.

    Attributes:
        api: Of the API server.
        namespace: Of the Experiment.
        plan: What it searches.
        now: Tells the time, with its zone.
    """

    api: client.ApiClient
    namespace: str
    plan: Plan
    now: Callable[[], datetime] = utc_now
    _client: Client = field(init=False)
    _version: str | None = field(default=None, init=False)
    _renewed_at: datetime | None = field(default=None, init=False)
    _blocked_since: tuple[str, datetime] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._client = Client(self.api, self.namespace, self.plan.name)

    def create(self) -> None:
        """Create it, or adopt the one that an earlier attempt of this task left, but none being deleted.

        Raises:
            TuningError: It cannot be created.
        """
        end = self.now() + DELETING
        owner = self._client.owner(self.plan.workflow)
        self._client.publish(format_time(self.now()))  # before a trial can read an older one
        while not self._created(owner):
            if self.now() >= end:
                raise TuningError(
                    f"{self._client.place}: the one before it is still being deleted; try again when it is"
                    " gone"
                )
            time.sleep(PAUSE)

    def _created(self, owner: dict[str, Any] | None) -> bool:
        """Whether there is one now; not while another one of its name is being deleted."""
        if self._client.create(experiment(self.plan, self.now(), owner)):
            _LOG.info("created %s", self._client.place)
            return True
        current = self._client.experiment()
        if current is None or current["metadata"].get("deletionTimestamp"):
            return False
        _LOG.info("goes on with experiment %s", self.plan.name)
        return True

    def delete(self) -> None:
        """Delete it with its trials, if it is there."""
        if self._client.delete():
            self._client.publish(None)

    def follow(self, on_progress: Callable[[int, int], None]) -> list[dict[str, Any]]:
        """Wait until it ends or its time is over, and return its trials.

        Returns:
            Of each trial that ended: ``parameters`` (texts), ``error`` (None where it has none), ``state``
            (``complete``, ``pruned`` or ``failed``) and ``reason``.

        Raises:
            TuningError: It cannot go on, and no trial has ended.
        """
        total, end, done = self.plan.optimization.n_trials, self._end(), -1
        while True:
            trials = self._client.trials()
            records = _records(trials)
            if len(records) != done:
                done = len(records)
                on_progress(min(done, total), total)
            current = self._there()
            if (reason := _end_of(current)) is not None:
                return self._close(current, reason)
            left = (end - self.now()).total_seconds()
            if left <= 0:
                _LOG.info("experiment %s: its time is over", self.plan.name)
                self.delete()
                return records
            if obstacle := self._obstacle(current, trials):
                return self._give_up(obstacle, records)
            self._renew()
            self._client.wait(self._version, min(WATCHING, max(1, int(left))))

    def trials(self) -> list[dict[str, Any]]:
        """Every trial that ended, in the order of their begin."""
        return _records(self._client.trials())

    def _there(self) -> dict[str, Any]:
        current = self._client.experiment()
        if current is None:
            raise TuningError(f"{self._client.place}: somebody deleted it")
        self._version = current["metadata"].get("resourceVersion")
        return current

    def _end(self) -> datetime:
        """When its time is over: counted from its creation, maybe by an attempt before this one."""
        created = self._there()["metadata"].get("creationTimestamp")
        begun = datetime.fromisoformat(created) if created else self.now()
        return begun + timedelta(seconds=self.plan.optimization.timeout)

    def _close(self, ended: dict[str, Any], reason: str) -> list[dict[str, Any]]:
        """The trials of an Experiment that has ended."""
        self._client.publish(None)
        records = self.trials()
        if not records and "Failed" in true_conditions(ended):
            raise TuningError(f"{self._client.place} failed: {self._failure() or reason}")
        _LOG.info("experiment %s: %s", self.plan.name, reason)
        return records

    def _give_up(self, obstacle: str, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Delete it, and return the trials that ended before nothing could go on."""
        self.delete()
        if not records:
            raise TuningError(obstacle)
        _LOG.warning("experiment %s ends with %d trials: %s", self.plan.name, len(records), obstacle)
        return records

    def _failure(self) -> str | None:
        """Why Katib's algorithm failed, which the Experiment does not say; None where it did not."""
        return true_conditions(self._client.suggestion() or {}).get("Failed")

    def _obstacle(self, current: dict[str, Any], trials: list[dict[str, Any]]) -> str | None:
        """Why no trial can begin any more; None while that may still change."""
        if failure := self._failure():
            return f"{self._client.place} failed: {failure}"
        pods, events = self._client.pods(), self._client.warnings()
        blockage = None if pods is None else find_blockage(current, trials, pods, events or [])
        if blockage is None:
            self._blocked_since = None
            return None
        if self._blocked_since is None or self._blocked_since[0] != blockage.cause:
            self._blocked_since = blockage.cause, self.now()
            _LOG.warning("%s", blockage.message)
        lasts = self.now() - self._blocked_since[1]
        return blockage.message if lasts >= blockage.patience else None

    def _renew(self) -> None:
        """Show the trials, and whoever looks for orphans, that somebody waits; once a minute."""
        now = self.now()
        if self._renewed_at is None or now - self._renewed_at >= RENEW_AFTER:
            self._renewed_at = now
            self._client.publish(format_time(now))
            # Its own change is none to wait for.
            self._version = self._client.renew(format_time(now)) or self._version


def _records(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [ended for trial in trials if (ended := record(trial)) is not None]


def _end_of(current: dict[str, Any]) -> str | None:
    """Why it ended; None while it has not."""
    conditions = true_conditions(current)
    for kind in ("Succeeded", "Failed"):
        if kind in conditions:
            return conditions[kind] or kind
    return None


@contextmanager
def deleted_when_stopped(running: Running) -> Iterator[None]:
    """Delete the Experiment where this process is to end; a killed one leaves it to its Workflow."""

    def stop(*_: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        running.delete()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
