"""What keeps trials from their begin: an end within a minute where it lasts, and none where it passes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from kmock import KubernetesEmulator

from kubecast.errors import TuningError
from kubecast.masking import masked
from kubecast.tuning.katib import Running
from kubecast.tuning.katib.blocking import Blockage
from kubecast.tuning.katib.client import PAUSE, Client
from kubecast.tuning.katib.waiting import WATCHING
from tests.support.katib import (
    EVENTS,
    EXPERIMENTS,
    NAME,
    NAMESPACE,
    PODS,
    SUGGESTIONS,
    Clock,
    algorithm,
    end,
    ended,
    patient,
    plan,
    put,
    refused,
    searched,
    trial,
    unpulled,
)

pytestmark = pytest.mark.slow

POD_SECURITY = (
    'Error creating: pods "{pod}" is forbidden: violates PodSecurity "restricted:latest":'
    ' allowPrivilegeEscalation != false (container "{container}" must set'
    " securityContext.allowPrivilegeEscalation=false), unrestricted capabilities"
    ' (container "{container}" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true'
    ' (pod or container "{container}" must set securityContext.runAsNonRoot=true), seccompProfile'
    ' (pod or container "{container}" must set securityContext.seccompProfile.type to "RuntimeDefault" or'
    ' "Localhost")'
)
QUOTA = (
    'Error creating: pods "{pod}" is forbidden: exceeded quota: compute, requested: limits.cpu=4,'
    " used: limits.cpu=8, limited: limits.cpu=8"
)
WEBHOOK = (
    'Error creating: Internal error occurred: failed calling webhook "mutator.pod.katib.kubeflow.org": failed'
    ' to call webhook: Post "https://katib-controller.kubeflow.svc:443/mutate-pod?timeout=10s": connection'
    " refused"
)
CONFLICT = (
    'Error creating: Operation cannot be fulfilled on resourcequotas "compute": the object has been modified;'
    " please apply your changes to the latest version and try again"
)
REPLICA_SET, JOB = f"{NAME}-tpe-5d9c7b", f"{NAME}-1"


def waited(running: Running, monkeypatch: pytest.MonkeyPatch, step: float = 0.0) -> tuple[Running, Clock]:
    """With a clock that each wait moves on by what it takes at most."""
    clock = Clock(step)
    monkeypatch.setattr(Client, "wait", lambda *_: clock.advance(WATCHING + PAUSE))
    return Running(running.api, NAMESPACE, plan(timeout=3600), clock), clock


@pytest.mark.parametrize(
    ("kind", "name", "message", "reason", "cure"),
    [
        (
            "ReplicaSet",
            REPLICA_SET,
            POD_SECURITY.format(pod=f"{REPLICA_SET}-x2x", container="early-stopping"),
            "FailedCreate",
            "set cluster.katib.early_stopping: none",
        ),
        (
            "ReplicaSet",
            REPLICA_SET,
            POD_SECURITY.format(pod=f"{REPLICA_SET}-x2x", container="suggestion"),
            "FailedCreate",
            "set securityContext of runtime.suggestions in Katib's ConfigMap katib-config",
        ),
        (
            "Job",
            JOB,
            POD_SECURITY.format(pod=f"{JOB}-x2x", container="metrics-logger-and-collector"),
            "FailedCreate",
            "set init.controller.injectSecurityContext in Katib's ConfigMap katib-config",
        ),
        ("Job", JOB, QUOTA.format(pod=f"{JOB}-x2x"), "FailedCreate", "raise the ResourceQuota"),
        ("ReplicaSet", REPLICA_SET, QUOTA.format(pod=f"{REPLICA_SET}-x"), "FailedCreate", "ResourceQuota"),
        (
            "Job",
            JOB,
            f'Error creating: pods "{JOB}-x" is forbidden: error looking up service account'
            ' team-a/kubecast-trial: serviceaccount "kubecast-trial" not found',
            "FailedCreate",
            f"see kubectl describe job {JOB}",
        ),
        ("Job", JOB, WEBHOOK, "FailedCreate", f"see kubectl describe job {JOB}"),
        (
            "Deployment",
            f"{NAME}-tpe",
            'Failed to create new replica set: replicasets.apps "x" is forbidden: exceeded quota: objects',
            "ReplicaSetCreateError",
            "raise the ResourceQuota",
        ),
        (
            "Trial",
            JOB,
            f'Failed to reconcile: jobs.batch "{JOB}" is forbidden: exceeded quota: objects',
            "ReconcileError",
            "raise the ResourceQuota",
        ),
    ],
    ids=[
        "early-stopping",
        "algorithm",
        "collector",
        "quota-of-a-trial",
        "quota-of-the-algorithm",
        "account",
        "webhook",
        "replica-set",
        "job",
    ],
)
@pytest.mark.asyncio
async def test_object_that_the_api_server_refuses_ends_the_wait_within_a_minute(
    kmock: KubernetesEmulator,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    name: str,
    message: str,
    reason: str,
    cure: str,
) -> None:
    refused(kmock, kind, name, message, reason)
    if kind in ("Job", "Trial"):
        algorithm(kmock)
        put(kmock, trial(1, "Running"))
    search, clock = waited(running, monkeypatch)
    begun = clock.time
    with pytest.raises(TuningError) as raised:
        await searched(search)
    text = str(raised.value)
    assert masked(f"trials of {NAME} cannot begin: {reason} of {kind} {name}: {message[:200]}") in text
    assert cure in text
    assert "\n" not in text
    assert (clock.time - begun).total_seconds() <= 60
    assert kmock.objects[EXPERIMENTS, NAMESPACE, NAME].deleted


@pytest.mark.asyncio
async def test_pod_that_pod_security_refuses_is_not_waited_for(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(kmock, "ReplicaSet", REPLICA_SET, POD_SECURITY.format(pod="p", container="early-stopping"))
    search, clock = waited(running, monkeypatch)
    begun = clock.time
    with pytest.raises(TuningError, match="violates PodSecurity"):
        await searched(search)
    assert clock.time == begun


@pytest.mark.parametrize(
    ("kind", "name", "message", "reason"),
    [
        ("ReplicaSet", REPLICA_SET, CONFLICT, "FailedCreate"),
        ("Job", "kubecast-lstm-another-1", QUOTA, "FailedCreate"),
        ("Job", f"{NAME}0-1", QUOTA, "FailedCreate"),
        ("Experiment", NAME, "Failed to reconcile: Operation cannot be fulfilled", "ReconcileError"),
        ("Job", JOB, "Job has reached the specified backoff limit", "BackoffLimitExceeded"),
    ],
    ids=["over", "anothers", "anothers-that-begins-alike", "conflict", "another-reason"],
)
@pytest.mark.asyncio
async def test_event_that_keeps_no_trial_from_its_begin_does_not_end_the_search(
    kmock: KubernetesEmulator,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    name: str,
    message: str,
    reason: str,
) -> None:
    """The ReplicaSet's next attempt went well: its pod is there, and the event still is."""
    refused(kmock, kind, name, message, reason)
    if reason == "FailedCreate":
        algorithm(kmock)
    assert await looked_at(kmock, running, monkeypatch) == []


