"""A Katib experiment, against an API server that kmock plays over HTTP to the real client."""

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kmock import KubernetesEmulator, params, resource
from kubeflow_katib_api import models
from kubernetes import client
from kubernetes.config import incluster_config, kube_config

from kubecast.cluster import AcceleratedTask, Affinity, SecretVariables, TrialPod
from kubecast.config import OptimizationSettings
from kubecast.errors import TuningError
from kubecast.tuning import katib
from kubecast.tuning.katib import Plan, Running, command, connect, deleted_when_stopped, experiment
from kubecast.tuning.spaces import SearchSettings
from pipelines.pods import SHARED_MEMORY

EXPERIMENTS = resource("kubeflow.org", "v1beta1", "experiments")
TRIALS = resource("kubeflow.org", "v1beta1", "trials")
PODS, EVENTS = resource("", "v1", "pods"), resource("", "v1", "events")
STORE = {"secret": "store", "variables": {"AWS_ACCESS_KEY_ID": "access"}}
NAME, NAMESPACE = "kubecast-lstm-0123456789abcdef", "team-a"


def plan(**optimization: Any) -> Plan:
    pod = TrialPod(
        image="registry.example.com/kubecast-tensorflow:1",
        task=AcceleratedTask(node_selector={"gpu": "a10"}, timeout=7200),
        run_as_user=1000,
        run_as_group=0,
        labels={"app.kubernetes.io/name": "kubecast", "kubecast/model": "demand", "kubecast/version": "1"},
        secrets=[SecretVariables(**STORE)],
        image_pull_secrets=["pull"],
        service_account="kubecast-trial",
        endpoint="",
        region="",
    )
    limits = OptimizationSettings(**{"n_trials": 3, "timeout": 60, **optimization})
    trial = {"kind": "lstm", "panel": "s3://b/p", "settings": {"loss": "mae $(x) ${trialParameters.x} 'y'"}}
    return Plan(NAME, "run-1", SearchSettings().lstm, limits, 2, trial, pod)


def trial(number: int, ended: str, latest: str | None = None, message: str = "") -> dict[str, Any]:
    """A Trial as Katib leaves it; `ended` is the last condition that is true."""
    names = ("hidden_units_1", "hidden_units_2", "dropout_rate", "learning_rate")
    values = (str(32 + number), "16", "0.1", "0.001")
    metrics = (
        [] if latest is None else [{"name": "objective", "latest": latest, "min": latest, "max": latest}]
    )
    conditions = [
        {"type": "Created", "status": "True"},
        {"type": ended, "status": "True", "message": message},
    ]
    return {
        "metadata": {
            "name": f"{NAME}-{number}",
            "namespace": NAMESPACE,
            "creationTimestamp": f"2026-01-01T00:00:0{number}Z",
            "labels": {"katib.kubeflow.org/experiment": NAME},
        },
        "spec": {
            "parameterAssignments": [{"name": n, "value": v} for n, v in zip(names, values, strict=True)]
        },
        "status": {"conditions": conditions, "observation": {"metrics": metrics}},
    }


def ended(kind: str, reason: str, message: str = "") -> dict[str, Any]:
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {"status": {"conditions": [{"type": "Running", "status": "False"}, condition]}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(katib, "PAUSE", 0.01)
    monkeypatch.setattr(katib, "WATCHING", 1)


@pytest.fixture
def running(kmock: KubernetesEmulator) -> Running:
    for known in (EXPERIMENTS, TRIALS, PODS, EVENTS):
        kmock.resources[known] = {"namespaced": True}
    return running_on(str(kmock.url))


def running_on(url: str, **optimization: Any) -> Running:
    configuration = client.Configuration(host=url.rstrip("/"))
    configuration.retries = False
    return Running(client.ApiClient(configuration), NAMESPACE, plan(**optimization))


class Clock:
    """Goes on by so many seconds whenever it is read."""

    def __init__(self, step: float = 0.0) -> None:
        self.time, self.step = datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=step)

    def __call__(self) -> datetime:
        self.time += self.step
        return self.time


def patient(running: Running, step: float = 150.0) -> Running:
    """With an hour, and a clock that soon has gone on for five minutes."""
    return Running(running.api, NAMESPACE, plan(timeout=3600), Clock(step))


def put(kmock: KubernetesEmulator, *trials: dict[str, Any]) -> None:
    for each in trials:
        kmock.objects[TRIALS, NAMESPACE, each["metadata"]["name"]] = each


