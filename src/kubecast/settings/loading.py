"""The settings files of a folder, and the one way to load them.

Precedence, highest first: a scalar parameter, ``--set``, the file, the model's default.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import create_model

from kubecast.config.base import Settings
from kubecast.config.search import check_names, check_space, setting_of
from kubecast.config.training import TrainingSettings
from kubecast.config.validation import nearest, validate
from kubecast.config.yaml import parse_yaml, read_yaml
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.errors import ConfigError
from kubecast.models import KINDS
from kubecast.settings.cluster import ClusterSettings
from kubecast.settings.pipeline import PipelineSettings
from kubecast.settings.search import SearchSettings


class FixedSettings(Settings):
    """The settings files that belong to no model, each under the name of its file."""

    training: TrainingSettings = TrainingSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    pipeline: PipelineSettings = PipelineSettings()
    search: SearchSettings = SearchSettings()
    cluster: ClusterSettings = ClusterSettings()

    def of_kind(self, kind: str) -> Settings:
        """The settings of a model, or of the ensemble."""
        settings: Settings = getattr(self, kind)
        return settings


def _model_sections() -> dict[str, Any]:
    classes = {name: kind.load_settings() for name, kind in KINDS.items()}
    return {name: (settings, settings()) for name, settings in classes.items()}


if TYPE_CHECKING:

    class AllSettings(FixedSettings):
        """Every settings file of a folder, each under the name of its file."""
else:
    AllSettings = create_model(
        "AllSettings",
        __base__=FixedSettings,
        __doc__="Every settings file of a folder, each under the name of its file.",
        **_model_sections(),
    )


SECTIONS: dict[str, type[Settings]] = {
    name: field.annotation  # type: ignore[misc]
    for name, field in AllSettings.model_fields.items()
}
"""The pydantic model of each settings file, by the name of the file."""

PARAMETERS = tuple(name for name in SECTIONS if name not in {"pipeline", "cluster"})
"""Settings files that are parameters of a run; the others shape the graph when it is compiled."""


def load_settings(
    folder: Path | None, overrides: Iterable[str] = (), cluster: Path | None = None
) -> AllSettings:
    """Read every settings file of a folder; a file that is not there keeps its defaults.

    Args:
        folder: Holds ``training.yaml``, ``lstm.yaml`` and so on, and ``search/lstm.yaml`` and so on; each has
            one top-level key, its name. None: the defaults.
        overrides: ``file.key[.key]=value``, the value read as YAML, e.g. ``lstm.epochs=5``.
        cluster: File in the place of the folder's ``cluster.yaml``.

    Raises:
        ConfigError: A file, key or value is wrong.
    """
    if folder is not None and folder.is_file():
        raise ConfigError(
            f"{folder}: a file; allowed: a folder of settings files, as kubecast init writes it"
        )
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"{folder}: no such configuration folder; kubecast init {folder} writes one")
    _refuse_misspelt_files(folder)
    files = {name: f"{name}.yaml" if folder is None else str(folder / f"{name}.yaml") for name in SECTIONS}
    parts = {name: {} if folder is None else _section(Path(path), name) for name, path in files.items()}
    parts["search"], files["search"] = _spaces(folder), str((folder or Path()) / "search")
    if cluster:
        parts["cluster"], files["cluster"] = _section(cluster, "cluster"), str(cluster)
    sections = {name: validate(SECTIONS[name], part, files[name], name) for name, part in parts.items()}
    overrides = list(overrides)
    changed: dict[str, list[str]] = {}
    for override in overrides:
        changed.setdefault(_apply(parts, override), []).append(override)
    for name, texts in changed.items():
        sections[name] = validate(SECTIONS[name], parts[name], f"--set {' '.join(texts)}", name)
    settings = AllSettings.model_validate(sections)
    fixed = [override.partition("=")[0].strip() for override in overrides]
    spaces = {}
    for kind in SearchSettings.model_fields:
        model, space = SECTIONS[kind], settings.search.space_of(kind)
        check_names(kind, model, space)
        if kind in settings.pipeline.tuned:
            check_space(kind, getattr(settings, kind), space)
        # What is set by hand is not searched.
        held = {key.split(".")[1] for key in fixed if key.split(".")[0] == kind}
        spaces[kind] = {
            name: parameter for name, parameter in space.items() if setting_of(model, name) not in held
        }
    return settings.model_copy(update={"search": SearchSettings(**spaces)})


def _refuse_misspelt_files(folder: Path | None) -> None:
    stems = {"": [*SECTIONS], "search": [*SearchSettings.model_fields]}
    for below, names in stems.items():
        for path in sorted((folder / below).glob("*.y*ml")) if folder else []:
            near = difflib.get_close_matches(path.stem, names, n=1, cutoff=0.8)
            if near and path.name != f"{near[0]}.yaml":
                raise ConfigError(f"{path}: not a settings file's name; did you mean {near[0]}.yaml?")


def _spaces(folder: Path | None) -> dict[str, Any]:
    """Read all search spaces, each from a file of its own, so that ``--set`` can change one value."""
    kinds = SearchSettings.model_fields
    files = {kind: folder / "search" / f"{kind}.yaml" for kind in kinds} if folder else {}
    spaces = {kind: _section(file, kind) for kind, file in files.items() if file.exists()}
    return SearchSettings().model_dump() | spaces


def _section(path: Path, name: str) -> dict[str, Any]:
    if not path.exists():
        return {}
    document = read_yaml(path)
    if not isinstance(document, dict):
        raise ConfigError(f"{path}: found no mapping, allowed: one top-level key, {name}")
    for key in document:
        if key != name:
            raise ConfigError(f"{path}: unknown key {key}; allowed: one top-level key, {name}")
    section = document.get(name)
    if not isinstance(section, dict):
        raise ConfigError(f"{path}: {name} holds {type(section).__name__}, allowed: a mapping of keys")
    return section


def _apply(parts: dict[str, dict[str, Any]], override: str) -> str:
    """Put one override over the data of its file, and return the name of that."""
    path, equals, text = override.partition("=")
    name, *keys = path.strip().split(".")
    if not equals or not keys or not all(keys):
        raise ConfigError(f"--set {override}: allowed: FILE.KEY=VALUE, e.g. lstm.epochs=5")
    if name not in parts:
        raise ConfigError(f"--set {override}: unknown file {name}; {nearest(name, parts)}")
    target = parts[name]
    for key in keys[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise ConfigError(f"--set {override}: {key} holds a value, allowed: the name of a group")
    target[keys[-1]] = parse_yaml(text, f"--set {override}")
    return name
