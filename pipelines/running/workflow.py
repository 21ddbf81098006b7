"""What the Workflow of a run says: the true state of each node, its message and its pod."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kubecast.workflow import nodes_of
from pipelines.running.graph import Graph, Node, Path, Role, attempts_of
from pipelines.running.kept_logs import logs_uri

RUN_LABEL = "pipeline/runid"
TERMINATED = "the run was terminated"
# What Argo says of the nodes of such a run.
_BY_THE_END = re.compile(
    "Step exceeded its deadline|workflow shutdown with|Stopped with strategy|retry exceeded workflow deadline"
)

_POD_NAME_PREFIX = 242  # characters of workflow and template in a pod's name; Argo cuts the rest
_STATES = {"Error": "FAILED", "": "PENDING"}


def path_of(namespace: str) -> str:
    """Where the API server has the Workflows of a namespace."""
    return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"


def nodes(graph: Graph, workflow: Mapping[str, Any]) -> list[Node]:
    """The nodes of a Workflow that belong to a task.

    Args:
        graph: Of the run's pipeline.
        workflow: The object, as the API server returns it.

    Raises:
        ClusterError: Its nodes cannot be read, such as those that Argo keeps in a database of its own.
    """
    placed = list(_nodes(graph, workflow["metadata"]["name"], nodes_of(workflow)))
    placed = _in_force(placed, lambda each: each.node.path, lambda each: each.around)
    placed = _in_force(placed, lambda each: each.place, lambda each: each.attempts)
    if not _was_terminated(workflow):
        return [each.node for each in placed]
    return [
        replace(each.node, message=TERMINATED) if _BY_THE_END.match(each.node.message) else each.node
        for each in placed
    ]


def _was_terminated(workflow: Mapping[str, Any]) -> bool:
    """In Argo's way, or in that of Kubeflow Pipelines."""
    spec = workflow.get("spec", {})
    return bool(spec.get("shutdown")) or spec.get("activeDeadlineSeconds") == 0


def _in_force(
    placed: list["_Placed"],
    key: Callable[["_Placed"], Any],
    attempts: Callable[["_Placed"], tuple[int, ...]],
) -> list["_Placed"]:
    """Of the nodes of one key those of the last attempt that ran, or of the last where none did.

    Argo tries whole graphs again too, those of a run that was terminated in vain: in its last attempts
    every task is omitted.
    """
    best: dict[Any, tuple[bool, tuple[int, ...]]] = {}
    for each in placed:
        rank = each.ran, attempts(each)
        best[key(each)] = max(rank, best.get(key(each), rank))
    return [each for each in placed if attempts(each) == best[key(each)][1]]


def message_of(workflow: Mapping[str, Any]) -> str:
    """Why the whole Workflow failed, where no task of it did; else empty."""
    if _was_terminated(workflow):
        return TERMINATED
    message = " ".join(str(workflow.get("status", {}).get("message") or "").split())
    return "" if message.startswith("child ") else message


@dataclass(frozen=True)
class _Placed:
    """A node with the attempts that it belongs to.

    Attributes:
        node: As it is told.
        attempts: Of each part of its name.
        ran: Whether it, or what is in it, began: what Argo does not begin any more ends at once.
    """

    node: Node
    attempts: tuple[int, ...]
    ran: bool

    @property
    def around(self) -> tuple[int, ...]:
        """The attempts of the graphs that its task is in."""
        return self.attempts[: -2 if self.node.role == "executor" else -1]

    @property
    def place(self) -> tuple[Path, Role, int | None]:
        """What several attempts of its task have one of each."""
        return self.node.path, self.node.role, self.node.attempt


def _nodes(graph: Graph, workflow: str, raw: Mapping[str, Any]) -> Iterator[_Placed]:
    for node in raw.values():
        place = graph.locate(node["name"])
        if place is None:
            continue
        path, role, attempt = place
        phase = node.get("phase", "")
        pod = node["type"] == "Pod"
        at_once = phase in ("Failed", "Error") and node.get("startedAt") == node.get("finishedAt")
        found = Node(
            path=path,
            role=role,
            attempt=attempt,
            state=_STATES.get(phase, phase.upper()),
            message=" ".join(str(node.get("message") or "").split()),
            start=time_of(node.get("startedAt")),
            end=time_of(node.get("finishedAt")),
            pod=_pod_name(workflow, node) if pod else "",
            logs_uri=_logs_uri(node) if pod else "",
        )
        yield _Placed(found, attempts_of(node["name"]), phase != "Omitted" and not at_once)


def time_of(text: str | None) -> datetime | None:
    """A moment as Kubernetes writes it."""
    return datetime.fromisoformat(text) if text else None


def _pod_name(workflow: str, node: Mapping[str, Any]) -> str:
    prefix = f"{workflow}-{node['templateName']}"[:_POD_NAME_PREFIX]
    return f"{prefix}-{node['id'].rpartition('-')[2]}"


def _logs_uri(node: Mapping[str, Any]) -> str:
    inputs = (node.get("inputs") or {}).get("parameters") or []
    patch = next((each.get("value") for each in inputs if each["name"] == "pod-spec-patch"), None)
    try:
        containers = json.loads(patch or "{}").get("containers") or [{}]
    except ValueError:
        return ""
    return logs_uri(containers[0].get("command") or [])