async def until(seen: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):  # a test that fails is to end
        while not seen():
            await asyncio.sleep(0.01)


def exists(kmock: KubernetesEmulator) -> bool:
    return (EXPERIMENTS, NAMESPACE, NAME) in kmock.objects


async def end(
    kmock: KubernetesEmulator, status: dict[str, Any], after: Callable[[], Any] = lambda: True
) -> None:
    """Let the Experiment end once it is there, and ``after`` something."""
    await until(lambda: exists(kmock) and after())
    kmock.objects[EXPERIMENTS, NAMESPACE, NAME].patch(status)


async def searched(running: Running, told: list[Any] | None = None) -> list[dict[str, Any]]:
    def search() -> list[dict[str, Any]]:
        running.create()
        return running.follow(lambda *progress: None if told is None else told.append(progress))

    return await asyncio.to_thread(search)


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
    told: list[Any] = []
    found, _ = await asyncio.gather(
        searched(running, told), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    )
    assert [(record["state"], record["error"]) for record in found] == [
        ("complete", 0.5),
        ("pruned", 0.9),
        ("failed", None),
    ]
    assert found[0]["parameters"] == {
        "hidden_units_1": "33",
        "hidden_units_2": "16",
        "dropout_rate": "0.1",
        "learning_rate": "0.001",
    }
    assert [record["reason"] for record in found] == [
        "",
        "stopped early",
        "Job has reached the specified backoff limit",
    ]
    assert told[-1] == (3, 3)
    assert (EXPERIMENTS, NAMESPACE, NAME) in kmock.objects
    assert not kmock.objects[EXPERIMENTS, NAMESPACE, NAME].deleted


@pytest.mark.asyncio
async def test_goal_that_was_reached_is_an_end_too(kmock: KubernetesEmulator, running: Running) -> None:
    put(kmock, trial(1, "Succeeded", "0.1"))
    found, _ = await asyncio.gather(
        searched(running),
        end(kmock, ended("Succeeded", "ExperimentGoalReached", "goal has reached")),
    )
    assert [record["error"] for record in found] == [0.1]


@pytest.mark.asyncio
async def test_experiment_that_failed_still_gives_its_trials_with_their_reasons(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    put(kmock, trial(1, "Failed", message="OOMKilled"), trial(2, "MetricsUnavailable", message="Metrics are"))
    found, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Failed", "ExperimentFailed", "max failed count has reached"))
    )
    assert [(record["state"], record["reason"]) for record in found] == [
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
    found, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    )
    assert [(record["state"], record["error"]) for record in found] == [("failed", None)]
    assert found[0]["reason"] == "it printed no objective=: see the log of its pod"


@pytest.mark.asyncio
async def test_experiment_without_a_trial_gives_none(kmock: KubernetesEmulator, running: Running) -> None:
    found, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentSuggestionEndReached"))
    )
    assert found == []


@pytest.mark.asyncio
async def test_task_that_is_tried_again_adopts_its_experiment(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(running.create)
    first = kmock.objects[EXPERIMENTS, NAMESPACE, NAME].raw
    put(kmock, trial(1, "Succeeded", "0.5"))
    found, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    )
    assert [record["error"] for record in found] == [0.5]
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
    found, _ = await asyncio.gather(
        searched(running),
        end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: len(watches) >= 2),
    )
    assert [record["error"] for record in found] == [0.5]


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
    found, _ = await asyncio.gather(
        searched(running),
        end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: len(watches) >= 2),
    )
    assert [record["error"] for record in found] == [0.5]


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
    kmock: KubernetesEmulator, running: Running, status: int
) -> None:
    failing = kmock["get", TRIALS, :3] << status << {"message": "etcd"}
    put(kmock, trial(1, "Succeeded", "0.5"))
    found, _ = await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    )
    assert [record["error"] for record in found] == [0.5]
    assert len(failing) == 3


@pytest.mark.asyncio
async def test_api_server_that_goes_on_failing_is_told(kmock: KubernetesEmulator, running: Running) -> None:
    failing = kmock["get", TRIALS] << 503 << {"message": "etcd is away"}
    with pytest.raises(TuningError, match="503 etcd is away"):
        await searched(running)
    assert len(failing) == katib.FAILURES


