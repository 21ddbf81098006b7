"""A Katib experiment, against an API server that kmock plays over HTTP to the real client."""

import asyncio
import json
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from kmock import KubernetesEmulator, params
from kubernetes import client
from kubernetes.config import incluster_config

from kubecast import api_server
from kubecast.errors import TuningError
from kubecast.tuning.katib import Running, connect, deleted_when_stopped
from tests.support.katib import (
    EXPERIMENTS,
    NAME,
    NAMESPACE,
    TRIALS,
    Clock,
    end,
    ended,
    exists,
    plan,
    put,
    running_on,
    searched,
    trial,
    until,
)

pytestmark = pytest.mark.slow


@pytest.mark.asyncio
async def test_trials_of_an_experiment_that_succeeded_are_returned(
    kmock: KubernetesEmulator, running: Running
) -> None:
    put(
        kmock,
        trial(2, "EarlyStopped", "0.9", "stopped early"),
        trial(1, "Succeeded", "0.5"),
        trial(3, "Failed", message="Job has reached the specified backoff limit"),
        trial(4, "Running"),
    )
    progress: list[Any] = []
    records, _ = await asyncio.gather(
        searched(running, progress), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    )
    assert [(record["state"], record["error"]) for record in records] == [
        ("complete", 0.5),
        ("pruned", 0.9),
        ("failed", None),
    ]
    assert records[0]["parameters"] == {
        "hidden_units_1": "33",
        "hidden_units_2": "16",
        "dropout_rate": "0.1",
        "learning_rate": "0.001",
    }
    assert [record["reason"] for record in records] == [
        "",
        "stopped early",
        "Job has reached the specified backoff limit",
    ]
    assert progress[-1] == (3, 3)
    assert (EXPERIMENTS, NAMESPACE, NAME) in kmock.objects
    assert not kmock.objects[EXPERIMENTS, NAMESPACE, NAME].deleted


@pytest.mark.asyncio
async def test_goal_that_was_reached_is_an_end_too(kmock: KubernetesEmulator, running: Running) -> None:
    put(kmock, trial(1, "Succeeded", "0.1"))
    records, _ = await asyncio.gather(
        searched(running),
        end(kmock, ended("Succeeded", "ExperimentGoalReached", "goal has reached")),
    )
    assert [record["error"] for record in records] == [0.1]


@pytest.mark.asyncio
async def test_experiment_that_failed_still_gives_its_trials_with_their_reasons(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    put(kmock, trial(1, "Failed", message="OOMKilled"), trial(2, "MetricsUnavailable", message="Metrics are"))
    records, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Failed", "ExperimentFailed", "max failed count has reached"))
    )
    assert [(record["state"], record["reason"]) for record in records] == [
        ("failed", "OOMKilled"),
        ("failed", "it printed no objective=: see the log of its pod"),
    ]
    assert "max failed count has reached" in caplog.text


@pytest.mark.parametrize("latest", [None, "unavailable", "nan", "-inf"])
@pytest.mark.asyncio
async def test_trial_without_a_value_is_a_failed_one_that_says_where_to_look(
    kmock: KubernetesEmulator, running: Running, latest: str | None
) -> None:
    put(kmock, trial(1, "Succeeded", latest))
    records, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    )
    assert [(record["state"], record["error"]) for record in records] == [("failed", None)]
    assert records[0]["reason"] == "it printed no objective=: see the log of its pod"


@pytest.mark.asyncio
async def test_experiment_without_a_trial_gives_none(kmock: KubernetesEmulator, running: Running) -> None:
    records, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentSuggestionEndReached"))
    )
    assert records == []


@pytest.mark.asyncio
async def test_task_that_is_tried_again_adopts_its_experiment(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(running.create)
    first = kmock.objects[EXPERIMENTS, NAMESPACE, NAME].raw
    put(kmock, trial(1, "Succeeded", "0.5"))
    records, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    )
    assert [record["error"] for record in records] == [0.5]
    assert kmock.objects[EXPERIMENTS, NAMESPACE, NAME].raw["spec"] == first["spec"]
    assert f"goes on with experiment {NAME}" in caplog.text


def leave(kmock: KubernetesEmulator) -> None:
    """Have the Experiment deleted once its finalizer is gone, as Katib's are."""
    made = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["update-prometheus-metrics"]}
    kmock.objects[EXPERIMENTS, NAMESPACE, NAME].patch({"metadata": made})


