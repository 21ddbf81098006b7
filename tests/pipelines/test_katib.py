"""Searches by Katib seen from outside, against an API server of Kubernetes that answers over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from kubecast.errors import ClusterForbidden
from kubecast.pipelines.running.katib import orphans, refuses_early_stopping
from kubecast.settings.loading import load_settings
from tests.support.servers.kubernetes_api import KubernetesApi

EXPERIMENTS = "/apis/kubeflow.org/v1beta1/namespaces/team-a/experiments"
WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/team-a/workflows"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MEDIAN = ["pipeline.tuning.tuner=katib", "cluster.katib.early_stopping=median"]


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        yield api


@pytest.mark.parametrize(
    ("overrides", "level", "refused"),
    [
        (MEDIAN, "restricted", True),
        (MEDIAN, "baseline", False),
        (MEDIAN, "privileged", False),
        (MEDIAN, "", False),
        (["pipeline.tuning.tuner=katib"], "restricted", False),
        (["pipeline.tuning.tuner=katib", "training.optimization.pruner=median"], "restricted", False),
        (["pipeline.tuning.tuner=optuna", "cluster.katib.early_stopping=median"], "restricted", False),
    ],
    ids=["restricted", "baseline", "privileged", "no-level", "default", "optunas-pruner", "optuna"],
)
def test_early_stopping_is_refused_where_the_namespace_enforces_restricted(
    overrides: list[str], level: str, refused: bool
) -> None:
    assert refuses_early_stopping(load_settings(None, overrides), level) == refused


def experiment(name: str, **changes: Any) -> dict[str, Any]:
    """One that was waited for a minute ago."""
    metadata = {
        "name": name,
        "namespace": "team-a",
        "labels": {"kubecast/run": "run-1"},
        "annotations": {"kubecast/renewed-at": "2026-01-01T11:59:00Z"},
        "creationTimestamp": "2026-01-01T09:00:00Z",
    }
    return {"metadata": {**metadata, **changes.pop("metadata", {})}, **changes}


def owned(name: str, uid: str) -> dict[str, Any]:
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "name": "w-1", "uid": uid}
    return experiment(name, metadata={"ownerReferences": [owner]})


AGO = "more than 10 minutes ago: its task has ended, or may not patch experiments"
STALE = {"annotations": {"kubecast/renewed-at": "2026-01-01T11:49:59Z"}}


def condition(kind: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Created", "status": "True"}, {"type": kind, "status": "True"}]}


def found(api: KubernetesApi) -> dict[str, str]:
    return {orphan.name: orphan.reason for orphan in orphans(api.connect(), "team-a", lambda: NOW)}


def test_experiment_that_nobody_waits_for_is_an_orphan(api: KubernetesApi) -> None:
    api.add(
        EXPERIMENTS,
        experiment("waited-for"),
        experiment("old", metadata=STALE, status=condition("Running")),
        experiment("never", metadata={"annotations": {}}),
        experiment("new", metadata={"annotations": {}, "creationTimestamp": "2026-01-01T11:55:00Z"}),
        experiment("succeeded", metadata=STALE, status=condition("Succeeded")),
        experiment("failed", metadata=STALE, status=condition("Failed")),
        experiment("going", metadata={**STALE, "deletionTimestamp": "2026-01-01T11:59:00Z"}),
        experiment("somebody-elses", metadata={**STALE, "labels": {}}),
        experiment("unlabelled", metadata={**STALE, "labels": None}),
    )
    assert found(api) == {
        "never": f"no heartbeat since its creation 2026-01-01 09:00 UTC, {AGO}",
        "old": f"last heartbeat 2026-01-01 11:49 UTC, {AGO}",
    }
    [orphan, _] = orphans(api.connect(), "team-a", lambda: NOW)
    assert (orphan.run, orphan.command) == ("run-1", "kubectl delete experiment never -n team-a")


def test_experiment_whose_workflow_is_gone_is_an_orphan(api: KubernetesApi) -> None:
    api.add(EXPERIMENTS, owned("its-own", "u-1"), owned("of-another-of-that-name", "u-0"))
    api.add(WORKFLOWS, {"metadata": {"name": "w-1", "uid": "u-1"}})
    assert found(api) == {"of-another-of-that-name": "its Workflow w-1 is gone"}
    del api.objects[f"{WORKFLOWS}/w-1"]
    assert found(api).keys() == {"its-own", "of-another-of-that-name"}
    api.forbidden = ["get .*/workflows.*"]
    assert found(api) == {}


def test_cluster_without_katib_has_no_orphans(api: KubernetesApi) -> None:
    api.failures = {f"list {EXPERIMENTS}": 404}
    assert found(api) == {}


def test_experiments_that_may_not_be_listed_are_told(api: KubernetesApi) -> None:
    api.forbidden = ["list .*/experiments"]
    with pytest.raises(ClusterForbidden, match=r"list experiments\.kubeflow\.org in namespace team-a"):
        orphans(api.connect(), "team-a")
