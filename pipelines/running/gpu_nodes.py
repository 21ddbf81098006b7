"""GPU nodes: whether the nodes of a cluster can run the tasks that request an accelerator."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kubecast.config.cluster import TaskSettings, Toleration
from kubecast.config.gpu_nodes import LABELS, meets
from kubecast.errors import ClusterError, ConfigError
from kubecast.pipelines.running.kubernetes import Kubernetes
from kubecast.settings.loading import AllSettings

NODES = "/api/v1/nodes"

_TEMPORARY = "node.kubernetes.io/"  # of taints that come and go: a node that is drained or not ready
_BLOCKING = ("NoSchedule", "NoExecute")
_TELLING = ("gpu", "accelerator")  # parts of a label's key by which GPU nodes may be known
_MOST_LABELS = 3


@dataclass(frozen=True)
class GpuRequest:
    """The accelerator, labels and tolerations that a component's tasks request.

    Attributes:
        component: As ``cluster.tasks`` has it.
        resource: E.g. ``nvidia.com/gpu``.
        count: How many of it.
        selector: Labels that the node must have.
        own_selector: Whether the task names them itself.
        tolerations: Of the node's taints.
    """

    component: str
    resource: str
    count: int
    selector: dict[str, str]
    own_selector: bool
    tolerations: tuple[Toleration, ...]

    def __str__(self) -> str:
        """The labels and the resource."""
        count = f" x {self.count}" if self.count > 1 else ""
        return " and ".join([*_pairs(self.selector), self.resource + count])


@dataclass(frozen=True)
class Misfit:
    """A request that no node fits.

    Attributes:
        request: The request.
        detail: What the nodes lack.
        mend: The settings that would help.
    """

    request: GpuRequest
    detail: str
    mend: str


def check_gpu_nodes(settings: AllSettings, kubernetes: Kubernetes) -> None:
    """Refuse to start what no node could run.

    Nothing is refused where the caller may not list nodes, or has no access to the cluster: the run may well
    succeed. Nor is anything where ``cluster.gpu_scale_from_zero`` is set.

    Raises:
        ConfigError: No node has the labels and the resource; names what the nodes that are there have.
    """
    if settings.cluster.gpu_scale_from_zero:
        return
    requests = gpu_requests(settings)
    try:
        nodes = kubernetes.list(NODES) if requests else []
    except ClusterError:
        return
    for misfit in misfits(requests, nodes):
        raise ConfigError(f"{misfit.detail}; {misfit.mend} (by the nodes that {kubernetes.host} lists)")


def gpu_requests(settings: AllSettings) -> list[GpuRequest]:
    """The requests of the trainers of the pipeline's models; their searches and final fits have the same."""
    components = [f"train_{kind}" for kind in settings.pipeline.models]
    resources = {component: settings.cluster.task(component) for component in components}
    return [_request(component, task, settings) for component, task in resources.items() if task.accelerator]


