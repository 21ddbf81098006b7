"""Parts of ``cluster.yaml``: what tasks, retries, Secrets, notifications and searches are given."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from kubecast.config.base import PositiveInt, Settings
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

_DAY = 86400


class Accelerator(Settings):
    """A device of a task beside processors, by the name that the node's device plugin gives it."""

    type: LabelKey = Field(default="nvidia.com/gpu", description="as the node's device plugin calls it")
    count: PositiveInt = Field(default=1, description="of them, for one task")


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
        count, allowed = len(self.values), _VALUES.get(self.operator, "one or more")
        if not {"none": count == 0, "one": count == 1, "one or more": count > 0}[allowed]:
            raise ValueError(f"{count} values with operator {self.operator}; allowed: {allowed}")
        return self


class TaskSettings(Settings):
    """The resources of one task, and the nodes that it may run on."""

    cpu_request: Cpu = Field(default="1", description="processors that are kept for it")
    cpu_limit: Cpu = Field(default="4", description="processors, at most")
    memory_request: Memory = Field(default="2Gi", description="memory that is kept for it")
    memory_limit: Memory = Field(default="8Gi", description="memory, at most")
    timeout: PositiveInt = Field(default=3600, description="seconds; the deadline of one attempt")
    accelerator: Accelerator | None = Field(default=None, description="null: trains on processors")
    shared_memory: Memory | None = Field(default=None, description="size of /dev/shm, kept in memory")
    scratch: Memory | None = Field(default=None, description="size of /tmp, on the node's disk")
    node_selector: dict[LabelKey, LabelValue] = Field(
        default={},
        description="in place of gpu_nodes: nodes with every one of these labels",
        examples=[{"nvidia.com/gpu.product": "NVIDIA-A10"}],
    )
    tolerations: list[Toleration] = Field(default=[], description="taints that the pod may run beside")
    affinity: list[Affinity] = Field(
        default=[],
        description="nodes that are required or, with a weight, preferred",
        examples=[
            [
                {
                    "key": "topology.kubernetes.io/zone",
                    "operator": "In",
                    "values": ["europe-west4-a"],
                    "weight": 50,
                }
            ]
        ],
    )


class SmallTask(TaskSettings):
    """The defaults of a task that reads and writes little."""

    cpu_request: Cpu = "200m"
    cpu_limit: Cpu = "1"
    memory_request: Memory = "512Mi"
    memory_limit: Memory = "2Gi"
    timeout: PositiveInt = 900


class AcceleratedTask(TaskSettings):
    """The defaults of a task that trains a network."""

    cpu_request: Cpu = "2"
    memory_request: Memory = "8Gi"
    memory_limit: Memory = "16Gi"
    timeout: PositiveInt = 14400
    accelerator: Accelerator | None = Accelerator()
    shared_memory: Memory | None = "2Gi"
    tolerations: list[Toleration] = Field(default=[Toleration(key="nvidia.com/gpu")])


MOST_ATTEMPTS = 10
"""Most further attempts at a task, each of which ``kubecast status`` looks for."""


class Retries(Settings):
    """Retries: the wait for a store or a database to come back, and the replacement of lost pods."""

    removed: ClassVar[Mapping[str, str]] = {
        "backoff_max_seconds": "Argo counts it from the start of the first attempt, so it is computed from"
        " each task's timeout"
    }

    seconds: Annotated[int, Field(ge=0, le=3000)] = Field(
        default=600, description="that a task may wait for faults to pass, in all"
    )
    attempts: Annotated[int, Field(ge=0, le=MOST_ATTEMPTS)] = Field(
        default=2,
        description=f"up to {MOST_ATTEMPTS} more of a task whose pod is lost or whose process fails",
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


class WorkSettings(Settings):
    """The folder in which the tasks of a run keep what they hand on to each other, shard by shard."""

    url: str = Field(
        default="",
        description="path or URL; default: .work in the folder that the run publishes to",
        examples=["s3://bucket/kubecast/work"],
    )
    keep_days: Annotated[int, Field(ge=1, le=36500)] = Field(
        default=7, description="after its last use; a run removes what is older, as `kubecast clean` does"
    )


class SecretVariables(Settings):
    """Environment variables from the keys of a Secret in the run's namespace."""

    secret: ObjectName
    variables: dict[Variable, Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]] = Field(min_length=1)


class NotificationSettings(Settings):
    """Messages to a webhook when a run ends, whose URL is in a Secret."""

    secret: ObjectName = Field(description="holds the webhook's URL, which is in no parameter and no log")
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = Field(
        default="url", description="of the Secret"
    )
    style: Literal["webhook", "slack"] = Field(
        default="webhook", description="slack: what Slack shows as text"
    )
    events: list[Literal["success", "failure"]] = Field(
        default=["success", "failure"], min_length=1, description="what is reported"
    )


class SearchVariables(Settings):
    """Variables of the tasks that search alone, such as the address of the database that they share."""

    environment: Environment = Field(default={}, description="plain variables; no secrets")
    secrets: list[SecretVariables] = Field(default=[], description="variables from the keys of a Secret")


class KatibSettings(Settings):
    """Settings of searches by Katib; no launcher of Kubeflow Pipelines is in the pods of its trials."""

    early_stopping: Literal["none", "median"] = Field(
        default="none",
        description="median: Katib's rule medianstop, in a container that Pod Security restricted refuses",
    )
    service_account: ObjectName = Field(default="kubecast-trial", description="of the trials' pods")
    endpoint: str = Field(
        default="",
        description="of the object store that artifacts are in; default: its own",
        examples=["http://seaweedfs.kubeflow:9000"],
    )
    region: str = Field(default="", description="of that store", examples=["us-east-1"])


class TrialPod(Settings):
    """The pod of a trial, and what ends a trial early; from ``cluster.yaml``, as it is compiled."""

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
