"""Who owns an Experiment, and the heartbeat that the waiting task renews."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from kmock import KubernetesEmulator

from kubecast.errors import TuningError
from kubecast.tuning.heartbeat import ANNOTATION, CONFIG_MAP, RENEW_AFTER
from kubecast.tuning.katib import Running
from kubecast.tuning.katib.client import PAUSE, Client
from kubecast.tuning.katib.waiting import WATCHING
from tests.support.katib import (
    CONFIG_MAPS,
    EXPERIMENTS,
    NAME,
    NAMESPACE,
    WORKFLOWS,
    Clock,
    end,
    ended,
    plan,
    searched,
)

pytestmark = pytest.mark.slow

WORKFLOW = "kubecast-training-jhjfm"
SUCCEEDED = ended("Succeeded", "ExperimentMaxTrialsReached")


def owned(running: Running) -> Running:
    return Running(running.api, NAMESPACE, replace(plan(), workflow=WORKFLOW))


def annotation(kmock: KubernetesEmulator) -> str:
    return str(kmock.objects[EXPERIMENTS, NAMESPACE, NAME].raw["metadata"]["annotations"][ANNOTATION])


def shown(kmock: KubernetesEmulator) -> dict[str, str]:
    """What the trials' pods have as a file, by Experiment."""
    return dict(kmock.objects[CONFIG_MAPS, NAMESPACE, CONFIG_MAP].raw.get("data") or {})


@pytest.mark.asyncio
async def test_experiment_belongs_to_the_workflow_of_its_run(
    kmock: KubernetesEmulator, running: Running
) -> None:
    metadata = {"name": WORKFLOW, "namespace": NAMESPACE, "uid": "008f565b-db0e-4f6f-919a-f66e8d04d731"}
    kmock.objects[WORKFLOWS, NAMESPACE, WORKFLOW] = {"metadata": metadata}
    await asyncio.to_thread(owned(running).create)
    assert kmock.objects[EXPERIMENTS, NAMESPACE, NAME].raw["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": WORKFLOW,
            "uid": "008f565b-db0e-4f6f-919a-f66e8d04d731",
            "blockOwnerDeletion": False,
        }
    ]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, "cannot be read: 403 Forbidden; the service account needs get on workflows of argoproj.io"),
        (404, "cannot be read: 404 Not Found"),
        (503, "503 Service Unavailable"),
    ],
)
@pytest.mark.asyncio
async def test_workflow_that_may_not_be_read_is_warned_of_and_gone_without(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture, status: int, reason: str
) -> None:
    kmock["get", WORKFLOWS] << status << {"message": "workflows.argoproj.io is forbidden: User x cannot get"}
    await asyncio.to_thread(owned(running).create)
    assert "ownerReferences" not in kmock.objects[EXPERIMENTS, NAMESPACE, NAME].raw["metadata"]
    [warning] = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert f"experiment {NAME} in namespace team-a may outlive its run" in warning
    assert f"{reason}: manifests/components/katib has the Role" in warning


@pytest.mark.asyncio
async def test_search_outside_a_run_has_no_owner_and_asks_for_none(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    requests = kmock["get", WORKFLOWS]
    await asyncio.to_thread(running.create)
    assert not requests
    assert "outlive" not in caplog.text


@pytest.mark.asyncio
@pytest.mark.long
async def test_heartbeat_is_renewed_each_minute_while_somebody_waits(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, seen = Clock(), []

    def wait(*_: Any) -> None:
        seen.append((clock.time, annotation(kmock), shown(kmock)))
        clock.advance(WATCHING + PAUSE)

    monkeypatch.setattr(Client, "wait", wait)
    await searched(Running(running.api, NAMESPACE, plan(timeout=600), clock))
    times = [renewed for _, renewed, _ in seen]
    assert times[0] == "2026-01-01T00:00:00Z"
    for now, renewed, shows in seen:
        age = now - now.fromisoformat(renewed)
        assert age.total_seconds() < 60
        assert shows == {NAME: renewed}
    assert len(set(times)) <= 1 + 600 / RENEW_AFTER.total_seconds()
    assert shown(kmock) == {}  # the time is over, and the Experiment deleted


@pytest.mark.asyncio
async def test_annotation_is_patched_as_custom_resources_take_it(
    kmock: KubernetesEmulator, running: Running
) -> None:
    """An object as a merge patch: a strategic one, and a list under that type, the API server refuses."""
    patches = kmock["patch", EXPERIMENTS]
    await asyncio.gather(searched(running), end(kmock, SUCCEEDED, lambda: patches))
    assert patches[0].headers["Content-Type"] == "application/merge-patch+json"
    assert patches[0].data.keys() == {"metadata"}
    assert patches[0].data["metadata"].keys() == {"annotations"}


@pytest.mark.asyncio
async def test_own_renewal_is_no_change_to_wait_for(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions: list[Any] = []
    monkeypatch.setattr(Client, "wait", lambda _, version, __: versions.append(version))
    patched = {"metadata": {"resourceVersion": "18"}}
    kmock["patch", EXPERIMENTS] << patched
    await asyncio.gather(searched(running), end(kmock, SUCCEEDED, lambda: versions))
    assert versions[0] == "18"


@pytest.mark.asyncio
async def test_trials_are_shown_the_heartbeat_before_the_first_can_begin(
    kmock: KubernetesEmulator, running: Running
) -> None:
    stale = {"data": {NAME: "2025-12-31T00:00:00Z", "kubecast-arima-1": "2026-01-01T00:00:00Z"}}
    kmock.objects[CONFIG_MAPS, NAMESPACE, CONFIG_MAP].patch(stale)
    first = Running(running.api, NAMESPACE, plan(), Clock())
    kmock["post", EXPERIMENTS] << 400 << {"message": "refused"}
    with pytest.raises(TuningError):
        await asyncio.to_thread(first.create)
    assert shown(kmock) == {NAME: "2026-01-01T00:00:00Z", "kubecast-arima-1": "2026-01-01T00:00:00Z"}


@pytest.mark.asyncio
async def test_heartbeat_is_taken_away_where_the_search_ends(
    kmock: KubernetesEmulator, running: Running
) -> None:
    await asyncio.gather(searched(running), end(kmock, SUCCEEDED, lambda: shown(kmock)))
    assert shown(kmock) == {}


@pytest.mark.asyncio
async def test_heartbeat_stays_where_the_experiment_cannot_be_deleted(
    kmock: KubernetesEmulator, running: Running
) -> None:
    """So that its trials end once it is old."""
    kmock["delete", EXPERIMENTS] << 403 << {"message": "forbidden"}
    await asyncio.to_thread(running.create)
    await asyncio.to_thread(running.delete)
    assert NAME in shown(kmock)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("resource", "right"),
    [
        (EXPERIMENTS, "patch on experiments of kubeflow.org"),
        (CONFIG_MAPS, f"patch on ConfigMap {CONFIG_MAP}"),
    ],
    ids=["annotation", "config-map"],
)
@pytest.mark.asyncio
async def test_heartbeat_that_may_not_be_written_is_warned_of_once(
    kmock: KubernetesEmulator,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    resource: Any,
    right: str,
) -> None:
    clock = Clock()
    monkeypatch.setattr(Client, "wait", lambda *_: clock.advance(WATCHING + PAUSE))
    kmock["patch", resource] << 403 << {"message": "it is forbidden"}
    assert await searched(Running(running.api, NAMESPACE, plan(timeout=300), clock)) == []
    warnings = [each.message for each in caplog.records if right in each.message]
    assert len(warnings) == 1
    assert f"trials of {NAME} cannot know when nobody waits: it is forbidden" in warnings[0]
