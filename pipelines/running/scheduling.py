"""Schedules of ``cluster.yaml`` as recurring runs: compare, create, replace, switch, delete.

A schedule can be applied again and again. Kubeflow Pipelines has no update of a recurring run, and their
names need not be unique. So a schedule is replaced: the new recurring run is made disabled, the old one is
deleted while the runs that it started go on, and the new one is enabled. Of those of one name the newest
counts, by the generation in its description and then by its time and id. Whoever applies ends by deleting all
but the newest that is there, so that two people applying at once end with one schedule.

The description holds the generation and a digest alone, as its column has 255 characters in MySQL; all else
is read from the recurring run itself.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import kfp_server_api

from kubecast.config.schedules import ScheduleSettings, six_fields
from kubecast.errors import ClusterConflict, ClusterNotFound, ConfigError
from kubecast.pipelines.running.client import Client
from kubecast.pipelines.running.defaults import PROFILE_ACCOUNT, SINGLE_USER_ACCOUNT
from kubecast.pipelines.running.parameters import check_values
from kubecast.pipelines.running.submitting import (
    Compiled,
    PipelineRef,
    compile_mode,
    experiment_of,
    version_reference,
)
from kubecast.settings.loading import AllSettings
from kubecast.steps.schedule_time import SCHEDULED

Action = Literal["created", "replaced", "unchanged", "enabled", "disabled", "superseded"]

ATTEMPTS = 5

_MARK = re.compile(
    r"kubecast generation=(?P<generation>[0-9]{1,9}) sha256=(?P<digest>[0-9a-f]{64})", re.ASCII
)


@dataclass(frozen=True)
class DesiredSchedule:
    """One schedule as ``cluster.yaml`` defines it.

    Attributes:
        name: One recurring run is kept of each.
        spec: Plain values; a change of any of them makes a new recurring run.
        enabled: Whether it starts runs.
    """

    name: str
    spec: Mapping[str, Any]
    enabled: bool

    @property
    def digest(self) -> str:
        """Equal for equal specs."""
        return hashlib.sha256(json.dumps(self.spec, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Schedule:
    """A recurring run that ``apply`` made.

    Attributes:
        recurring: The ``V2beta1RecurringRun``.
        generation: One more than that of the one it replaced.
        digest: Of the spec that it was made from.
    """

    recurring: Any
    generation: int
    digest: str

    @property
    def name(self) -> str:
        """The display name, which the recurring runs that it replaces share."""
        return str(self.recurring.display_name)

    @property
    def id(self) -> str:
        """The recurring run's id."""
        return str(self.recurring.recurring_run_id)

    @property
    def enabled(self) -> bool:
        """Whether the schedule starts runs."""
        return bool(self.recurring.status == kfp_server_api.V2beta1RecurringRunStatus.ENABLED)

    @property
    def age(self) -> tuple[Any, ...]:
        """The sort key that puts the newest last."""
        return self.generation, self.recurring.created_at, self.id


@dataclass(frozen=True)
class Change:
    """One line of a diff; ``key`` is empty for a schedule that only one side has."""

    name: str
    key: str
    actual: Any
    desired: Any


def desired_schedule(
    settings: ScheduleSettings, compiled: Compiled, experiment: str, service_account: str | None
) -> DesiredSchedule:
    """The desired state of a schedule of ``cluster.yaml``.

    Raises:
        ConfigError: A parameter is not one of the pipeline's.
    """
    where = f"schedule {settings.name}: parameters"
    parameters = (
        settings.parameters if settings.mode == "score" else {"as_of": SCHEDULED, **settings.parameters}
    )
    spec = {
        "cron": six_fields(settings.cron),
        "pipeline": compiled.name,
        "version": compiled.version,
        "parameters": check_values(parameters, compiled.spec, where),
        "max_concurrency": settings.max_concurrency,
        "no_catchup": settings.no_catchup,
        "experiment": experiment,
        "service_account": service_account,
    }
    return DesiredSchedule(settings.name, spec, settings.enabled)


def prepare(
    settings: AllSettings, names: Sequence[str], folder: Path, service_account: str | None
) -> list[tuple[DesiredSchedule, Compiled]]:
    """The desired schedules of ``cluster.yaml``, each with its compiled pipeline.

    Args:
        settings: All settings files.
        names: Of the schedules; none: all.
        folder: For the compiled files.
        service_account: Of the runs' pods; None: the cluster's default.

    Raises:
        ConfigError: A name, mode or parameter is wrong; no request has been sent to the cluster yet.
    """
    schedules = {each.name: each for each in settings.cluster.schedules}
    for name in names:
        if name not in schedules:
            known = ", ".join(schedules) or "none, as cluster.schedules is empty"
            raise ConfigError(f"there is no schedule {name} in cluster.yaml; allowed: {known}")
    chosen = [schedules[name] for name in dict.fromkeys(names)] or list(schedules.values())
    compiled = {mode: compile_mode(settings, mode, folder) for mode in {each.mode for each in chosen}}
    experiment = experiment_of(settings)
    return [
        (desired_schedule(each, compiled[each.mode], experiment, service_account), compiled[each.mode])
        for each in chosen
    ]


