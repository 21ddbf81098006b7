"""Versions of models: published once, never changed, found by alias, retired by count.

    <name>/versions/<version>/…         the files, uploaded first
    <name>/commits/<version>.json       the manifest, created last: the version exists from then on
    <name>/refs.json                    aliases and deletions, changed by compare-and-swap

Readers take `refs.json` before they list commits: a deletion is unmarked only after its commit is gone, so no
reader takes a version that is going away for one that stays.
"""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kubecast.errors import (
    ConfigError,
    Conflict,
    InputError,
    IntegrityError,
    InvalidName,
    NotFound,
    RegistryError,
    StoreError,
)
from kubecast.names import check_name
from kubecast.registry.manifest import (
    JSON,
    FileEntry,
    Manifest,
    Refs,
    check_metadata,
    decode,
    draft,
    idempotency_key,
    read_chunks,
    scan,
    verified,
)
from kubecast.registry.names import (
    CHAMPION,
    LATEST,
    check_alias,
    is_version,
    may_hold,
    new_version,
    version_time,
)
from kubecast.registry.store import Store, open_store

PARTS = ("evaluated", "production")
DELETE_GRACE = timedelta(hours=1)  # a reader that found a version may still be loading it

_SWAP_ATTEMPTS = 20
_SWAP_PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class Version:
    """A published version: `files` maps each path to its size and SHA-256."""

    name: str
    id: str
    created: datetime
    metadata: dict[str, JSON] = field(hash=False)
    files: dict[str, tuple[int, str]] = field(hash=False)
    aliases: tuple[str, ...]


