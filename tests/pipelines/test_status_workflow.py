"""What a run's Workflow tells, and what is told of it."""

import pytest

from tests.support.recordings import (
    FINAL,
    LAUNCHER,
    PODS,
    TRACEBACK,
    by_name,
    ended,
    look,
    pod_of,
    recorded,
    serve_run,
    serve_workflow,
    states,
    workflow_of,
)
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi


def test_workflow_tells_what_kubeflow_pipelines_has_lost(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json")
    serve_workflow(cluster, recorded("workflow-train.json.gz"))
    found = look(kfp, run, cluster)
    tasks = by_name(found)
    assert (found.source, found.note) == ("workflow", "")
    assert {task.name for task in found.failed} == {*FINAL, "stack-ensemble"}
    pod = "kubecast-training-k9fw8-metadata-0-4-retry-system-container-impl-1245234293"
    assert (tasks["final-arima"].pod, tasks["final-arima"].reason) == (pod, "main: Error (exit code 1)")
    assert tasks["final-arima"].seconds
    assert {tasks[f"train-{kind}"].state for kind in ("arima", "lstm")} == {"SUCCEEDED"}
    assert tasks["register-model"].state == "PENDING"
    assert tasks["forecast-champion"].state == "PENDING"
    assert tasks["forecast-champion"].reason.startswith("ImagePullBackOff: Back-off pulling image")
    assert not any("train-arima-2" in (task.name, task.reason, task.command) for task in found.tasks)


def test_ended_run_has_no_task_that_waits_or_runs(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", state="FAILED", finished_at="2026-11-28T23:20:00Z")
    serve_workflow(cluster, recorded("workflow-train.json.gz"))
    found = look(kfp, run, cluster)
    assert states(found) == {"SUCCEEDED", "FAILED", "OMITTED"}
    assert by_name(found)["register-model"].state == "OMITTED"
    assert by_name(found)["forecast-champion"].reason.startswith("ImagePullBackOff")


@pytest.mark.slow
def test_log_of_the_failed_container_gives_the_reason(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json")
    serve_workflow(cluster, recorded("workflow-train.json.gz"))
    failed = by_name(look(kfp, run, cluster))["final-arima"].pod
    noise = 'time="2026-11-28T23:07:20Z" level=info msg="capturing logs"\n'
    line = '{"level": "WARNING", "message": "reads s3://me:hidden@host/b", "task": "final-arima"}\n'
    cluster.logs[failed, "main"] = (
        noise + LAUNCHER * 3 + line + TRACEBACK + LAUNCHER + "Error: exit status 1\n"
    )
    task = by_name(look(kfp, run, cluster))["final-arima"]
    assert task.reason == "TypeError: Cannot instantiate typing.Union"
    assert task.log == ("WARNING reads s3://***@host/b", *TRACEBACK.splitlines())
    assert task.command == (
        f"kubectl -n kubeflow logs -l pipeline/runid={run},kubecast/task=final-arima -c main --tail=50"
    )


def test_log_that_may_not_be_read_is_told(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json")
    serve_workflow(cluster, recorded("workflow-train.json.gz"))
    cluster.forbidden = ["get .*/log", "list .*/default/.*"]
    right = "not allowed to get pods/log in namespace kubeflow"
    assert look(kfp, run, cluster).note == f"{right}; the Role kubecast-viewer has these rights"
    assert sum("/log" in line for line in cluster.requests) == 1


@pytest.mark.slow
def test_pod_whose_log_holds_the_launchers_lines_alone_shows_them(
    kfp: KfpApi, cluster: KubernetesApi
) -> None:
    run = serve_run(kfp, "run-frozen.json")
    serve_workflow(cluster, recorded("workflow-train.json.gz"))
    failed = by_name(look(kfp, run, cluster))["final-arima"].pod
    cluster.logs[failed, "main"] = "F1128 23:07:25.118 1 main.go:55] failed to execute component: no bucket\n"
    assert "no bucket" in by_name(look(kfp, run, cluster))["final-arima"].log[0]


def test_quota_that_refuses_a_pod_stands_in_the_workflow_alone(kfp: KfpApi, cluster: KubernetesApi) -> None:
    message = 'pods "x" is forbidden: exceeded quota: kubecast, requested: limits.memory=16Gi'
    at = "root(0).train-lstm(0).executor(0)"
    run = serve_run(kfp, "run-frozen.json", state="RUNNING", run_details={})
    names = {"root(0).train-lstm": "Running", "root(0).train-lstm(0)": "Running", at: "Pending"}
    serve_workflow(cluster, workflow_of(run, names, {at: message}))
    task = by_name(look(kfp, run, cluster))["train-lstm"]
    assert (task.state, task.reason) == ("PENDING", message)
    assert task.command == f"kubectl -n kubeflow describe pod {task.pod}"


def test_task_whose_driver_fails_has_failed(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", state="FAILED", run_details={})
    names = {
        "root(0).train-lstm-driver": "Failed",
        "root(0).train-lstm-driver(0)": "Failed",
        "root(0).train-lstm": "Omitted",
    }
    message = {"root(0).train-lstm-driver(0)": "main: Error (exit code 1)"}
    serve_workflow(cluster, workflow_of(run, names, message))
    task = by_name(look(kfp, run, cluster))["train-lstm"]
    assert (task.state, task.reason) == ("FAILED", "main: Error (exit code 1)")
    assert task.command == f"kubectl -n kubeflow logs {task.pod} -c main --tail=50"


def test_cached_task_says_so(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", run_details={})
    names = {"root(0).prepare-data(0)": "Succeeded", "root(0).prepare-data(0).executor": "Skipped"}
    serve_workflow(cluster, workflow_of(run, names))
    task = by_name(look(kfp, run, cluster))["prepare-data"]
    assert (task.state, task.reason) == ("SUCCEEDED", "cached: the outputs of an earlier run")


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({"compressedNodes": "H4sIAAAA"}, "not gzip and base64"),
        ({"compressedNodes": "%"}, "not gzip and base64"),
        ({"offloadNodeStatusVersion": "v1"}, "in Argo's own database"),
    ],
)
def test_workflow_that_cannot_be_read_is_no_error(
    kfp: KfpApi, cluster: KubernetesApi, status: dict[str, str], why: str
) -> None:
    run = serve_run(kfp, "run-succeeded.json")
    serve_workflow(cluster, {**workflow_of(run, {}), "status": status})
    found = look(kfp, run, cluster)
    assert found.source == "kubeflow-pipelines"
    assert why in found.note
    assert by_name(found)["final-arima"].state == "SUCCEEDED"


def test_pods_tell_where_the_workflows_nodes_are_elsewhere(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", run_details={})
    serve_workflow(cluster, {**workflow_of(run, {}), "status": {"offloadNodeStatusVersion": "v1"}})
    pod = pod_of(run, "root(0).train-lstm(0).executor(0)", "Failed", **ended(1))
    cluster.add(PODS, pod)
    cluster.logs[pod["metadata"]["name"], "main"] = TRACEBACK
    found = look(kfp, run, cluster)
    assert found.source == "pods"
    assert by_name(found)["train-lstm"].log == tuple(TRACEBACK.splitlines())


def test_failure_of_the_whole_workflow_is_told(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", state="FAILED", run_details={})
    message = "workflow is longer than maximum allowed size"
    whole = workflow_of(run, {})
    whole["status"]["message"] = message
    serve_workflow(cluster, whole)
    assert look(kfp, run, cluster).error == message


SHUTDOWN = "workflow shutdown with strategy: Terminate"


def test_run_that_was_terminated_is_told_by_the_attempts_that_ran(
    kfp: KfpApi, cluster: KubernetesApi
) -> None:
    """Argo tries each graph of it again, in vain: all in it is omitted, or ends as it begins."""
    run = serve_run(kfp, "run-frozen.json", state="FAILED", finished_at="2026-11-28T23:20:00Z")
    ran = {
        "root(0)": "Failed",
        "root(0).prepare-data": "Succeeded",
        "root(0).prepare-data(0).executor(0)": "Succeeded",
        "root(0).train-lstm": "Failed",
        "root(0).train-lstm(0).executor(0)": "Failed",
    }
    in_vain = {
        "root(0).train-lstm(1).executor(0)": "Failed",
        "root(1).prepare-data": "Omitted",
        "root(1).prepare-data-driver(0)": "Failed",
        "root(1).train-lstm": "Omitted",
    }
    for names in ({**ran, **in_vain}, {**in_vain, **ran}):  # Argo keeps no order
        messages = {"root(0).train-lstm(0).executor(0)": "main: Error (exit code 143)"}
        workflow = workflow_of(run, names, messages | dict.fromkeys(in_vain, SHUTDOWN))
        for node in workflow["status"]["nodes"].values():
            if node["message"] == SHUTDOWN:
                node["finishedAt"] = node["startedAt"]
        workflow["spec"] = {"shutdown": "Terminate"}
        serve_workflow(cluster, workflow)
        found = look(kfp, run, cluster)
        tasks = by_name(found)
        assert tasks["prepare-data"].state == "SUCCEEDED"
        assert (tasks["train-lstm"].state, tasks["train-lstm"].reason) == (
            "FAILED",
            "main: Error (exit code 143)",
        )
        assert found.error == "the run was terminated"


def test_graph_that_is_tried_again_is_told_by_its_last_attempt(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", run_details={})
    names = {
        "root(0).prepare-data": "Error",
        "root(0).prepare-data(0).executor(0)": "Error",
        "root(1).prepare-data": "Running",
        "root(1).prepare-data(0).executor(0)": "Running",
    }
    for order in (names, dict(reversed(names.items()))):
        serve_workflow(cluster, workflow_of(run, order))
        assert by_name(look(kfp, run, cluster))["prepare-data"].state == "RUNNING"


def test_run_that_kubeflow_pipelines_terminated(kfp: KfpApi, cluster: KubernetesApi) -> None:
    """It sets the Workflow's deadline to nothing, of which Argo's message says nothing to a person."""
    run = serve_run(kfp, "run-frozen.json", run_details={})
    pod = "root(0).train-lstm(0).executor(0)"
    names = {"root(0)": "Failed", "root(0).train-lstm": "Failed", pod: "Failed"}
    workflow = workflow_of(run, names, {pod: "Step exceeded its deadline"})
    workflow["spec"] = {"activeDeadlineSeconds": 0}
    workflow["status"]["message"] = "retry exceeded workflow deadline 2026-11-29 02:17:42 +0000 UTC"
    serve_workflow(cluster, workflow)
    found = look(kfp, run, cluster)
    assert found.error == by_name(found)["train-lstm"].reason == "the run was terminated"
