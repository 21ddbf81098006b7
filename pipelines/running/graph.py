"""Graph of a pipeline's tasks, and the task that each node of its workflow belongs to."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

Path = tuple[str, ...]
"""Keys of graphs and task, from below the root graph down; empty: the root graph."""

Role = Literal["task", "driver", "executor"]
"""Role of a node: the task itself, what reads its inputs before it starts, or the container that works."""

DRIVER = "-driver"
_SUFFIX = re.compile(r"\((?:(\d+)|[^()]*)\)$")  # of a node's name: which attempt, or which item of a loop


@dataclass(frozen=True)
class GraphTask:
    """One task of a pipeline.

    Attributes:
        path: Its keys.
        name: As the dashboard shows it.
        graphs: Names of the graphs that it is in, the outermost first.
        is_graph: Whether it is a graph with tasks of its own.
    """

    path: Path
    name: str
    graphs: tuple[str, ...]
    is_graph: bool


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


def attempts_of(node: str) -> tuple[int, ...]:
    """The attempt of each part of a node's full name; 0 for what may not be tried again."""
    suffixes = (_SUFFIX.search(part) for part in node.split("."))
    return tuple(int(suffix[1]) if suffix and suffix[1] else 0 for suffix in suffixes)


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
        self.tasks = tuple(self._walk(spec["root"]["dag"], (), ()))
        self.paths = {task.path for task in self.tasks}

    def _walk(self, dag: Mapping[str, Any], path: Path, graphs: tuple[str, ...]) -> Iterator[GraphTask]:
        for key, task in dag["tasks"].items():
            name = task["taskInfo"]["name"]
            inner = self._components.get(task["componentRef"]["name"], {}).get("dag")
            yield GraphTask((*path, key), name, graphs, inner is not None)
            if inner is not None:
                yield from self._walk(inner, (*path, key), (*graphs, name))

    def locate(self, node: str) -> tuple[Path, Role, int | None] | None:
        """The task that a node works for, by the node's full name; None for a node of no task.

        Names are as Kubeflow Pipelines compiles them for Argo, ``(0)`` after each part that may be tried
        again: ``WORKFLOW(0).root(0).final-fit(0).train-arima(0).executor(0)``; a task that runs when a graph
        has ended is below ``GRAPH.onExit``.
        """
        _, *parts = node.split(".")
        path: Path = ()
        role: Role = "task"
        for number, part in enumerate(_SUFFIX.sub("", each) for each in parts):
            step = self._step(path, part, first=not number)
            if step is None:
                return None
            path, role = step
        if not parts or parts[-1].startswith("onExit"):
            return None
        suffix = _SUFFIX.search(node)
        return path, role, int(suffix[1]) if suffix and suffix[1] else None

    def _step(self, path: Path, part: str, first: bool) -> tuple[Path, Role] | None:
        if first:
            return {"root": ((), "task"), "root" + DRIVER: ((), "driver")}.get(part)  # type: ignore[return-value]
        if part == "executor":
            return path, "executor"
        if part == "onExit":
            return path[:-1], "task"
        if (*path, part) in self.paths:
            return (*path, part), "task"
        below = (*path, part.removesuffix(DRIVER))
        return (below, "driver") if below in self.paths else None
