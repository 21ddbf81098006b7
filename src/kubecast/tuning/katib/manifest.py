"""The Experiment of a search, and the Job of each of its trials, as the API server takes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kubeflow_katib_api import models
from kubernetes import client

from kubecast.config.cluster import Affinity, TaskSettings, TrialPod
from kubecast.config.search import Space
from kubecast.config.training import OptimizationSettings
from kubecast.environment import ACCELERATORS_VARIABLE
from kubecast.logs import RUN_VARIABLE
from kubecast.tuning.heartbeat import ANNOTATION, CONFIG_MAP, FILE, FOLDER, RUN_LABEL, format_time
from kubecast.tuning.trial import METRIC, VARIABLE

GROUP, VERSION = "kubeflow.org", "v1beta1"
OWN_LABEL = "app.kubernetes.io/name"
CONTAINER = "trial"
_LARGER = {"Ki": "Mi", "Mi": "Gi", "Gi": "Ti"}


@dataclass(frozen=True)
class Plan:
    """The plan of a search by Katib.

    Attributes:
        name: Of the Experiment.
        run: Of the pipeline, by which a leftover is recognised.
        space: What may be changed.
        optimization: How long.
        workers: Trials at one time.
        trial: For ``KUBECAST_TRIAL``.
        pod: What a trial's pod is given.
        workflow: Name of the Workflow that the Experiment is removed with; empty where there is none.
    """

    name: str
    run: str
    space: Space
    optimization: OptimizationSettings
    workers: int
    trial: Mapping[str, Any]
    pod: TrialPod
    workflow: str = ""


def experiment(plan: Plan, now: datetime, owner: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The Experiment.

    Args:
        plan: What Katib is to search.
        now: When it is created; ``optimization.timeout`` is counted from it.
        owner: Reference to the object that it is removed with.
    """
    limits = plan.optimization
    labels = {**plan.pod.labels, RUN_LABEL: plan.run}
    until = now + timedelta(seconds=limits.timeout)
    spec = models.V1beta1ExperimentSpec(
        objective=models.V1beta1ObjectiveSpec(
            type="minimize",
            objectiveMetricName=METRIC,
            metricStrategies=[models.V1beta1MetricStrategy(name=METRIC, value="latest")],
        ),
        algorithm=models.V1beta1AlgorithmSpec(algorithmName="tpe"),
        earlyStopping=models.V1beta1EarlyStoppingSpec(algorithmName="medianstop")
        if plan.pod.early_stopping == "median"
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
            trialSpec=job(plan, labels, until),
        ),
    )
    metadata = {
        "name": plan.name,
        # Katib copies them to the pod of its algorithm, which is none of those that OWN_LABEL marks.
        "labels": {key: value for key, value in labels.items() if key != OWN_LABEL},
        "annotations": {ANNOTATION: format_time(now)},
        **({"ownerReferences": [dict(owner)]} if owner else {}),
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "Experiment",
        "metadata": metadata,
        "spec": spec.to_dict(),
    }


def command(space: Space) -> list[str]:
    """A trial's command: Katib joins the words with spaces and gives them to a shell."""
    return ["kubecast", "trial", *(f"{name}=${{trialParameters.{name}}}" for name in space)]


def job(plan: Plan, labels: Mapping[str, str], until: datetime) -> dict[str, Any]:
    """The Job of one trial, without anything empty: Katib refuses what Kubernetes would leave out again.

    Args:
        plan: What Katib is to search.
        labels: Of the pod.
        until: When the search ends.
    """
    # A node that was drained or reclaimed says nothing of a trial's settings: it is begun again.
    disrupted = client.V1PodFailurePolicyOnPodConditionsPattern(type="DisruptionTarget", status="True")
    rule = client.V1PodFailurePolicyRule(action="Ignore", on_pod_conditions=[disrupted])
    metadata = client.V1ObjectMeta(
        labels=dict(labels),
        annotations={"sidecar.istio.io/inject": "false"},  # a mesh's proxy would never end
    )
    spec = client.V1JobSpec(
        backoff_limit=0,  # a trial that fails by itself says something of its settings
        pod_failure_policy=client.V1PodFailurePolicy(rules=[rule]),
        # All that the search has left when its first trial begins; one that begins later is given ``until``.
        active_deadline_seconds=plan.optimization.timeout,
        template=client.V1PodTemplateSpec(metadata=metadata, spec=_pod(plan, until)),
    )
    made = client.V1Job(api_version="batch/v1", kind="Job", spec=spec)
    document: dict[str, Any] = client.ApiClient().sanitize_for_serialization(made)
    return document


