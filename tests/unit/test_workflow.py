"""The end of a run, as its Workflow has it."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from kubecast.errors import ClusterError
from kubecast.retrying import spending
from kubecast.workflow import Outcome, nodes_of, outcome_of, read_own_workflow, read_workflow
from tests.support.clock import Clock
from tests.support.workflow_nodes import HANDLER, WATCHED, node, watched, workflow

RECORDINGS = Path(__file__).parents[1] / "recordings"


def recorded(name: str) -> dict[str, Any]:
    workflow: dict[str, Any] = json.loads(gzip.decompress((RECORDINGS / name).read_bytes()))
    return workflow


@pytest.mark.parametrize("name", ["workflow-train-notices.json.gz", "workflow-train-cached.json.gz"])
def test_recorded_runs_have_succeeded_and_fail_with_a_pod(name: str) -> None:
    """In the second one every task but the first was cached: Kubeflow Pipelines called it RUNNING."""
    run = recorded(name)
    assert outcome_of(run) == Outcome(True, "")
    for each in nodes_of(run).values():
        if each["displayName"] in ("exit-handler-1", "exit-handler-1(0)"):
            each["phase"] = "Failed"
        if each["type"] == "Pod" and "resolve-inputs(0).executor" in each["name"]:
            each.update(phase="Failed", message="Error (exit code 1)")
    assert outcome_of(run) == Outcome(False, "resolve-inputs: Error (exit code 1)")


@pytest.mark.parametrize("packed", [False, True])
def test_success_is_that_of_the_graph_that_is_watched(packed: bool) -> None:
    assert outcome_of(workflow(*watched("Succeeded"), HANDLER, packed=packed)) == Outcome(True, "")


def test_failed_tasks_are_named_with_what_argo_says_of_their_last_attempt() -> None:
    trained = f"{WATCHED}(0).train(0).train-lstm(0).executor"
    outcome = outcome_of(
        workflow(
            *watched("Failed"),
            node(trained, "Retry", "Failed", children=(f"{trained}(0)", f"{trained}(1)")),
            node(f"{trained}(0)", "Pod", "Error", "pod deleted"),
            node(f"{trained}(1)", "Pod", "Failed", "Error (exit code 1)"),
            node(f"{WATCHED}(0).forecast-champion-driver(0)", "Pod", "Error", ""),
            HANDLER,
        )
    )
    assert outcome == Outcome(False, "train-lstm: Error (exit code 1); forecast-champion-driver")


def test_iterations_that_failed_are_named_and_many_are_counted() -> None:
    loop = f"{WATCHED}(0).for-loop-1(0)"
    failed = [
        node(
            f"{loop}.iteration-iterations({number}:{number})(0).iteration-item(0).forecast-shard(0).executor(0)",
            "Pod",
            "Failed",
            "no memory",
        )
        for number in range(12)
    ]
    reason = outcome_of(workflow(*watched("Failed"), *failed)).reason
    assert reason.startswith(
        "forecast-shard, iteration 0: no memory; forecast-shard, iteration 1: no memory;"
    )
    assert reason.endswith("forecast-shard, iteration 9: no memory; 2 more")


def test_graph_that_failed_without_a_pod_is_a_failure() -> None:
    assert outcome_of(workflow(*watched("Error"))) == Outcome(False, "exit-handler-1 failed")


def test_graph_that_has_not_ended_has_not_succeeded() -> None:
    assert outcome_of(workflow(*watched("Running"))) == Outcome(False, "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"status": {"offloadNodeStatusVersion": "fnv:1"}}, "Argo's own database"),
        ({"status": {"compressedNodes": "bm90IGd6aXA="}}, "not gzip and base64"),
        ({}, "no node exit-handler-1"),
    ],
)
def test_workflow_that_does_not_tell_is_an_error(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ClusterError, match=message):
        outcome_of(content)


def test_no_nodes_yet_are_none() -> None:
    assert nodes_of({"status": {}}) == {}


def test_outside_of_a_pod_no_workflow_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterError, match="this pod has no service account's token"):
        read_own_workflow("wf-1")


def served(status: int, monkeypatch: pytest.MonkeyPatch, calls: list[str]) -> None:
    def get(*path: str, **_: Any) -> dict[str, Any]:
        calls.append("/".join(path[1:]))
        if len(calls) < 3 or status in (403, 404):
            raise client.ApiException(status=status, reason="no")
        return {"status": {}}

    monkeypatch.setattr(client.CustomObjectsApi, "get_namespaced_custom_object", get)


def test_workflow_is_asked_for_again_while_the_api_server_cannot_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    served(503, monkeypatch, calls)
    with spending(Clock().budget(60)):
        assert read_workflow(client.ApiClient(), "team-a", "wf-1") == {"status": {}}
    assert calls == ["argoproj.io/v1alpha1/team-a/workflows/wf-1"] * 3


@pytest.mark.parametrize(
    ("status", "cure"), [(403, "needs get on workflows of argoproj.io"), (404, "404 no")]
)
def test_workflow_that_may_not_be_read_names_the_right(
    monkeypatch: pytest.MonkeyPatch, status: int, cure: str
) -> None:
    calls: list[str] = []
    served(status, monkeypatch, calls)
    with pytest.raises(ClusterError, match=f"{cure}$"):
        read_workflow(client.ApiClient(), "team-a", "wf-1")
    assert len(calls) == 1
