"""Check of quotas: whether the namespace has room for each task, and for tasks that run side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain, product
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from kubecast.config.cluster import TaskSettings
from kubecast.models import KINDS
from kubecast.pipelines.running.doctor.context import Context
from kubecast.pipelines.running.doctor.findings import Finding, missing, not_known, ok
from kubecast.settings.loading import AllSettings

_SHORT = {"cpu": "requests.cpu", "memory": "requests.memory"}
_SIZED = ("requests.cpu", "limits.cpu", "requests.memory", "limits.memory")
_UNITS = ((1024**4, "Ti"), (1024**3, "Gi"), (1024**2, "Mi"))


@dataclass(frozen=True)
class _Resources:
    """Resources that the pipeline requests, by name.

    Attributes:
        largest: Of one task, with the task's name.
        together: Of all that run at one time, where they request the most.
    """

    largest: dict[str, tuple[Decimal, str]]
    together: dict[str, Decimal]


def check_quota(context: Context) -> Finding:
    """Check that no task is larger than a quota; where all that run at one time are, they take turns."""
    quotas = [each for each in context.list("resourcequotas") if not _scoped(each)]
    if not quotas:
        return ok("no quota")
    sizes = _default_sizes(context.list("limitranges"))
    resources = _requested(context.settings, sizes)
    for quota in quotas:
        if finding := _unsized(quota, sizes, context.namespace):
            return finding
    for check in (_too_large, _in_turns, _in_use):
        for quota in quotas:
            if finding := check(quota, resources, context.namespace):
                return finding
    requests = {name: size for name, size in resources.together.items() if name.startswith("requests.")}
    total = ", ".join(f"{_show(size)} of {name}" for name, size in requests.items())
    return ok(f"tasks that run side by side ask for {total}, which is free")


def parallel_tasks(settings: AllSettings) -> list[list[TaskSettings]]:
    """Tasks that run at one time, at each moment at which the pipeline may request the most.

    A model that is tuned is searched, then trained, beside the others; the ensemble is searched once all
    models are, beside their trainers. Several shards are fitted, or in mode score forecast, at one time.
    """
    models = settings.pipeline.models
    fitting = [[*chain(*each)] for each in product(*(_of_model(settings, kind) for kind in models))]
    training = chain(*(_trainers(settings, kind) for kind in models))
    stacking = (
        [[*training, *_search(settings, "tune_ensemble")]] if "ensemble" in settings.pipeline.tuned else []
    )
    return [*fitting, *stacking, _shards(settings)]


def all_tasks(settings: AllSettings) -> dict[str, TaskSettings]:
    """Each task that a pipeline of these settings may have, by its name in ``cluster.tasks``."""
    cluster, pipeline = settings.cluster, settings.pipeline
    absent = {f"train_{kind}" for kind in KINDS if kind not in pipeline.models}
    absent |= {"tune_katib"} if pipeline.tuning.tuner != "katib" else set()
    absent |= {"tune_ensemble"} if "ensemble" not in pipeline.tuned else set()
    absent |= {"notify_success", "notify_failure"} if not cluster.notifications else set()
    return {name: cluster.task(name) for name in type(cluster.tasks).model_fields if name not in absent}


def _of_model(settings: AllSettings, kind: str) -> list[list[TaskSettings]]:
    """Those that a model has at one time: those of its search, and those of its fit."""
    search, trainers = _search(settings, f"train_{kind}"), _trainers(settings, kind)
    if kind not in settings.pipeline.tuned:
        return [trainers]
    return [search, trainers] if len(trainers) > 1 else [search]


def _trainers(settings: AllSettings, kind: str) -> list[TaskSettings]:
    """Those of a model that run at one time."""
    at_once = min(settings.cluster.parallelism, settings.pipeline.fitted_shards(kind))
    return [settings.cluster.task(f"train_{kind}")] * at_once


def _shards(settings: AllSettings) -> list[TaskSettings]:
    """The shards that are forecast at one time; their number may follow from the data."""
    cluster, shards = settings.cluster, settings.pipeline.shards
    at_once = cluster.parallelism if shards == "auto" else min(cluster.parallelism, shards)
    return [cluster.task("forecast_shard")] * at_once


def _search(settings: AllSettings, trainer: str) -> list[TaskSettings]:
    """The workers of a search, each as large as the trainer, and what waits for Katib's."""
    tuning = settings.pipeline.tuning
    waiting = [settings.cluster.task("tune_katib")] if tuning.tuner == "katib" else []
    return [settings.cluster.task(trainer)] * tuning.workers + waiting


def _requested(settings: AllSettings, sizes: Mapping[str, Decimal]) -> _Resources:
    largest: dict[str, tuple[Decimal, str]] = {}
    for name, task in all_tasks(settings).items():
        for resource, size in _sum([task], sizes).items():
            if size > largest.get(resource, (Decimal(0), ""))[0]:
                largest[resource] = size, name
    together: dict[str, Decimal] = {}
    for tasks in parallel_tasks(settings):
        for resource, size in _sum(tasks, sizes).items():
            together[resource] = max(together.get(resource, Decimal(0)), size)
    return _Resources(largest, together)


