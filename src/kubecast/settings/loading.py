"""Every settings file of a folder, and the one way to load them.

Precedence, highest first: a scalar parameter, ``--set``, the file, the model's default.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kubecast.config.base import Settings
from kubecast.config.cluster import ClusterSettings
from kubecast.config.search import check_names, check_space, setting_of
from kubecast.config.training import TrainingSettings
from kubecast.config.validation import nearest, validate
from kubecast.config.yaml import parse_yaml, read_yaml
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.errors import ConfigError
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.neural.settings import LstmSettings, TransformerSettings
from kubecast.settings.pipeline import PipelineSettings
from kubecast.settings.search import SearchSettings


class AllSettings(Settings):
    """Every settings file of a folder, each under the name of its file."""

    training: TrainingSettings = TrainingSettings()
    arima: ArimaSettings = ArimaSettings()
    lstm: LstmSettings = LstmSettings()
    transformer: TransformerSettings = TransformerSettings()
    catboost: CatBoostSettings = CatBoostSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    pipeline: PipelineSettings = PipelineSettings()
    search: SearchSettings = SearchSettings()
    cluster: ClusterSettings = ClusterSettings()


SECTIONS: dict[str, type[Settings]] = {
    name: field.annotation  # type: ignore[misc]
    for name, field in AllSettings.model_fields.items()
}
"""Each settings file's model, by the file's name."""

PARAMETERS = tuple(name for name in SECTIONS if name not in {"pipeline", "cluster"})
"""Those that a run is given as a parameter; the others shape the graph when it is compiled."""


def load_settings(folder: Path | None, overrides: Iterable[str] = ()) -> AllSettings:
    """Read every settings file of a folder; a file that is not there keeps its defaults.

    Args:
        folder: Holds ``training.yaml``, ``lstm.yaml`` and so on, and ``search/lstm.yaml`` and so on; each has
            one top-level key, its name. None: the defaults.
        overrides: ``file.key[.key]=value``, the value read as YAML, e.g. ``lstm.epochs=5``.

    Raises:
        ConfigError: A file, key or value is wrong.
    """
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"{folder}: no such configuration folder")
    _refuse_misspelt_files(folder)
    files = {name: f"{name}.yaml" if folder is None else str(folder / f"{name}.yaml") for name in SECTIONS}
    parts = {name: {} if folder is None else _section(Path(path), name) for name, path in files.items()}
    parts["search"], files["search"] = _spaces(folder), str((folder or Path()) / "search")
    found = {name: validate(SECTIONS[name], part, files[name], name) for name, part in parts.items()}
    overrides = list(overrides)
    changed: dict[str, list[str]] = {}
    for override in overrides:
        changed.setdefault(_apply(parts, override), []).append(override)
    for name, texts in changed.items():
        found[name] = validate(SECTIONS[name], parts[name], f"--set {' '.join(texts)}", name)
    settings = AllSettings.model_validate(found)
    fixed = [override.partition("=")[0].strip() for override in overrides]
    spaces = {}
    for kind in SearchSettings.model_fields:
        model, space = SECTIONS[kind], settings.search.of(kind)
        check_names(kind, model, space)
        if kind in settings.pipeline.tuned:
            check_space(kind, getattr(settings, kind), space)
        # What is set by hand is not searched.
        held = {key.split(".")[1] for key in fixed if key.split(".")[0] == kind}
        spaces[kind] = {name: found for name, found in space.items() if setting_of(model, name) not in held}
    return settings.model_copy(update={"search": SearchSettings(**spaces)})


def _refuse_misspelt_files(folder: Path | None) -> None:
    known = {"": [*SECTIONS], "search": [*SearchSettings.model_fields]}
    for below, names in known.items():
        for path in sorted((folder / below).glob("*.y*ml")) if folder else []:
            near = difflib.get_close_matches(path.stem, names, n=1, cutoff=0.8)
            if near and path.name != f"{near[0]}.yaml":
                raise ConfigError(f"{path}: not a settings file's name; did you mean {near[0]}.yaml?")


def _spaces(folder: Path | None) -> dict[str, Any]:
    """The search spaces, each from a file of its own; all of them, so that ``--set`` can change one value."""
    kinds = SearchSettings.model_fields
    files = {kind: folder / "search" / f"{kind}.yaml" for kind in kinds} if folder else {}
    found = {kind: _section(file, kind) for kind, file in files.items() if file.exists()}
    return SearchSettings().model_dump() | found


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
    """Put one override over the files' data, and tell whose."""
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
