"""Workflow of a run: the true state of each node, its message and its pod."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kubecast.pipelines.running.graph import Graph, Iteration, Node, Path, Role, attempts_of
from kubecast.pipelines.running.task_logs import input_of, logs_uri
from kubecast.workflow import nodes_of

RUN_LABEL = "pipeline/runid"
TERMINATED = "the run was terminated"
# Messages of Argo on the nodes of such a run.
_BY_THE_END = re.compile(
    "Step exceeded its deadline|workflow shutdown with|Stopped with strategy|retry exceeded workflow deadline"
)

_POD_NAME_PREFIX = 242  # characters of workflow and template in a pod's name; Argo cuts the rest
_STATES = {"Error": "FAILED", "": "PENDING"}


def path_of(namespace: str) -> str:
    """The path of a namespace's Workflows in the API."""
    return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"


def nodes(graph: Graph, workflow: Mapping[str, Any]) -> list[Node]:
    """The nodes of a Workflow that belong to a task.

    Args:
        graph: Of the run's pipeline.
        workflow: The object, as the API server returns it.

    Raises:
        ClusterError: Its nodes cannot be read, such as those that Argo keeps in a database of its own.
    """
    located = list(_nodes(graph, workflow["metadata"]["name"], nodes_of(workflow)))
    located = _in_force(located, lambda each: each.of, lambda each: each.around)
    located = _in_force(located, lambda each: each.key, lambda each: each.attempts)
    if not _was_terminated(workflow):
        return [each.node for each in located]
    return [
        replace(each.node, message=TERMINATED) if _BY_THE_END.match(each.node.message) else each.node
        for each in located
    ]


def _was_terminated(workflow: Mapping[str, Any]) -> bool:
    """Whether the run was terminated, in Argo's way or in that of Kubeflow Pipelines."""
    spec = workflow.get("spec", {})
    return bool(spec.get("shutdown")) or spec.get("activeDeadlineSeconds") == 0


def _in_force(
    located: list["_Located"],
    key: Callable[["_Located"], Any],
    attempts: Callable[["_Located"], tuple[int, ...]],
) -> list["_Located"]:
    """Keep of the nodes of one key those of the last attempt that ran, or of the last where none did.

    Argo tries whole graphs again too, those of a run that was terminated in vain: in its last attempts
    every task is omitted.
    """
    best: dict[Any, tuple[bool, tuple[int, ...]]] = {}
    for each in located:
        rank = each.ran, attempts(each)
        best[key(each)] = max(rank, best.get(key(each), rank))
    return [each for each in located if attempts(each) == best[key(each)][1]]


def message_of(workflow: Mapping[str, Any]) -> str:
    """Why the whole Workflow failed, where no task of it did; else empty."""
    if _was_terminated(workflow):
        return TERMINATED
    message = " ".join(str(workflow.get("status", {}).get("message") or "").split())
    return "" if message.startswith("child ") else message


@dataclass(frozen=True)
class _Located:
    """A node with the attempts that it belongs to.

    Attributes:
        node: As the Workflow has it.
        attempts: Of each part of its name.
        within: Whether it is one level below its task.
        ran: Whether it, or what is in it, began: what Argo does not begin any more ends at once.
    """

    node: Node
    attempts: tuple[int, ...]
    within: bool
    ran: bool

    @property
    def around(self) -> tuple[int, ...]:
        """The attempts of the graphs that its task is in."""
        return self.attempts[: -2 if self.within else -1]

    @property
    def of(self) -> tuple[Path, Iteration]:
        """The task, or that iteration of it, that the node is of."""
        return self.node.path, self.node.iteration

    @property
    def key(self) -> tuple[Path, Iteration, Role, int | None]:
        """The key that the node has one of in each attempt of its task."""
        return *self.of, self.node.role, self.node.attempt


def _nodes(graph: Graph, workflow: str, raw: Mapping[str, Any]) -> Iterator[_Located]:
    for node in raw.values():
        place = graph.locate(node["name"])
        if place is None:
            continue
        phase = node.get("phase", "")
        pod = node["type"] == "Pod"
        at_once = phase in ("Failed", "Error") and node.get("startedAt") == node.get("finishedAt")
        words = _launcher(node) if pod else []
        located = Node(
            *place[:3],
            state=_STATES.get(phase, phase.upper()),
            message=" ".join(str(node.get("message") or "").split()),
            start=time_of(node.get("startedAt")),
            end=time_of(node.get("finishedAt")),
            pod=_pod_name(workflow, node) if pod else "",
            logs_uri=logs_uri(words),
            iteration=place.iteration,
            item=input_of(words, graph.item(place.path)),
            count=_count(node),
        )
        ran = phase != "Omitted" and not at_once
        yield _Located(located, attempts_of(node["name"]), place.within, ran)


def time_of(text: str | None) -> datetime | None:
    """A moment as Kubernetes writes it."""
    return datetime.fromisoformat(text) if text else None


def _pod_name(workflow: str, node: Mapping[str, Any]) -> str:
    prefix = f"{workflow}-{node['templateName']}"[:_POD_NAME_PREFIX]
    return f"{prefix}-{node['id'].rpartition('-')[2]}"


def _launcher(node: Mapping[str, Any]) -> list[str]:
    """The words that the launcher of a pod is started with; none where they are not known."""
    patch = _parameter(node.get("inputs"), "pod-spec-patch")
    try:
        containers = json.loads(patch or "{}").get("containers") or [{}]
    except ValueError:
        return []
    return containers[0].get("command") or []


def _count(node: Mapping[str, Any]) -> int | None:
    """The number of iterations that a loop's driver has found."""
    count = _parameter(node.get("outputs"), "iteration-count") or ""
    return int(count) if count.isdecimal() else None


def _parameter(holder: Mapping[str, Any] | None, name: str) -> str | None:
    parameters = (holder or {}).get("parameters") or []
    return next((each.get("value") for each in parameters if each["name"] == name), None)
