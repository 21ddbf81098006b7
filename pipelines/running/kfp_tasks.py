"""Task list of a run in the API of Kubeflow Pipelines, as nodes of its graph.

Its list has no parents, and inner tasks of two graphs may have one name; each entry has the ids of the nodes
after it, which Argo computes from their full names. It says nothing of pods and reasons, and is not updated
any more once the workflow is larger than 1 MiB.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from kubecast.config.cluster import MOST_ATTEMPTS
from kubecast.pipelines.running.graph import DRIVER, Graph, Node, Path, Role


def nodes(graph: Graph, details: Iterable[Any]) -> list[Node]:
    """The entries of a run's task list that belong to a task.

    Args:
        graph: Of the run's pipeline.
        details: ``V2beta1PipelineTaskDetail``.
    """
    named = [detail for detail in details if detail.display_name]
    known = _ids(graph, _workflow(named))
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
    digest = 0x811C9DC5
    for byte in node.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return f"{workflow}-{digest}"


def _node(graph: Graph, known: dict[str, Path], detail: Any) -> Node | None:
    name, _, suffix = detail.display_name.partition("(")
    attempt = suffix.removesuffix(")")
    path, role = _owner(graph, name, [known[each] for each in _children(detail) if each in known])
    if path is None:
        return None
    end = moment(detail.end_time)
    state = detail.state or ("OMITTED" if end else "PENDING")  # the server has no word for the former
    number = int(attempt) if attempt.isdecimal() else None
    return Node(path, role, number, state, message_of(detail), moment(detail.start_time), end)


def _owner(graph: Graph, name: str, after: list[Path]) -> tuple[Path | None, Role]:
    """The one task that an entry can be of, by its name and by the tasks of the nodes after it."""
    if name in ("root", "root" + DRIVER):
        return (), "task" if name == "root" else "driver"
    owners: list[tuple[Path, Role]] = [(path, "task") for path in graph.paths if path[-1] == name]
    if not owners:
        key = name.removesuffix(DRIVER)
        owners = [(path, "driver") for path in graph.paths if name != key and path[-1] == key]
    if len(owners) > 1:  # of two graphs: the nodes after it are below it, or in its graph
        owners = [
            (path, role)
            for path, role in owners
            if any(each[: len(path)] == path or each[:-1] == path[:-1] for each in after)
        ]
    return owners[0] if len(owners) == 1 else (None, "task")


def _children(detail: Any) -> list[str]:
    return [child.pod_name for child in detail.child_tasks or [] if child.pod_name]


def _workflow(details: Iterable[Any]) -> str:
    ids = (child for detail in details for child in _children(detail))
    return next(ids, "").rpartition("-")[0]


def _ids(graph: Graph, workflow: str) -> dict[str, Path]:
    """The task of each node that it may have, by the node's id."""
    return {node_id(workflow, node): path for path in graph.paths for node in _names(workflow, path)}


def _names(workflow: str, path: Path) -> Iterator[str]:
    for again in ("(0)", ""):  # whether the server has every node tried again
        above = ".".join(f"{part}{again}" for part in (workflow, "root", *path[:-1]))
        task = f"{above}.{path[-1]}"
        for node in (task, task + DRIVER, f"{task}{again}.executor"):
            yield node
            yield from (f"{node}({attempt})" for attempt in range(MOST_ATTEMPTS + 1))
