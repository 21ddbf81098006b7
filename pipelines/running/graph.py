"""Graph of a pipeline's tasks, and the task that each node of its workflow belongs to."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

Path = tuple[str, ...]
"""Keys of graphs and task, from below the root graph down; empty: the root graph."""

Iteration = tuple[int, ...]
"""Which iteration of each loop around it, the outermost first; empty: it is in no loop."""

Role = Literal["task", "driver", "executor"]
"""Role of a node: the task itself, what reads its inputs before it starts, or the container that works."""

DRIVER = "-driver"
ITEM = "iteration-item"
"""KFP's name of the graph that one iteration of a loop is."""

ITERATOR = "iteration"
"""Its name of what counts a loop's items; there is a driver alone."""

ITERATIONS = "iteration-iterations"
"""Its name of all iterations of a loop; the fourth is ``iteration-iterations(3:3)``."""

# A node's name, then which item of a loop it is of, then which attempt it is.
_PART = re.compile(r"(?P<name>[^(]*)(?:\((?P<item>\d+):[^()]*\))?(?:\((?P<attempt>\d+)\))?")


@dataclass(frozen=True)
class GraphTask:
    """One task of a pipeline.

    Attributes:
        path: Its keys.
        name: As the dashboard shows it.
        graphs: Names of the graphs that it is in, the outermost first.
        is_graph: Whether it is a graph with tasks of its own.
        is_loop: Whether it is a graph that runs once for each item.
        item: The input of the task that is the item of the loop around it; empty where none is.
    """

    path: Path
    name: str
    graphs: tuple[str, ...]
    is_graph: bool
    is_loop: bool = False
    item: str = ""


class Place(NamedTuple):
    """The place of a node among a pipeline's tasks.

    Attributes:
        path: Of its task.
        role: What it is to its task.
        attempt: Counted from 0; None for the node that stands for all attempts.
        iteration: Which iterations it is in; that of a loop itself where the node is one of its iterations.
        within: Whether it is one level below its task: a container, or what counts a loop's iterations.
    """

    path: Path
    role: Role
    attempt: int | None
    iteration: Iteration = ()
    within: bool = False


@dataclass(frozen=True)
class Node:
    """One node of a run's workflow, as a source knows it.

    Attributes:
        path: Of its task.
        role: What it is to its task.
        attempt: Counted from 0; None for the node that stands for all attempts.
        state: Of Kubeflow Pipelines, and OMITTED: what it needs did not succeed.
        message: Why it is in that state, in one line; empty where that is not said.
        start: When it began.
        end: When it ended.
        pod: The name of its pod.
        logs_uri: Where Kubeflow Pipelines keeps the log, without the attempt.
        iteration: Which iterations it is in.
        item: Of the loop around it, as ``KEY VALUE``; empty where that is not known.
        count: The number of iterations that a loop's driver has found; None where that is not known.
    """

    path: Path
    role: Role
    attempt: int | None
    state: str
    message: str = ""
    start: datetime | None = None
    end: datetime | None = None
    pod: str = ""
    logs_uri: str = ""
    iteration: Iteration = ()
    item: str = ""
    count: int | None = None


def attempts_of(node: str) -> tuple[int, ...]:
    """The attempt of each part of a node's full name; 0 for what may not be tried again."""
    return tuple(int(part["attempt"] or 0) for part in _parts(node))


def _parts(node: str) -> list[re.Match[str]]:
    return [match for part in node.split(".") if (match := _PART.match(part))]


