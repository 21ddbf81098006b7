"""resolve_inputs: reads what can change, so that every later task is a function of its inputs."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, NamedTuple

from kubecast.config.search import check_space
from kubecast.config.training import TrainingSettings, with_scalars
from kubecast.config.validation import parse_settings, validate, with_new_names
from kubecast.data.files import digest_of, read_data
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
        digest: SHA-256 of the data file.
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
        data: Path or URL of the data file.
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
        file = read_data(data, settings.data.max_bytes)
        digest = file.digest
        moment = newest_time(file.rows, settings, parse_time(as_of, "as_of")).isoformat()
    else:
        digest, moment = digest_of(data, settings.data.max_bytes), ""
    store, name = open_registry(settings, registry, model_name)
    champion = _champion(store, name, store.aliases(name).get(CHAMPION, ""))
    texts = _model_settings(parameters, champion if mode == "retrain" else None)
    trained = {f"{kind}_settings": text for kind, text in texts.items()}
    fingerprint = {
        **parameters,
        **trained,
        "data_digest": digest,
        "as_of": moment,
        "kubecast": version("kubecast"),
    }
    inputs = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()
    previous = _previous_champion(champion, inputs)
    tuned = _tuned(parameters, texts)
    starting_point = _champion(store, name, previous) if tuned and previous else _Champion()
    run = RunSettings(
        training=settings,
        models={
            kind: section(parse_settings(SECTIONS[kind], text, f"{kind}_settings"))
            for kind, text in texts.items()
        },
        seed=parameters["seed"],
        on_failure=_pipeline(parameters).on_trainer_failure,
    )
    search = _search(parameters, tuned, starting_point)
    return Resolved(digest, moment, previous, inputs, run.text(), search)


def _search(parameters: Mapping[str, Any], tuned: list[str], champion: "_Champion") -> str:
    if not tuned:
        return ""
    search = parse_settings(SearchSettings, str(parameters["search_settings"]), "search_settings")
    return SearchPlan(
        tuning=_pipeline(parameters).tuning,
        spaces=search.model_dump(mode="json", include=set(tuned)),
        champion=_settings_by_kind(champion, tuned),
    ).text()


def _training(parameters: Mapping[str, Any]) -> TrainingSettings:
    text = str(parameters["training_settings"])
    settings = parse_settings(TrainingSettings, text, "training_settings")
    scalars = {key: parameters[key] for key in SCALARS if key in parameters}
    return with_scalars(settings, **scalars)


def _pipeline(parameters: Mapping[str, Any]) -> PipelineSettings:
    return parse_settings(PipelineSettings, str(parameters["pipeline_settings"]), "pipeline_settings")


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


def _tuned(parameters: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    """List the kinds that are tuned; their spaces are checked here, before anything is trained."""
    settings = _pipeline(parameters)
    if not settings.tuned:
        return []
    search = parse_settings(SearchSettings, str(parameters["search_settings"]), "search_settings")
    for kind in settings.tuned:
        model = parse_settings(SECTIONS[kind], texts[kind], f"{kind}_settings")
        check_space(kind, model, search.space_of(kind))
    return settings.tuned


def _settings_by_kind(champion: _Champion, kinds: Iterable[str]) -> dict[str, Any]:
    settings = {}
    for kind in kinds:
        with suppress(ConfigError):  # there is no champion, or it has no such member
            settings[kind] = json.loads(_settings_of(champion, kind))
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


def _model_settings(parameters: Mapping[str, Any], champion: _Champion | None) -> dict[str, str]:
    """Each model's settings: the champion's, or where there are none, the parameters'."""
    models = _pipeline(parameters).models
    texts = {kind: str(parameters[f"{kind}_settings"]) for kind in (*KINDS, "ensemble")}
    # One text for equal settings, so that tasks are cached however they were written.
    settings = {
        kind: parse_settings(SECTIONS[kind], text, f"{kind}_settings").model_dump_json()
        for kind, text in texts.items()
    }
    if champion is None:
        return settings
    for kind in (*models, "ensemble"):
        try:
            champions = _settings_of(champion, kind)
        except ConfigError as error:
            _LOG.warning("%s; %s keeps its settings file's values", error, kind, extra={"model": kind})
            continue
        own = json.loads(settings[kind])
        merged = json.loads(champions) | {key: own[key] for key in SECTIONS[kind].machine}
        replaced = [f"{key}: {own[key]}" for key in merged if merged[key] != own[key]]
        if replaced:
            message = "%s: of its file, %s gives way to champion %s"
            _LOG.info(message, kind, ", ".join(replaced), champion.id, extra={"model": kind})
        settings[kind] = validate(SECTIONS[kind], merged, f"{kind}_settings").model_dump_json()
    return settings


def _settings_of(champion: _Champion, kind: str) -> str:
    """The JSON of the settings that a champion's member was trained with.

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
    return validate(section, with_new_names(section, member), where).model_dump_json()
