"""``cluster.yaml``: what each task asks of a cluster, decided when the pipeline is compiled."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kubecast.schedules import ConnectionSettings, Schedules
from kubecast.settings import PositiveFloat, PositiveInt, Settings

_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
Cpu = Annotated[str, Field(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti)$")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
LabelKey = Annotated[str, Field(pattern=rf"^([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}$")]
LabelValue = Annotated[str, Field(pattern=rf"^({_NAME})?$")]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


def _fixed(name: str) -> str:
    if name == "latest" or name.endswith(":latest"):
        raise ValueError(f"{name} moves; allowed: a tag that never does, or a digest")
    return name


Image = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][A-Za-z0-9._/-]*(:[0-9]+/[A-Za-z0-9._/-]+)?[:@][A-Za-z0-9._:-]+$"),
    AfterValidator(_fixed),
]
ImageTag = Annotated[LabelValue, AfterValidator(_fixed)]
"""A tag that the label ``kubecast/version`` can hold too."""

ImageName = Literal[
    "kubecast-base",
    "kubecast-arima",
    "kubecast-tensorflow",
    "kubecast-tensorflow-gpu",
    "kubecast-catboost",
    "kubecast-serving",
]


def _not_our_own(labels: dict[str, str]) -> dict[str, str]:
    for key in labels:
        if key == "app.kubernetes.io/name" or key.startswith("kubecast/"):
            raise ValueError(
                f"{key} is kubecast's own; allowed: any but kubecast/* and app.kubernetes.io/name"
            )
    return labels


ACCELERATORS_VARIABLE = "KUBECAST_ACCELERATORS"
"""Of a task's pod: how many accelerators it asked for; not set where it asked for none."""


class Accelerator(Settings):
    """What a task needs beside processors, as the node's device plugin calls it."""

    type: LabelKey = "nvidia.com/gpu"
    count: PositiveInt = 1


class Toleration(Settings):
    """Lets a pod onto nodes with this taint."""

    key: LabelKey
    operator: Literal["Exists", "Equal"] = "Exists"
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] = "NoSchedule"

    @model_validator(mode="after")
    def _value_is_compared(self) -> Self:
        if self.value and self.operator == "Exists":
            raise ValueError(f"value {self.value} has no effect with operator Exists; allowed: Equal")
        return self


_VALUES = {"Exists": "none", "DoesNotExist": "none", "Gt": "one", "Lt": "one"}


class Affinity(Settings):
    """Nodes that a pod may run on, which meet every requirement, or with a weight prefers."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = "In"
    values: list[LabelValue] = Field(default=[])
    weight: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="of a preference; default: a requirement"
    )

    @model_validator(mode="after")
    def _compared_with(self) -> Self:
        found, allowed = len(self.values), _VALUES.get(self.operator, "one or more")
        if not {"none": found == 0, "one": found == 1, "one or more": found > 0}[allowed]:
            raise ValueError(f"{found} values with operator {self.operator}; allowed: {allowed}")
        return self


class TaskSettings(Settings):
    """What one task asks for."""

    cpu_request: Cpu = "1"
    cpu_limit: Cpu = "4"
    memory_request: Memory = "2Gi"
    memory_limit: Memory = "8Gi"
    timeout: PositiveInt = Field(default=3600, description="seconds; the deadline of one attempt")
    accelerator: Accelerator | None = None
    shared_memory: Memory | None = Field(default=None, description="size of /dev/shm, kept in memory")
    node_selector: dict[LabelKey, LabelValue] = Field(default={})
    tolerations: list[Toleration] = Field(default=[])
    affinity: list[Affinity] = Field(default=[])


class SmallTask(TaskSettings):
    """One that reads and writes little."""

    cpu_request: Cpu = "200m"
    cpu_limit: Cpu = "1"
    memory_request: Memory = "512Mi"
    memory_limit: Memory = "2Gi"
    timeout: PositiveInt = 900


class AcceleratedTask(TaskSettings):
    """One that trains a network."""

    cpu_request: Cpu = "2"
    memory_request: Memory = "8Gi"
    memory_limit: Memory = "16Gi"
    timeout: PositiveInt = 14400
    accelerator: Accelerator | None = Accelerator()
    shared_memory: Memory | None = "2Gi"
    tolerations: list[Toleration] = Field(default=[Toleration(key="nvidia.com/gpu")])


class Tasks(Settings):
    """By component; a final fit, and the search before it, ask for what the training does."""

    resolve_inputs: TaskSettings = TaskSettings()  # with an as_of it reads every row
    prepare_data: TaskSettings = TaskSettings()
    train_arima: TaskSettings = TaskSettings()
    train_lstm: AcceleratedTask = AcceleratedTask()
    train_transformer: AcceleratedTask = AcceleratedTask()
    train_catboost: TaskSettings = TaskSettings()
    tune_katib: SmallTask = SmallTask()
    tune_ensemble: TaskSettings = TaskSettings(memory_limit="16Gi", timeout=14400)
    stack_ensemble: TaskSettings = TaskSettings()
    forecast_champion: TaskSettings = TaskSettings()
    evaluate_models: TaskSettings = TaskSettings()
    register_model: TaskSettings = TaskSettings()
    notify_success: SmallTask = SmallTask()
    notify_failure: SmallTask = SmallTask()
    batch_forecast: TaskSettings = TaskSettings()

    @model_validator(mode="after")
    def _accelerators_are_used(self) -> Self:
        for name in type(self).model_fields:
            asked: TaskSettings = getattr(self, name)
            if asked.accelerator and not isinstance(asked, AcceleratedTask):
                raise ValueError(
                    f"{name} asks for an accelerator, which its image would not use; allowed: train_lstm,"
                    " train_transformer"
                )
        return self


class Retries(Settings):
    """How often a task that fails is tried again: not one that fails on its model, which exits 0."""

    attempts: Annotated[int, Field(ge=0, le=10)] = 2
    backoff_seconds: PositiveInt = 30
    backoff_factor: PositiveFloat = 2.0
    backoff_max_seconds: PositiveInt = 600


class SecretVariables(Settings):
    """Environment variables from the keys of a Secret in the run's namespace."""

    secret: ObjectName
    variables: dict[Variable, Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]] = Field(min_length=1)