def fitting(request: GpuRequest, nodes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes that have labels and resource and no taint that keeps the pod away."""
    return [node for node in _matching(request, nodes) if not _untolerated(request, node)]


def misfits(requests: Iterable[GpuRequest], nodes: list[dict[str, Any]]) -> list[Misfit]:
    """The requests that no node fits."""
    return [misfit for request in requests if (misfit := _misfit(request, nodes))]


def _misfit(request: GpuRequest, nodes: list[dict[str, Any]]) -> Misfit | None:
    matching = _matching(request, nodes)
    taints = [_untolerated(request, node) for node in matching]
    if matching and not all(taints):
        return None
    setting = f"cluster.tasks.{request.component}"
    if matching:
        taint = taints[0][0]
        return Misfit(
            request,
            f"{_nodes(len(matching))} {_have(matching)} {request}, but the taint {_taint(taint)}, which"
            f" {setting} does not tolerate",
            "allowed: one more of its tolerations,"
            f" {{key: {taint['key']}, operator: Exists, effect: {taint['effect']}}}",
        )
    remedy = _remedy(request, nodes)
    return Misfit(
        request,
        f"no node has {request}, which {setting} asks for",
        f"{remedy}{'; or ' if remedy else ''}set gpu: false to train on processors, or"
        " gpu_scale_from_zero: true where an autoscaler makes GPU nodes",
    )


def _request(component: str, task: TaskSettings, settings: AllSettings) -> GpuRequest:
    assert task.accelerator is not None  # noqa: S101  see gpu_requests
    own = getattr(settings.cluster.tasks, component).model_fields_set
    return GpuRequest(
        component=component,
        resource=task.accelerator.type,
        count=task.accelerator.count,
        selector=dict(task.node_selector),
        own_selector="node_selector" in own,
        tolerations=tuple(task.tolerations),
    )


def _remedy(request: GpuRequest, nodes: list[dict[str, Any]]) -> str:
    """The labels that the nodes have, and the setting that would select them; empty where none has any."""
    with_resource = [node for node in nodes if _allocatable(node, request.resource) >= request.count]
    if not with_resource:
        labelled = [node for node in nodes if request.selector and meets(_labels(node), request.selector)]
        if not labelled:
            return ""
        return (
            f"{_nodes(len(labelled))} {_have(labelled)} the label and no free {request.resource}: is its"
            " device plugin running?"
        )
    if request.own_selector:
        return (
            f"{_nodes(len(with_resource))} {_have(with_resource)} {request.resource} and other labels:"
            f" change or remove cluster.tasks.{request.component}.node_selector"
        )
    matches = {
        name: sum(meets(_labels(node), labels) for node in with_resource)
        for name, labels in LABELS.items()
        if labels
    }
    best = max(matches, key=lambda name: matches[name])
    if matches[best]:
        [label] = _pairs(LABELS[best])
        have = "has" if matches[best] == 1 else "have"
        return f"{_nodes(matches[best])} {have} {label}: set cluster.gpu_nodes: {best}"
    named = _telling_labels(with_resource)
    which = f" with labels such as {', '.join(named)}" if named else ""
    return (
        f"{_nodes(len(with_resource))} {_have(with_resource)} {request.resource}{which}: set"
        " cluster.gpu_nodes to one of their labels, {LABEL: VALUE}, or to none"
    )


def _matching(request: GpuRequest, nodes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        node
        for node in nodes
        if meets(_labels(node), request.selector) and _allocatable(node, request.resource) >= request.count
    ]


def _untolerated(request: GpuRequest, node: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        taint
        for taint in node.get("spec", {}).get("taints") or []
        if taint.get("effect") in _BLOCKING
        and not taint["key"].startswith(_TEMPORARY)
        and not any(_tolerates(toleration, taint) for toleration in request.tolerations)
    ]


def _tolerates(toleration: Toleration, taint: Mapping[str, Any]) -> bool:
    same = (toleration.key, toleration.effect) == (taint["key"], taint["effect"])
    return same and (toleration.operator == "Exists" or toleration.value == taint.get("value", ""))


def _allocatable(node: Mapping[str, Any], resource: str) -> int:
    return int(node.get("status", {}).get("allocatable", {}).get(resource, 0))


def _labels(node: Mapping[str, Any]) -> dict[str, str]:
    return dict(node["metadata"].get("labels") or {})


def _telling_labels(nodes: Iterable[dict[str, Any]]) -> list[str]:
    counts = Counter(
        pair
        for node in nodes
        for pair in _pairs(_labels(node))
        if any(part in pair.partition("=")[0] for part in _TELLING)
    )
    return [pair for pair, _ in counts.most_common(_MOST_LABELS)]


def _pairs(labels: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in labels.items()]


def _taint(taint: Mapping[str, Any]) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint['key']}{value}:{taint['effect']}"


def _nodes(count: int) -> str:
    return f"{count} node{'s' if count > 1 else ''}"


def _have(nodes: list[Any]) -> str:
    return "has" if len(nodes) == 1 else "have"