class Graph:
    """The tasks of a compiled pipeline.

    Args:
        spec: The compiled file, or what the API returns of it.
    """

    def __init__(self, spec: Mapping[str, Any]):
        spec = spec.get(
            "pipeline_spec", spec
        )  # beside it, where the file has them, what a cluster alone reads
        self._components: Mapping[str, Any] = spec.get("components", {})
        self.tasks = tuple(self._walk(spec["root"]["dag"], (), (), frozenset()))
        self.by_path = {task.path: task for task in self.tasks}
        self.paths = self.by_path.keys()

    def _walk(
        self, dag: Mapping[str, Any], path: Path, graphs: tuple[str, ...], items: frozenset[str]
    ) -> Iterator[GraphTask]:
        """The tasks of a graph, ``items`` being those of its inputs that are a loop's item."""
        for key, task in dag["tasks"].items():
            name = task["taskInfo"]["name"]
            inner = self._components.get(task["componentRef"]["name"], {}).get("dag")
            loop = task.get("parameterIterator") or {}
            given = {
                each
                for each, source in task.get("inputs", {}).get("parameters", {}).items()
                if source.get("componentInputParameter") in items
            }
            item = min(given, default="")
            yield GraphTask((*path, key), name, graphs, inner is not None, bool(loop), item)
            if inner is not None:
                within = frozenset({loop["itemInput"]} if loop else given)
                yield from self._walk(inner, (*path, key), (*graphs, name), within)

    def is_loop(self, path: Path) -> bool:
        """Whether there is a loop at a path."""
        return path in self.by_path and self.by_path[path].is_loop

    def item(self, path: Path) -> str:
        """The input of a task that is the item of the loop around it; empty where none is."""
        return self.by_path[path].item if path in self.by_path else ""

    def loop_around(self, path: Path) -> Path | None:
        """The innermost loop that a task is in; None where it is in none."""
        above = (path[:length] for length in range(len(path) - 1, 0, -1))
        return next((each for each in above if self.is_loop(each)), None)

    def locate(self, node: str) -> Place | None:
        """The place of a node by its full name; None for a node of no task.

        Names are as Kubeflow Pipelines compiles them for Argo, ``(0)`` after each part that may be tried
        again: ``WORKFLOW(0).root(0).final-fit(0).train-arima(0).executor(0)``; a task that runs when a graph
        has ended is below ``GRAPH.onExit``, the fourth iteration of a loop below
        ``LOOP(0).iteration-iterations(3:3)(0).iteration-item``, and ``LOOP(0).iteration-driver`` counts them.
        """
        _, *parts = _parts(node)
        if not parts or parts[-1]["name"] in ("onExit", ITERATIONS):
            return None
        place = _root(parts[0])
        for part in parts[1:]:
            place = self._step(place, part) if place else None
        attempt = parts[-1]["attempt"]
        return place._replace(attempt=int(attempt) if attempt else None) if place else None

    def _step(self, place: Place, part: re.Match[str]) -> Place | None:
        name, path = part["name"], place.path
        if name == "executor":
            return place._replace(role="executor", within=True)
        if name == "onExit":
            return place._replace(path=path[:-1])
        if self.is_loop(path) and len(place.iteration) < self.depth(path) + 1:
            return _into_loop(place, part)
        if self.is_loop(path) and name in (ITEM, ITEM + DRIVER):
            return place._replace(role="task" if name == ITEM else "driver")
        if (*path, name) in self.paths:
            return place._replace(path=(*path, name), role="task")
        below = (*path, name.removesuffix(DRIVER))
        return place._replace(path=below, role="driver") if below in self.paths else None

    def depth(self, path: Path) -> int:
        """The number of loops that a task is in."""
        return sum(self.is_loop(path[:length]) for length in range(1, len(path)))


def _root(part: re.Match[str]) -> Place | None:
    roles: dict[str, Role] = {"root": "task", "root" + DRIVER: "driver"}
    role = roles.get(part["name"])
    return Place((), role, None) if role else None


def _into_loop(place: Place, part: re.Match[str]) -> Place | None:
    """The step from a loop into one of its iterations, or to the driver that counts these."""
    if part["name"] == ITERATOR + DRIVER:
        return place._replace(role="driver", within=True)
    if part["name"] == ITERATIONS:
        return place._replace(iteration=(*place.iteration, int(part["item"]))) if part["item"] else place
    return None