class Registry:
    """Published models in one store."""

    def __init__(self, store: Store) -> None:
        """Use a store that is already open."""
        self._store = store

    @classmethod
    def open(cls, url: str) -> "Registry":
        """Open the registry at a `file://` URL or a path; a folder is made on the first publish only."""
        return cls(open_store(url))

    def models(self) -> list[str]:
        """List the models that have a version, by name."""
        names = sorted(self._store.folders())
        return [name for name in names if _is_name(name) and self._live(name, self._refs(name)[0])]

    def versions(self, name: str) -> list[Version]:
        """List the versions of a model, newest first."""
        refs, _ = self._refs(check_name(name))
        return [_describe(name, manifest, refs) for manifest in self._manifests(name, self._live(name, refs))]

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version id that each alias of a model points at."""
        return dict(self._refs(check_name(name))[0].aliases)

    def resolve(self, reference: str) -> Version:
        """Find a version by `NAME`, `NAME@ALIAS`, `NAME@VERSION` or `NAME@latest`.

        `NAME` alone is its champion, or its newest version where there is none.

        Raises:
            NotFound: There is no such model, alias or version.
        """
        name, separator, selector = reference.partition("@")
        refs, _ = self._refs(check_name(name))
        version = self._select(name, selector if separator else None, refs)
        if version in refs.deleting:
            raise NotFound(f"{name}@{version} is being deleted")
        return _describe(name, self._manifest(name, version), refs)

    def publish(
        self, name: str, bundle: Path, metadata: Mapping[str, JSON], max_versions: int = 10
    ) -> Version:
        """Publish a folder as the newest version of a model, and retire the oldest above `max_versions`.

        A bundle whose files are those of an existing version is not published again: that version is
        returned, so a step can be repeated after it was killed. A version with an alias is never retired.

        Raises:
            InputError: The bundle, the metadata or `max_versions` cannot be used.
            StoreError: The store failed; what was published before is intact.
        """
        check_name(name)
        _check_max_versions(max_versions)
        files = scan(bundle)
        plain = check_metadata(metadata)
        key = idempotency_key(files)
        if published := self._published(name, key):
            return published
        manifest = draft(self._next_version(name, key), key, files, plain)
        self._upload(name, bundle, manifest)
        self._commit(name, manifest)
        refs = self._retire(name, manifest.version, max_versions)
        return _describe(name, manifest, refs)

    def fetch(self, version: Version, part: str, destination: Path) -> Path:
        """Copy the files of `evaluated` or `production` to `destination/<part>`, and return that folder.

        The folder appears only after the size and the SHA-256 of every file in it were checked.

        Raises:
            IntegrityError: A file is missing or altered.
        """
        if part not in PARTS:
            raise ConfigError(f"part {part!r} of a version; allowed: {', '.join(PARTS)}")
        paths = [path for path in version.files if path.startswith(f"{part}/")]
        if not paths:
            raise NotFound(f"{version.name}@{version.id} has no part {part!r}")
        target = destination / part
        if target.exists():
            raise InputError(f"{target} exists already; allowed: a new folder")
        staged = destination / f".{part}-{uuid.uuid4().hex}"
        try:
            for path in paths:
                _save(staged / path, self._checked(version, path))
            (staged / part).replace(target)
        except OSError as error:
            raise RegistryError(f"cannot write to {destination}: {error.strerror}") from error
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        return target

    def read_file(self, version: Version, path: str) -> bytes:
        """Return one file of a version, such as `report.html`, checked against its manifest.

        Raises:
            NotFound: The version has no such file.
            IntegrityError: The file is missing or altered.
        """
        if path not in version.files:
            raise NotFound(f"{version.name}@{version.id} has no file {path!r}")
        return b"".join(self._checked(version, path))

    def set_alias(self, name: str, alias: str, version: str, expected: str | None) -> None:
        """Point an alias at a version, if it now points at `expected` (None: if it does not exist).

        Raises:
            Conflict: The alias points elsewhere; nothing was changed.
            NotFound: There is no such version.
        """
        check_name(name)
        check_alias(alias)
        if not is_version(version):
            raise InvalidName(f"version {version!r:.200}; allowed: a version id, as `versions` lists them")

        def point(refs: Refs) -> Refs:
            current = refs.aliases.get(alias)
            if current != expected:
                raise Conflict(f"{name}@{alias} points at {current}, not at {expected}; nothing was changed")
            if version in refs.deleting:
                raise NotFound(f"{name}@{version} is being deleted")
            self._manifest(name, version)
            return refs.model_copy(update={"aliases": {**refs.aliases, alias: version}})

        self._update_refs(name, point)

    def _refs(self, name: str) -> tuple[Refs, str | None]:
        path = _refs_path(name)
        try:
            data, tag = self._store.read(path)
        except NotFound:
            return Refs(), None
        return decode(Refs, data, self._where(path)), tag

    def _update_refs(self, name: str, change: Callable[[Refs], Refs]) -> Refs:
        for attempt in range(_SWAP_ATTEMPTS):
            old, tag = self._refs(name)
            new = change(old)
            if new == old:
                return old
            new = new.model_copy(update={"generation": old.generation + 1, "nonce": uuid.uuid4().hex})
            try:
                self._store.swap(_refs_path(name), new.encode(), tag)
            except Conflict:
                # A client that lost the reply repeats a write that won: the nonce tells.
                if self._refs(name)[0].nonce != new.nonce:
                    time.sleep(_SWAP_PAUSE_SECONDS * attempt)
                    continue
            return new
        raise Conflict(f"{self._where(_refs_path(name))}: too many writers at once; try again")

    def _commits(self, name: str) -> dict[str, int]:
        """Sizes of the commit records by version, newest first; an empty one is an aborted upload."""
        records = self._store.sizes(f"{name}/commits")
        sizes = {path.rpartition("/")[2].removesuffix(".json"): size for path, size in records.items()}
        return {version: sizes[version] for version in sorted(sizes, reverse=True) if is_version(version)}

    def _live(self, name: str, refs: Refs) -> list[str]:
        commits = self._commits(name)
        return [version for version in commits if commits[version] and version not in refs.deleting]

    def _manifests(self, name: str, versions: list[str]) -> Iterator[Manifest]:
        for version in versions:
            with suppress(NotFound):  # deleted since it was listed
                yield self._manifest(name, version)

    def _manifest(self, name: str, version: str) -> Manifest:
        path = _commit_path(name, version)
        try:
            data, _ = self._store.read(path)
        except NotFound:
            data = b""
        if not data:
            raise NotFound(f"no version {name}@{version} in {self._store.url}")
        manifest = decode(Manifest, data, self._where(path))
        if manifest.version != version:
            raise IntegrityError(f"{self._where(path)}: is the manifest of {manifest.version}")
        return manifest

    def _select(self, name: str, selector: str | None, refs: Refs) -> str:
        if selector is None and CHAMPION in refs.aliases:
            return refs.aliases[CHAMPION]
        if selector is None or selector == LATEST:
            for version in self._live(name, refs):
                return version
            raise NotFound(f"no version of model {name!r} in {self._store.url}")
        if is_version(selector):
            return selector
        check_alias(selector)
        if selector not in refs.aliases:
            known = ", ".join([LATEST, *sorted(refs.aliases)])
            raise NotFound(f"no alias {name}@{selector} in {self._store.url}; there are: {known}")
        return refs.aliases[selector]

    def _published(self, name: str, key: str) -> Version | None:
        refs, _ = self._refs(name)
        candidates = [version for version in self._live(name, refs) if may_hold(version, key)]
        for manifest in self._manifests(name, candidates):
            if manifest.idempotency_key == key:
                return _describe(name, manifest, refs)
        return None

    def _next_version(self, name: str, key: str) -> str:
        now = _now()
        for newest in self._commits(name):
            now = max(now, version_time(newest) + timedelta(microseconds=1))
            break
        return new_version(now, key)

    def _upload(self, name: str, bundle: Path, manifest: Manifest) -> None:
        folder = _data_path(name, manifest.version)
        try:
            for path, entry in manifest.files.items():
                self._store.write(f"{folder}/{path}", _bundled(bundle / path, entry))
        except Conflict:
            raise  # the folder is another writer's
        except BaseException:
            with suppress(StoreError):
                self._store.remove(folder)
            raise

    def _commit(self, name: str, manifest: Manifest) -> None:
        path = _commit_path(name, manifest.version)
        try:
            self._store.swap(path, manifest.encode(), None)
        except Conflict:
            # A client that lost the reply repeats a create that won: the nonce tells.
            data, _ = self._store.read(path)
            if not data:
                raise Conflict(f"{self._where(path)}: the upload took too long and was discarded") from None
            if decode(Manifest, data, self._where(path)).nonce != manifest.nonce:
                raise

    def _retire(self, name: str, newest: str, max_versions: int) -> Refs:
        """Remove what any process marked a grace time ago, then mark the oldest above the limit."""
        now = _now()
        marks = self._refs(name)[0].deleting
        due = {version for version, marked in marks.items() if now - marked >= DELETE_GRACE}
        for version in due:
            self._store.remove(_commit_path(name, version))
            self._store.remove(_data_path(name, version))

        def mark(refs: Refs) -> Refs:
            live = self._live(name, refs)
            kept = {newest, *refs.aliases.values()}
            removable = [version for version in reversed(live) if version not in kept]
            excess = removable[: max(0, len(live) - max_versions)]
            waiting = {version: marked for version, marked in refs.deleting.items() if version not in due}
            return refs.model_copy(update={"deleting": {**waiting, **dict.fromkeys(excess, now)}})

        return self._update_refs(name, mark)

    def _checked(self, version: Version, path: str) -> Iterator[bytes]:
        size, sha256 = version.files[path]
        stored = f"{_data_path(version.name, version.id)}/{path}"
        try:
            yield from verified(
                self._store.stream(stored), FileEntry(size=size, sha256=sha256), self._where(stored)
            )
        except NotFound as error:
            raise IntegrityError(f"{self._where(stored)}: is missing, but its manifest names it") from error

    def _where(self, path: str) -> str:
        return f"{self._store.url}/{path}"


def _now() -> datetime:
    return datetime.now(UTC)


def _refs_path(name: str) -> str:
    return f"{name}/refs.json"


def _commit_path(name: str, version: str) -> str:
    return f"{name}/commits/{version}.json"


def _data_path(name: str, version: str) -> str:
    return f"{name}/versions/{version}"


def _describe(name: str, manifest: Manifest, refs: Refs) -> Version:
    return Version(
        name=name,
        id=manifest.version,
        created=manifest.created,
        metadata=manifest.metadata,
        files={path: (entry.size, entry.sha256) for path, entry in manifest.files.items()},
        aliases=tuple(sorted(alias for alias, target in refs.aliases.items() if target == manifest.version)),
    )


def _is_name(name: str) -> bool:
    with suppress(InvalidName):
        return bool(check_name(name))
    return False


def _check_max_versions(max_versions: Any) -> None:
    if isinstance(max_versions, bool) or not isinstance(max_versions, int) or max_versions < 1:
        raise ConfigError(f"max_versions is {max_versions!r}; allowed: a whole number from 1")


def _bundled(file: Path, entry: FileEntry) -> Iterator[bytes]:
    """Read a bundle's file, which must still be what was hashed."""
    try:
        yield from verified(read_chunks(file), entry, str(file))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error


def _save(file: Path, chunks: Iterator[bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
