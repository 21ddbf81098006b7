"""A search by Katib: an Experiment whose trials are Jobs that run ``kubecast trial``.

The Experiment is named after the run and what is searched, so that a task that is tried again adopts it.
"""

import json
import logging
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import urllib3
from kubeflow_katib_api import models
from kubernetes import client, config, watch
from kubernetes.client import ApiException

from kubecast.cluster import ACCELERATORS_VARIABLE, Affinity, TrialPod
from kubecast.config import OptimizationSettings
from kubecast.errors import TuningError
from kubecast.logs import RUN_VARIABLE
from kubecast.tuning.spaces import Space
from kubecast.tuning.trial import METRIC, VARIABLE

GROUP, VERSION = "kubeflow.org", "v1beta1"
RUN_LABEL, OWN_LABEL = "kubecast/run", "app.kubernetes.io/name"
TRIAL_LABEL = "katib.kubeflow.org/trial"
CONTAINER = "trial"
WATCHING = 30  # seconds of one watch, after which the pods are looked at
FAILURES = 10  # of the API server in a row
PAUSE = 2.0  # seconds between them
DELETING = timedelta(seconds=60)  # that an Experiment of the same name may take to go
STUCK = timedelta(minutes=5)  # after which what keeps trials from their begin is taken to last
_LOG = logging.getLogger(__name__)
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_STATES = {"Succeeded": "complete", "EarlyStopped": "pruned", "Failed": "failed", "Killed": "failed"}
_STATES["MetricsUnavailable"] = "failed"
_STUCK = {  # what a pod waits for, by its own words
    "ErrImagePull": "image",  # and the next one take turns
    "ImagePullBackOff": "image",
    "InvalidImageName": "name",
    "CreateContainerConfigError": "secret",
}
_LARGER = {"Ki": "Mi", "Mi": "Gi", "Gi": "Ti"}

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Plan:
    """What Katib is to search.

    Attributes:
        name: Of the Experiment.
        run: Of the pipeline, by which a leftover is found.
        space: What may be changed.
        optimization: How long.
        workers: Trials at one time.
        trial: For ``KUBECAST_TRIAL``.
        pod: What a trial's pod is given.
    """

    name: str
    run: str
    space: Space
    optimization: OptimizationSettings
    workers: int
    trial: Mapping[str, Any]
    pod: TrialPod


# --- the object ---------------------------------------------------------------------------------------


def experiment(plan: Plan) -> dict[str, Any]:
    """The Experiment as the API server takes it.

    Trials that Katib's median rule finds worse are stopped early; its Hyperband would give trials a resource,
    which these do not have, so any other pruner stops none.
    """
    limits = plan.optimization
    labels = {**plan.pod.labels, RUN_LABEL: plan.run}
    spec = models.V1beta1ExperimentSpec(
        objective=models.V1beta1ObjectiveSpec(
            type="minimize",
            objectiveMetricName=METRIC,
            metricStrategies=[models.V1beta1MetricStrategy(name=METRIC, value="latest")],
        ),
        algorithm=models.V1beta1AlgorithmSpec(algorithmName="tpe"),
        earlyStopping=models.V1beta1EarlyStoppingSpec(algorithmName="medianstop")
        if limits.pruner == "median"
        else None,
        parameters=[parameter.katib(name) for name, parameter in plan.space.items()],
        parallelTrialCount=min(plan.workers, limits.n_trials),
        maxTrialCount=limits.n_trials,
        maxFailedTrialCount=limits.n_trials,  # a failed trial does not end the search
        resumePolicy="Never",
        metricsCollectorSpec=models.V1beta1MetricsCollectorSpec(
            collector=models.V1beta1CollectorSpec(kind="StdOut")
        ),
        trialTemplate=models.V1beta1TrialTemplate(
            primaryContainerName=CONTAINER,
            trialParameters=[
                models.V1beta1TrialParameterSpec(name=name, reference=name) for name in plan.space
            ],
            trialSpec=job(plan, labels),
        ),
    )
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Experiment",
        # Katib copies them to the pod of its algorithm, which is none of those that OWN_LABEL marks.
        "metadata": {
            "name": plan.name,
            "labels": {key: value for key, value in labels.items() if key != OWN_LABEL},
        },
        "spec": spec.to_dict(),
    }


