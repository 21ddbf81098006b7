"""Resources, placement and variables of each task's pod, set when the pipeline is compiled."""

from collections.abc import Mapping
from typing import Any

from kfp import kubernetes
from kfp.dsl.pipeline_context import Pipeline

from kubecast import retrying
from kubecast.components import images
from kubecast.config.cluster import Affinity, SearchVariables, SecretVariables, TaskSettings, TrialPod
from kubecast.environment import ACCELERATORS_VARIABLE, WORKFLOW_VARIABLE
from kubecast.logs import RUN_VARIABLE, TASK_VARIABLE
from kubecast.settings.cluster import ClusterSettings
from kubecast.settings.loading import AllSettings
from kubecast.steps.notify import URL_VARIABLE

MAX_LABEL = 63
TASK_LABEL = "kubecast/task"
ACCELERATORS_ANNOTATION = "kubecast/accelerators"
SHARED_MEMORY = "/dev/shm"  # noqa: S108  a volume of the pod's own
SCRATCH = "/tmp"  # noqa: S108  likewise


def configure_all(settings: AllSettings, resources: Mapping[str, TaskSettings] | None = None) -> None:
    """Configure every task of the graph that is being compiled; the last call in its function.

    Args:
        settings: Settings files.
        resources: Resources by task, where they are not those of the component in ``cluster.yaml``.
    """
    for task in Pipeline.get_default_pipeline().tasks.values():
        if task.container_spec is None:  # a graph, which configures its own tasks
            continue
        component = task.component_spec.name.replace("-", "_")
        own = (resources or {}).get(task.name) or settings.cluster.task(component)
        configure(task, component, own, settings.cluster, settings.training.model_name)


def configure(
    task: Any, component: str, resources: TaskSettings, cluster: ClusterSettings, model_name: str
) -> None:
    """Set image, resources, placement, retries, deadline, security context, variables and labels of one task.

    Args:
        task: Task of KFP.
        component: Name of its component.
        resources: Resources that it requests.
        cluster: See ``cluster.yaml``.
        model_name: For the label ``kubecast/model``.
    """
    task.set_container_image(image_of(task.container_spec.image, resources, cluster))
    _resources(task, resources)
    _placement(task, resources)
    retries = cluster.retries
    task.set_retry(
        num_retries=retries.attempts,
        backoff_duration=f"{retries.backoff_seconds}s",
        backoff_factor=retries.backoff_factor,
        backoff_max_duration=f"{retries.longest(resources.timeout)}s",
    )
    kubernetes.set_timeout(task, resources.timeout)
    kubernetes.set_security_context(
        task, run_as_user=cluster.run_as_user, run_as_group=cluster.run_as_group, run_as_non_root=True
    )
    display_name = task._task_spec.display_name or task.name
    own = {TASK_VARIABLE: display_name, retrying.VARIABLE: str(retries.seconds)}
    searching = cluster.tuning if component.startswith("tune_") else SearchVariables()
    for name, value in (own | cluster.environment | searching.environment).items():
        task.set_env_variable(name, value)
    for secret in [*cluster.secrets, *searching.secrets]:
        _secret(task, secret)
    if cluster.notifications and component.startswith("notify_"):
        # Optional: a task whose Secret is missing would never start, nor would the run end.
        variables = {cluster.notifications.key: URL_VARIABLE}
        kubernetes.use_secret_as_env(task, cluster.notifications.secret, variables, optional=True)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, cluster.image_pull_secrets)
    for key, value in _labels(cluster, model_name).items():
        kubernetes.add_pod_label(task, key, value)
    kubernetes.add_pod_label(task, TASK_LABEL, display_name)
    # Read from the pod's labels: an argument with the run would keep the task from being cached.
    variables = {RUN_VARIABLE: "pipeline/runid"}
    if component.startswith("notify_") or component.endswith("_katib"):
        variables[WORKFLOW_VARIABLE] = "workflows.argoproj.io/workflow"  # which it reads
    for variable, label in variables.items():
        kubernetes.use_field_path_as_env(task, variable, f"metadata.labels['{label}']")


def label_of(model_name: str) -> str:
    """A model's name as the value of a label: at most 63 characters, the last a letter or digit."""
    return model_name[:MAX_LABEL].rstrip("._-")


def trial_pod(image: str, resources: TaskSettings, settings: AllSettings) -> TrialPod:
    """Describe the pod of a Katib trial, with the resources of its model's training.

    Args:
        image: Image of the trainer.
        resources: Resources of the trainer's task.
        settings: Settings files.
    """
    cluster = settings.cluster
    return TrialPod(
        image=image_of(image, resources, cluster),
        task=resources,
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


def image_of(image: str, resources: TaskSettings, cluster: ClusterSettings) -> str:
    """The reference that the cluster pulls: by name from ``images``, else below ``image_repository``.

    A task that requests an accelerator gets TensorFlow with CUDA.
    """
    if resources.accelerator and image == images.TENSORFLOW:
        image = images.TENSORFLOW_GPU
    name, _, tag = image.partition(":")
    if name in cluster.images:
        return cluster.images[name]
    reference = f"{name}:{cluster.image_tag or tag}"
    return f"{cluster.image_repository}/{reference}" if cluster.image_repository else reference


def _resources(task: Any, resources: TaskSettings) -> None:
    task.set_cpu_request(resources.cpu_request)
    task.set_cpu_limit(resources.cpu_limit)
    task.set_memory_request(resources.memory_request)
    task.set_memory_limit(resources.memory_limit)
    if resources.accelerator:
        task.set_accelerator_type(resources.accelerator.type)
        task.set_accelerator_limit(resources.accelerator.count)
        # The container cannot see what it requests; its own variables would replace those of a local runner.
        kubernetes.add_pod_annotation(task, ACCELERATORS_ANNOTATION, str(resources.accelerator.count))
        field = f"metadata.annotations['{ACCELERATORS_ANNOTATION}']"
        kubernetes.use_field_path_as_env(task, ACCELERATORS_VARIABLE, field)
    if resources.shared_memory:
        # A container's own /dev/shm has 64 MB.
        kubernetes.empty_dir_mount(
            task, "shared-memory", SHARED_MEMORY, medium="Memory", size_limit=resources.shared_memory
        )
    if resources.scratch:
        kubernetes.empty_dir_mount(task, "scratch", SCRATCH, size_limit=resources.scratch)


def _placement(task: Any, resources: TaskSettings) -> None:
    for key, value in resources.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for taint in resources.tolerations:
        kubernetes.add_toleration(task, taint.key, taint.operator, taint.value or None, taint.effect)
    # Kubernetes takes a node that meets any one of several terms, so all requirements are one term.
    if required := [_expression(wish) for wish in resources.affinity if wish.weight is None]:
        kubernetes.add_node_affinity(task, match_expressions=required)
    for wish in resources.affinity:
        if wish.weight is not None:
            kubernetes.add_node_affinity(task, match_expressions=[_expression(wish)], weight=wish.weight)


def _expression(wish: Affinity) -> dict[str, Any]:
    return {"key": wish.key, "operator": wish.operator, "values": wish.values}


def _secret(task: Any, secret: SecretVariables) -> None:
    variables = {key: variable for variable, key in secret.variables.items()}
    kubernetes.use_secret_as_env(task, secret.secret, variables)