async def looked_at(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch, looks: int = 5
) -> list[dict[str, Any]]:
    """Search while the cluster stays as it is, until it was looked at so often."""
    search, _ = waited(running, monkeypatch)
    listed = kmock["get", EVENTS]
    succeeded = ended("Succeeded", "ExperimentMaxTrialsReached")
    records, _ = await asyncio.gather(searched(search), end(kmock, succeeded, lambda: len(listed) >= looks))
    return records


@pytest.mark.asyncio
async def test_refusal_that_passes_does_not_end_the_search(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(kmock, "ReplicaSet", REPLICA_SET, CONFLICT)
    search, clock = waited(running, monkeypatch)

    def wait(*_: Any) -> None:
        clock.advance(WATCHING + PAUSE)
        algorithm(kmock)

    monkeypatch.setattr(Client, "wait", wait)
    listed = kmock["get", EVENTS]
    succeeded = ended("Succeeded", "ExperimentMaxTrialsReached")
    records, _ = await asyncio.gather(searched(search), end(kmock, succeeded, lambda: len(listed) >= 5))
    assert records == []


@pytest.mark.asyncio
async def test_refusal_of_an_earlier_experiment_of_that_name_is_none_of_this_one(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are kept for an hour; a task that is tried again has an Experiment of the same name."""
    refused(kmock, "ReplicaSet", REPLICA_SET, POD_SECURITY, at="2026-01-01T00:00:05Z")
    created = {"metadata": {"creationTimestamp": "2026-01-01T00:01:00Z"}}
    await asyncio.to_thread(running.create)
    kmock.objects[EXPERIMENTS, NAMESPACE, NAME].patch(created)
    assert await looked_at(kmock, running, monkeypatch) == []
    refused(kmock, "ReplicaSet", REPLICA_SET, POD_SECURITY, at="2026-01-01T00:01:00Z")
    kmock.objects[EXPERIMENTS, NAMESPACE, NAME].patch({"status": {"conditions": []}})
    with pytest.raises(TuningError, match="violates PodSecurity"):
        await searched(waited(running, monkeypatch)[0])


@pytest.mark.parametrize("phase", ["Pending", "Running"])
@pytest.mark.asyncio
async def test_quota_with_room_for_some_trials_does_not_end_the_search(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    algorithm(kmock)
    put(kmock, trial(1, "Running"), trial(2, "Running"))
    refused(kmock, "Job", f"{NAME}-2", QUOTA)
    labels = {"katib.kubeflow.org/experiment": NAME, "katib.kubeflow.org/trial": f"{NAME}-1"}
    kmock.objects[PODS, NAMESPACE, f"{NAME}-1-abc"] = {
        "metadata": {"name": f"{NAME}-1-abc", "namespace": NAMESPACE, "labels": labels},
        "status": {"phase": phase},
    }
    assert await looked_at(kmock, running, monkeypatch) == []


@pytest.mark.asyncio
async def test_trials_that_ended_are_kept_where_no_other_can_begin(
    kmock: KubernetesEmulator,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    algorithm(kmock)
    put(kmock, trial(1, "Succeeded", "0.5"), trial(2, "Running"))
    refused(kmock, "Job", f"{NAME}-2", QUOTA)
    records = await searched(waited(running, monkeypatch)[0])
    assert [record["error"] for record in records] == [0.5]
    assert f"experiment {NAME} ends with 1 trials: trials of {NAME} cannot begin: FailedCreate" in caplog.text
    assert kmock.objects[EXPERIMENTS, NAMESPACE, NAME].deleted


@pytest.mark.asyncio
async def test_algorithm_that_failed_ends_the_wait_with_its_reason(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Katib marks the Suggestion, then the Experiment with no more than that it did."""
    failed = ended("Failed", "SuggestionFailed", "Validation failed: unknown setting n_startup_trials")
    kmock.objects[SUGGESTIONS, NAMESPACE, NAME] = {
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        **failed,
    }
    search, clock = waited(running, monkeypatch)
    begun = clock.time
    with pytest.raises(TuningError, match=f"{NAME} .* failed: Validation failed: unknown setting n_startup"):
        await searched(search)
    assert clock.time == begun


@pytest.mark.parametrize("known", [True, False], ids=["with-its-suggestion", "without"])
@pytest.mark.asyncio
async def test_experiment_that_failed_without_a_trial_is_no_search(
    kmock: KubernetesEmulator, running: Running, known: bool
) -> None:
    await asyncio.to_thread(running.create)
    failed = ended("Failed", "ExperimentFailed", "Suggestion has failed")
    kmock.objects[EXPERIMENTS, NAMESPACE, NAME].patch(failed)
    if known:
        why = ended("Failed", "SuggestionFailed", "Validation failed: no such algorithm")
        kmock.objects[SUGGESTIONS, NAMESPACE, NAME] = {"metadata": {"name": NAME}, **why}
    expected = "Validation failed: no such algorithm" if known else "Suggestion has failed"
    with pytest.raises(TuningError, match=f"experiment {NAME} in namespace team-a failed: {expected}"):
        await searched(running)


@pytest.mark.parametrize("resource", [PODS, EVENTS, SUGGESTIONS], ids=["pods", "events", "suggestions"])
@pytest.mark.asyncio
async def test_what_may_not_be_looked_at_does_not_end_the_search(
    kmock: KubernetesEmulator, running: Running, resource: Any
) -> None:
    looked = kmock["get", resource] << 403 << {"message": "it is forbidden"}
    records, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: looked)
    )
    assert records == []


