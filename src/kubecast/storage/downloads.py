"""Folders of this machine that are filled from a store, and appear only when they are whole."""

import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kubecast.errors import InputError, RegistryError


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A folder beside `target` that becomes it at the end, or vanishes with an error.

    Raises:
        InputError: There is something at `target` already.
    """
    if target.exists():
        raise InputError(f"{target} exists already; allowed: a new folder")
    folder = target.with_name(f".{target.name}-{uuid.uuid4().hex}")
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.replace(target)
    except OSError as error:
        raise RegistryError(f"cannot write to {target.parent}: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def save(file: Path, chunks: Iterable[bytes]) -> None:
    """Write a new file in parts, with the folders that it is in."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