def test_api_server_that_does_not_answer_is_told() -> None:
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
    found = await searched(late)
    assert [record["error"] for record in found] == [0.5]
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
    found = await searched(again)
    assert [record["error"] for record in found] == [0.5]
    assert kmock.objects[EXPERIMENTS, NAMESPACE, NAME].deleted


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


@pytest.mark.asyncio
async def test_image_that_cannot_be_pulled_for_a_moment_does_not_end_the_search(
    kmock: KubernetesEmulator, running: Running
) -> None:
    unpulled(kmock)
    looked = kmock["get", PODS]
    found, _ = await asyncio.gather(
        searched(patient(running, step=0)),
        end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: len(looked) >= 2),
    )
    assert found == []


@pytest.mark.parametrize(
    ("reasons", "given_up"),
    [
        (["image", "image", "image"], True),
        (["image", "image", None, "image", "image"], False),
        (["image", "image", "quota", "quota"], False),
    ],
    ids=["the-same", "with-a-pause", "another"],
)
def test_search_is_given_up_where_one_reason_holds_for_five_minutes(
    monkeypatch: pytest.MonkeyPatch, reasons: list[str | None], given_up: bool
) -> None:
    waiting = Running(client.ApiClient(), NAMESPACE, plan(), Clock(120))
    monkeypatch.setattr(Running, "delete", lambda _: None)

    def look() -> None:
        for reason in reasons:
            monkeypatch.setattr(waiting, "_stuck", lambda found=reason: found and (found, "why"))
            waiting._look_at_pods(begun=False)

    if given_up:
        with pytest.raises(TuningError, match="why"):
            look()
    else:
        look()


@pytest.mark.asyncio
async def test_image_that_one_node_cannot_pull_does_not_end_a_search_that_has_trials(
    kmock: KubernetesEmulator, running: Running
) -> None:
    unpulled(kmock)
    put(kmock, trial(2, "Succeeded", "0.5"))
    watched = asyncio.create_task(searched(running))
    await asyncio.sleep(0.5)
    await end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"))
    assert [found["error"] for found in await watched] == [0.5]


@pytest.mark.asyncio
async def test_image_of_katibs_own_pod_is_not_told_as_a_trials(
    kmock: KubernetesEmulator, running: Running
) -> None:
    unpulled(kmock, label="katib.kubeflow.org/suggestion")
    watched = asyncio.create_task(searched(running))
    await asyncio.sleep(0.5)
    await end(kmock, ended("Failed", "ExperimentFailed"))
    assert await watched == []


def unpulled(
    kmock: KubernetesEmulator, label: str = katib.TRIAL_LABEL, reason: str = "ImagePullBackOff"
) -> None:
    """A pod whose image cannot be pulled."""
    waiting = {"reason": reason, "message": "Back-off pulling image"}
    container = {"name": "trial", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    kmock.objects[PODS, NAMESPACE, f"{NAME}-1-abc"] = {
        "metadata": {
            "name": f"{NAME}-1-abc",
            "namespace": NAMESPACE,
            "labels": {"katib.kubeflow.org/experiment": NAME, label: f"{NAME}-1"},
        },
        "status": {
            "phase": "Pending",
            "containerStatuses": [{**container, "state": {"waiting": waiting}}],
        },
    }


def full(kmock: KubernetesEmulator) -> None:
    """The quota has no room for a trial; the pod of Katib's algorithm was there before."""
    kmock.objects[EVENTS, NAMESPACE, "e1"] = {
        "metadata": {"name": "e1", "namespace": NAMESPACE},
        "involvedObject": {"kind": "Job", "name": f"{NAME}-1"},
        "reason": "FailedCreate",
        "message": "Error creating: pods is forbidden: exceeded quota: compute",
    }
    labels = {"katib.kubeflow.org/experiment": NAME, "katib.kubeflow.org/suggestion": NAME}
    kmock.objects[PODS, NAMESPACE, f"{NAME}-tpe"] = {
        "metadata": {"name": f"{NAME}-tpe", "namespace": NAMESPACE, "labels": labels},
        "status": {"phase": "Running"},
    }


@pytest.mark.asyncio
async def test_trials_for_which_there_is_no_quota_for_minutes_end_the_search(
    kmock: KubernetesEmulator, running: Running
) -> None:
    full(kmock)
    looked = kmock["get", PODS]
    with pytest.raises(TuningError, match="exceeded quota: compute; raise the ResourceQuota"):
        await searched(patient(running))
    assert len(looked) > 1


@pytest.mark.asyncio
async def test_quota_that_had_no_room_for_a_while_does_not_end_the_search(
    kmock: KubernetesEmulator, running: Running
) -> None:
    full(kmock)
    put(kmock, trial(1, "Succeeded", "0.5"))
    listed = kmock["get", TRIALS]
    found, _ = await asyncio.gather(
        searched(running),
        end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: len(listed) > 1),
    )
    assert [record["error"] for record in found] == [0.5]


