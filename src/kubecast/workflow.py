"""The Argo Workflow that a run is: its nodes, and whether what an exit handler watches has succeeded."""

import base64
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kubecast.api_server import connect_in_pod
from kubecast.errors import ClusterError, ClusterUnavailable
from kubecast.retrying import PASSING, retry

KIND = "argoproj.io", "v1alpha1"
WATCHED = "exit-handler-1"
"""KFP's name of the graph that an exit handler watches."""

_FAILED = ("Failed", "Error")
_ITERATION = re.compile(r"\((\d+):")  # of a loop, in the name of a node
_NAMED = 10  # failures; those of a loop may be many
_TIMEOUT = 10.0  # seconds of one request


class Outcome(NamedTuple):
    """The end of a run.

    Attributes:
        succeeded: Whether everything that the exit handler watches did.
        reason: Which task failed, and its message; empty where none did.
    """

    succeeded: bool
    reason: str


def nodes_of(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """A Workflow's nodes by their id; Argo packs them where they are large.

    Raises:
        ClusterError: They cannot be read, such as those that Argo keeps in a database of its own.
    """
    status = workflow.get("status") or {}
    if status.get("offloadNodeStatusVersion"):
        raise ClusterError("the Workflow's nodes are in Argo's own database")
    packed = status.get("compressedNodes")
    if not packed:
        return status.get("nodes") or {}
    try:
        nodes = json.loads(gzip.decompress(base64.b64decode(packed)))
    except (ValueError, OSError, EOFError):
        nodes = None
    if not isinstance(nodes, dict):
        raise ClusterError("the Workflow's status.compressedNodes is not gzip and base64 of its nodes")
    return nodes


def outcome_of(workflow: Mapping[str, Any]) -> Outcome:
    """The end of what the exit handler watches.

    Raises:
        ClusterError: The Workflow does not show it.
    """
    nodes = nodes_of(workflow).values()
    watched = [node.get("phase") for node in nodes if node.get("displayName") == WATCHED]
    if not watched:
        raise ClusterError(f"the Workflow has no node {WATCHED}")
    if any(phase in _FAILED for phase in watched):
        return Outcome(False, _joined(list(_failures(nodes))) or f"{WATCHED} failed")
    return Outcome(all(phase == "Succeeded" for phase in watched), "")


def read_own_workflow(name: str) -> dict[str, Any]:
    """Read a Workflow in the namespace of this pod, as ``read_workflow`` does."""
    return read_workflow(*connect_in_pod(), name)


def read_workflow(api: Any, namespace: str, name: str) -> dict[str, Any]:
    """Read a Workflow, again while the API server cannot answer.

    Args:
        api: Of ``kubernetes.client``.
        namespace: Of the Workflow.
        name: Of the Workflow.

    Raises:
        ClusterError: It cannot be read; names the right that is missing.
    """
    import urllib3
    from kubernetes import client

    custom = client.CustomObjectsApi(api)

    def once() -> dict[str, Any]:
        where = f"Workflow {name} in namespace {namespace}"
        try:
            workflow: dict[str, Any] = custom.get_namespaced_custom_object(
                *KIND, namespace, "workflows", name, _request_timeout=_TIMEOUT
            )
        except client.ApiException as error:
            if error.status in PASSING:
                raise ClusterUnavailable(f"{where}: {error.status} {error.reason}") from error
            cure = "; the service account needs get on workflows of argoproj.io" * (error.status == 403)
            raise ClusterError(f"{where} cannot be read: {error.status} {error.reason}{cure}") from error
        except urllib3.exceptions.HTTPError as error:
            raise ClusterUnavailable(f"{where} cannot be read ({type(error).__name__})") from error
        return workflow

    return retry(once)


def _joined(failures: list[str]) -> str:
    rest = [f"{len(failures) - _NAMED} more"] if len(failures) > _NAMED else []
    return "; ".join([*failures[:_NAMED], *rest])


def _failures(nodes: Any) -> Iterator[str]:
    """The failed pods that were not tried again, by their task; the exit handler's own left out."""
    again = {
        child for node in nodes if node.get("type") == "Retry" for child in node.get("children", [])[:-1]
    }
    for node in nodes:
        if node.get("type") != "Pod" or node.get("phase") not in _FAILED or node["id"] in again:
            continue
        path = node["name"].replace("(0)", "").split(".")
        if "onExit" in path:
            continue
        task = path[-2] if path[-1].startswith("executor") else path[-1]
        if number := _ITERATION.search(node["name"]):
            task = f"{task}, iteration {number[1]}"
        message = " ".join(str(node.get("message") or "").split())
        yield f"{task}: {message}" if message else task