class Scheduler:
    """The schedules of one cluster; recurring runs that ``apply`` did not make are left alone."""

    def __init__(self, client: Client):
        self._client = client
        self._names: dict[tuple[str, ...], str] = {}

    def schedules(self, name: str | None = None) -> list[Schedule]:
        """The schedules that ``apply`` made, oldest first; several of one name while it is being replaced."""
        parsed = (_parse(recurring) for recurring in self._client.recurring_runs(name))
        return sorted((each for each in parsed if each), key=lambda each: each.age)

    def current(self) -> dict[str, Schedule]:
        """The newest of each name, by name."""
        return {each.name: each for each in self.schedules()}

    def spec_of(self, schedule: Schedule) -> dict[str, Any]:
        """The actual spec in the form of ``DesiredSchedule.spec``, from the recurring run's own fields."""
        recurring = schedule.recurring
        version = recurring.pipeline_version_reference
        cron = recurring.trigger.cron_schedule
        return {
            "cron": cron.cron if cron else None,
            "pipeline": self._name(self._client.pipeline_name, version.pipeline_id),
            "version": self._name(
                self._client.version_name, version.pipeline_id, version.pipeline_version_id
            ),
            "parameters": (recurring.runtime_config and recurring.runtime_config.parameters) or {},
            "max_concurrency": int(recurring.max_concurrency),
            "no_catchup": bool(recurring.no_catchup),
            "experiment": self._name(self._client.experiment_name, recurring.experiment_id),
            "service_account": recurring.service_account,
        }

    def preview(self, desired: DesiredSchedule) -> Action:
        """The action that ``apply`` would take; nothing is changed."""
        actual = self.schedules(desired.name)
        if not actual:
            return "created"
        if actual[-1].digest != desired.digest:
            return "replaced"
        return "unchanged" if actual[-1].enabled == desired.enabled else _switched(desired.enabled)

    def apply(self, desired: DesiredSchedule, ref: PipelineRef) -> Action:
        """Make it so that exactly one schedule of that name is there.

        Args:
            desired: The schedule.
            ref: Ids of the pipeline, its version and the experiment.

        Returns:
            The action; ``superseded`` where somebody else applied another at the same time, which stays.
        """
        actual = self.schedules(desired.name)
        if actual and actual[-1].digest == desired.digest:
            return self._reconcile(desired, "unchanged")
        generation = actual[-1].generation + 1 if actual else 1
        self._client.create_recurring_run(_recurring_run(desired, ref, generation))
        return self._reconcile(desired, "replaced" if actual else "created")

    def switch(self, name: str, enabled: bool) -> None:
        """Let a schedule start runs, or not, until it is applied again."""
        self._client.switch_recurring_run(self._named(name)[-1].id, enabled)

    def delete(self, name: str) -> None:
        """Delete a schedule; the runs that it started go on."""
        for each in self._named(name):
            self._client.delete_recurring_run(each.id)

    def diff(self, desired: list[DesiredSchedule]) -> list[Change]:
        """Changes that ``apply`` would make, and schedules that are not among the desired ones."""
        current = self.current()
        changes = []
        for each in desired:
            actual = current.pop(each.name, None)
            changes += self._changes(each, actual) if actual else [Change(each.name, "", None, "new")]
        return [*changes, *(Change(name, "", "not in the file", None) for name in current)]

    def _changes(self, desired: DesiredSchedule, actual: Schedule) -> list[Change]:
        lines = []
        if actual.digest != desired.digest:
            spec = self.spec_of(actual)
            lines = [
                Change(desired.name, key, spec[key], value)
                for key, value in sorted(desired.spec.items())
                if value != spec[key]
                and not (value is None and spec[key] in (SINGLE_USER_ACCOUNT, PROFILE_ACCOUNT))
            ]
        if actual.enabled != desired.enabled:
            lines.append(Change(desired.name, "enabled", actual.enabled, desired.enabled))
        return lines

    def _name(self, find: Callable[..., str], *ids: str) -> str:
        """The name of what has these ids, requested once; the last id where it was deleted."""
        if ids not in self._names:
            try:
                self._names[ids] = find(*ids)
            except ClusterNotFound:
                self._names[ids] = ids[-1]
        return self._names[ids]

    def _named(self, name: str) -> list[Schedule]:
        if schedules := self.schedules(name):
            return schedules
        known = ", ".join(self.current()) or "none, as there are no schedules"
        raise ConfigError(f"there is no schedule {name}; allowed: {known}")

    def _reconcile(self, desired: DesiredSchedule, action: Action) -> Action:
        """Delete all but the newest, and switch that one if it is ours."""
        for _ in range(ATTEMPTS):
            actual = self.schedules(desired.name)
            for each in actual[:-1]:
                self._client.delete_recurring_run(each.id)
            if not actual or actual[-1].digest != desired.digest:
                return "superseded"
            if actual[-1].enabled == desired.enabled:
                return action
            try:
                self._client.switch_recurring_run(actual[-1].id, desired.enabled)
            except ClusterNotFound:  # somebody who applies the same made a newer one
                continue
            return _switched(desired.enabled) if action == "unchanged" else action
        raise ClusterConflict(f"schedule {desired.name}: somebody else keeps replacing it; try again")


def _switched(enabled: bool) -> Action:
    return "enabled" if enabled else "disabled"


def _recurring_run(desired: DesiredSchedule, ref: PipelineRef, generation: int) -> Any:
    """The API's form, not enabled yet."""
    spec = desired.spec
    return kfp_server_api.V2beta1RecurringRun(
        display_name=desired.name,
        description=f"kubecast generation={generation} sha256={desired.digest}",
        experiment_id=ref.experiment_id,
        pipeline_version_reference=version_reference(ref),
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=spec["parameters"]),
        service_account=spec["service_account"],
        max_concurrency=spec["max_concurrency"],
        no_catchup=spec["no_catchup"],
        mode=kfp_server_api.RecurringRunMode.DISABLE,
        trigger=kfp_server_api.V2beta1Trigger(
            cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=spec["cron"])
        ),
    )


def _parse(recurring: Any) -> Schedule | None:
    """None for a recurring run that ``apply`` did not make."""
    mark = _MARK.fullmatch(recurring.description or "")
    return Schedule(recurring, int(mark["generation"]), mark["digest"]) if mark else None
