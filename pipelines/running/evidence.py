"""Evidence on a run in Kubernetes: its Workflow, its pods and their events, as far as one may read them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from kubecast.errors import ClusterError, ClusterForbidden, ClusterNotFound
from kubecast.pipelines.running import pods, workflow
from kubecast.pipelines.running.graph import Graph, Iteration, Node, Path, Role
from kubecast.pipelines.running.kubernetes import NOT_ALLOWED, Kubernetes

REFRESH = 15.0  # seconds between two readings, of up to 1 MiB each
VIEWER = "the Role kubecast-viewer has these rights"

T = TypeVar("T")


@dataclass(frozen=True)
class Evidence:
    """A run as Kubernetes knows it at one moment.

    Attributes:
        source: ``workflow``, ``pods``, or empty: neither is there.
        namespace: Of the run; empty where that is not known.
        nodes: Of the Workflow, with what the pods say of them; of the pods alone, where there is no Workflow.
        message: Why the Workflow failed as a whole; empty where that is not so.
    """

    source: str = ""
    namespace: str = ""
    nodes: tuple[Node, ...] = ()
    message: str = ""


class Reader:
    """Reads a run again and again, but not more often than ``refresh``.

    Args:
        cluster: Of the run.
        namespaces: Where it may be, the likeliest first.
        refresh: Seconds between two readings; default: REFRESH.
    """

    def __init__(self, cluster: Kubernetes, namespaces: Sequence[str], refresh: float | None = None):
        self._cluster = cluster
        self._namespaces = list(dict.fromkeys(namespaces))
        self._refresh = REFRESH if refresh is None else refresh
        self._forbidden: dict[tuple[str, str], None] = {}  # what in which namespace, in order
        self._silent = ""  # what is said of a server that did not answer
        self._unreadable = ""  # and of a Workflow whose nodes are elsewhere
        self._last: tuple[float, Evidence] | None = None

    def look(self, run_id: str, graph: Graph, final: bool) -> Evidence:
        """The run as it is now; where ``final`` is not set, it may be some seconds old."""
        now = time.monotonic()
        if self._last is None or final or now - self._last[0] >= self._refresh:
            self._last = now, self._read(run_id, graph)
        return self._last[1]

    def log(self, namespace: str, pod: str, lines: int) -> str | None:
        """The last lines of a task's log; None where it cannot be read."""
        return self._try("get pods/log", namespace, self._cluster.logs, namespace, pod, pods.MAIN, lines)

    def note(self, evidence: Evidence) -> str:
        """Objects that could not be read, and the right to read them; empty where nothing is missing."""
        if self._silent or self._unreadable:
            return self._silent or self._unreadable
        missing: dict[str, list[str]] = {}
        for doing, namespace in self._forbidden:
            if not evidence.source or namespace == evidence.namespace:
                missing.setdefault(doing, []).append(namespace)
        rights = [f"{doing} in namespace {' or '.join(places)}" for doing, places in missing.items()]
        if rights:
            return f"not allowed to {', to '.join(rights)}; {VIEWER}"
        if not evidence.source:
            places = " or ".join(self._namespaces)
            return (
                f"no Workflow and no pod of this run in namespace {places} ({self._cluster.host}):"
                " Kubeflow Pipelines removes both some time after a run's end, or the run is elsewhere"
            )
        return ""

    def _read(self, run_id: str, graph: Graph) -> Evidence:
        self._silent = self._unreadable = ""
        selector = f"{workflow.RUN_LABEL}={run_id}"
        namespace, workflows = self._find("list workflows", workflow.path_of, selector)
        pods_namespace, run_pods = self._find("list pods", pods.path_of, selector, namespace)
        namespace = namespace or pods_namespace
        of_pods = self._with_warnings(namespace, run_pods, pods.nodes(graph, run_pods))
        source, nodes, message = "pods" if run_pods else "", of_pods, ""
        if workflows:
            try:
                source, nodes = "workflow", _joined(workflow.nodes(graph, workflows[0]), of_pods)
                message = workflow.message_of(workflows[0])
            except ClusterError as error:
                self._unreadable = str(error)
        return Evidence(source, namespace, tuple(nodes), message)

    def _find(
        self, doing: str, path: Callable[[str], str], selector: str, known: str = ""
    ) -> tuple[str, list[dict[str, Any]]]:
        """The first namespace with such objects, and these; empty where there are none."""
        for namespace in [known] if known else self._namespaces:
            objects = self._try(doing, namespace, self._cluster.list, path(namespace), labelSelector=selector)
            if objects:
                return namespace, objects
        return "", []

    def _with_warnings(self, namespace: str, run_pods: list[dict[str, Any]], nodes: list[Node]) -> list[Node]:
        names = pods.waiting(run_pods)
        if not names:
            return nodes
        warnings = self._try("list events", namespace, pods.warnings, self._cluster, namespace, names) or {}
        return [replace(node, message=node.message or warnings.get(node.pod, "")) for node in nodes]

    def _try(self, doing: str, namespace: str, read: Callable[..., T], *given: Any, **query: Any) -> T | None:
        if (doing, namespace) in self._forbidden or self._silent:
            return None
        try:
            return read(*given, **query)
        except ClusterForbidden as error:
            if str(error).startswith(NOT_ALLOWED):
                self._forbidden[doing, namespace] = None  # nor will it be allowed a moment later
            else:
                self._silent = str(error)
        except ClusterNotFound:
            return None
        except ClusterError as error:
            self._silent = str(error)
        return None


def _joined(nodes: list[Node], of_pods: list[Node]) -> list[Node]:
    """The Workflow's nodes, with their pods' names and with what the pods say, which is more."""
    known = {_key(node): node for node in of_pods}
    return [_with_pod(node, known.get(_key(node))) for node in nodes]


def _key(node: Node) -> tuple[Path, Iteration, Role, int]:
    """The key that a node and its pod share; where Argo tries nothing again, the name has no attempt."""
    return node.path, node.iteration, node.role, node.attempt or 0


def _with_pod(node: Node, pod: Node | None) -> Node:
    if pod is None or not node.pod:
        return node
    return replace(node, pod=pod.pod, message=pod.message or node.message)
