"""Recorded answers of a real Kubeflow Pipelines and Argo, how to serve them, and objects made like them.

What was recorded, and when, is in ``tests/recordings/README.md``. Small Workflows, pods other than the
recorded one, and events are made here, in the recorded form.
"""

import base64
import copy
import gzip
import json
from pathlib import Path
from typing import Any

import kfp_server_api as kfp

from kubecast.pipelines.running.evidence import Reader
from kubecast.pipelines.running.following import Follower, Progress
from kubecast.pipelines.running.kfp_tasks import node_id
from kubecast.pipelines.running.pods import NODE_NAME
from kubecast.pipelines.running.tasks import Task
from tests.support.clusters import client
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi

FOLDER = Path(__file__).parents[1] / "recordings"
NAMESPACE = "kubeflow"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
WORKFLOWS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/workflows"
FINAL = {"final-arima", "final-catboost", "final-lstm", "final-transformer"}
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/usr/local/lib/python3.11/site-packages/kfp/dsl/executor.py", line 91, in __init__\n'
    "TypeError: Cannot instantiate typing.Union\n"
)
LAUNCHER = "I1128 23:07:25.118 1 launcher_v2.go:151] publish success.\n"

Object = dict[str, Any]


def recorded(name: str) -> Any:
    """A recorded answer."""
    file = FOLDER / name
    return json.loads(gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes())


def serve_run(api: KfpApi, name: str, graph: Any = None, **changes: Any) -> str:
    """Let the API have a recorded run, with the graph that it was of, and return its id."""
    run = {**recorded(name), **changes}
    reference = run["pipeline_version_reference"]
    api.versions[reference["pipeline_version_id"]] = kfp.V2beta1PipelineVersion(
        pipeline_id=reference["pipeline_id"],
        pipeline_version_id=reference["pipeline_version_id"],
        pipeline_spec=graph or recorded("graph-train.json"),
    )
    api.runs[run["run_id"]] = run
    return str(run["run_id"])


def nodes_of(workflow: Object) -> dict[str, Object]:
    """A Workflow's nodes, unpacked."""
    nodes: dict[str, Object] = json.loads(
        gzip.decompress(base64.b64decode(workflow["status"]["compressedNodes"]))
    )
    return nodes


def packed(workflow: Object, nodes: dict[str, Object]) -> Object:
    """The Workflow with other nodes, compressed as Argo does."""
    changed = copy.deepcopy(workflow)
    text = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    changed["status"]["compressedNodes"] = text
    return changed


def workflow_of(run: str, names: dict[str, str], messages: dict[str, str] | None = None) -> Object:
    """A small Workflow, not compressed, of nodes in these phases, by full name without the workflow's."""
    name = "kubecast-training-abcde"
    nodes = {}
    for part, phase in names.items():
        full = f"{name}(0).{part}"
        pod = full.endswith((")",)) and ("executor(" in full or "-driver(" in full)
        nodes[node_id(name, full)] = {
            "id": node_id(name, full),
            "name": full,
            "displayName": full.rpartition(".")[2],
            "type": "Pod" if pod else "DAG",
            "templateName": "system-container-impl" if "executor" in full else "system-container-driver",
            "phase": phase,
            "message": (messages or {}).get(part, ""),
            "startedAt": "2026-11-28T23:00:00Z",
            "finishedAt": None if phase in ("Pending", "Running") else "2026-11-28T23:00:10Z",
        }
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"pipeline/runid": run}}
    return {"metadata": metadata, "status": {"phase": "Running", "nodes": nodes}}


def pod_of(run: str, node: str, phase: str, task: str = "", **status: Any) -> Object:
    """The recorded pod, as if of another phase and node, e.g. ``root(0).train-lstm(0).executor(0)``."""
    workflow = "kubecast-training-abcde"
    pod: Object = recorded("pod-train-lstm.json")
    full = f"{workflow}(0).{node}"
    metadata = pod["metadata"]
    metadata["name"] = node_id(f"{workflow}-impl", full)
    metadata["annotations"][NODE_NAME] = full
    metadata["labels"] |= {"pipeline/runid": run, "workflows.argoproj.io/workflow": workflow}
    metadata["labels"].pop("kubecast/task")
    if task:
        metadata["labels"]["kubecast/task"] = task
    pod["status"] = {"phase": phase, "startTime": "2026-11-28T23:00:00Z", **status}
    return pod


def ended(exit_code: int, reason: str = "Error") -> Object:
    """Status of a pod whose main container ended so."""
    end = {"exitCode": exit_code, "reason": reason, "finishedAt": "2026-11-28T23:00:30Z"}
    return {"containerStatuses": [{"name": "main", "state": {"terminated": end}}]}


def waits(reason: str, message: str = "") -> Object:
    """Status of a pod whose main container waits for something."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "main", "state": state}]}


def warning(pod: str, reason: str, message: str, when: str = "2026-11-28T23:01:00Z") -> Object:
    """An event about a pod."""
    return {
        "metadata": {"name": f"{pod}.{reason}.{when}", "namespace": NAMESPACE},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": when,
        "involvedObject": {"kind": "Pod", "name": pod},
    }


def serve_workflow(api: KubernetesApi, workflow: Object) -> None:
    """Let the API server have a Workflow."""
    api.add(WORKFLOWS, workflow)


def look(api: KfpApi, run: str, cluster: KubernetesApi | None = None) -> Progress:
    """The run as `kubecast status` sees it."""
    reader = Reader(cluster.connect(), ["default", NAMESPACE]) if cluster else None
    return Follower(client(api), reader).look(run)


def by_name(progress: Progress) -> dict[str, Task]:
    """The tasks by their names."""
    return {task.name: task for task in progress.tasks}


def states(progress: Progress) -> set[str]:
    """The states that tasks are in."""
    return {task.state for task in progress.tasks}