@pytest.mark.asyncio
async def test_experiment_that_cannot_be_deleted_is_told(
    kmock: KubernetesEmulator, running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(running.create)
    kmock["delete", EXPERIMENTS] << 403 << {"message": "forbidden"}
    await asyncio.to_thread(running.delete)
    assert f"kubectl delete experiment {NAME} -n {NAMESPACE}" in caplog.text


@pytest.mark.asyncio
async def test_pods_that_may_not_be_looked_at_do_not_end_the_search(
    kmock: KubernetesEmulator, running: Running
) -> None:
    kmock["get", PODS] << 403 << {"message": "pods is forbidden"}
    found, _ = await asyncio.gather(
        searched(running),
        end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: kmock["get", PODS]),
    )
    assert found == []


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
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    api, found = connect()
    assert (api.configuration.host, found) == ("http://api.example.com", namespace)


def test_pods_own_account_says_where_in_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {"token": "secret", "ca.crt": "certificate", "namespace": "team-b\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setattr(katib, "_NAMESPACE_FILE", tmp_path / "namespace")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(client, "ApiClient", lambda configuration: configuration)  # reads the certificate
    configuration, namespace = connect()
    assert (configuration.host, namespace) == ("https://10.0.0.1:443", "team-b")  # type: ignore[attr-defined]


def test_no_cluster_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    with pytest.raises(TuningError, match="tuner katib: there is no cluster"):
        connect()


# --- the object ---------------------------------------------------------------------------------------


def test_katib_and_kubernetes_know_every_field() -> None:
    """What their own models do not have would be dropped on the way through them."""
    made = experiment(plan())
    read = models.V1beta1Experiment.from_dict(made)
    assert read is not None
    assert read.to_dict()["spec"] == made["spec"]
    job = {**made["spec"]["trialTemplate"]["trialSpec"], "metadata": {"name": "job"}}
    api = client.ApiClient()

    class Reply:
        data = json.dumps(job)

    assert api.sanitize_for_serialization(api.deserialize(Reply(), "V1Job")) == without_nothing(job)


def without_nothing(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: without_nothing(value) for key, value in found.items()}
    return [without_nothing(value) for value in found] if isinstance(found, list) else found


def test_experiment_is_bounded_and_can_be_found() -> None:
    made = experiment(plan())
    spec = made["spec"]
    assert (spec["maxTrialCount"], spec["maxFailedTrialCount"], spec["parallelTrialCount"]) == (3, 3, 2)
    assert spec["trialTemplate"]["trialSpec"]["spec"]["backoffLimit"] == 0
    assert made["metadata"]["labels"]["kubecast/run"] == "run-1"
    assert spec["objective"]["type"] == "minimize"
    assert spec["objective"]["metricStrategies"] == [{"name": "objective", "value": "latest"}]


def test_trial_that_loses_its_node_is_begun_again() -> None:
    job = experiment(plan())["spec"]["trialTemplate"]["trialSpec"]["spec"]
    [rule] = job["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # Kubernetes asks for it beside such a policy


def test_trials_own_limit_ends_it_before_its_job_does() -> None:
    made = plan(timeout=9000)
    job = experiment(made)["spec"]["trialTemplate"]["trialSpec"]
    assert job["spec"]["activeDeadlineSeconds"] == 7200 + 9000


@pytest.mark.parametrize(("pruner", "stopped"), [("median", True), ("hyperband", False), ("none", False)])
def test_median_pruner_is_katibs_median_stop(pruner: str, stopped: bool) -> None:
    found = experiment(plan(pruner=pruner))["spec"].get("earlyStopping")
    assert found == ({"algorithmName": "medianstop"} if stopped else None)


def test_trials_pod_is_that_of_the_trainer_and_restricted() -> None:
    job = experiment(plan())["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]
    pod, container = job["spec"], job["spec"]["containers"][0]
    assert container["image"] == "registry.example.com/kubecast-tensorflow:1"
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"gpu": "a10"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["serviceAccountName"] == "kubecast-trial"
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    security = pod["securityContext"]
    assert (security["runAsNonRoot"], security["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert job["metadata"]["labels"]["app.kubernetes.io/name"] == "kubecast"
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp", SHARED_MEMORY}  # noqa: S108
    secret = {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "store", "key": "access"}}}
    assert secret in container["env"]
    assert {"name": "KUBECAST_RUN_ID", "value": plan().run} in container["env"]
    assert {"name": "KUBECAST_ACCELERATORS", "value": "1"} in container["env"]


def test_affinity_of_the_trainer_is_kept() -> None:
    wishes = [Affinity(key="disk", operator="Exists"), Affinity(key="zone", values=["a"], weight=5)]
    task = AcceleratedTask(affinity=wishes, accelerator=None, shared_memory=None)
    base = plan()
    made = experiment(replace(base, pod=base.pod.model_copy(update={"task": task})))
    pod = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]
    node = pod["affinity"]["nodeAffinity"]
    required = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert required == [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
    assert node["preferredDuringSchedulingIgnoredDuringExecution"][0]["weight"] == 5
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp"]


def empty(found: Any, path: str = "") -> list[str]:
    """Where an object holds an empty object, list or text."""
    items = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    here = [path] if found in ({}, [], "") else []
    return here + [inner for key, value in items for inner in empty(value, f"{path}/{key}")]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"accelerator": None, "tolerations": [], "shared_memory": None},
        {
            "affinity": [
                {"key": "disk", "operator": "Exists"},
                {"key": "zone", "operator": "Exists", "weight": 1},
            ]
        },
    ],
    ids=["default", "processors", "affinity"],
)
def test_job_holds_nothing_that_katib_would_miss(asked: dict[str, Any]) -> None:
    """Katib refuses a Job that Kubernetes' own type would write back without something: all that is empty."""
    base = plan()
    changes = {"task": AcceleratedTask(**asked), "image_pull_secrets": []}
    made = experiment(replace(base, pod=base.pod.model_copy(update=changes)))
    found = empty(made["spec"]["trialTemplate"]["trialSpec"])
    assert {path.rpartition("/")[2] for path in found} == {"emptyDir"}


