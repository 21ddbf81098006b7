"""What is told of a run where Kubernetes may not be read."""

import pytest

from kubecast.pipelines.running.evidence import Reader
from kubecast.pipelines.running.following import Follower
from kubecast.pipelines.running.tasks import LOST
from tests.support.clusters import client
from tests.support.recordings import NAMESPACE, by_name, look, recorded, serve_run, states
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.kubernetes_api import KubernetesApi


def test_succeeded_run_has_no_task_that_runs_though_they_are_frozen(kfp: KfpApi) -> None:
    run = serve_run(kfp, "run-succeeded-tasks-frozen.json")
    found = look(kfp, run)
    assert states(found) == {"SUCCEEDED"}
    lost = {task.name for task in found.tasks if task.reason == LOST}
    assert {"register-model", "stack-ensemble", "final-arima"} <= lost
    assert "resolve-inputs" not in lost
    assert found.source == "kubeflow-pipelines"
    assert "1 MiB" in found.note


def test_failed_run_names_the_task_and_the_command(kfp: KfpApi) -> None:
    run = serve_run(kfp, "run-failed.json")
    found = look(kfp, run)
    assert [task.name for task in found.failed] == ["resolve-inputs"]
    assert states(found) == {"FAILED", "OMITTED"}
    command = (
        f"kubectl -n kubeflow logs -l pipeline/runid={run},kubecast/task=resolve-inputs -c main --tail=50"
    )
    assert found.failed[0].command == command
    assert found.failed[0].seconds == 186.0
    assert by_name(found)["register-model"].seconds is None


def test_failed_run_whose_failed_task_is_lost_says_how_to_find_it(kfp: KfpApi) -> None:
    run = serve_run(kfp, "run-frozen.json", state="FAILED", finished_at="2026-11-28T23:20:00Z")
    found = look(kfp, run)
    assert states(found) == {"SUCCEEDED", "FAILED"}
    assert not found.failed
    assert found.command == (
        f"kubectl -n kubeflow get pods -l pipeline/runid={run}"
        " --field-selector=status.phase=Failed -L kubecast/task"
    )


def test_complete_list_is_shown_as_it_is(kfp: KfpApi) -> None:
    run = serve_run(kfp, "run-succeeded.json", recorded("graph-train.json"))
    found = by_name(look(kfp, run))
    assert found["final-arima"].state == "SUCCEEDED"
    assert found["final-arima"].reason == ""
    assert found["final-arima"].seconds == 20.0


@pytest.mark.slow
@pytest.mark.parametrize("failure", [{"list .*": None}, {"list .*": 503}])
def test_api_server_that_does_not_answer_is_told_once(
    kfp: KfpApi, cluster: KubernetesApi, failure: dict[str, int | None]
) -> None:
    run = serve_run(kfp, "run-failed.json")
    cluster.failures = failure
    reader = Reader(cluster.connect(timeout=0.2), [NAMESPACE])
    found = Follower(client(kfp), reader).look(run)
    assert found.source == "kubeflow-pipelines"
    assert "list workflows.argoproj.io in namespace kubeflow" in found.note
    assert len(cluster.requests) == 1


def test_login_that_has_expired_is_told_as_such(kfp: KfpApi, cluster: KubernetesApi) -> None:
    reader = Reader(cluster.connect(), [NAMESPACE])
    cluster.token = "of today"  # noqa: S105  of nobody
    found = Follower(client(kfp), reader).look(serve_run(kfp, "run-failed.json"))
    assert "does not know the caller; log in to the cluster" in found.note
    assert "kubecast-viewer" not in found.note


def test_run_that_the_cluster_does_not_have_is_told(kfp: KfpApi, cluster: KubernetesApi) -> None:
    found = look(kfp, serve_run(kfp, "run-failed.json"), cluster)
    assert "no Workflow and no pod of this run in namespace default or kubeflow" in found.note