@pytest.mark.asyncio
async def test_experiment_that_is_being_deleted_is_not_adopted(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(running.create)
    leave(kmock)
    created, looked = kmock["post", EXPERIMENTS], kmock["get", EXPERIMENTS]

    async def go() -> None:
        await until(lambda: len(looked) >= 2)
        kmock.objects[EXPERIMENTS, NAMESPACE, NAME].delete()

    await asyncio.gather(asyncio.to_thread(running.create), go())
    assert len(created) >= 3
    assert "deletionTimestamp" not in kmock.objects[EXPERIMENTS, NAMESPACE, NAME].raw["metadata"]
    assert caplog.text.count(f"created experiment {NAME}") == 2
    assert "goes on with" not in caplog.text


@pytest.mark.asyncio
async def test_experiment_that_goes_on_being_deleted_is_told(
    kmock: KubernetesEmulator, running: Running
) -> None:
    await asyncio.to_thread(running.create)
    leave(kmock)
    running.now = Clock(20)
    with pytest.raises(TuningError, match=f"experiment {NAME} .*: the one before it is still being deleted"):
        await asyncio.to_thread(running.create)


@pytest.mark.parametrize(
    ("status", "message", "why"),
    [
        (403, "experiments.kubeflow.org is forbidden: User x cannot create", "needs create on experiments"),
        (403, "exceeded quota: gpus, requested: 1", "raise the ResourceQuota"),
        (404, "the server could not find the requested resource", "the cluster has no Katib; install it"),
        (400, "admission webhook validator.experiment.katib.kubeflow.org denied", "400 admission webhook"),
    ],
    ids=["permission", "quota", "no-crd", "refused"],
)
@pytest.mark.asyncio
async def test_creation_that_is_refused_says_what_to_do(
    kmock: KubernetesEmulator, running: Running, status: int, message: str, why: str
) -> None:
    kmock["post", EXPERIMENTS] << status << {"message": message, "code": status}
    with pytest.raises(TuningError, match=why) as raised:
        await asyncio.to_thread(running.create)
    assert "\n" not in str(raised.value)


@pytest.mark.asyncio
async def test_experiment_that_somebody_deleted_is_told(kmock: KubernetesEmulator, running: Running) -> None:
    await asyncio.to_thread(running.create)
    await asyncio.to_thread(running.delete)
    with pytest.raises(TuningError, match="somebody deleted it"):
        await asyncio.to_thread(running.follow, lambda *_: None)


@pytest.mark.asyncio
async def test_trials_that_may_not_be_listed_are_told(kmock: KubernetesEmulator, running: Running) -> None:
    kmock["get", TRIALS] << 403 << {"message": "trials.kubeflow.org is forbidden"}
    with pytest.raises(TuningError, match="needs list on experiments and trials"):
        await searched(running)


@pytest.mark.asyncio
async def test_watch_that_drops_is_begun_again(kmock: KubernetesEmulator, running: Running) -> None:
    watches = kmock["get", EXPERIMENTS, params({"watch": "True"})] << 500 << {"message": "etcd"}
    put(kmock, trial(1, "Succeeded", "0.5"))
    records, _ = await asyncio.gather(
        searched(running),
        end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: len(watches) >= 2),
    )
    assert [record["error"] for record in records] == [0.5]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "ERROR", "object": {"code": 500, "message": "etcd"}}\n',
        b'{"type": "MODIFIED", "object": {"kind": "Exp',
    ],
    ids=["error-without-a-reason", "half-a-line"],
)
@pytest.mark.asyncio
async def test_watch_that_breaks_off_is_begun_again(
    kmock: KubernetesEmulator, running: Running, line: bytes
) -> None:
    watches = kmock["get", EXPERIMENTS, params({"watch": "True"})] << line
    put(kmock, trial(1, "Succeeded", "0.5"))
    records, _ = await asyncio.gather(
        searched(running),
        end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: len(watches) >= 2),
    )
    assert [record["error"] for record in records] == [0.5]


