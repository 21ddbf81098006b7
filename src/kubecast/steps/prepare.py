"""resolve_inputs and prepare_data: from a data file to a panel."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pandas as pd

from kubecast.cleaning import build_panel, newest_time
from kubecast.config import (
    MACHINE,
    SECTIONS,
    ModelKind,
    PipelineSettings,
    TrainingSettings,
    parse_settings,
    validate,
    with_scalars,
)
from kubecast.datafile import digest_of, read_data
from kubecast.errors import ConfigError, RegistryError, StoreError
from kubecast.logs import step
from kubecast.panel import Panel
from kubecast.registry import CHAMPION, Registry
from kubecast.timestamps import parse_time
from kubecast.tuning.spaces import SearchSettings, check_space

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resolved:
    """What can change between two runs of the same pipeline.

    Attributes:
        digest: SHA-256 of the data file.
        as_of: The moment after which rows are not seen, in UTC; empty for none.
        champion: The version to judge against; empty for none.
        inputs_digest: SHA-256 of everything that the run is a function of, but the champion.
        settings: JSON of the settings of each model, by its kind, and of the ensemble, before any search.
        champion_settings: JSON of the champion's settings by kind, where models are tuned, to be tried;
            else ``{}``.
    """

    digest: str
    as_of: str
    champion: str
    inputs_digest: str
    settings: dict[str, str]
    champion_settings: str


@step
def resolve_inputs(
    data: str, as_of: str, mode: str, registry: str, model_name: str, parameters: Mapping[str, Any]
) -> Resolved:
    """Read what can change, so that every later task is a function of its inputs.

    Args:
        data: Path or URL of the data file.
        as_of: ISO date or time; empty for none. It is brought down to the newest row at or before it, so that
            a scheduled run on unchanged data is the same run.
        mode: ``retrain``: with the champion's settings, where it has them; else ``train``.
        registry: Path or URL; empty: from the settings.
        model_name: Empty: from the settings.
        parameters: Every other parameter of the run; ``training_settings`` is the JSON of ``training.yaml``.
    """
    text = str(parameters["training_settings"])
    settings = parse_settings(TrainingSettings, text, "training_settings")
    if as_of.startswith("[["):  # not every cluster replaces it (kubeflow/pipelines issue 12494)
        _LOG.warning("this cluster has not replaced as_of %s; all rows are seen", as_of)
        as_of = ""
    if as_of:
        file = read_data(data, settings.data.max_bytes)
        digest = file.digest
        moment = newest_time(file.rows, settings, parse_time(as_of, "as_of")).isoformat()
    else:
        digest, moment = digest_of(data, settings.data.max_bytes), ""
    store, name = published_under(settings, registry, model_name)
    champion = _champion(store, name, store.aliases(name).get(CHAMPION, ""))
    texts = _model_settings(parameters, champion if mode == "retrain" else None)
    trained = {f"{kind}_settings": text for kind, text in texts.items()}
    found = {
        **parameters,
        **trained,
        "data_digest": digest,
        "as_of": moment,
        "kubecast": version("kubecast"),
    }
    inputs = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    rival = _judged_against(champion, inputs)
    tuned = _tuned(parameters, texts)
    tried = _champion(store, name, rival) if tuned and rival else _Champion()
    return Resolved(digest, moment, rival, inputs, texts, _settings_by_kind(tried, tuned))


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
    except RegistryError:  # forecast_champion tells why; this version is published all the same
        return _Champion(version)


def _tuned(parameters: Mapping[str, Any], texts: Mapping[str, str]) -> list[str]:
    """What is tuned; its search space is checked here, before anything is trained."""
    settings = parse_settings(PipelineSettings, str(parameters["pipeline_settings"]), "pipeline_settings")
    if not settings.tuned:
        return []
    search = parse_settings(SearchSettings, str(parameters["search_settings"]), "search_settings")
    for kind in settings.tuned:
        check_space(kind, parse_settings(SECTIONS[kind], texts[kind], f"{kind}_settings"), search.of(kind))
    return settings.tuned


def _settings_by_kind(champion: _Champion, kinds: Iterable[str]) -> str:
    found = {}
    for kind in kinds:
        with suppress(ConfigError):  # there is no champion, or it has no such member
            found[kind] = json.loads(_settings_of(champion, kind))
    return json.dumps(found, sort_keys=True)


def _judged_against(champion: _Champion, inputs: str) -> str:
    """The champion's id; if this very run made it, the id of the one that it was judged against then.

    So a run that is repeated on unchanged data has the same inputs as the first time, and is cached.
    """
    if champion.metadata.get("inputs_digest") != inputs:
        return champion.id
    decision = champion.metadata.get("decision")
    found = decision.get("champion") if isinstance(decision, dict) else None
    return str(found or "")


def _model_settings(parameters: Mapping[str, Any], champion: _Champion | None) -> dict[str, str]:
    """Each model's settings: the champion's, or where there are none, the parameters'."""
    settings = parse_settings(PipelineSettings, str(parameters["pipeline_settings"]), "pipeline_settings")
    texts = {kind: str(parameters[f"{kind}_settings"]) for kind in (*get_args(ModelKind), "ensemble")}
    # One text for equal settings, so that tasks are cached however they were written.
    found = {
        kind: parse_settings(SECTIONS[kind], text, f"{kind}_settings").model_dump_json()
        for kind, text in texts.items()
    }
    if champion is None:
        return found
    for kind in (*settings.models, "ensemble"):
        try:
            champions = _settings_of(champion, kind)
        except ConfigError as error:
            _LOG.warning("%s; %s keeps its settings file's values", error, kind, extra={"model": kind})
            continue
        files = json.loads(found[kind])
        now = json.loads(champions) | {key: files[key] for key in MACHINE if key in files}
        aside = [f"{key}: {files[key]}" for key in now if now[key] != files[key]]
        if aside:
            told = "%s: of its file, %s gives way to champion %s"
            _LOG.info(told, kind, ", ".join(aside), champion.id, extra={"model": kind})
        found[kind] = validate(SECTIONS[kind], now, f"{kind}_settings").model_dump_json()
    return found