class NoticeSettings(Settings):
    """Messages to a webhook when a run ends, whose URL is in a Secret."""

    secret: ObjectName
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "url"
    style: Literal["webhook", "slack"] = Field(
        default="webhook", description="slack: what Slack shows as text"
    )
    events: list[Literal["success", "failure"]] = Field(default=["success", "failure"], min_length=1)


class KatibSettings(Settings):
    """What the pods of Katib's trials have of their own: no launcher of Kubeflow Pipelines is in them."""

    service_account: ObjectName = "kubecast-trial"
    endpoint: str = Field(default="", description="of the store that artifacts are in; default: its own")
    region: str = Field(default="", description="of that store")


class TrialPod(Settings):
    """What a trial's pod is given; made of ``cluster.yaml`` when the pipeline is compiled."""

    image: Image
    task: TaskSettings
    run_as_user: PositiveInt
    run_as_group: Annotated[int, Field(ge=0)]
    labels: dict[LabelKey, LabelValue]
    secrets: list[SecretVariables]
    image_pull_secrets: list[ObjectName]
    service_account: ObjectName
    endpoint: str
    region: str


class ClusterSettings(Settings):
    """``cluster.yaml``."""

    image_repository: str = Field(
        default="", pattern=r"^([a-z0-9][A-Za-z0-9.:/_-]*[a-z0-9])?$", description="e.g. ghcr.io/team"
    )
    image_tag: ImageTag = Field(
        default="", description="e.g. 0.1.0-0123456789ab; default: the version, as built on this machine"
    )
    images: dict[ImageName, Image] = Field(
        default={}, description="whole reference by image name, e.g. with a digest"
    )
    image_pull_secrets: list[ObjectName] = Field(default=[])
    gpu: bool = Field(default=True, description="false: no task asks for an accelerator")
    run_as_user: PositiveInt = 1000
    run_as_group: Annotated[int, Field(ge=0)] = 0
    labels: Annotated[dict[LabelKey, LabelValue], AfterValidator(_not_our_own)] = Field(default={})
    secrets: list[SecretVariables] = Field(default=[])
    retries: Retries = Retries()
    tasks: Tasks = Tasks()
    katib: KatibSettings = KatibSettings()
    notices: NoticeSettings | None = Field(default=None, description="none: nobody is told")
    connection: ConnectionSettings = ConnectionSettings()
    schedules: Schedules = Field(default=[])

    @model_validator(mode="after")
    def _repository_has_a_tag(self) -> Self:
        if self.image_repository and not self.image_tag:
            raise ValueError(
                f"image_repository {self.image_repository} without image_tag; allowed: both, as `make push`"
                " prints them"
            )
        return self

    def of(self, component: str) -> TaskSettings:
        """What a component's tasks ask for; neither accelerator nor its nodes where ``gpu`` is false."""
        asked: TaskSettings = getattr(self.tasks, component)
        if self.gpu or asked.accelerator is None:
            return asked
        nothing: dict[str, Any] = {
            "accelerator": None,
            "node_selector": {},
            "tolerations": [],
            "affinity": [],
        }
        return asked.model_copy(update=nothing)