@pytest.mark.asyncio
async def test_trials_whose_image_cannot_be_pulled_for_minutes_end_the_search(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    unpulled(kmock)
    looked = kmock["get", PODS]
    with pytest.raises(TuningError, match=r"ImagePullBackOff: Back-off pulling image; check cluster\.images"):
        await searched(patient(running))
    assert kmock.objects[EXPERIMENTS, NAMESPACE, NAME].deleted
    assert len(looked) > 1
    assert caplog.text.count("cannot begin") == 1


@pytest.mark.asyncio
async def test_trials_whose_image_has_no_valid_name_end_the_search_at_once(
    kmock: KubernetesEmulator, running: Running
) -> None:
    unpulled(kmock, reason="InvalidImageName")
    looked = kmock["get", PODS]
    with pytest.raises(TuningError, match="InvalidImageName"):
        await searched(patient(running, step=0))
    assert len(looked) == 1


@pytest.mark.parametrize(
    ("causes", "given_up"),
    [
        (["image", "image", "image"], True),
        (["image", "image", None, "image", "image"], False),
        (["image", "image", "secret", "secret"], False),
    ],
    ids=["the-same", "with-a-pause", "another"],
)
@pytest.mark.asyncio
async def test_search_is_given_up_where_one_reason_holds_for_its_time(
    kmock: KubernetesEmulator,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    causes: list[str | None],
    given_up: bool,
) -> None:
    search, _ = waited(running, monkeypatch)
    left = iter(causes)

    def blockage(*_: Any) -> Blockage | None:
        cause = next(left, None)
        return Blockage(cause, "why", timedelta(seconds=2 * (WATCHING + PAUSE))) if cause else None

    search.plan = plan(timeout=300)
    monkeypatch.setattr("kubecast.tuning.katib.waiting.find_blockage", blockage)
    if given_up:
        with pytest.raises(TuningError, match="why"):
            await searched(search)
    else:
        assert await searched(search) == []


@pytest.mark.asyncio
async def test_image_that_one_node_cannot_pull_does_not_end_a_search_that_has_trials(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpulled(kmock, reason="InvalidImageName")
    put(kmock, trial(2, "Succeeded", "0.5"))
    assert [record["error"] for record in await looked_at(kmock, running, monkeypatch)] == [0.5]


@pytest.mark.asyncio
async def test_image_of_katibs_own_pod_is_not_told_as_a_trials(
    kmock: KubernetesEmulator, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpulled(kmock, label="katib.kubeflow.org/suggestion", reason="InvalidImageName")
    assert await looked_at(kmock, running, monkeypatch) == []
