"""A compiled pipeline's tasks, those of its inner graphs included, by their names in the dashboard."""

from collections.abc import Iterator
from typing import Any


def graphs(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The root's graph and every graph inside."""
    yield spec["root"]["dag"]
    yield from (each["dag"] for each in spec["components"].values() if "dag" in each)


def named(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every task by its name."""
    return {task["taskInfo"]["name"]: task for graph in graphs(spec) for task in graph["tasks"].values()}


def upstream(spec: dict[str, Any], name: str) -> set[str]:
    """The names of the tasks of the same graph that a task waits for."""
    for graph in graphs(spec):
        names = {key: task["taskInfo"]["name"] for key, task in graph["tasks"].items()}
        for key, task in graph["tasks"].items():
            if names[key] == name:
                return {names[each] for each in task.get("dependentTasks", [])}
    raise KeyError(name)
