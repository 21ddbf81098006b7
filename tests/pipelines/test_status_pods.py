"""What pods and events tell where the Workflow may not be read, or says less."""

import json
from typing import Any

import pytest

from kubecast.pipelines.running.tasks import LOST
from tests.support.recordings import (
    EVENTS,
    PODS,
    TRACEBACK,
    by_name,
    ended,
    look,
    pod_of,
    serve_run,
    serve_workflow,
    states,
    waits,
    warning,
    workflow_of,
)
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi


def test_pods_tell_where_workflows_may_not_be_read(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", state="FAILED", finished_at="2026-11-28T23:20:00Z")
    cluster.forbidden = ["list .*/workflows"]
    pod = pod_of(run, "root(0).train-arima-2(0).executor(0)", "Failed", "final-arima", **ended(1))
    cluster.add(PODS, pod)
    cluster.logs[pod["metadata"]["name"], "main"] = TRACEBACK
    found = look(kfp, run, cluster)
    task = by_name(found)["final-arima"]
    assert found.source == "pods"
    right = "not allowed to list workflows in namespace kubeflow"
    assert found.note == f"{right}; the Role kubecast-viewer has these rights"
    assert (task.state, task.reason) == ("FAILED", "TypeError: Cannot instantiate typing.Union")
    assert (task.pod, task.log) == (pod["metadata"]["name"], tuple(TRACEBACK.splitlines()))
    assert not states(found) & {"RUNNING", "PENDING"}
    assert {task.reason for task in found.tasks if task.name == "register-model"} == {LOST}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (ended(137, "OOMKilled"), "main: OOMKilled, exit status 137"),
        (ended(3), "main: exit status 3"),
        (
            {"reason": "Evicted", "message": "The node was low on\nmemory."},
            "Evicted: The node was low on memory.",
        ),
    ],
)
def test_pod_says_why_it_failed(
    kfp: KfpApi, cluster: KubernetesApi, status: dict[str, Any], reason: str
) -> None:
    run = serve_run(kfp, "run-frozen.json", run_details={})
    cluster.add(PODS, pod_of(run, "root(0).train-lstm(0).executor(0)", "Failed", **status))
    assert by_name(look(kfp, run, cluster))["train-lstm"].reason == reason


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (waits("ErrImagePull", "not found"), "ErrImagePull: not found"),
        (
            waits("CreateContainerConfigError", 'secret "keys" not found'),
            "CreateContainerConfigError: secret",
        ),
        (
            {"conditions": [UNSCHEDULABLE]},
            "Unschedulable with node selector nvidia.com/gpu.present=true: 0/1 nodes are available: 1",
        ),
        (
            waits("ContainerCreating"),
            'FailedMount: MountVolume.SetUp failed for volume "x": secret not found',
        ),
    ],
)
def test_pod_that_cannot_start_is_named_while_it_hangs(
    kfp: KfpApi, cluster: KubernetesApi, status: dict[str, Any], reason: str
) -> None:
    run = serve_run(kfp, "run-frozen.json", run_details={})
    pod = pod_of(run, "root(0).train-lstm(0).executor(0)", "Pending", **status)
    pod["spec"]["nodeSelector"] = {"nvidia.com/gpu.present": "true"}
    name = pod["metadata"]["name"]
    cluster.add(PODS, pod)
    mount = warning(name, "FailedMount", 'MountVolume.SetUp failed for volume "x": secret not found')
    cluster.add(EVENTS, mount, warning(name, "FailedScheduling", "older", "2026-11-28T22:00:00Z"))
    found = look(kfp, run, cluster)
    task = by_name(found)["train-lstm"]
    assert task.state == "PENDING"
    assert task.reason.startswith(reason)
    assert found.stuck == [task]
    assert task.command.endswith(f"describe pod {name}")


def test_hanging_first_pod_is_told_of_the_run(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", run_details={})
    names = {"root-driver": "Running", "root-driver(0)": "Pending"}
    serve_workflow(cluster, workflow_of(run, names))
    pod = pod_of(run, "root-driver(0)", "Pending", **waits("ContainerCreating"))
    cluster.add(PODS, pod)
    message = 'MountVolume.SetUp failed for volume "mlpipeline-minio-artifact": secret not found'
    cluster.add(EVENTS, warning(pod["metadata"]["name"], "FailedMount", message))
    assert look(kfp, run, cluster).error == f"FailedMount: {message}"


def test_pod_and_node_are_one_where_argo_tries_nothing_again(kfp: KfpApi, cluster: KubernetesApi) -> None:
    """Without the retries of Argo's templateDefaults no name of a node ends in ``(0)``."""

    def tried_once(made: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(made).replace("(0)", ""))
        return found

    run = serve_run(kfp, "run-frozen.json", run_details={})
    node = "root(0).train-lstm-driver(0)"
    serve_workflow(cluster, tried_once(workflow_of(run, {node: "Pending"}, {node: "ContainerCreating"})))
    pod = tried_once(pod_of(run, node, "Pending", **waits("ImagePullBackOff", "no such image")))
    cluster.add(PODS, pod)
    task = by_name(look(kfp, run, cluster))["train-lstm"]
    assert (task.reason, task.pod) == ("ImagePullBackOff: no such image", pod["metadata"]["name"])
