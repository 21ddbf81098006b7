"""Checks of a ``.keras`` file before Keras reads any of it."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubecast.errors import IntegrityError

_MEMBERS = {"metadata.json": 1 << 16, "config.json": 1 << 22, "model.weights.h5": 1 << 32}
_CLASSES = {
    "Add",
    "Concatenate",
    "Cropping1D",
    "DTypePolicy",
    "Dense",
    "Dropout",
    "Flatten",
    "Functional",
    "GlobalAveragePooling1D",
    "GlorotUniform",
    "InputLayer",
    "LSTM",
    "LayerNormalization",
    "MultiHeadAttention",
    "Ones",
    "Orthogonal",
    "PositionalEncoding",
    "RepeatVector",
    "Reshape",
    "Zeros",
    "__keras_tensor__",
}
_MODULES = {
    "builtins",
    "keras",
    "keras.initializers",
    "keras.layers",
    "keras.src.models.functional",
    "kubecast.models.neural.transformer",
    "kubecast.models.transformer",  # its former name; Keras finds the class by its registered name
}


def check_archive(path: Path) -> None:
    """Check a ``.keras`` file before Keras reads any of it.

    Raises:
        IntegrityError: It is no zip file, is damaged, has other members than Keras writes or larger ones, or
            its network holds a class that this project does not use.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.infolist())
            damaged = archive.testzip()
            if damaged is not None:
                raise IntegrityError(f"{path}: {damaged} is damaged; allowed: the bytes that were saved")
            config = json.loads(archive.read("config.json"))
    except (OSError, ValueError, KeyError, RecursionError, NotImplementedError, zipfile.BadZipFile) as error:
        raise IntegrityError(f"{path}: not a network that kubecast saved ({error})") from error
    for name, module in _classes(config):
        if name not in _CLASSES or module not in _MODULES:
            raise IntegrityError(f"{path}: holds {module}.{name}; allowed: {', '.join(sorted(_CLASSES))}")


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    names = sorted(member.filename for member in members)
    if names != sorted(_MEMBERS):
        raise IntegrityError(
            f"{path}: has members {', '.join(names)[:200]}; allowed: {', '.join(sorted(_MEMBERS))}"
        )
    for member in members:
        # Keras compresses nothing; stored members cannot unpack to more than the file's own size.
        if member.compress_type != zipfile.ZIP_STORED:
            raise IntegrityError(
                f"{path}: {member.filename} is compressed; allowed: members that are only stored"
            )
        if member.file_size > _MEMBERS[member.filename]:
            raise IntegrityError(
                f"{path}: {member.filename} has {member.file_size} bytes; allowed:"
                f" {_MEMBERS[member.filename]}"
            )


def _classes(config: Any) -> Iterator[tuple[str, str]]:
    """Every class that a Keras configuration names, with its module."""
    if isinstance(config, list):
        for value in config:
            yield from _classes(value)
    elif isinstance(config, dict):
        if "class_name" in config:
            registered = config.get("registered_name") or ""
            yield str(config["class_name"]), str(config.get("module") or "builtins")
            if registered.rpartition(">")[2] not in ("", config["class_name"]):
                yield str(registered), "registered"
        for value in config.values():
            yield from _classes(value)
