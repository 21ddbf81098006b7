"""What a task asks of the cluster, set on the task when the pipeline is compiled."""

from collections.abc import Mapping
from typing import Any

from kfp import kubernetes
from kfp.dsl.pipeline_context import Pipeline

from components import images
from kubecast import retrying
from kubecast.config.cluster import (
    Affinity,
    ClusterSettings,
    SearchVariables,
    SecretVariables,
    TaskSettings,
    TrialPod,
)
from kubecast.environment import ACCELERATORS_VARIABLE, WORKFLOW_VARIABLE
from kubecast.logs import RUN_VARIABLE, TASK_VARIABLE
from kubecast.settings.loading import AllSettings
from kubecast.steps.notify import URL_VARIABLE

MAX_LABEL = 63
TASK_LABEL = "kubecast/task"
ACCELERATORS_ANNOTATION = "kubecast/accelerators"
SHARED_MEMORY = "/dev/shm"  # noqa: S108  a volume of the pod's own


def configure_all(settings: AllSettings, asked: Mapping[str, TaskSettings] | None = None) -> None:
    """Configure every task of the graph that is being compiled; the last call in its function.

    Args:
        settings: Settings files.
        asked: By task, where it is not what ``cluster.yaml`` says of the component.
    """
    for task in Pipeline.get_default_pipeline().tasks.values():
        if task.container_spec is None:  # a graph, which configures its own tasks
            continue
        component = task.component_spec.name.replace("-", "_")
        found = (asked or {}).get(task.name) or settings.cluster.of(component)
        configure(task, component, found, settings.cluster, settings.training.model_name)


def configure(
    task: Any, component: str, asked: TaskSettings, cluster: ClusterSettings, model_name: str
) -> None:
    """Set image, resources, placement, retries, deadline, security context, variables and labels of one task.

    Args:
        task: Of KFP.
        component: Its name.
        asked: What it asks for.
        cluster: See ``cluster.yaml``.
        model_name: For the label ``kubecast/model``.
    """
    task.set_container_image(image_of(task.container_spec.image, asked, cluster))
    _resources(task, asked)
    _placement(task, asked)
    retries = cluster.retries
    task.set_retry(
        num_retries=retries.attempts,
        backoff_duration=f"{retries.backoff_seconds}s",
        backoff_factor=retries.backoff_factor,
        backoff_max_duration=f"{retries.longest(asked.timeout)}s",
    )
    kubernetes.set_timeout(task, asked.timeout)
    kubernetes.set_security_context(
        task, run_as_user=cluster.run_as_user, run_as_group=cluster.run_as_group, run_as_non_root=True
    )
    named = task._task_spec.display_name or task.name
    own = {TASK_VARIABLE: named, retrying.VARIABLE: str(retries.seconds)}
    searching = cluster.tuning if component.startswith("tune_") else SearchVariables()
    for name, value in (own | cluster.environment | searching.environment).items():
        task.set_env_variable(name, value)
    for secret in [*cluster.secrets, *searching.secrets]:
        _secret(task, secret)
    if cluster.notices and component.startswith("notify_"):
        # Optional: a task whose Secret is missing would never start, nor would the run end.
        variables = {cluster.notices.key: URL_VARIABLE}
        kubernetes.use_secret_as_env(task, cluster.notices.secret, variables, optional=True)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, cluster.image_pull_secrets)
    for key, value in _labels(cluster, model_name).items():
        kubernetes.add_pod_label(task, key, value)
    kubernetes.add_pod_label(task, TASK_LABEL, named)
    # Read from the pod's labels: an argument with the run would keep the task from being cached.
    variables = {RUN_VARIABLE: "pipeline/runid"}
    if component.startswith("notify_") or component.endswith("_katib"):
        variables[WORKFLOW_VARIABLE] = "workflows.argoproj.io/workflow"  # which it reads
    for variable, label in variables.items():
        kubernetes.use_field_path_as_env(task, variable, f"metadata.labels['{label}']")


