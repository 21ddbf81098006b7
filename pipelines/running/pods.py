"""Pods of a run and the events about them: which run, which cannot start, why one failed."""

from collections.abc import Iterable, Mapping
from typing import Any

from kubecast.pipelines.running.graph import Graph, Node
from kubecast.pipelines.running.kubernetes import Kubernetes
from kubecast.pipelines.running.task_logs import input_of, logs_uri
from kubecast.pipelines.running.workflow import time_of

MAIN = "main"
NODE_NAME = "workflows.argoproj.io/node-name"
LONGEST = 400  # characters of a reason
MOST_EVENTS = 8  # pods whose events are listed

_ON_THE_WAY = ("ContainerCreating", "PodInitializing")
_STATES = {"Unknown": "RUNNING"}  # its node does not answer


def path_of(namespace: str) -> str:
    """The path of a namespace's pods in the API."""
    return f"/api/v1/namespaces/{namespace}/pods"


def nodes(graph: Graph, pods: Iterable[Mapping[str, Any]]) -> list[Node]:
    """The pods of a run that work for a task, as nodes of its workflow."""
    return [node for pod in pods if (node := _node(graph, pod))]


def waiting(pods: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the pods that do not start and do not say why themselves."""
    return [
        pod["metadata"]["name"]
        for pod in pods
        if pod.get("status", {}).get("phase") == "Pending" and not _stuck(pod)
    ][:MOST_EVENTS]


def warnings(cluster: Kubernetes, namespace: str, names: Iterable[str]) -> dict[str, str]:
    """The last warning about each pod that does not start; pods without one are left out.

    Raises:
        ClusterError: Events may not be read, or the API server does not answer.
    """
    path = f"/api/v1/namespaces/{namespace}/events"
    last_warnings: dict[str, str] = {}
    for name in names:
        events = cluster.list(path, fieldSelector=f"involvedObject.name={name}")
        of_pod = [event for event in events if event.get("type") == "Warning"]
        if of_pod:
            last = max(of_pod, key=_when)
            last_warnings[name] = one_line(f"{last.get('reason', '')}: {last.get('message', '')}")
    return last_warnings


def one_line(text: str) -> str:
    """A text without line breaks, and not longer than a reason may be."""
    return " ".join(text.split())[:LONGEST]


def _node(graph: Graph, pod: Mapping[str, Any]) -> Node | None:
    metadata, status = pod["metadata"], pod.get("status", {})
    place = graph.locate((metadata.get("annotations") or {}).get(NODE_NAME, ""))
    if place is None:
        return None
    phase = status.get("phase", "Pending")
    containers = [each for each in pod.get("spec", {}).get("containers", []) if each["name"] == MAIN]
    words = [word for each in containers for word in [*each.get("command", []), *each.get("args", [])]]
    return Node(
        path=place.path,
        role=place.role,
        attempt=place.attempt or 0,
        state=_STATES.get(phase, phase.upper()),
        message=_stuck(pod) if phase == "Pending" else _failure(pod) if phase == "Failed" else "",
        start=time_of(status.get("startTime") or metadata.get("creationTimestamp")),
        end=_end(status) if phase in ("Succeeded", "Failed") else None,
        pod=metadata["name"],
        logs_uri=logs_uri(words),
        iteration=place.iteration,
        item=input_of(words, graph.item(place.path)),
    )


def _containers(status: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _stuck(pod: Mapping[str, Any]) -> str:
    """Why a pod does not start, where it says so itself."""
    status = pod.get("status", {})
    for each in _containers(status):
        state = each.get("state", {}).get("waiting") or {}
        if state.get("reason") and state["reason"] not in _ON_THE_WAY:
            return one_line(f"{state['reason']}: {state.get('message') or each.get('image', '')}")
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            selector = pod.get("spec", {}).get("nodeSelector") or {}
            labels = ", ".join(f"{key}={value}" for key, value in selector.items())
            required = f" with node selector {labels}" if labels else ""
            return one_line(f"Unschedulable{required}: {condition.get('message', '')}")
    return ""


def _failure(pod: Mapping[str, Any]) -> str:
    status = pod["status"]
    if status.get("reason"):  # of the pod: Evicted, DeadlineExceeded
        return one_line(f"{status['reason']}: {status.get('message', '')}")
    ends = {each["name"]: each.get("state", {}).get("terminated") or {} for each in _containers(status)}
    for name in (MAIN, *ends):
        end = ends.get(name) or {}
        if end.get("exitCode"):
            reason = f"{end['reason']}, " if end.get("reason") not in (None, "Error") else ""
            return f"{name}: {reason}exit status {end['exitCode']}"
    return one_line(status.get("message", ""))


def _end(status: Mapping[str, Any]) -> Any:
    ends = (each.get("state", {}).get("terminated", {}).get("finishedAt") for each in _containers(status))
    return max((time_of(end) for end in ends if end), default=None)  # type: ignore[type-var]


def _when(event: Mapping[str, Any]) -> str:
    times = (event.get("lastTimestamp"), event.get("eventTime"), event["metadata"].get("creationTimestamp"))
    return next((time for time in times if time), "")
