"""Tasks of a run: their states, times and reasons, put together from the nodes that its sources know."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from kubecast.pipelines.running.graph import Graph, GraphTask, Iteration, Node, Path

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
        iterations: Of a task in a loop: how many have ended, and how many of them failed; else empty.
        iteration: Which of them the reason, the pod and the log are of; else empty.
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
    iterations: str = ""
    iteration: str = ""


@dataclass(frozen=True)
class Observation:
    """State, times and reason of one task, as its nodes show them.

    Attributes:
        state: Of the task.
        culprit: The node that says why: a container or driver that failed, or does not start.
        reason: Why, in one line.
        start: When its driver, or it, began.
        end: When it ended.
        count: Of a loop: the number of its iterations; None where that is not known.
        iterations: Of a loop, or of a task in one: each that is known.
    """

    state: str
    culprit: Node | None = None
    reason: str = ""
    start: datetime | None = None
    end: datetime | None = None
    count: int | None = None
    iterations: Mapping[Iteration, "Observation"] = field(default_factory=dict)

    @property
    def progress(self) -> str:
        """How many iterations have ended, and how many of them failed; empty outside of loops."""
        if not self.iterations:
            return ""
        states = [each.state for each in self.iterations.values()]
        ended = sum(state not in UNFINISHED for state in states)
        failed = states.count("FAILED")
        among = f" of {self.count}" if self.count is not None else ""
        return f"{ended}{among} ended" + (f", {failed} failed" if failed else "")


@dataclass(frozen=True)
class Run:
    """State of the whole run in Kubeflow Pipelines; ``end`` is None while it goes on."""

    state: str
    end: datetime | None

    @property
    def ended(self) -> bool:
        """Whether no task will start any more."""
        return self.state in ENDED


def observe(graph: Graph, nodes: Iterable[Node]) -> dict[Path, Observation]:
    """Observe each task that the nodes of one source belong to."""
    by_task: dict[Path, dict[Iteration, list[Node]]] = {}
    for node in nodes:
        by_task.setdefault(node.path, {}).setdefault(node.iteration, []).append(node)
    seen: dict[Path, Observation] = {}
    for path in sorted(by_task, key=len):  # a loop before what is in it
        each = {iteration: _observed(of_it) for iteration, of_it in sorted(by_task[path].items())}
        known = {iteration: observation for iteration, observation in each.items() if observation}
        if known:
            seen[path] = _one(graph, path, known, seen)
    return seen


def _one(
    graph: Graph, path: Path, known: dict[Iteration, Observation], seen: Mapping[Path, Observation]
) -> Observation:
    """One observation of a task, from those of its iterations and, of a loop, from its own."""
    own, around = known.pop((), None), graph.loop_around(path)
    if own and (own.culprit or not known):
        return own
    if not around:
        return _of_loop(own, _folded(known, own.count if own else None))
    depth = min(map(len, known))  # where loops are in loops, the outer one's iterations are told
    loop = seen.get(around)
    whole = {iteration: each for iteration, each in known.items() if len(iteration) == depth}
    return _folded(whole, loop.count if loop and depth == 1 else None)


def _of_loop(own: Observation | None, folded: Observation) -> Observation:
    """A loop's own state, with what its iterations say; a driver of one of them may have failed."""
    if own is None:
        return folded
    reason = folded.reason if folded.culprit else own.reason
    return replace(folded, state=own.state, reason=reason, start=own.start, end=own.end)


def _folded(iterations: Mapping[Iteration, Observation], count: int | None) -> Observation:
    every = list(iterations.values())
    state = _state_of({each.state for each in every})
    waiting = [each for each in every if each.state == "PENDING" and each.reason and state != "FAILED"]
    if waiting and not any(each.state == "RUNNING" for each in every):
        state = "PENDING"
    alike = [each for each in every if each.state == state]
    telling = [*waiting, *alike, Observation(state)][0]
    start = min((each.start for each in every if each.start), default=None)
    end = None if state in UNFINISHED else max((each.end for each in every if each.end), default=None)
    return Observation(state, telling.culprit, telling.reason, start, end, count, iterations)


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
            derived[task.path] = _derived(task, own, inner)
    return derived


def _derived(task: GraphTask, own: Observation | None, inner: list[Observation]) -> Observation:
    state = _state_of({each.state for each in inner})
    if task.is_loop and own and own.state in UNFINISHED and state == "SUCCEEDED":
        state = own.state  # more iterations may begin
    start = min((each.start for each in inner if each.start), default=None)
    end = max((each.end for each in inner if each.end), default=None)
    numbers = sorted({iteration for each in inner for iteration in each.iterations} if task.is_loop else ())
    iterations = {
        number: Observation(
            _state_of({each.iterations[number].state for each in inner if number in each.iterations})
        )
        for number in numbers
    }
    return Observation(state, start=start, end=end, iterations=iterations)


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
            each = replace(each, state=run.state, reason=each.reason or reason)
        elif each.iterations and each.state == "SUCCEEDED" and _begins_more(graph, task, each, completed):
            each = replace(each, state="RUNNING", culprit=None, reason="", end=None)
        completed[task.path] = each
    return completed


def _begins_more(
    graph: Graph, task: GraphTask, each: Observation, completed: Mapping[Path, Observation]
) -> bool:
    """Whether iterations of a task are to come, where all that are known have succeeded."""
    around = graph.loop_around(task.path)
    goes_on = around is not None and completed[around].state in UNFINISHED
    return goes_on and each.count != len(each.iterations)


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
    count = next((node.count for node in drivers if node.count is not None), None)
    return Observation(state, culprit, reason, min(starts, default=None), end, count)


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
