"""`kubecast status` and `submit --wait`, by what a real cluster answered."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from kubecast.cli import app, run_view
from kubecast.errors import ClusterError
from kubecast.pipelines.running import following
from kubecast.pipelines.running.evidence import Reader
from kubecast.pipelines.running.following import Follower
from tests.support.clusters import SET, client, invoke, invoke_json
from tests.support.recordings import (
    NAMESPACE,
    PODS,
    TRACEBACK,
    WORKFLOWS,
    ended,
    look,
    nodes_of,
    packed,
    pod_of,
    recorded,
    serve_run,
    serve_workflow,
    waits,
    workflow_of,
)
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_status_prints_task_pod_log_and_command(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json")
    whole = recorded("workflow-train.json.gz")
    nodes = {
        key: node
        for key, node in nodes_of(whole).items()
        if "-2" not in node["name"] or "arima-2" in node["name"]
    }
    serve_workflow(cluster, packed(whole, nodes))
    pod = "kubecast-training-k9fw8-metadata-0-4-retry-system-container-impl-1245234293"
    cluster.logs[pod, "main"] = TRACEBACK
    out = invoke("status", run, "--host", kfp.host).stdout
    for line in (
        "failed     final-arima",
        f"pod        {pod}",
        "reason     TypeError: Cannot instantiate typing.Union",
        "    TypeError: Cannot instantiate typing.Union",
        "kubecast/task=final-arima -c main --tail=50",
        "waits      forecast-champion",
        "source     workflow",
    ):
        assert line in out
    found = invoke_json("status", run, "--host", kfp.host)
    task = next(each for each in found["tasks"] if each["name"] == "final-arima")
    assert (found["source"], task["pod"], task["log"]) == ("workflow", pod, TRACEBACK.splitlines())


@pytest.mark.slow
def test_status_takes_a_context(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-failed.json")
    found = invoke_json("status", run, "--host", kfp.host, "--context", "lab")
    assert "no Workflow" in found["note"]
    failed = next(task for task in found["tasks"] if task["state"] == "FAILED")
    assert failed["command"].startswith("kubectl --context lab -n kubeflow logs -l pipeline/runid=")
    assert "no context other" in invoke_json("status", run, "--host", kfp.host, "--context", "other")["note"]


def test_status_reads_the_profile_and_changes_nothing(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json")
    invoke("status", run, "--host", kfp.host, "--namespace", "team-b")
    assert cluster.requests
    assert all(line.startswith(("list ", "get ")) for line in cluster.requests)
    assert all("/namespaces/team-b/" in line for line in cluster.requests)


def test_role_for_viewers_allows_what_status_reads(kfp: KfpApi, cluster: KubernetesApi) -> None:
    run = serve_run(kfp, "run-frozen.json", run_details={})
    failed = pod_of(run, "root(0).train-arima(0).executor(0)", "Failed", **ended(1))
    cluster.add(PODS, failed, pod_of(run, "root(0).train-lstm(0).executor(0)", "Pending"))
    look(kfp, run, cluster)
    role = yaml.safe_load((ROOT / "manifests" / "base" / "viewer.yaml").read_text())
    allowed = {
        (verb, group, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    needed = set()
    for line in cluster.requests:
        verb, path = line.partition("?")[0].split(" ")
        resource, *name = path.partition("/namespaces/")[2].split("/")[1:]
        group = "argoproj.io" if "argoproj.io" in path else ""
        needed.add((verb, group, "/".join([resource, *name[1:]])))
    assert needed <= allowed
    assert {resource for *_, resource in needed} == {resource for *_, resource in allowed}


def test_waiting_ends_with_task_pod_log_and_command(
    kfp: KfpApi, cluster: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "INTERVAL", 0.0)
    spec = recorded("graph-train.json")
    failing = {"state": "FAILED", "finished_at": "2026-11-28T23:20:00Z", "pipeline_spec": spec}
    kfp.script = [{"state": "RUNNING", "pipeline_spec": spec}, failing]
    at = "root(0).train-arima-2(0).executor(0)"

    def serve(request: Any) -> None:
        if request.line.startswith("GET /runs/"):
            run = request.line.rpartition("/")[2]
            pod = pod_of(run, at, "Failed", "final-arima", **ended(1))
            cluster.add(PODS, pod)
            cluster.logs[pod["metadata"]["name"], "main"] = TRACEBACK

    kfp.before = serve
    words = ["submit", *SET, "--param", "data=s3://demand/demand.csv", "--host", kfp.host, "--wait"]
    result = CliRunner().invoke(app.app, words, standalone_mode=False)
    assert isinstance(result.exception, ClusterError)
    assert "ended as FAILED: final-arima: TypeError: Cannot instantiate" in str(result.exception)
    for text in (
        "failed     final-arima",
        "pod        kubecast",
        "    TypeError",
        "kubectl -n kubeflow logs",
    ):
        assert text in result.stderr


def test_waiting_tells_once_what_hangs(
    kfp: KfpApi, cluster: KubernetesApi, capsys: pytest.CaptureFixture[str]
) -> None:
    run = serve_run(kfp, "run-frozen.json", run_details={})
    kfp.script = [{}, {}, {}, {}, {"state": "SUCCEEDED", "finished_at": "2026-11-28T23:20:00Z"}]
    turns = iter(["ErrImagePull", "ImagePullBackOff", "ErrImagePull", "ErrImagePull", "ErrImagePull"])

    def serve(request: Any) -> None:
        status = waits(next(turns), "no such image")
        cluster.add(PODS, pod_of(run, "root(0).prepare-data(0).executor(0)", "Pending", **status))
        cluster.add(PODS, pod_of(run, "root-driver(0)", "Pending", **status))

    kfp.before = lambda request: serve(request) if "/runs/" in request.line else None
    follower = Follower(client(kfp), Reader(cluster.connect(), [NAMESPACE], refresh=0), interval=0)
    with run_view.shown() as show:
        follower.wait(run, show)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "PENDING   prepare-data  ErrImagePull: no such image",
        "PENDING   train-20261128-225523  ErrImagePull: no such image",
    ]
    assert sum("ImagePull" in line for line in lines) == 2


def test_waiting_reads_the_cluster_now_and_then_but_the_end_always(
    kfp: KfpApi, cluster: KubernetesApi
) -> None:
    run = serve_run(kfp, "run-frozen.json")
    kfp.script = [{}, {}, {}, {"state": "SUCCEEDED", "finished_at": "2026-11-28T23:20:00Z"}]
    serve_workflow(cluster, workflow_of(run, {}))
    follower = Follower(client(kfp), Reader(cluster.connect(), [NAMESPACE], refresh=3600), interval=0)
    follower.wait(run, lambda progress: None)
    assert sum(line.startswith(f"list {WORKFLOWS}") for line in cluster.requests) == 2