def label_of(model_name: str) -> str:
    """A model's name as a label's value: at most 63 characters, the last a letter or digit."""
    return model_name[:MAX_LABEL].rstrip("._-")


def trial_pod(image: str, asked: TaskSettings, settings: AllSettings) -> TrialPod:
    """What a trial's pod of Katib is given: what the training of its model has.

    Args:
        image: Of the trainer.
        asked: Of the trainer's task.
        settings: Settings files.
    """
    cluster = settings.cluster
    return TrialPod(
        image=image_of(image, asked, cluster),
        task=asked,
        run_as_user=cluster.run_as_user,
        run_as_group=cluster.run_as_group,
        labels=_labels(cluster, settings.training.model_name),
        environment=cluster.environment | {retrying.VARIABLE: str(cluster.retries.seconds)},
        secrets=cluster.secrets,
        image_pull_secrets=cluster.image_pull_secrets,
        service_account=cluster.katib.service_account,
        endpoint=cluster.katib.endpoint,
        region=cluster.katib.region,
        early_stopping=cluster.katib.early_stopping,
    )


def _labels(cluster: ClusterSettings, model_name: str) -> dict[str, str]:
    return {
        **cluster.labels,
        "app.kubernetes.io/name": "kubecast",
        "kubecast/model": label_of(model_name),
        "kubecast/version": cluster.image_tag or images.TAG,
    }


def image_of(image: str, asked: TaskSettings, cluster: ClusterSettings) -> str:
    """The reference that the cluster pulls: by name from ``images``, else below ``image_repository``.

    A task that asks for an accelerator gets TensorFlow with CUDA.
    """
    if asked.accelerator and image == images.TENSORFLOW:
        image = images.TENSORFLOW_GPU
    name, _, tag = image.partition(":")
    if name in cluster.images:
        return cluster.images[name]
    named = f"{name}:{cluster.image_tag or tag}"
    return f"{cluster.image_repository}/{named}" if cluster.image_repository else named


def _resources(task: Any, asked: TaskSettings) -> None:
    task.set_cpu_request(asked.cpu_request)
    task.set_cpu_limit(asked.cpu_limit)
    task.set_memory_request(asked.memory_request)
    task.set_memory_limit(asked.memory_limit)
    if asked.accelerator:
        task.set_accelerator_type(asked.accelerator.type)
        task.set_accelerator_limit(asked.accelerator.count)
        # The container cannot see what it asked for; its own variables would replace those of a local runner.
        kubernetes.add_pod_annotation(task, ACCELERATORS_ANNOTATION, str(asked.accelerator.count))
        told = f"metadata.annotations['{ACCELERATORS_ANNOTATION}']"
        kubernetes.use_field_path_as_env(task, ACCELERATORS_VARIABLE, told)
    if asked.shared_memory:
        # A container's own /dev/shm has 64 MB.
        kubernetes.empty_dir_mount(
            task, "shared-memory", SHARED_MEMORY, medium="Memory", size_limit=asked.shared_memory
        )


def _placement(task: Any, asked: TaskSettings) -> None:
    for key, value in asked.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for taint in asked.tolerations:
        kubernetes.add_toleration(task, taint.key, taint.operator, taint.value or None, taint.effect)
    # Kubernetes takes a node that meets any one of several terms, so all requirements are one term.
    if required := [_expression(wish) for wish in asked.affinity if wish.weight is None]:
        kubernetes.add_node_affinity(task, match_expressions=required)
    for wish in asked.affinity:
        if wish.weight is not None:
            kubernetes.add_node_affinity(task, match_expressions=[_expression(wish)], weight=wish.weight)


def _expression(wish: Affinity) -> dict[str, Any]:
    return {"key": wish.key, "operator": wish.operator, "values": wish.values}


def _secret(task: Any, secret: SecretVariables) -> None:
    variables = {key: variable for variable, key in secret.variables.items()}
    kubernetes.use_secret_as_env(task, secret.secret, variables)
