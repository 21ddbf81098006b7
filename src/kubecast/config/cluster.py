"""``cluster.yaml``: what each task asks of a cluster, decided when the pipeline is compiled."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kubecast.config.base import PositiveInt, Settings
from kubecast.config.gpu_nodes import GpuLabels, node_selector
from kubecast.config.schedules import ConnectionSettings, Schedules
from kubecast.environment import Environment, Variable

_NAME = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
Cpu = Annotated[str, Field(pattern=r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$")]
Memory = Annotated[str, Field(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti)$")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
LabelKey = Annotated[str, Field(pattern=rf"^([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}$")]
LabelValue = Annotated[str, Field(pattern=rf"^({_NAME})?$")]


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


_DAY = 86400


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
    node_selector: dict[LabelKey, LabelValue] = Field(
        default={}, description="default of a task with an accelerator: gpu_nodes"
    )
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
    """How long a task waits for a store or a database to come back, and how often a lost pod is replaced."""

    removed: ClassVar[Mapping[str, str]] = {
        "backoff_max_seconds": "Argo counts it from the start of the first attempt, so it is computed from"
        " each task's timeout"
    }

    seconds: Annotated[int, Field(ge=0, le=3000)] = Field(
        default=600, description="that a task may wait for faults to pass, in all"
    )
    attempts: Annotated[int, Field(ge=0, le=10)] = Field(
        default=2, description="to replace a task whose pod was lost or whose process failed"
    )
    backoff_seconds: PositiveInt = Field(default=30, description="before the first of them")
    backoff_factor: PositiveInt = Field(default=2, description="of each pause to the one before")

    @model_validator(mode="after")
    def _pauses_end(self) -> Self:
        if self.pauses > _DAY:
            raise ValueError(f"pauses of {self.pauses} seconds in all; allowed: up to {_DAY}")
        return self

    @property
    def pauses(self) -> int:
        """Seconds between all attempts."""
        return sum(self.backoff_seconds * int(self.backoff_factor**number) for number in range(self.attempts))

    def longest(self, timeout: int) -> int:
        """Seconds from the start of a task's first attempt to the deadline of its last."""
        return (self.attempts + 1) * timeout + self.pauses


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


class SearchVariables(Settings):
    """Variables of the tasks that search alone, such as the address of the database that they share."""

    environment: Environment = Field(default={}, description="plain variables; no secrets")
    secrets: list[SecretVariables] = Field(default=[], description="variables from the keys of a Secret")


class KatibSettings(Settings):
    """Of searches by Katib; no launcher of Kubeflow Pipelines is in the pods of its trials."""

    early_stopping: Literal["none", "median"] = Field(
        default="none",
        description="median: Katib's rule medianstop, in a container that Pod Security restricted refuses",
    )
    service_account: ObjectName = Field(default="kubecast-trial", description="of the trials' pods")
    endpoint: str = Field(default="", description="of the store that artifacts are in; default: its own")
    region: str = Field(default="", description="of that store")


class TrialPod(Settings):
    """What a trial's pod is given, and what ends a trial early; from ``cluster.yaml``, as it is compiled."""

    image: Image
    task: TaskSettings
    run_as_user: PositiveInt
    run_as_group: Annotated[int, Field(ge=0)]
    labels: dict[LabelKey, LabelValue]
    environment: dict[Variable, str] = Field(default={})
    secrets: list[SecretVariables]
    image_pull_secrets: list[ObjectName]
    service_account: ObjectName
    endpoint: str
    region: str
    early_stopping: Literal["none", "median"] = "none"


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
    gpu_nodes: GpuLabels | Annotated[dict[LabelKey, LabelValue], Field(min_length=1)] = Field(
        default="operator", description="labels of GPU nodes, by what puts them there, or labels themselves"
    )
    gpu_scale_from_zero: bool = Field(
        default=False, description="true: an autoscaler makes GPU nodes once pods wait for them"
    )
    run_as_user: PositiveInt = 1000
    run_as_group: Annotated[int, Field(ge=0)] = 0
    labels: Annotated[dict[LabelKey, LabelValue], AfterValidator(_not_our_own)] = Field(default={})
    environment: Environment = Field(default={}, description="plain variables of every task; no secrets")
    secrets: list[SecretVariables] = Field(default=[], description="variables from the keys of a Secret")
    tuning: SearchVariables = SearchVariables()
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
        for name in Tasks.model_fields:
            timeout = getattr(self.tasks, name).timeout
            if self.retries.seconds >= timeout:
                raise ValueError(
                    f"retries.seconds {self.retries.seconds}, tasks.{name}.timeout {timeout}; allowed: a"
                    " timeout that is longer than what the task may wait for faults to pass"
                )
        return self

    def of(self, component: str) -> TaskSettings:
        """What a component's tasks ask for.

        A task with an accelerator that names no nodes of its own gets those of ``gpu_nodes``; where ``gpu``
        is false it has neither accelerator nor nodes.
        """
        asked: TaskSettings = getattr(self.tasks, component)
        if asked.accelerator is None:
            return asked
        if self.gpu:
            own = "node_selector" in asked.model_fields_set
            return asked if own else asked.model_copy(update={"node_selector": node_selector(self.gpu_nodes)})
        nothing: dict[str, Any] = {
            "accelerator": None,
            "node_selector": {},
            "tolerations": [],
            "affinity": [],
        }
        return asked.model_copy(update=nothing)
