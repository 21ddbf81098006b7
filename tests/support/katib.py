"""What the tests of a Katib experiment share: a plan, what Katib and Kubernetes leave, and a clock."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from kmock import KubernetesEmulator, resource
from kubernetes import client

from kubecast.config.cluster import AcceleratedTask, SecretVariables, TrialPod
from kubecast.config.training import OptimizationSettings
from kubecast.settings.search import SearchSettings
from kubecast.tuning.katib import Plan, Running
from kubecast.tuning.katib.blocking import TRIAL_LABEL

EXPERIMENTS = resource("kubeflow.org", "v1beta1", "experiments")
TRIALS = resource("kubeflow.org", "v1beta1", "trials")
SUGGESTIONS = resource("kubeflow.org", "v1beta1", "suggestions")
WORKFLOWS = resource("argoproj.io", "v1alpha1", "workflows")
PODS, EVENTS = resource("", "v1", "pods"), resource("", "v1", "events")
CONFIG_MAPS = resource("", "v1", "configmaps")
RESOURCES = (EXPERIMENTS, TRIALS, SUGGESTIONS, WORKFLOWS, PODS, EVENTS, CONFIG_MAPS)
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


def running_on(url: str, **optimization: Any) -> Running:
    configuration = client.Configuration(host=url.rstrip("/"))
    configuration.retries = False
    return Running(client.ApiClient(configuration), NAMESPACE, plan(**optimization))


class Clock:
    """Goes on by so many seconds whenever it is read, and as ``advance`` says."""

    def __init__(self, step: float = 0.0) -> None:
        self.time, self.step = datetime(2026, 1, 1, tzinfo=UTC), timedelta(seconds=step)

    def __call__(self) -> datetime:
        self.time += self.step
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


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


async def searched(running: Running, calls: list[Any] | None = None) -> list[dict[str, Any]]:
    def search() -> list[dict[str, Any]]:
        running.create()
        return running.follow(lambda *progress: None if calls is None else calls.append(progress))

    return await asyncio.to_thread(search)


def unpulled(kmock: KubernetesEmulator, label: str = TRIAL_LABEL, reason: str = "ImagePullBackOff") -> None:
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


def refused(
    kmock: KubernetesEmulator,
    kind: str,
    name: str,
    message: str,
    reason: str = "FailedCreate",
    at: str = "2026-01-01T00:00:05Z",
) -> None:
    """An event as the controller of a ReplicaSet or a Job leaves it, each time that a pod is not let in."""
    kmock.objects[EVENTS, NAMESPACE, f"{name}.17"] = {
        "metadata": {"name": f"{name}.17", "namespace": NAMESPACE, "creationTimestamp": at},
        "involvedObject": {"kind": kind, "namespace": NAMESPACE, "name": name, "uid": "6c1d"},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "source": {"component": f"{kind.lower()}-controller"},
        "count": 3,
        "firstTimestamp": at,
        "lastTimestamp": at,
    }


def algorithm(kmock: KubernetesEmulator) -> None:
    """The pod of Katib's algorithm runs; it is there before any trial."""
    labels = {"katib.kubeflow.org/experiment": NAME, "katib.kubeflow.org/suggestion": NAME}
    kmock.objects[PODS, NAMESPACE, f"{NAME}-tpe-abc"] = {
        "metadata": {"name": f"{NAME}-tpe-abc", "namespace": NAMESPACE, "labels": labels},
        "status": {"phase": "Running"},
    }
