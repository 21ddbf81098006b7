"""Task list of a run in the API of Kubeflow Pipelines, as nodes of its graph.

Its list has no parents, and inner tasks of two graphs, or of a loop's iterations, may have one name; each
entry has the ids of the nodes after it, which Argo computes from their full names. It says nothing of pods
and reasons, and is not updated any more once the workflow is larger than 1 MiB.
"""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from kubecast.config.cluster import MOST_ATTEMPTS
from kubecast.pipelines.running.graph import (
    DRIVER,
    ITEM,
    ITERATIONS,
    ITERATOR,
    Graph,
    Iteration,
    Node,
    Path,
    Role,
)

_NUMBERED = re.compile(rf"{ITERATIONS}\((\d+):")

_Owner = tuple[Path, Role]
_Known = tuple[Path, Iteration]


def nodes(graph: Graph, details: Iterable[Any]) -> list[Node]:
    """The entries of a run's task list that belong to a task.

    Args:
        graph: Of the run's pipeline.
        details: ``V2beta1PipelineTaskDetail``.
    """
    named = [detail for detail in details if detail.display_name]
    numbers = [int(match[1]) for each in named if (match := _NUMBERED.match(each.display_name))]
    known = _ids(graph, _workflow(named), max(numbers, default=-1) + 1)
    return [node for detail in named if (node := _node(graph, known, detail))]


def message_of(said: Any) -> str:
    """Why a run or task failed, from itself or from the last state that says so, in one line."""
    errors = [said.error, *(status.error for status in reversed(said.state_history or []))]
    texts = (error.message for error in errors if error and error.message)
    return " ".join(next(texts, "").split())


def moment(value: datetime | None) -> datetime | None:
    """A moment of the API, which says 1970 or the year 1 of what has not been yet."""
    return value if value and value.year > 1970 else None


def node_id(workflow: str, node: str) -> str:
    """The id that Argo gives a node: the workflow's name and the FNV-1a hash of the node's full name."""
    return f"{workflow}-{_fnv(node)}"


def _fnv(text: str, digest: int = 0x811C9DC5) -> int:
    """The FNV-1a hash of a text, behind one whose hash is ``digest``."""
    for byte in text.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return digest


def _node(graph: Graph, known: dict[str, _Known], detail: Any) -> Node | None:
    name, _, suffix = detail.display_name.partition("(")
    attempt = suffix.removesuffix(")")
    after = [known[each] for each in _children(detail) if each in known]
    owner = _owner(graph, name, [path for path, _ in after])
    if owner is None:
        return None
    path, role = owner
    depth = graph.depth(path) + (name in (ITEM, ITEM + DRIVER))
    iteration = next((each[:depth] for _, each in after if len(each) >= depth), ())
    if len(iteration) < depth:  # what has no node after it does not tell which iteration it is in
        return None
    end = moment(detail.end_time)
    state = detail.state or ("OMITTED" if end else "PENDING")  # the server has no word for the former
    number = int(attempt) if attempt.isdecimal() else None
    start = moment(detail.start_time)
    return Node(path, role, number, state, message_of(detail), start, end, iteration=iteration)


def _owner(graph: Graph, name: str, after: list[Path]) -> _Owner | None:
    """The one task that an entry can be of, by its name and by the tasks of the nodes after it."""
    if name in ("root", "root" + DRIVER):
        return (), "task" if name == "root" else "driver"
    key = name.removesuffix(DRIVER)
    owners: list[_Owner] = [(path, "task") for path in graph.paths if path[-1] == name]
    if not owners and key in (ITEM, ITERATOR):
        owners = [(task.path, "driver" if name != key else "task") for task in graph.tasks if task.is_loop]
    if not owners:
        owners = [(path, "driver") for path in graph.paths if name != key and path[-1] == key]
    if len(owners) > 1:  # of two graphs: the nodes after it are below it, or in its graph
        owners = [
            (path, role)
            for path, role in owners
            if any(each[: len(path)] == path or each[:-1] == path[:-1] for each in after)
        ]
    return owners[0] if len(owners) == 1 else None


def _children(detail: Any) -> list[str]:
    return [child.pod_name for child in detail.child_tasks or [] if child.pod_name]


def _workflow(details: Iterable[Any]) -> str:
    ids = (child for detail in details for child in _children(detail))
    return next(ids, "").rpartition("-")[0]


def _ids(graph: Graph, workflow: str, iterations: int) -> dict[str, _Known]:
    """The task of each node that it may have, and the iteration, by the node's id."""
    known: dict[str, _Known] = {}
    for again in ("(0)", ""):  # whether the server has every node tried again
        ends = list(_ends(again))
        for task in graph.tasks:
            above = _above(graph, workflow, task.path, again, iterations)
            places = [(f"{name}.{task.path[-1]}", iteration) for name, iteration in above]
            if task.is_loop:
                own = _above(graph, workflow, (*task.path, ITEM), again, iterations)
                places += [(name.removesuffix(again), iteration) for name, iteration in own]
            for name, iteration in places:
                digest = _fnv(name)
                known |= {f"{workflow}-{_fnv(end, digest)}": (task.path, iteration) for end in ends}
    return known


def _above(
    graph: Graph, workflow: str, path: Path, again: str, iterations: int
) -> Iterator[tuple[str, Iteration]]:
    """The name of the graph around a task, in each iteration of the loops that it is in."""
    names: list[tuple[str, Iteration]] = [(f"{workflow}{again}.root{again}", ())]
    for length in range(1, len(path)):
        names = [(f"{name}.{path[length - 1]}{again}", iteration) for name, iteration in names]
        if graph.is_loop(path[:length]):
            names = [
                (f"{name}.{ITERATIONS}({each}:{each}){again}.{ITEM}{again}", (*iteration, each))
                for name, iteration in names
                for each in range(iterations)
            ]
    yield from names


def _ends(again: str) -> Iterator[str]:
    """What follows a task's name in those of its nodes, of its drivers' and of its container's."""
    for end in ("", DRIVER, f"{again}.executor"):
        yield end
        yield from (f"{end}({attempt})" for attempt in range(MOST_ATTEMPTS + 1))