def _pod(plan: Plan, until: datetime) -> Any:
    pod, task = plan.pod, plan.pod.task
    volumes = _volumes(plan)
    return client.V1PodSpec(
        service_account_name=pod.service_account,
        automount_service_account_token=False,
        restart_policy="Never",
        security_context=client.V1PodSecurityContext(
            run_as_non_root=True,
            run_as_user=pod.run_as_user,
            run_as_group=pod.run_as_group,
            seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
        ),
        containers=[_container(plan, until, {path: volume.name for path, volume in volumes.items()})],
        volumes=list(volumes.values()),
        image_pull_secrets=[client.V1LocalObjectReference(name=name) for name in pod.image_pull_secrets]
        or None,
        node_selector=dict(task.node_selector) or None,
        tolerations=[
            client.V1Toleration(**taint.model_dump(exclude=None if taint.value else {"value"}))
            for taint in task.tolerations
        ]
        or None,
        affinity=_affinity(task.affinity),
    )


def _container(plan: Plan, until: datetime, mounts: Mapping[str, str]) -> Any:
    pod = plan.pod
    trial = {**plan.trial, "heartbeat": f"{FOLDER}/{FILE}", "until": until.timestamp()}
    return client.V1Container(
        name=CONTAINER,
        image=pod.image,
        command=command(plan.space),
        env=[
            # Katib and Kubernetes put something in the place of ${…} and $(…).
            client.V1EnvVar(name=VARIABLE, value=json.dumps(trial).replace("$", "\\u0024")),
            client.V1EnvVar(name=RUN_VARIABLE, value=plan.run),
            *_accelerators(pod),
            *(client.V1EnvVar(name=name, value=value) for name, value in pod.environment.items()),
            *_secrets(pod),
        ],
        resources=_resources(pod.task),
        security_context=client.V1SecurityContext(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=client.V1Capabilities(drop=["ALL"]),
        ),
        volume_mounts=[client.V1VolumeMount(name=name, mount_path=path) for path, name in mounts.items()],
    )


def _resources(task: TaskSettings) -> Any:
    limits = {"cpu": task.cpu_limit, "memory": task.memory_limit}
    if task.accelerator:
        limits[task.accelerator.type] = str(task.accelerator.count)
    requests = {"cpu": task.cpu_request, "memory": task.memory_request}
    return client.V1ResourceRequirements(requests=requests, limits=limits)


def _volumes(plan: Plan) -> dict[str, Any]:
    """By path; the heartbeat's key may be missing, as where the ConfigMap is not there."""
    key = client.V1KeyToPath(key=plan.name, path=FILE)
    heartbeats = client.V1ConfigMapVolumeSource(name=CONFIG_MAP, optional=True, items=[key])
    size = _canonical(plan.pod.task.scratch) if plan.pod.task.scratch else None
    scratch = client.V1EmptyDirVolumeSource(size_limit=size)
    volumes = {
        "/tmp": client.V1Volume(name="tmp", empty_dir=scratch),  # noqa: S108  its own
        FOLDER: client.V1Volume(name="heartbeat", config_map=heartbeats),
    }
    if plan.pod.task.shared_memory:
        memory = client.V1EmptyDirVolumeSource(
            medium="Memory", size_limit=_canonical(plan.pod.task.shared_memory)
        )
        volumes["/dev/shm"] = client.V1Volume(name="shared-memory", empty_dir=memory)  # noqa: S108  as above
    return volumes


def _accelerators(pod: TrialPod) -> list[Any]:
    accelerator = pod.task.accelerator
    return [client.V1EnvVar(name=ACCELERATORS_VARIABLE, value=str(accelerator.count))] if accelerator else []


def _secrets(pod: TrialPod) -> list[Any]:
    return [
        client.V1EnvVar(
            name=variable,
            value_from=client.V1EnvVarSource(
                secret_key_ref=client.V1SecretKeySelector(name=secret.secret, key=key)
            ),
        )
        for secret in pod.secrets
        for variable, key in secret.variables.items()
    ]


def _canonical(memory: str) -> str:
    """As Kubernetes writes it back: 2Gi for 2048Mi."""
    number, unit = int(memory[:-2]), memory[-2:]
    while number and number % 1024 == 0 and unit != "Ti":
        number, unit = number // 1024, _LARGER[unit]
    return f"{number}{unit}"


def _affinity(wishes: Sequence[Affinity]) -> Any:
    """None where nothing is wished for."""

    def expression(wish: Affinity) -> Any:
        return client.V1NodeSelectorRequirement(
            key=wish.key, operator=wish.operator, values=list(wish.values) or None
        )

    def term(expressions: list[Any]) -> Any:
        return client.V1NodeSelectorTerm(match_expressions=expressions)

    required = [expression(wish) for wish in wishes if wish.weight is None]
    preferred = [
        client.V1PreferredSchedulingTerm(weight=wish.weight, preference=term([expression(wish)]))
        for wish in wishes
        if wish.weight is not None
    ]
    if not required and not preferred:
        return None
    node = client.V1NodeAffinity(
        required_during_scheduling_ignored_during_execution=client.V1NodeSelector(
            node_selector_terms=[term(required)]
        )
        if required
        else None,
        preferred_during_scheduling_ignored_during_execution=preferred or None,
    )
    return client.V1Affinity(node_affinity=node)
