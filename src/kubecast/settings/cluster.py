"""``cluster.yaml``: what each task requests of a cluster, decided when the pipeline is compiled."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, create_model, model_validator

from kubecast.config.base import PositiveInt, Settings
from kubecast.config.cluster import (
    AcceleratedTask,
    Image,
    ImageTag,
    KatibSettings,
    LabelKey,
    LabelValue,
    NotificationSettings,
    ObjectName,
    Retries,
    SearchVariables,
    SecretVariables,
    SmallTask,
    TaskSettings,
    WorkSettings,
)
from kubecast.config.gpu_nodes import GpuLabels, node_selector
from kubecast.config.schedules import ConnectionSettings, Schedules
from kubecast.environment import Environment
from kubecast.models import KINDS

if TYPE_CHECKING:
    ImageName = str
else:  # so that a message names what is allowed
    ImageName = Literal[
        tuple(
            f"kubecast-{name}"
            for name in dict.fromkeys(
                ["base", *(kind.image for kind in KINDS.values()), "tensorflow-gpu", "serving"]
            )
        )
    ]


def _not_our_own(labels: dict[str, str]) -> dict[str, str]:
    for key in labels:
        if key == "app.kubernetes.io/name" or key.startswith("kubecast/"):
            raise ValueError(
                f"{key} is kubecast's own; allowed: any but kubecast/* and app.kubernetes.io/name"
            )
    return labels


class FixedTasks(Settings):
    """The resources of tasks by component, but for those that train."""

    renamed: ClassVar[Mapping[str, str]] = {"batch_forecast": "forecast_shard"}

    resolve_inputs: TaskSettings = TaskSettings()  # with an as_of it reads every row
    prepare_data: TaskSettings = TaskSettings()
    tune_katib: SmallTask = SmallTask()
    tune_ensemble: TaskSettings = TaskSettings(memory_limit="16Gi", timeout=14400)
    stack_ensemble: TaskSettings = TaskSettings()
    forecast_champion: TaskSettings = TaskSettings()
    evaluate_models: TaskSettings = TaskSettings()
    register_model: TaskSettings = TaskSettings()
    notify_success: SmallTask = SmallTask()
    notify_failure: SmallTask = SmallTask()
    prepare_history: TaskSettings = TaskSettings()
    forecast_shard: TaskSettings = TaskSettings()
    publish_batch: TaskSettings = TaskSettings()

    @model_validator(mode="after")
    def _accelerators_are_used(self) -> Self:
        allowed = ", ".join(f"train_{name}" for name, kind in KINDS.items() if kind.accelerated)
        for name in type(self).model_fields:
            resources: TaskSettings = getattr(self, name)
            if resources.accelerator and not isinstance(resources, AcceleratedTask):
                raise ValueError(
                    f"{name} asks for an accelerator, which its image would not use; allowed: {allowed}"
                )
        return self


if TYPE_CHECKING:

    class Tasks(FixedTasks):
        """The resources of tasks by component."""
else:
    Tasks = create_model(
        "Tasks",
        __base__=FixedTasks,
        __doc__="The resources of tasks by component; a final fit and a search have those of the training.",
        **{
            f"train_{name}": (AcceleratedTask, AcceleratedTask())
            if kind.accelerated
            else (TaskSettings, TaskSettings())
            for name, kind in KINDS.items()
        },
    )


class ClusterSettings(Settings):
    """``cluster.yaml``."""

    renamed: ClassVar[Mapping[str, str]] = {"notices": "notifications"}

    image_repository: str = Field(
        default="",
        pattern=r"^([a-z0-9][A-Za-z0-9.:/_-]*[a-z0-9])?$",
        description="put before every image's name, as `make push` prints it; or localhost",
        examples=["ghcr.io/team"],
    )
    image_tag: ImageTag = Field(
        default="",
        description="of every image that images does not name, and label kubecast/version",
        examples=["0.1.0-0123456789ab"],
    )
    images: dict[ImageName, Image] = Field(
        default={},
        description="whole references by image name, also by digest, NAME@sha256:...",
        examples=[{"kubecast-base": "ghcr.io/team/kubecast-base:0.1.0-0123456789ab"}],
    )
    image_pull_secrets: list[ObjectName] = Field(
        default=[], description="names of Secrets in the namespace of the runs", examples=[["registry-key"]]
    )
    gpu: bool = Field(default=True, description="false: no task asks for an accelerator")
    gpu_nodes: GpuLabels | Annotated[dict[LabelKey, LabelValue], Field(min_length=1)] = Field(
        default="operator", description="by NVIDIA's GPU operator; or gke, eks, aks, none, {label: value}"
    )
    gpu_scale_from_zero: bool = Field(
        default=False, description="true: an autoscaler makes GPU nodes; submit looks for none"
    )
    run_as_user: PositiveInt = Field(default=1000, description="of every container")
    run_as_group: Annotated[int, Field(ge=0)] = Field(default=0, description="of every container")
    labels: Annotated[dict[LabelKey, LabelValue], AfterValidator(_not_our_own)] = Field(
        default={}, description="on every pod, beside kubecast's own", examples=[{"cost-center": "1234"}]
    )
    environment: Environment = Field(
        default={},
        description="plain variables of every task, here the address of the store; no secrets",
        examples=[
            {
                "AWS_ENDPOINT_URL": "http://kubecast-seaweedfs:8333",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1",
            }
        ],
    )
    secrets: list[SecretVariables] = Field(
        default=[],
        description="environment variables from the keys of a Secret",
        examples=[
            [
                {
                    "secret": "kubecast-object-store",
                    "variables": {"AWS_ACCESS_KEY_ID": "accesskey", "AWS_SECRET_ACCESS_KEY": "secretkey"},
                }
            ]
        ],
    )
    tuning: SearchVariables = Field(
        default=SearchVariables(),
        description="the same, of the tasks that search alone: the database that they share",
        examples=[
            {
                "environment": {"KUBECAST_OPTUNA_URL": "postgresql://optuna@kubecast-postgres/optuna"},
                "secrets": [{"secret": "kubecast-postgres", "variables": {"PGPASSWORD": "password"}}],
            }
        ],
    )
    retries: Retries = Retries()
    parallelism: Annotated[int, Field(ge=1, le=64)] = Field(
        default=8, description="shards at one time, each a pod of forecast_shard's size"
    )
    work: WorkSettings = WorkSettings()
    tasks: Tasks = Field(
        default=Tasks(), description="by component; a final fit and a search ask for what the training does"
    )
    katib: KatibSettings = Field(
        default=KatibSettings(), description="of its searches; the pods of its trials have no launcher"
    )
    notifications: NotificationSettings | None = Field(
        default=None,
        description="of runs that end, to a webhook; none unless named",
        examples=[
            {"secret": "kubecast-notices", "key": "url", "style": "slack", "events": ["success", "failure"]}
        ],
    )
    connection: ConnectionSettings = Field(
        default=ConnectionSettings(), description="how submit, status and schedule reach Kubeflow Pipelines"
    )
    schedules: Schedules = Field(
        default=[],
        description="`kubecast schedule apply`; times are the cluster's, UTC as a rule",
        examples=[
            [
                {
                    "name": "nightly-retrain",
                    "cron": "0 2 * * *",
                    "mode": "retrain",
                    "parameters": {"data": "s3://demand/current.parquet"},
                },
                {
                    "name": "weekly-tune",
                    "cron": "0 3 * * sun",
                    "mode": "tune",
                    "parameters": {"data": "s3://demand/current.parquet"},
                },
            ]
        ],
    )

    @model_validator(mode="after")
    def _repository_has_a_tag(self) -> Self:
        if self.image_repository and not self.image_tag:
            raise ValueError(
                f"image_repository {self.image_repository} without image_tag; allowed: both, as `make push`"
                " prints them"
            )
        return self

    @model_validator(mode="after")
    def _each_variable_once(self) -> Self:
        plain = self.environment | self.tuning.environment
        for each in [*self.secrets, *self.tuning.secrets]:
            for name in sorted(plain.keys() & each.variables.keys()):
                raise ValueError(
                    f"{name} is in environment and in secrets, from {each.secret}; allowed: in one of them"
                )
        return self

    @model_validator(mode="after")
    def _faults_pass_before_deadlines(self) -> Self:
        for name in type(self.tasks).model_fields:
            timeout = getattr(self.tasks, name).timeout
            if self.retries.seconds >= timeout:
                raise ValueError(
                    f"retries.seconds {self.retries.seconds}, tasks.{name}.timeout {timeout}; allowed: a"
                    " timeout that is longer than what the task may wait for faults to pass"
                )
        return self

    def task(self, component: str) -> TaskSettings:
        """The resources of a component's tasks.

        A task with an accelerator that names no nodes of its own gets those of ``gpu_nodes``; where ``gpu``
        is false it has neither accelerator nor nodes.
        """
        resources: TaskSettings = getattr(self.tasks, component)
        if resources.accelerator is None:
            return resources
        if self.gpu:
            own = "node_selector" in resources.model_fields_set
            return (
                resources
                if own
                else resources.model_copy(update={"node_selector": node_selector(self.gpu_nodes)})
            )
        without: dict[str, Any] = {
            "accelerator": None,
            "node_selector": {},
            "tolerations": [],
            "affinity": [],
        }
        return resources.model_copy(update=without)
