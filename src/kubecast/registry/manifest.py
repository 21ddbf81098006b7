"""The contents of a version's commit record and of a model's refs, and how files are checked against them."""

import hashlib
import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AwareDatetime, Field, JsonValue, ValidationError, field_validator

from kubecast.documents import Document
from kubecast.errors import InputError, IntegrityError, RegistryError
from kubecast.registry.names import VERSION_PATTERN, path_fault, version_time
from kubecast.storage.checksums import FileEntry, Sha256, measure

JSON = JsonValue
SCHEMA_VERSION: Final = 1
MAX_METADATA_BYTES = 1 << 20
MAX_HISTORY = 20
MAX_NONCES = 50

# refs.json names what is to be deleted, with all below it: no name may lead out of its model.
_VersionId = Annotated[str, Field(pattern=f"^{VERSION_PATTERN.pattern}$")]


class _Record(Document):
    def encode(self) -> bytes:
        """Return the document as JSON."""
        return json.dumps(self.model_dump(mode="json"), allow_nan=False).encode()


class Manifest(_Record):
    """The commit record: a version exists from the moment its manifest does."""

    schema_version: Literal[1] = SCHEMA_VERSION
    version: str
    created: AwareDatetime
    nonce: str
    idempotency_key: Sha256
    files: dict[str, FileEntry]
    metadata: dict[str, JsonValue]

    @field_validator("files")
    @classmethod
    def _paths_stay_inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for path in files:
            if fault := path_fault(path):
                raise ValueError(f"{path!r} {fault}")
        return files


