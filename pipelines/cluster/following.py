"""A run's tasks, as Kubeflow Pipelines tells of them, and waiting for its end."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubecast.errors import ClusterUnreachable
from pipelines.cluster.client import Client

ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
SUCCEEDED = "SUCCEEDED"
INTERVAL = 5.0  # seconds between two questions
PATIENCE = 10  # polls in a row without an answer, as while a forwarded port is set up again

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Task:
    """One task of a run.

    Attributes:
        name: As the dashboard shows it.
        state: PENDING until its driver starts.
        seconds: Since it started, to now or to its end; None before.
        error: One line; empty where it did not fail or the API does not say why.
    """

    name: str
    state: str
    seconds: float | None
    error: str


@dataclass(frozen=True)
class Progress:
    """A run at one moment; ``error`` is one line, empty where it did not fail."""

    run_id: str
    name: str
    state: str
    error: str
    tasks: tuple[Task, ...]

    @property
    def ended(self) -> bool:
        """Whether no task will start any more."""
        return self.state in ENDED


class Follower:
    """Asks for a run again and again.

    Args:
        client: Of the cluster.
        interval: Seconds between two questions; default: INTERVAL.
    """

    def __init__(self, client: Client, interval: float | None = None):
        self._client = client
        self._interval = INTERVAL if interval is None else interval
        self._specs: dict[str, Mapping[str, Any]] = {}

    def look(self, run_id: str) -> Progress:
        """The run as it is now."""
        run = self._client.run(run_id)
        if run_id not in self._specs:
            self._specs[run_id] = run.pipeline_spec or self._client.spec(run.pipeline_version_reference)
        details = (run.run_details.task_details if run.run_details else None) or []
        state = run.state or "PENDING"
        end = _time(run.finished_at) if state in ENDED else None
        tasks = _tasks(_labels(self._specs[run_id]), details, end or datetime.now(UTC))
        return Progress(run_id, run.display_name or run_id, state, _message(run), tasks)

    def wait(self, run_id: str, show: Callable[[Progress], None]) -> Progress:
        """Ask until the run has ended.

        Args:
            run_id: The run.
            show: Called with every answer.

        Raises:
            ClusterError: It cannot be asked, or was silent several times in a row.
        """
        silent = 0
        while True:
            try:
                progress = self.look(run_id)
            except ClusterUnreachable:
                silent += 1
                if silent > PATIENCE:
                    raise
            else:
                silent = 0
                show(progress)
                if progress.ended:
                    return progress
            time.sleep(self._interval)


def _labels(spec: Mapping[str, Any]) -> dict[str, str]:
    """Every task of the graph by its key, with the name that the dashboard shows; inner graphs too."""
    spec = spec.get("pipeline_spec", spec)  # beside it, where the file has them, what a cluster alone reads
    graphs = [spec["root"], *spec.get("components", {}).values()]
    found = [graph["dag"]["tasks"] for graph in graphs if "dag" in graph]
    return {key: task["taskInfo"]["name"] for tasks in found for key, task in tasks.items()}


def _tasks(labels: Mapping[str, str], details: list[Any], last: datetime) -> tuple[Task, ...]:
    """The graph's tasks: those that started in that order, then those that did not."""
    nodes: dict[str, list[Any]] = {key: [] for key in labels}
    for key, detail in _owned(labels, details):
        nodes[key].append(detail)
    rows = [(_start(found) or _NEVER, _task(labels[key], key, found, last)) for key, found in nodes.items()]
    rows.sort(key=lambda row: (row[0], row[1].name))
    return tuple(task for _, task in rows)


def _owned(labels: Mapping[str, str], details: list[Any]) -> Iterator[tuple[str, Any]]:
    """Each node of the workflow with the task that it works for.

    A task has a node of its own name, one for its driver, and, below the former, one for each attempt.
    """
    names = {label: key for key, label in labels.items()}
    names |= {form: key for key in labels for form in (key, _driver(key))}
    parents = {child.task_id: detail for detail in details for child in detail.child_tasks or []}
    by_id = {detail.task_id: detail for detail in details}
    for detail in details:
        node, seen = detail, set()
        while node and node.display_name not in names and node.task_id not in seen:
            seen.add(node.task_id)
            node = by_id.get(node.parent_task_id) or parents.get(node.task_id)
        if node and node.display_name in names:
            yield names[node.display_name], detail


def _task(label: str, key: str, nodes: list[Any], last: datetime) -> Task:
    named = {node.display_name: node for node in nodes}
    own, driver = named.get(key) or named.get(label), named.get(_driver(key))
    state = "PENDING"
    if own:
        state = own.state or state
    elif driver:
        state = driver.state if driver.state == "FAILED" else "RUNNING"
    start = _start(nodes)
    end = (_time(own.end_time) if own else None) or last
    error = next((text for node in nodes if (text := _message(node))), "") if state == "FAILED" else ""
    return Task(label, state, max(0.0, (end - start).total_seconds()) if start else None, error)


def _driver(key: str) -> str:
    return f"{key}-driver"


def _start(nodes: list[Any]) -> datetime | None:
    return min((start for node in nodes if (start := _time(node.start_time))), default=None)


def _time(value: datetime | None) -> datetime | None:
    """A moment of the API, which says 1970 or the year 1 of what has not been yet."""
    return value if value and value.year > 1970 else None


def _message(told: Any) -> str:
    """Why a run or task failed, from itself or from the last state that says so."""
    errors = [told.error, *(status.error for status in reversed(told.state_history or []))]
    texts = (error.message for error in errors if error and error.message)
    return " ".join(next(texts, "").split())