def _unsized(quota: Mapping[str, Any], sizes: Mapping[str, Decimal], namespace: str) -> Finding | None:
    """Find resources of a quota that no LimitRange sizes: containers that declare none are refused."""
    unsized = [name for name in _SIZED if name in _hard(quota) and name not in sizes]
    if not unsized:
        return None
    return missing(
        f"quota {_name(quota)} counts {unsized[0]}, and no LimitRange sizes the containers that declare none,"
        " such as Argo's: their pods would be refused",
        f"kubectl --namespace {namespace} apply --filename manifests/base/quota.yaml",
    )


def _too_large(quota: Mapping[str, Any], resources: _Resources, namespace: str) -> Finding | None:
    """Find a task that is over the quota: Argo would try again for ever."""
    for resource, limit in _hard(quota).items():
        size, name = resources.largest.get(resource, (Decimal(0), ""))
        if size > limit:
            return missing(
                f"{name} asks for {_show(size)} of {resource}, quota {_name(quota)} allows {_show(limit)}: it"
                " would wait for ever",
                f"kubectl --namespace {namespace} edit resourcequota {_name(quota)} (in a Profile, its"
                f" resourceQuotaSpec); or set less in cluster.tasks.{name}",
            )
    return None


def _in_turns(quota: Mapping[str, Any], resources: _Resources, namespace: str) -> Finding | None:
    for resource, limit in _hard(quota).items():
        size = resources.together.get(resource, Decimal(0))
        if size > limit:
            return ok(
                f"tasks that run side by side ask for {_show(size)} of {resource}, quota {_name(quota)} in"
                f" {namespace} allows {_show(limit)}: they take turns"
            )
    return None


def _in_use(quota: Mapping[str, Any], resources: _Resources, namespace: str) -> Finding | None:
    used = _quantities(quota.get("status", {}).get("used"))
    for resource, limit in _hard(quota).items():
        needed, free = resources.together.get(resource, Decimal(0)), limit - used.get(resource, Decimal(0))
        if needed > free:
            return not_known(
                f"tasks that run side by side ask for {_show(needed)} of {resource}; {_show(free)} of quota"
                f" {_name(quota)} is free now: they would wait for what runs",
                f"kubectl --namespace {namespace} describe resourcequota {_name(quota)}",
            )
    return None


def _sum(tasks: Iterable[TaskSettings], sizes: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """The resources that a quota would count, Argo's container beside each task included."""
    total: dict[str, Decimal] = {}
    for task in tasks:
        for name, size in (*_sizes(task).items(), *sizes.items()):
            total[name] = total.get(name, Decimal(0)) + size
    return total


def _sizes(task: TaskSettings) -> dict[str, Decimal]:
    sizes: dict[str, Decimal] = {
        "requests.cpu": parse_quantity(task.cpu_request),
        "limits.cpu": parse_quantity(task.cpu_limit),
        "requests.memory": parse_quantity(task.memory_request),
        "limits.memory": parse_quantity(task.memory_limit),
        "pods": Decimal(1),
    }
    if task.accelerator:
        sizes[f"requests.{task.accelerator.type}"] = Decimal(task.accelerator.count)
    return sizes


def _default_sizes(ranges: Iterable[Mapping[str, Any]]) -> dict[str, Decimal]:
    """The resources that a container gets by default."""
    sizes: dict[str, Decimal] = {}
    limits = (
        limit for each in ranges for limit in each["spec"]["limits"] if limit.get("type") == "Container"
    )
    for limit in limits:
        default = limit.get("default") or {}
        requests = {**default, **(limit.get("defaultRequest") or {})}
        sizes |= {f"requests.{name}": parse_quantity(size) for name, size in requests.items()}
        sizes |= {f"limits.{name}": parse_quantity(size) for name, size in default.items()}
    return sizes


def _scoped(quota: Mapping[str, Any]) -> bool:
    """Whether a quota counts some pods alone, such as those of a priority class."""
    spec = quota.get("spec", {})
    return bool(spec.get("scopes") or spec.get("scopeSelector"))


def _name(quota: Mapping[str, Any]) -> str:
    return str(quota["metadata"]["name"])


def _hard(quota: Mapping[str, Any]) -> dict[str, Decimal]:
    return _quantities(quota["spec"].get("hard"))


def _quantities(values: Mapping[str, str] | None) -> dict[str, Decimal]:
    return {_SHORT.get(name, name): parse_quantity(value) for name, value in (values or {}).items()}


def _show(size: Decimal) -> str:
    for unit, suffix in _UNITS:
        if size >= unit:
            return f"{float(size / unit):g}{suffix}"
    return f"{float(size):g}"