class Refs(_Record):
    """The part of a model that can change: its aliases, and the versions that are being deleted since a time.

    `history` holds what each alias pointed at before, oldest first. `newest` was the newest live version when
    these refs were written, and is live still: only later ones can take its place. `nonce` is of the last
    write, `past_nonces` of those before it.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    generation: Annotated[int, Field(ge=0, strict=True)] = 0
    nonce: str = ""
    past_nonces: list[str] = Field(default=[])
    aliases: dict[str, _VersionId] = Field(default={})
    history: dict[str, list[_VersionId]] = Field(default={})
    deleting: dict[_VersionId, AwareDatetime] = Field(default={})
    newest: _VersionId | None = None

    def written_over(self, old: "Refs") -> "Refs":
        """Return these refs as the write that follows `old`."""
        past = [*old.past_nonces, old.nonce][-MAX_NONCES:]
        update = {"generation": old.generation + 1, "nonce": uuid.uuid4().hex, "past_nonces": past}
        return self.model_copy(update=update)

    def hold(self, write: "Refs") -> bool:
        """Tell whether a write is among those that led to these refs."""
        return write.nonce in (self.nonce, *self.past_nonces)

    @property
    def kept(self) -> set[str]:
        """The versions that retention leaves: those with an alias, and the one to roll each alias back to."""
        back = (next(self.earlier(alias), None) for alias in self.history)
        return {*self.aliases.values(), *(version for _, version in filter(None, back))}

    def earlier(self, alias: str) -> Iterator[tuple[int, str]]:
        """The versions that an alias can be rolled back to, by position in its history, the last first."""
        passed_over = {*self.deleting, self.aliases.get(alias)}
        for position, version in reversed([*enumerate(self.history.get(alias, []))]):
            if version not in passed_over:
                yield position, version

    def pointed(self, alias: str, version: str) -> "Refs":
        """Point an alias at a version, and remember what it pointed at."""
        current = self.aliases.get(alias)
        if current == version:
            return self
        before = [*self.history.get(alias, []), *([current] if current else [])]
        return self._with_alias(alias, version, before[-MAX_HISTORY:])

    def pointed_back(self, alias: str, position: int) -> "Refs":
        """Point an alias at the version at a position of its history, and forget what came after it."""
        before = self.history[alias]
        return self._with_alias(alias, before[position], before[:position])

    def marked(self, versions: Iterable[str], now: datetime, live: Iterable[str]) -> "Refs":
        """Mark versions as being deleted since now; `live` are all that were live till then, newest first."""
        deleting = {**dict.fromkeys(versions, now), **self.deleting}
        newest = next((version for version in live if version not in deleting), None)
        return self.model_copy(update={"deleting": deleting, "newest": newest})

    def unmarked(self, versions: Collection[str]) -> "Refs":
        """Forget versions that are gone."""
        deleting = {version: since for version, since in self.deleting.items() if version not in versions}
        history = {
            alias: [version for version in before if version not in versions]
            for alias, before in self.history.items()
        }
        return self.model_copy(update={"deleting": deleting, "history": history})

    def _with_alias(self, alias: str, version: str, before: list[str]) -> "Refs":
        aliases = {**self.aliases, alias: version}
        return self.model_copy(update={"aliases": aliases, "history": {**self.history, alias: before}})


_D = TypeVar("_D", bound=_Record)


def draft(version: str, key: str, files: dict[str, FileEntry], metadata: dict[str, JSON]) -> Manifest:
    """Make the manifest of a new version.

    Raises:
        InputError: The metadata is nested too deep to be read again.
    """
    try:
        return Manifest(
            version=version,
            created=version_time(version),
            nonce=uuid.uuid4().hex,
            idempotency_key=key,
            files=files,
            metadata=metadata,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"metadata key {first['loc'][1]!r}: {first['msg']}") from error


def decode(kind: type[_D], data: bytes, where: str) -> _D:
    """Parse a stored document.

    Raises:
        RegistryError: A newer release of kubecast wrote it.
        IntegrityError: It is damaged.
    """
    try:
        content = json.loads(data)
        _refuse_newer(content, where)
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][:2])
        raise IntegrityError(f"{where}: damaged {kind.__name__.lower()}: {key}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where}: damaged {kind.__name__.lower()}: not JSON: {error}") from error


def scan(bundle: Path) -> dict[str, FileEntry]:
    """List the files of a bundle with their sizes and hashes, sorted by path.

    Raises:
        InputError: The bundle is empty or unreadable, or holds anything but plain files with safe names.
    """
    try:
        files = dict(sorted((path, measure(bundle / path)) for path in _paths(bundle, "")))
    except OSError as error:
        raise InputError(f"bundle {bundle}: {error.filename}: {error.strerror}") from error
    if not files:
        raise InputError(f"bundle {bundle} holds no file")
    return files


def idempotency_key(files: Mapping[str, FileEntry]) -> str:
    """Return the SHA-256 over the sorted paths and hashes of a bundle: equal for equal bundles only."""
    lines = (f"{entry.sha256}  {path}\n" for path, entry in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_metadata(metadata: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the metadata as plain JSON values.

    Raises:
        InputError: A value is not JSON, a number is not finite, or all of it is over 1 MiB.
    """
    plain: dict[str, JSON] = {}
    size = 0
    for key, value in metadata.items():
        text = _json_item(key, value)
        plain.update(json.loads(text))
        size += len(text)
    if size > MAX_METADATA_BYTES:
        raise InputError(f"metadata: {size} bytes as JSON; allowed: {MAX_METADATA_BYTES}")
    return plain


def _json_item(key: str, value: JSON) -> str:
    try:
        text = json.dumps({key: value}, allow_nan=False)
        same = json.loads(text) == {key: value}
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"metadata key {key!r}: {error}; allowed: JSON with finite numbers") from error
    if not same:
        raise InputError(f"metadata key {key!r}: changes when written; allowed: lists, and text as keys")
    return text


def _refuse_newer(content: Any, where: str) -> None:
    schema = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise RegistryError(f"{where}: schema {schema} is newer than {SCHEMA_VERSION}; upgrade kubecast")


def _paths(bundle: Path, prefix: str) -> Iterator[str]:
    for entry in (bundle / prefix).iterdir():
        path = f"{prefix}{entry.name}"
        if fault := path_fault(path):
            raise InputError(f"bundle {bundle}: {path!r} {fault}")
        if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
            raise InputError(f"bundle {bundle}: {path!r} is a link or a special file; allowed: plain files")
        if entry.is_dir():
            yield from _paths(bundle, f"{path}/")
        else:
            yield path