@pytest.mark.parametrize(
    ("given", "written"),
    [("2Gi", "2Gi"), ("2048Mi", "2Gi"), ("1536Mi", "1536Mi"), ("1048576Ki", "1Gi"), ("2048Ti", "2048Ti")],
)
def test_shared_memory_is_written_as_kubernetes_writes_it(given: str, written: str) -> None:
    base = plan()
    task = AcceleratedTask(shared_memory=given)
    made = experiment(replace(base, pod=base.pod.model_copy(update={"task": task})))
    volumes = made["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["volumes"]
    assert volumes[1]["emptyDir"] == {"medium": "Memory", "sizeLimit": written}


def test_pod_of_katibs_algorithm_is_not_taken_for_one_of_kubecast() -> None:
    """Katib copies the Experiment's labels to it; policies for kubecast's own pods would cut it off."""
    made = experiment(plan())
    assert made["metadata"]["labels"] == {
        "kubecast/run": "run-1",
        "kubecast/model": "demand",
        "kubecast/version": "1",
    }


def test_command_survives_a_shell_and_the_rest_is_in_the_environment(tmp_path: Path) -> None:
    """Katib puts in the parameters, joins the words with spaces and gives them to `sh -c`."""
    program = tmp_path / "kubecast"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    values = {
        "hidden_units_1": "64",
        "hidden_units_2": "32",
        "dropout_rate": "1.5e-01",
        "learning_rate": "0.001",
    }
    words = [
        re.sub(r"\$\{trialParameters\.(\w+)\}", lambda found: values[found[1]], word)
        for word in command(SearchSettings().lstm)
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9._+=-]+", word) for word in words)
    done = subprocess.run(
        ["sh", "-c", " ".join(words) + " 1>" + str(tmp_path / "out") + " 2>&1"],
        check=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert done.returncode == 0
    expected = ["trial", *(f"{name}={value}" for name, value in values.items())]
    assert (tmp_path / "out").read_text().splitlines() == expected
    template = experiment(plan())["spec"]["trialTemplate"]
    variable = template["trialSpec"]["spec"]["template"]["spec"]["containers"][0]["env"][0]
    assert json.loads(variable["value"]) == plan().trial
    assert "$" not in variable["value"]
    assert [found["reference"] for found in template["trialParameters"]] == list(values)