def command(space: Space) -> list[str]:
    """A trial's command: Katib joins the words with spaces and gives them to a shell."""
    return ["kubecast", "trial", *(f"{name}=${{trialParameters.{name}}}" for name in space)]


def job(plan: Plan, labels: Mapping[str, str]) -> dict[str, Any]:
    """The Job of one trial, without anything empty: Katib refuses what Kubernetes would leave out again."""
    pod, task = plan.pod, plan.pod.task
    resources = {
        "requests": {"cpu": task.cpu_request, "memory": task.memory_request},
        "limits": {"cpu": task.cpu_limit, "memory": task.memory_limit},
    }
    if task.accelerator:
        resources["limits"][task.accelerator.type] = str(task.accelerator.count)
    volumes: dict[str, Any] = {"tmp": ("/tmp", {})}  # noqa: S108  a volume of the pod's own
    if task.shared_memory:
        shared = {"medium": "Memory", "sizeLimit": _canonical(task.shared_memory)}
        volumes["shared-memory"] = ("/dev/shm", shared)  # noqa: S108  as above
    container = {
        "name": CONTAINER,
        "image": pod.image,
        "command": command(plan.space),
        "env": [
            # Katib and Kubernetes put something in the place of ${…} and $(…).
            {"name": VARIABLE, "value": json.dumps(plan.trial).replace("$", "\\u0024")},
            {"name": RUN_VARIABLE, "value": plan.run},
            *_accelerators(pod),
            *_secrets(pod),
        ],
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": name, "mountPath": path} for name, (path, _) in volumes.items()],
    }
    spec = {
        "serviceAccountName": pod.service_account,
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": pod.run_as_user,
            "runAsGroup": pod.run_as_group,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": name, "emptyDir": source} for name, (_, source) in volumes.items()],
        **_optional(pod),
    }
    annotations = {"sidecar.istio.io/inject": "false"}  # a mesh's proxy would never end
    template = {"metadata": {"labels": dict(labels), "annotations": annotations}, "spec": spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 0,  # a trial that fails by itself says something of its settings
            # One whose node was drained or reclaimed does not, and is begun again.
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    }
                ]
            },
            # Its clock counts waiting for a node and for the image too; the trial's own limit ends it before.
            "activeDeadlineSeconds": task.timeout + plan.optimization.timeout,
            "template": template,
        },
    }


def _accelerators(pod: TrialPod) -> list[dict[str, str]]:
    asked = pod.task.accelerator
    return [{"name": ACCELERATORS_VARIABLE, "value": str(asked.count)}] if asked else []


def _secrets(pod: TrialPod) -> list[dict[str, Any]]:
    return [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": key}}}
        for secret in pod.secrets
        for variable, key in secret.variables.items()
    ]


def _canonical(memory: str) -> str:
    """As Kubernetes writes it back: 2Gi for 2048Mi."""
    number, unit = int(memory[:-2]), memory[-2:]
    while number and number % 1024 == 0 and unit != "Ti":
        number, unit = number // 1024, _LARGER[unit]
    return f"{number}{unit}"


def _optional(pod: TrialPod) -> dict[str, Any]:
    task = pod.task
    tolerations = [taint.model_dump(exclude=None if taint.value else {"value"}) for taint in task.tolerations]
    found = {
        "imagePullSecrets": [{"name": name} for name in pod.image_pull_secrets],
        "nodeSelector": dict(task.node_selector),
        "tolerations": tolerations,
        "affinity": _affinity(task.affinity),
    }
    return {key: value for key, value in found.items() if value}


