"""resolve_inputs: reads what can change, so that every later task is a function of its inputs."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from kubecast.config.base import Settings
from kubecast.config.search import check_space
from kubecast.config.training import TrainingSettings, with_scalars
from kubecast.config.validation import S, parse_settings, validate, with_new_names
from kubecast.data.files import digest_of, open_data
from kubecast.data.preparation import newest_time
from kubecast.data.timestamps import parse_time
from kubecast.errors import ConfigError, RegistryError, StoreError
from kubecast.logs import step
from kubecast.models import KINDS
from kubecast.registry import CHAMPION, Registry
from kubecast.settings.loading import SECTIONS
from kubecast.settings.pipeline import PipelineSettings
from kubecast.settings.search import SearchSettings
from kubecast.steps.artifacts import open_registry
from kubecast.steps.run_settings import RunSettings, SearchPlan, section
from kubecast.steps.schedule_time import resolve_as_of

SCALARS = ("horizon", "frequency", "season_lengths")  # parameters that go over the training settings

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolved:
    """The inputs that can change between two runs of the same pipeline.

    Attributes:
        digest: Of the data: of a file its SHA-256, of a table its id and version.
        as_of: The moment after which rows are not seen, in UTC; empty for none.
        champion: Version to compare with; empty for none.
        inputs_digest: SHA-256 of everything that the run is a function of, but the champion.
        settings: JSON of the ``RunSettings``.
        search: JSON of the ``SearchPlan``; empty where nothing is tuned.
    """

    digest: str
    as_of: str
    champion: str
    inputs_digest: str
    settings: str
    search: str


@step
def resolve_inputs(
    data: str,
    as_of: str,
    mode: str,
    registry: str,
    model_name: str,
    parameters: Mapping[str, Any],
    scheduled: str = "",
) -> Resolved:
    """Read what can change, so that every later task is a function of its inputs.

    Args:
        data: Path or URL of the data.
        as_of: ISO date or time, or ``scheduled``; empty for none. It is brought down to the newest row at or
            before it, so that a scheduled run on unchanged data is the same run.
        mode: ``retrain``: with the champion's settings, where it has them; else ``train``.
        registry: Path or URL; empty: from the settings.
        model_name: Empty: from the settings.
        parameters: Every other parameter of the run; ``training_settings`` is the JSON of ``training.yaml``.
        scheduled: The time that a schedule started the run for; see ``resolve_as_of``.
    """
    settings = _training(parameters)
    as_of = resolve_as_of(as_of, scheduled)
    if as_of:
        with TemporaryDirectory() as folder:
            source = open_data(data, settings.data, None, Path(folder))
            digest = source.digest
            moment = newest_time(source.blocks, settings, parse_time(as_of, "as_of")).isoformat()
    else:
        digest, moment = digest_of(data, settings.data), ""
    store, name = open_registry(settings, registry, model_name)
    champion = _champion(store, name, store.aliases(name).get(CHAMPION, ""))
    pipeline = _parse(PipelineSettings, parameters, "pipeline")
    models = _model_settings(parameters, pipeline.models, champion if mode == "retrain" else None)
    fingerprint = {
        **parameters,
        # One text for equal settings, so that tasks are cached however they were written.
        **{f"{kind}_settings": each.model_dump_json() for kind, each in models.items()},
        "data_digest": digest,
        "as_of": moment,
        "kubecast": version("kubecast"),
    }
    inputs = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()
    previous = _previous_champion(champion, inputs)
    run = RunSettings(
        training=settings,
        models={kind: section(each) for kind, each in models.items()},
        seed=parameters["seed"],
        on_failure=pipeline.on_trainer_failure,
    )
    search = ""
    if tuned := pipeline.tuned:
        spaces = _parse(SearchSettings, parameters, "search")
        for kind in tuned:  # before anything is trained
            check_space(kind, models[kind], spaces.space_of(kind))
        search = SearchPlan(
            tuning=pipeline.tuning,
            spaces=spaces.model_dump(mode="json", include=set(tuned)),
            champion=_settings_by_kind(_champion(store, name, previous), tuned),
        ).text()
    return Resolved(digest, moment, previous, inputs, run.text(), search)


def _parse(model: type[S], parameters: Mapping[str, Any], name: str) -> S:
    return parse_settings(model, str(parameters[f"{name}_settings"]), f"{name}_settings")


def _training(parameters: Mapping[str, Any]) -> TrainingSettings:
    scalars = {key: parameters[key] for key in SCALARS if key in parameters}
    return with_scalars(_parse(TrainingSettings, parameters, "training"), **scalars)


class _Champion(NamedTuple):
    """The version that is champion now; without metadata where that cannot be read."""

    id: str = ""
    metadata: Mapping[str, Any] = {}


def _champion(store: Registry, name: str, version: str) -> _Champion:
    if not version:
        return _Champion()
    try:
        return _Champion(version, store.resolve(f"{name}@{version}").metadata)
    except StoreError:
        raise
    except RegistryError:  # forecast_champion says why; this version is published all the same
        return _Champion(version)


def champion_to_beat(store: Registry, name: str, inputs_digest: str) -> str:
    """The version to compare a run with: the champion, or if the run made that, the one before; or empty."""
    champion = _champion(store, name, store.aliases(name).get(CHAMPION, ""))
    return _previous_champion(champion, inputs_digest)


def _settings_by_kind(champion: _Champion, kinds: Iterable[str]) -> dict[str, Any]:
    settings = {}
    for kind in kinds:
        with suppress(ConfigError):  # there is no champion, or it has no such member
            settings[kind] = _settings_of(champion, kind).model_dump(mode="json")
    return settings


def _previous_champion(champion: _Champion, inputs: str) -> str:
    """The id of the champion; if this very run made it, of the one that it was compared with then.

    So a run that is repeated on unchanged data has the same inputs as the first time, and is cached.
    """
    if champion.metadata.get("inputs_digest") != inputs:
        return champion.id
    decision = champion.metadata.get("decision")
    previous = decision.get("champion") if isinstance(decision, dict) else None
    return str(previous or "")


def _model_settings(
    parameters: Mapping[str, Any], trained: Iterable[str], champion: _Champion | None
) -> dict[str, Settings]:
    """Each model's settings: the champion's, or where there are none, the parameters'."""
    settings = {kind: _parse(SECTIONS[kind], parameters, kind) for kind in (*KINDS, "ensemble")}
    if champion is None:
        return settings
    for kind in (*trained, "ensemble"):
        try:
            champions = _settings_of(champion, kind).model_dump(mode="json")
        except ConfigError as error:
            _LOG.warning("%s; %s keeps its settings file's values", error, kind, extra={"model": kind})
            continue
        own = settings[kind].model_dump(mode="json")
        merged = champions | {key: own[key] for key in SECTIONS[kind].machine}
        replaced = [f"{key}: {own[key]}" for key in merged if merged[key] != own[key]]
        if replaced:
            message = "%s: of its file, %s gives way to champion %s"
            _LOG.info(message, kind, ", ".join(replaced), champion.id, extra={"model": kind})
        settings[kind] = validate(SECTIONS[kind], merged, f"{kind}_settings")
    return settings


def _settings_of(champion: _Champion, kind: str) -> Settings:
    """The settings that a champion's member was trained with.

    Raises:
        ConfigError: There is no champion, no such member, or its settings are not allowed any more.
    """
    if not champion.id:
        raise ConfigError("there is no champion yet")
    sections = champion.metadata.get("settings")
    member = sections.get(kind) if isinstance(sections, dict) else None
    if not isinstance(member, dict):
        raise ConfigError(f"champion {champion.id} has no settings of {kind}")
    section = SECTIONS[kind]
    where = f"{kind} settings of champion {champion.id}"
    return validate(section, with_new_names(section, member), where)
