"""Schedules that can be applied again and again.

Kubeflow Pipelines has no update of a recurring run, and their names need not be unique. So a schedule is
replaced: the new recurring run is made disabled, the old one is deleted while the runs that it started go
on, and the new one is enabled. Of those of one name the newest counts, by the generation in its description
and then by its time and id. Whoever applies ends by deleting all but the newest that is there, so that two
people applying at once end with one schedule.

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
from kubecast.settings.loading import AllSettings
from kubecast.steps.schedule_time import SCHEDULED
from pipelines.running.client import Client
from pipelines.running.defaults import PROFILE_ACCOUNT, SINGLE_USER_ACCOUNT
from pipelines.running.parameters import check_values
from pipelines.running.submitting import Compiled, Place, compile_mode, experiment_of, reference

Action = Literal["created", "replaced", "unchanged", "enabled", "disabled", "overtaken"]

ATTEMPTS = 5

_MARK = re.compile(
    r"kubecast generation=(?P<generation>[0-9]{1,9}) sha256=(?P<digest>[0-9a-f]{64})", re.ASCII
)


@dataclass(frozen=True)
class Wanted:
    """What one schedule shall be.

    Attributes:
        name: One recurring run is kept of each.
        spec: All that a change of makes a new recurring run, as plain values.
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
        """Shared by those that it replaces."""
        return str(self.recurring.display_name)

    @property
    def id(self) -> str:
        """Of the recurring run."""
        return str(self.recurring.recurring_run_id)

    @property
    def enabled(self) -> bool:
        """Whether it starts runs."""
        return bool(self.recurring.status == kfp_server_api.V2beta1RecurringRunStatus.ENABLED)

    @property
    def age(self) -> tuple[Any, ...]:
        """What the newest is found by."""
        return self.generation, self.recurring.created_at, self.id


@dataclass(frozen=True)
class Change:
    """One line of a diff; ``key`` is empty for a schedule that only one side has."""

    name: str
    key: str
    now: Any
    wanted: Any


def want(
    settings: ScheduleSettings, compiled: Compiled, experiment: str, service_account: str | None
) -> Wanted:
    """What a schedule of ``cluster.yaml`` asks for.

    Raises:
        ConfigError: A parameter is not one of the pipeline's.
    """
    where = f"schedule {settings.name}: parameters"
    asked = settings.parameters if settings.mode == "score" else {"as_of": SCHEDULED, **settings.parameters}
    spec = {
        "cron": six_fields(settings.cron),
        "pipeline": compiled.name,
        "version": compiled.version,
        "parameters": check_values(asked, compiled.spec, where),
        "max_concurrency": settings.max_concurrency,
        "no_catchup": settings.no_catchup,
        "experiment": experiment,
        "service_account": service_account,
    }
    return Wanted(settings.name, spec, settings.enabled)