def _settings_of(champion: _Champion, kind: str) -> str:
    """The JSON of the settings that a champion's member was trained with.

    Raises:
        ConfigError: There is no champion, no such member, or its settings are not allowed any more.
    """
    if not champion.id:
        raise ConfigError("there is no champion yet")
    kept = champion.metadata.get("settings")
    member = kept.get(kind) if isinstance(kept, dict) else None
    if not isinstance(member, dict):
        raise ConfigError(f"champion {champion.id} has no settings of {kind}")
    return validate(SECTIONS[kind], member, f"{kind} settings of champion {champion.id}").model_dump_json()


def published_under(settings: TrainingSettings, registry: str, model_name: str) -> tuple[Registry, str]:
    """The registry and the model's name there; a parameter that is empty is taken from the settings."""
    return Registry.open(registry or settings.model_registry.path), model_name or settings.model_name


@step
def prepare_data(
    data: str,
    digest: str,
    as_of: str,
    horizon: int,
    frequency: str,
    season_lengths: str,
    settings: dict[str, str],
    panel_dir: Path,
) -> Panel:
    """Check every setting and the data, and write the panel, before anything is trained.

    Args:
        data: Path or URL of the data file.
        digest: What the bytes must hash to.
        as_of: From ``resolve_inputs``.
        horizon: In steps.
        frequency: A pandas offset alias; empty: from the settings, else from the data.
        season_lengths: In steps, with commas; empty: from the settings, else from the frequency.
        settings: JSON of each settings file, by its name.
        panel_dir: Where the panel goes, with ``settings.json``, the training settings that it was made under.
    """
    sections = {
        name: parse_settings(SECTIONS[name], text, f"{name}_settings") for name, text in settings.items()
    }
    training = sections["training"]
    assert isinstance(training, TrainingSettings)  # noqa: S101  SECTIONS says so
    training = with_scalars(training, horizon, frequency, season_lengths)
    file = read_data(data, training.data.max_bytes, expected_digest=digest)
    moment: pd.Timestamp | None = parse_time(as_of, "as_of") if as_of else None
    panel = build_panel(file.rows, training, digest=file.digest, as_of=moment)
    panel.save(panel_dir)
    (panel_dir / "settings.json").write_text(training.model_dump_json(indent=1))
    return panel


def read_training(panel_dir: Path) -> TrainingSettings:
    """The training settings that the panel was made under."""
    return TrainingSettings.model_validate_json((panel_dir / "settings.json").read_bytes())


def describe(panel: Panel) -> str:
    """The data report as Markdown."""
    spec, report = panel.spec, panel.report
    lines = [
        f"**{report.series} series, {report.rows} rows**, every {spec.frequency}, horizon {spec.horizon},"
        f" season lengths {', '.join(map(str, spec.season_lengths))}",
        "",
        "| part | origins | first | last |",
        "|---|---|---|---|",
    ]
    for part in ("validation", "test"):
        cutoffs = panel.origins.loc[panel.origins["part"] == part, "cutoff"]
        lines.append(f"| {part} | {len(cutoffs)} | {cutoffs.min()} | {cutoffs.max()} |")
    lines += ["", "| found | series | rows | what |", "|---|---|---|---|"]
    lines += [
        f"| {finding.what} | {_cell(finding.series)} | {finding.count or ''} | {_cell(finding.detail)} |"
        for finding in report.findings[:200]
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.translate({ord("|"): "\\|", ord("<"): "&lt;", ord("\n"): " "})