def _affinity(wishes: Iterable[Affinity]) -> dict[str, Any]:
    def term(wish: Affinity) -> dict[str, Any]:
        return wish.model_dump(exclude={"weight"} if wish.values else {"weight", "values"})

    required = [term(wish) for wish in wishes if wish.weight is None]
    preferred = [
        {"weight": wish.weight, "preference": {"matchExpressions": [term(wish)]}}
        for wish in wishes
        if wish.weight is not None
    ]
    node: dict[str, Any] = {}
    if required:
        one = {"nodeSelectorTerms": [{"matchExpressions": required}]}
        node["requiredDuringSchedulingIgnoredDuringExecution"] = one
    if preferred:
        node["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return {"nodeAffinity": node} if node else {}


# --- the API server -----------------------------------------------------------------------------------


def connect() -> tuple[client.ApiClient, str]:
    """The API server of the pod's cluster, else of the kubeconfig; and the namespace to work in."""
    found = client.Configuration()
    try:
        config.load_incluster_config(found)
        return client.ApiClient(found), _NAMESPACE_FILE.read_text().strip()
    except config.ConfigException:
        pass
    try:
        config.load_kube_config(client_configuration=found)
        context = config.list_kube_config_contexts()[1]["context"]
    except config.ConfigException as error:
        raise TuningError(
            f"tuner katib: there is no cluster ({error}); allowed: in a pod, or a kubeconfig"
        ) from error
    return client.ApiClient(found), str(context.get("namespace") or "default")


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Running:
    """An Experiment on a cluster.

    Attributes:
        api: Of the API server.
        namespace: Of the Experiment.
        plan: What it searches.
        now: Tells the time, with its zone.
    """

    api: client.ApiClient
    namespace: str
    plan: Plan
    now: Callable[[], datetime] = _now
    _version: str | None = field(default=None, init=False)
    _stuck_since: tuple[str, datetime] | None = field(default=None, init=False)

    def create(self) -> None:
        """Create it, or adopt the one that an earlier attempt of this task left, but none being deleted.

        Raises:
            TuningError: It cannot be created.
        """
        end = self.now() + DELETING
        while not self._created():
            if self.now() >= end:
                raise TuningError(
                    f"{self._where}: the one before it is still being deleted; try again when it is gone"
                )
            time.sleep(PAUSE)

    def _created(self) -> bool:
        """Whether there is one now; not while another one of its name is being deleted."""
        into = GROUP, VERSION, self.namespace, "experiments"
        try:
            self._custom().create_namespaced_custom_object(*into, experiment(self.plan))
            _LOG.info("created experiment %s in namespace %s", self.plan.name, self.namespace)
            return True
        except ApiException as error:
            if error.status != 409:
                raise self._explained(error, "create") from error
        except urllib3.exceptions.HTTPError as error:
            raise _unreachable(error) from error
        found = self._found()
        if found is None or found["metadata"].get("deletionTimestamp"):
            return False
        _LOG.info("goes on with experiment %s", self.plan.name)
        return True

    def delete(self) -> None:
        """Delete it with its trials, if it is there."""
        named = GROUP, VERSION, self.namespace, "experiments", self.plan.name
        try:
            self._custom().delete_namespaced_custom_object(*named)
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            if getattr(error, "status", None) != 404:
                left = f"kubectl delete experiment {self.plan.name} -n {self.namespace}"
                _LOG.warning("the experiment goes on (%s); %s", type(error).__name__, left)

    def follow(self, tell: Tell) -> list[dict[str, Any]]:
        """Wait until it ends or its time is over, and return its trials.

        Returns:
            Of each trial that ended: ``parameters`` (texts), ``error`` (None where it has none), ``state``
            (``complete``, ``pruned`` or ``failed``) and ``reason``.

        Raises:
            TuningError: It cannot go on.
        """
        total, end = self.plan.optimization.n_trials, self._end()
        done = -1
        while True:
            found = self.trials()
            if len(found) != done:
                done = len(found)
                tell(min(done, total), total)
            ended = self._ended()
            if ended is not None:
                _LOG.info("experiment %s: %s", self.plan.name, ended)
                return self.trials()
            left = (end - self.now()).total_seconds()
            if left <= 0:
                _LOG.info("experiment %s: its time is over", self.plan.name)
                self.delete()
                return found
            self._look_at_pods(begun=bool(found))
            self._wait(min(WATCHING, max(1, int(left))))

    def trials(self) -> list[dict[str, Any]]:
        """Every trial that ended, in the order of their begin."""
        selector = f"katib.kubeflow.org/experiment={self.plan.name}"
        listed = self._asked(
            "list",
            lambda: self._custom().list_namespaced_custom_object(
                GROUP, VERSION, self.namespace, "trials", label_selector=selector
            ),
        )
        items = sorted(listed["items"], key=lambda item: item["metadata"].get("creationTimestamp") or "")
        return [record for item in items if (record := _record(item)) is not None]

    def _found(self) -> dict[str, Any] | None:
        """The Experiment; None where it is not there."""
        named = GROUP, VERSION, self.namespace, "experiments", self.plan.name

        def get() -> dict[str, Any] | None:
            try:
                found: dict[str, Any] = self._custom().get_namespaced_custom_object(*named)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise
            return found

        asked: dict[str, Any] | None = self._asked("get", get)
        return asked

    def _there(self) -> dict[str, Any]:
        found = self._found()
        if found is None:
            raise TuningError(f"{self._where}: somebody deleted it")
        return found

    def _end(self) -> datetime:
        """When its time is over: counted from its creation, maybe by an attempt before this one."""
        created = self._there()["metadata"].get("creationTimestamp")
        begun = datetime.fromisoformat(created) if created else self.now()
        return begun + timedelta(seconds=self.plan.optimization.timeout)

    def _ended(self) -> str | None:
        """Why it ended; None while it has not."""
        found = self._there()
        self._version = found["metadata"].get("resourceVersion")
        for condition in _conditions(found):
            if condition["type"] in ("Succeeded", "Failed"):
                return str(condition.get("message") or condition.get("reason") or condition["type"])
        return None

    def _wait(self, seconds: int) -> None:
        """Until the Experiment changes, or so long; a watch that drops has waited long enough.

        The client raises ValueError where a stream ends inside a line, KeyError where an error has no reason.
        """
        since = {"resource_version": self._version} if self._version else {}
        with suppress(ApiException, urllib3.exceptions.HTTPError, ValueError, KeyError):
            changes = watch.Watch().stream(
                self._custom().list_namespaced_custom_object,
                *(GROUP, VERSION, self.namespace, "experiments"),
                field_selector=f"metadata.name={self.plan.name}",
                timeout_seconds=seconds,
                _request_timeout=seconds + 1,
                **since,
            )
            next(changes, None)
        time.sleep(PAUSE)  # changes come in bursts

    def _look_at_pods(self, begun: bool) -> None:
        """Give up where no trial can begin and waiting does not help: a wrong image, a full quota."""
        kind, told = (not begun and self._stuck()) or ("", "")
        if not kind:
            self._stuck_since = None
            return
        if self._stuck_since is None or self._stuck_since[0] != kind:
            self._stuck_since = kind, self.now()
            _LOG.warning("%s", told)
        if kind == "name" or self.now() - self._stuck_since[1] >= STUCK:
            self.delete()
            raise TuningError(told)

    def _stuck(self) -> tuple[str, str] | None:
        """What keeps every trial from its begin, and how to tell it."""
        core = client.CoreV1Api(self.api)
        selector = f"katib.kubeflow.org/experiment={self.plan.name}"
        try:
            pods = core.list_namespaced_pod(self.namespace, label_selector=selector).items
            events = core.list_namespaced_event(self.namespace, field_selector="reason=FailedCreate").items
        except (ApiException, urllib3.exceptions.HTTPError):  # a permission that is not needed otherwise
            return None
        # The pod of Katib's algorithm is there before any trial, and events outlive what they tell of.
        pods = [pod for pod in pods if TRIAL_LABEL in (pod.metadata.labels or {})]
        if any(pod.status.phase in ("Running", "Succeeded") for pod in pods):
            return None
        for pod in pods:
            for status in pod.status.container_statuses or []:
                waiting = status.state.waiting if status.state else None
                if waiting and waiting.reason in _STUCK:
                    return _STUCK[waiting.reason], (
                        f"trials of {self.plan.name} cannot begin: pod {pod.metadata.name}, {waiting.reason}:"
                        f" {waiting.message}; check cluster.images, image_pull_secrets and secrets"
                    )
        own = [event for event in events if (event.involved_object.name or "").startswith(self.plan.name)]
        full = [event.message for event in own if "exceeded quota" in (event.message or "")]
        if full and not pods:
            told = f"trials of {self.plan.name} cannot begin: {full[-1]}; raise the ResourceQuota"
            return "quota", told
        return None

    @property
    def _where(self) -> str:
        return f"experiment {self.plan.name} in namespace {self.namespace}"

    def _custom(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api)

    def _asked(self, verb: str, ask: Callable[[], Any]) -> Any:
        """Ask, again where the API server fails."""
        for attempt in range(1, FAILURES + 1):
            try:
                return ask()
            except ApiException as error:
                passing = error.status == 429 or (error.status or 0) >= 500
                if attempt == FAILURES or not passing:
                    raise self._explained(error, verb) from error
            except urllib3.exceptions.HTTPError as error:
                if attempt == FAILURES:
                    raise _unreachable(error) from error
            time.sleep(PAUSE)
        raise AssertionError("unreachable")

    def _explained(self, error: ApiException, verb: str) -> TuningError:
        told = _message(error)
        where = self._where
        if error.status == 403:
            why = "quota" if "quota" in told else "permission"
            what = {
                "quota": "raise the ResourceQuota",
                "permission": f"the task's service account needs {verb} on experiments and trials of"
                " kubeflow.org: manifests/components/katib has the Role",
            }
            return TuningError(f"{where}: {told}; {what[why]}")
        if error.status == 404:
            return TuningError(f"{where}: the cluster has no Katib; install it, or let optuna be the tuner")
        return TuningError(f"{where}: {error.status} {told}")


def _unreachable(error: Exception) -> TuningError:
    return TuningError(f"tuner katib: the API server cannot be reached ({type(error).__name__})")


def _message(error: ApiException) -> str:
    with suppress(ValueError, TypeError, KeyError):
        return " ".join(str(json.loads(error.body)["message"]).split())[:300]
    return str(error.reason)


def _conditions(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    conditions = (found.get("status") or {}).get("conditions") or []
    return [condition for condition in conditions if condition.get("status") == "True"]


def _record(trial: Mapping[str, Any]) -> dict[str, Any] | None:
    """One trial; None while it runs."""
    ended = [condition for condition in _conditions(trial) if condition["type"] in _STATES]
    if not ended:
        return None
    error = _error(trial)
    kind = ended[-1]["type"]
    state = _STATES[kind]
    reason = str(ended[-1].get("message") or ended[-1].get("reason") or "")
    if error is None and kind in ("Succeeded", "MetricsUnavailable"):
        state, reason = "failed", f"it printed no {METRIC}=: see the log of its pod"
    assignments = trial["spec"].get("parameterAssignments") or []
    return {
        "parameters": {found["name"]: str(found["value"]) for found in assignments},
        "error": error,
        "state": state,
        "reason": "" if state == "complete" else reason,
    }


def _error(trial: Mapping[str, Any]) -> float | None:
    metrics = ((trial.get("status") or {}).get("observation") or {}).get("metrics") or []
    for metric in metrics:
        if metric.get("name") == METRIC:
            with suppress(ValueError, TypeError):  # Katib writes "unavailable"
                latest = float(metric.get("latest"))
                return latest if math.isfinite(latest) else None
    return None


@contextmanager
def deleted_when_stopped(running: Running) -> Iterator[None]:
    """Delete the Experiment where this process is told to end; what is killed leaves it to its label."""

    def stop(*_: Any) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        running.delete()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
