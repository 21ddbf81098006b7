"""Tasks of a run: their states, times and reasons, put together from the nodes that its sources know."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from kubecast.pipelines.running.graph import Graph, GraphTask, Node, Path

ENDED = frozenset({"SUCCEEDED", "SKIPPED", "FAILED", "CANCELED"})
UNFINISHED = ("PENDING", "RUNNING")
LOST = "Kubeflow Pipelines lost sight of it; this is the run's state"
UNFINISHED_AT_END = "it had not ended when the run did; this is the run's state"
CACHED = "cached: the outputs of an earlier run"

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Task:
    """One task of a run.

    Attributes:
        name: As the dashboard shows it.
        graphs: Names of the graphs that it is in, the outermost first.
        state: Of Kubeflow Pipelines; OMITTED where what it needs did not succeed.
        seconds: Since it started, to now or to its end; None before.
        reason: Why it is in that state, in one line; empty where there is nothing to say.
        pod: The pod that failed, does not start or works now; empty where none is known.
        log: The last lines of a task that failed, where they can be read.
        log_uri: Where Kubeflow Pipelines keeps the log of a task that failed; empty where that is not known.
        command: What shows the log of a task that failed.
    """

    name: str
    graphs: tuple[str, ...] = ()
    state: str = "PENDING"
    seconds: float | None = None
    reason: str = ""
    pod: str = ""
    log: tuple[str, ...] = ()
    log_uri: str = ""
    command: str = ""


@dataclass(frozen=True)
class Observation:
    """State, times and reason of one task, as its nodes show them.

    Attributes:
        state: Of the task.
        culprit: The node that says why: a container or driver that failed, or does not start.
        reason: Why, in one line.
        start: When its driver, or it, began.
        end: When it ended.
    """

    state: str
    culprit: Node | None = None
    reason: str = ""
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Run:
    """State of the whole run in Kubeflow Pipelines; ``end`` is None while it goes on."""

    state: str
    end: datetime | None

    @property
    def ended(self) -> bool:
        """Whether no task will start any more."""
        return self.state in ENDED


def observe(nodes: Iterable[Node]) -> dict[Path, Observation]:
    """Observe each task that the nodes of one source belong to."""
    by_task: dict[Path, list[Node]] = {}
    for node in nodes:
        by_task.setdefault(node.path, []).append(node)
    seen = {path: _observed(of_task) for path, of_task in by_task.items()}
    return {path: each for path, each in seen.items() if each}


def derive_graphs(graph: Graph, seen: Mapping[Path, Observation]) -> dict[Path, Observation]:
    """Add the state of each graph, which has no pod, from its tasks', as far as those are known."""
    derived = dict(seen)
    for task in reversed(graph.tasks):  # the inner ones first
        inner = [
            derived[each.path] for each in graph.tasks if each.path[:-1] == task.path and each.path in derived
        ]
        own = derived.get(task.path)
        if (
            task.is_graph and inner and not (own and own.culprit)
        ):  # whose driver has a pod, and did not succeed
            derived[task.path] = Observation(
                _state_of({each.state for each in inner}),
                start=min((each.start for each in inner if each.start), default=None),
                end=max((each.end for each in inner if each.end), default=None),
            )
    return derived


def complete(
    graph: Graph, seen: Mapping[Path, Observation], run: Run, whole: bool
) -> dict[Path, Observation]:
    """An observation of each task of the graph; in a run that has ended none is pending or running.

    Args:
        graph: Of the run's pipeline.
        seen: What is known.
        run: Of which an unfinished task takes the state.
        whole: Whether a task that nothing is known of has not started, rather than being lost.
    """
    completed: dict[Path, Observation] = {}
    for task in graph.tasks:
        above = completed.get(task.path[:-1])
        each = seen.get(task.path)
        if each is None:
            skipped = above is not None and above.state in ("OMITTED", "SKIPPED")
            each = Observation(above.state if above and skipped else "PENDING")
            if run.ended and whole and not skipped:
                each = Observation("OMITTED")
        if run.ended and each.state in UNFINISHED:
            reason = UNFINISHED_AT_END if whole else LOST
            each = Observation(run.state, each.culprit, each.reason or reason, each.start, each.end)
        completed[task.path] = each
    return completed


def ordered(graph: Graph, seen: Mapping[Path, Observation]) -> list[GraphTask]:
    """The tasks as they started, each graph's own below it; then those that did not start."""

    def rank(path: Path) -> tuple[datetime, Path]:
        return (seen[path].start or _NEVER, path)

    return sorted(graph.tasks, key=lambda task: [rank(task.path[:n]) for n in range(1, len(task.path) + 1)])


def seconds_of(seen: Observation, last: datetime) -> float | None:
    """How long a task took, to its end or to ``last``."""
    return max(0.0, ((seen.end or last) - seen.start).total_seconds()) if seen.start else None


def _observed(nodes: list[Node]) -> Observation | None:
    own = _whole([node for node in nodes if node.role == "task"])
    drivers = [node for node in nodes if node.role == "driver"]
    executors = [node for node in nodes if node.role == "executor"]
    driver, executor, pod = _whole(drivers), _whole(executors), _attempt(executors) or _attempt(drivers)
    state = _state(own, driver, executor, pod)
    if state is None:
        return None
    if driver and driver.state == "FAILED":
        pod = _attempt(drivers)
    culprit = pod if pod and (pod.role == "executor" or pod.state != "SUCCEEDED") else None
    reason = ""
    if state in ("FAILED", "PENDING"):
        reason = next((node.message for node in (culprit, own) if node and node.message), "")
    elif state == "SUCCEEDED" and executor and executor.state == "SKIPPED":
        reason = CACHED
    starts = [node.start for node in nodes if node.start and state != "OMITTED"]  # which is but a moment
    end = next((node.end for node in (own, executor) if node and node.end), None)
    return Observation(state, culprit, reason, min(starts, default=None), end)


def _state(own: Node | None, driver: Node | None, executor: Node | None, pod: Node | None) -> str | None:
    """A task's state; None where its nodes do not say."""
    if driver and driver.state == "FAILED":
        return "FAILED"  # what it would have started is omitted
    if pod and pod.state == "PENDING" and (own is None or own.state in UNFINISHED):
        return "PENDING"
    if own or executor:
        return (own or executor).state  # type: ignore[union-attr]
    return "RUNNING" if driver and driver.state == "RUNNING" else None


def _whole(nodes: list[Node]) -> Node | None:
    """The node that stands for all attempts, else the last attempt."""
    return max(nodes, key=lambda node: (node.attempt is None, node.attempt or 0), default=None)


def _attempt(nodes: list[Node]) -> Node | None:
    """The last attempt, whose pod says more than the node that stands for all."""
    return max(nodes, key=lambda node: (node.attempt is not None, node.attempt or 0), default=None)


def _state_of(states: set[str]) -> str:
    for state in ("FAILED", "RUNNING", "PENDING", "CANCELED"):
        if state in states:
            return "RUNNING" if state == "PENDING" and len(states) > 1 else state
    return "SUCCEEDED" if "SUCCEEDED" in states else next(iter(states))