@pytest.mark.asyncio
async def test_changes_are_watched_from_the_state_that_was_read(
    kmock: KubernetesEmulator, running: Running
) -> None:
    watches = kmock["get", EXPERIMENTS, params({"watch": "True"})] << 410 << {"message": "too old"}
    put(kmock, trial(1, "Succeeded", "0.5"))

    async def end_later() -> None:
        await until(lambda: exists(kmock))
        kmock.objects[EXPERIMENTS, NAMESPACE, NAME].patch({"metadata": {"resourceVersion": "17"}})
        await until(lambda: len(watches) and watches[-1].params.get("resourceVersion") == "17")
        await end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))

    await asyncio.gather(searched(running), end_later())
    assert watches[-1].params["fieldSelector"] == f"metadata.name={NAME}"


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.asyncio
async def test_api_server_that_fails_for_a_while_is_asked_again(
    kmock: KubernetesEmulator, running: Running, patient: None, status: int
) -> None:
    failing = kmock["get", TRIALS, :3] << status << {"message": "etcd"}
    put(kmock, trial(1, "Succeeded", "0.5"))
    records, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    )
    assert [record["error"] for record in records] == [0.5]
    assert len(failing) == 3


@pytest.mark.asyncio
async def test_api_server_that_goes_on_failing_is_told(
    kmock: KubernetesEmulator, running: Running, patient: None
) -> None:
    failing = kmock["get", TRIALS] << 503 << {"message": "etcd is away"}
    with pytest.raises(TuningError, match=r"503: etcd is away; tried \d+ times"):
        await searched(running)
    assert len(failing) > 1


def test_api_server_that_does_not_answer_is_told(quick: None) -> None:
    nobody = running_on("http://127.0.0.1:1")
    with pytest.raises(TuningError, match="the API server cannot be reached"):
        nobody.create()
    with pytest.raises(TuningError, match="the API server cannot be reached"):
        nobody.follow(lambda *_: None)
    nobody.delete()


@pytest.mark.asyncio
async def test_search_whose_time_is_over_ends_with_the_trials_that_did(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    late = Running(running.api, NAMESPACE, plan(timeout=1))
    put(kmock, trial(1, "Succeeded", "0.5"), trial(2, "Running"))
    records = await searched(late)
    assert [record["error"] for record in records] == [0.5]
    assert kmock.objects[EXPERIMENTS, NAMESPACE, NAME].deleted
    assert "its time is over" in caplog.text


@pytest.mark.asyncio
async def test_time_of_a_search_is_counted_from_its_first_attempt(
    kmock: KubernetesEmulator, running: Running
) -> None:
    clock = Clock()
    again = Running(running.api, NAMESPACE, plan(timeout=3600), clock)
    await asyncio.to_thread(again.create)
    made = {"creationTimestamp": "2026-01-01T00:00:00Z"}
    kmock.objects[EXPERIMENTS, NAMESPACE, NAME].patch({"metadata": made})
    put(kmock, trial(1, "Succeeded", "0.5"), trial(2, "Running"))
    clock.time += timedelta(seconds=3600)
    records = await searched(again)
    assert [record["error"] for record in records] == [0.5]
    assert kmock.objects[EXPERIMENTS, NAMESPACE, NAME].deleted


@pytest.mark.asyncio
async def test_experiment_that_cannot_be_deleted_is_told(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(running.create)
    kmock["delete", EXPERIMENTS] << 403 << {"message": "forbidden"}
    await asyncio.to_thread(running.delete)
    assert f"kubectl delete experiment {NAME} -n {NAMESPACE}" in caplog.text


@pytest.mark.asyncio
async def test_search_that_is_stopped_deletes_its_experiment(
    kmock: KubernetesEmulator, running: Running
) -> None:
    await asyncio.to_thread(running.create)
    deleted: list[str] = []
    running.delete = lambda: deleted.append(NAME)  # type: ignore[method-assign]  # asked in this thread
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as raised, deleted_when_stopped(running):
        signal.raise_signal(signal.SIGTERM)
    assert (deleted, raised.value.code) == ([NAME], 143)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(("named", "namespace"), [({"namespace": "team-a"}, "team-a"), ({}, "default")])
def test_kubeconfig_says_where_outside_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, str], namespace: str
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", **named}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://api.example.com"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    api, default = connect()
    assert (api.configuration.host, default) == ("http://api.example.com", namespace)


def test_pods_own_account_says_where_in_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"token": "secret", "ca.crt": "certificate", "namespace": "team-b\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(api_server, "NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(client, "ApiClient", lambda configuration: configuration)  # reads the certificate
    configuration, namespace = connect()
    assert (configuration.host, namespace) == ("https://10.0.0.1:443", "team-b")  # type: ignore[attr-defined]


def test_no_cluster_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(TuningError, match="tuner katib: no API server of Kubernetes"):
        connect()