def prepare(
    settings: AllSettings, names: Sequence[str], folder: Path, service_account: str | None
) -> list[tuple[Wanted, Compiled]]:
    """What the schedules of ``cluster.yaml`` ask for, each with its compiled pipeline.

    Args:
        settings: Every settings file.
        names: Of the schedules; none: all.
        folder: For the compiled files.
        service_account: Of the runs' pods; None: the cluster's default.

    Raises:
        ConfigError: A name, mode or parameter is wrong; nothing has been asked of the cluster yet.
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
        (want(each, compiled[each.mode], experiment, service_account), compiled[each.mode]) for each in chosen
    ]


class Scheduler:
    """The schedules of one cluster; recurring runs that ``apply`` did not make are left alone."""

    def __init__(self, client: Client):
        self._client = client
        self._names: dict[tuple[str, ...], str] = {}

    def schedules(self, name: str | None = None) -> list[Schedule]:
        """Those that ``apply`` made, oldest first; several of one name while it is being replaced."""
        found = (_parse(recurring) for recurring in self._client.recurring_runs(name))
        return sorted((each for each in found if each), key=lambda each: each.age)

    def current(self) -> dict[str, Schedule]:
        """The newest of each name, by name."""
        return {each.name: each for each in self.schedules()}

    def spec_of(self, schedule: Schedule) -> dict[str, Any]:
        """What a schedule does, in the form of ``Wanted.spec``, by the recurring run's own fields."""
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

    def preview(self, wanted: Wanted) -> Action:
        """What ``apply`` would do; nothing is changed."""
        found = self.schedules(wanted.name)
        if not found:
            return "created"
        if found[-1].digest != wanted.digest:
            return "replaced"
        return "unchanged" if found[-1].enabled == wanted.enabled else _switched(wanted.enabled)

    def apply(self, wanted: Wanted, place: Place) -> Action:
        """Make it so that exactly one schedule of that name is there.

        Args:
            wanted: The schedule.
            place: Ids of the pipeline, its version and the experiment.

        Returns:
            What was done; ``overtaken`` where somebody else applied another at the same time, which stays.
        """
        found = self.schedules(wanted.name)
        if found and found[-1].digest == wanted.digest:
            return self._settle(wanted, "unchanged")
        generation = found[-1].generation + 1 if found else 1
        self._client.create_recurring_run(_recurring_run(wanted, place, generation))
        return self._settle(wanted, "replaced" if found else "created")

    def switch(self, name: str, enabled: bool) -> None:
        """Let a schedule start runs, or not, until it is applied again."""
        self._client.switch_recurring_run(self._named(name)[-1].id, enabled)

    def delete(self, name: str) -> None:
        """Delete a schedule; the runs that it started go on."""
        for each in self._named(name):
            self._client.delete_recurring_run(each.id)

    def diff(self, wanted: list[Wanted]) -> list[Change]:
        """What ``apply`` would change, and which schedules are not among the wanted ones."""
        current = self.current()
        changes = []
        for each in wanted:
            now = current.pop(each.name, None)
            changes += self._changes(each, now) if now else [Change(each.name, "", None, "new")]
        return [*changes, *(Change(name, "", "not in the file", None) for name in current)]

    def _changes(self, wanted: Wanted, now: Schedule) -> list[Change]:
        lines = []
        if now.digest != wanted.digest:
            spec = self.spec_of(now)
            lines = [
                Change(wanted.name, key, spec[key], value)
                for key, value in sorted(wanted.spec.items())
                if value != spec[key]
                and not (value is None and spec[key] in (SINGLE_USER_ACCOUNT, PROFILE_ACCOUNT))
            ]
        if now.enabled != wanted.enabled:
            lines.append(Change(wanted.name, "enabled", now.enabled, wanted.enabled))
        return lines

    def _name(self, find: Callable[..., str], *ids: str) -> str:
        """The name of what has these ids, asked for once; the last id where it was deleted."""
        if ids not in self._names:
            try:
                self._names[ids] = find(*ids)
            except ClusterNotFound:
                self._names[ids] = ids[-1]
        return self._names[ids]

    def _named(self, name: str) -> list[Schedule]:
        if found := self.schedules(name):
            return found
        known = ", ".join(self.current()) or "none, as there are no schedules"
        raise ConfigError(f"there is no schedule {name}; allowed: {known}")

    def _settle(self, wanted: Wanted, action: Action) -> Action:
        """Delete all but the newest, and switch that one if it is ours."""
        for _ in range(ATTEMPTS):
            found = self.schedules(wanted.name)
            for each in found[:-1]:
                self._client.delete_recurring_run(each.id)
            if not found or found[-1].digest != wanted.digest:
                return "overtaken"
            if found[-1].enabled == wanted.enabled:
                return action
            try:
                self._client.switch_recurring_run(found[-1].id, wanted.enabled)
            except ClusterNotFound:  # somebody who applies the same made a newer one
                continue
            return _switched(wanted.enabled) if action == "unchanged" else action
        raise ClusterConflict(f"schedule {wanted.name}: somebody else keeps replacing it; try again")


def _switched(enabled: bool) -> Action:
    return "enabled" if enabled else "disabled"


def _recurring_run(wanted: Wanted, place: Place, generation: int) -> Any:
    """The API's form, not enabled yet."""
    spec = wanted.spec
    return kfp_server_api.V2beta1RecurringRun(
        display_name=wanted.name,
        description=f"kubecast generation={generation} sha256={wanted.digest}",
        experiment_id=place.experiment_id,
        pipeline_version_reference=reference(place),
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
