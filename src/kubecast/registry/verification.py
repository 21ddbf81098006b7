"""Verification that all that is stored of a model is whole, and that nothing else is there."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from kubecast.errors import IntegrityError, NotFound, RegistryError, StoreError
from kubecast.registry.manifest import Refs
from kubecast.registry.names import VERSION_PATTERN
from kubecast.registry.records import Records
from kubecast.storage.checksums import FileEntry

_T = TypeVar("_T")
_ID = VERSION_PATTERN.pattern
_OWN_PATH = re.compile(rf"refs\.json|commits/{_ID}\.json|versions/{_ID}/.+")


@dataclass(frozen=True)
class Verification:
    """The amount that was read, and every fault, one line each."""

    versions: int
    files: int
    bytes: int
    faults: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def verify(records: Records, version: str | None = None) -> Verification:
    """Read every file of one version, or of all, and compare it with its manifest.

    All of a model also means that no alias dangles and that nothing foreign is stored.

    Raises:
        NotFound: There is no such version, or nothing is stored under the model's name.
        StoreError: The store failed, so nothing is known.
    """
    if version is not None:
        return _verify_version(records, version)
    refs, faults = _or_fault(records.refs)
    live = records.live(refs or Refs())
    results = [
        Verification(versions=0, files=0, bytes=0, faults=[*faults, *_model_faults(records, refs, live)])
    ]
    for each in live:
        with suppress(NotFound):  # deleted since it was listed
            results.append(_verify_version(records, each))
    return Verification(
        versions=sum(one.versions for one in results),
        files=sum(one.files for one in results),
        bytes=sum(one.bytes for one in results),
        faults=[fault for one in results for fault in one.faults],
    )


def _verify_version(records: Records, version: str) -> Verification:
    manifest, faults = _or_fault(lambda: records.manifest(version))
    if manifest is None:
        return Verification(versions=1, files=0, bytes=0, faults=faults)
    folder = records.url_of(records.data_path(version))
    extra = sorted(set(records.list_files(version)) - set(manifest.files))
    faults += [f"{folder}/{path}: is not in the version's manifest" for path in extra]
    for path, entry in manifest.files.items():
        faults += _file_faults(records, version, path, entry)
    if faults:
        records.manifest(version)  # not found: it was deleted meanwhile
    size = sum(entry.size for entry in manifest.files.values())
    return Verification(versions=1, files=len(manifest.files), bytes=size, faults=faults)


def _file_faults(records: Records, version: str, path: str, entry: FileEntry) -> list[str]:
    try:
        for _ in records.content(version, path, entry):
            pass
    except IntegrityError as error:
        return [str(error)]
    return []


def _model_faults(records: Records, refs: Refs | None, live: list[str]) -> Iterator[str]:
    paths = sorted(records.paths())
    if not paths:
        raise NotFound(f"no model {records.name!r}: nothing is stored at {records.url_of(records.name)}")
    for alias, version in sorted(refs.aliases.items() if refs else []):
        if version not in live:
            yield f"{records.name}@{alias}: points at {version}, which is no version"
    for path in paths:
        if not _OWN_PATH.fullmatch(path):
            yield f"{records.url_of(records.name)}/{path}: is no part of a model"


def _or_fault(read: Callable[[], _T]) -> tuple[_T | None, list[str]]:
    """The result of a read, or what is wrong with it."""
    try:
        return read(), []
    except (NotFound, StoreError):
        raise
    except RegistryError as error:
        return None, [str(error)]
