"""Versions of models: published once, never changed, found by alias, retired by count.

<name>/versions/<version>/…         the files, uploaded first
<name>/commits/<version>.json       the manifest, created last: the version exists from then on
<name>/refs.json                    aliases and deletions, changed by compare-and-swap
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from kubecast.errors import ConfigError, Conflict, InputError, InvalidName, NotFound
from kubecast.names import check_name
from kubecast.registry import clock
from kubecast.registry.garbage_collection import DELETE_GRACE, UPLOAD_GRACE, Collected, collect
from kubecast.registry.manifest import JSON, Refs
from kubecast.registry.names import (
    CHAMPION,
    LATEST,
    check_alias,
    check_version,
    is_version,
    split_reference,
    version_time,
)
from kubecast.registry.publishing import publish
from kubecast.registry.records import Records
from kubecast.registry.verification import Verification, verify
from kubecast.registry.version import Entry, Version, describe
from kubecast.storage.checksums import FileEntry
from kubecast.storage.downloads import save, staged
from kubecast.storage.store import Store, open_store

PARTS = ("evaluated", "production")


class Registry:
    """Published models in one store."""

    def __init__(
        self,
        store: Store,
        *,
        delete_grace: timedelta = DELETE_GRACE,
        upload_grace: timedelta = UPLOAD_GRACE,
    ) -> None:
        """Use a store that is already open.

        Args:
            store: Where the files are.
            delete_grace: How long the files of a deleted version stay, for those who are loading it.
            upload_grace: After how long an upload that was not published counts as given up. All processes
                that use a registry must agree on it.
        """
        self._store = store
        self._delete_grace = delete_grace
        self._upload_grace = upload_grace

    @classmethod
    def open(
        cls, url: str, *, delete_grace: timedelta = DELETE_GRACE, upload_grace: timedelta = UPLOAD_GRACE
    ) -> "Registry":
        """Open the registry at a URL or a path; a folder is made on the first publish only."""
        return cls(open_store(url), delete_grace=delete_grace, upload_grace=upload_grace)

    def names(self) -> list[str]:
        """List the names that anything is stored under, whether published or not."""
        return [name for name in sorted(self._store.list_folders()) if _is_name(name)]

    def models(self) -> list[str]:
        """List the models that have a version, by name."""
        return [name for name in self.names() if self._newest(name)]

    def entries(self, name: str) -> list[Entry]:
        """List the versions of a model, newest first, with those that are being deleted.

        Costs one request, and one for each 1,000 versions.
        """
        records = Records(self._store, name)
        refs = records.refs()
        return [
            Entry(name, version, version_time(version), _aliases(refs, version), refs.deleting.get(version))
            for version, size in records.commits().items()
            if size
        ]

    def check_model(self, name: str) -> str:
        """Return the name of a model that is there.

        Raises:
            NotFound: Nothing is stored under it; the error names those that are there.
        """
        if check_name(name) not in self.names():
            raise NotFound(f"no model {name!r} in {self._store.url}; {self._known()}")
        return name

    def load(self, entry: Entry) -> Version:
        """Read the manifest of a version that was listed.

        Raises:
            NotFound: It was deleted since.
            IntegrityError: Its manifest is damaged.
        """
        return describe(entry.name, Records(self._store, entry.name).manifest(entry.id), entry.aliases)

    def versions(self, name: str) -> list[Version]:
        """Read every version of a model that is not being deleted, newest first; a request for each."""
        versions = []
        for entry in self.entries(name):
            if not entry.deleting:
                with suppress(NotFound):  # deleted since it was listed
                    versions.append(self.load(entry))
        return versions

    def aliases(self, name: str) -> dict[str, str]:
        """Return the version id that each alias of a model points at."""
        return dict(Records(self._store, name).refs().aliases)

    def resolve(self, reference: str) -> Version:
        """Find a version by `NAME`, `NAME@ALIAS`, `NAME@VERSION` or `NAME@latest`.

        `NAME` alone is its champion, or its newest version where there is none. The beginning of a version's
        id is enough where it is the only one that begins so. Two requests; three for the newest version and
        for the beginning of an id.

        Raises:
            NotFound: There is no such model, alias or version, or several versions begin so.
        """
        name, selector = split_reference(reference)
        records = Records(self._store, name)
        refs = records.refs()
        version = self._select(records, selector, refs)
        if version in refs.deleting:
            raise NotFound(f"{name}@{version} is being deleted")
        return describe(name, records.manifest(version), _aliases(refs, version))

    def publish(
        self, name: str, bundle: Path, metadata: Mapping[str, JSON], max_versions: int = 10
    ) -> Version:
        """Publish a folder as the newest version of a model, and retire the oldest above `max_versions`.

        A bundle whose files are those of an existing version is not published again: that version is
        returned, so a step can be repeated after it was killed. A version with an alias is never retired, nor
        is the one that an alias would roll back to.

        Raises:
            InputError: The bundle, the metadata or `max_versions` cannot be used.
            StoreError: The store failed; what was published before is intact.
            StoreTimeout: The upload took over half its grace.
        """
        records = Records(self._store, name)
        manifest, refs = publish(
            records, bundle, metadata, max_versions, self._delete_grace, self._upload_grace
        )
        return describe(name, manifest, _aliases(refs, manifest.version))

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
        with staged(destination / part) as folder:
            for path in paths:
                save(folder / path.removeprefix(f"{part}/"), self._content(version, path))
        return destination / part

    def export(self, version: Version, target: Path) -> Path:
        """Copy all files of a version to the new folder `target`, and return it.

        The folder appears only after the size and the SHA-256 of every file in it were checked.

        Raises:
            InputError: There is something at `target` already.
            IntegrityError: A file is missing or altered.
        """
        with staged(target) as folder:
            for path in version.files:
                save(folder / path, self._content(version, path))
        return target

    def read_file(self, version: Version, path: str) -> bytes:
        """Return one file of a version, such as `report.html`, checked against its manifest.

        Raises:
            NotFound: The version has no such file.
            IntegrityError: The file is missing or altered.
        """
        if path not in version.files:
            raise NotFound(f"{version.name}@{version.id} has no file {path!r}")
        return b"".join(self._content(version, path))

    def set_alias(self, name: str, alias: str, version: str, expected: str | None) -> None:
        """Point an alias at a version, if it now points at `expected` (None: if it does not exist).

        Raises:
            Conflict: The alias points elsewhere; nothing was changed.
            NotFound: There is no such version.
        """
        records = Records(self._store, name)
        check_alias(alias)
        check_version(version)

        def point(refs: Refs) -> Refs:
            _check_expected(name, alias, refs, expected)
            if version in refs.deleting:
                raise NotFound(f"{name}@{version} is being deleted")
            records.manifest(version)
            return refs.pointed(alias, version)

        records.update(point)

    def promote(self, reference: str, alias: str = CHAMPION, expect: str | None = None) -> Version:
        """Point an alias at the version that `reference` finds.

        Args:
            reference: As `resolve` takes it.
            alias: Made when it does not exist.
            expect: The version that the alias must point at still; default: whatever it points at now.

        Raises:
            Conflict: The alias points elsewhere; nothing was changed.
            NotFound: There is no such version.
        """
        name, _ = split_reference(reference)
        expected = check_version(expect) if expect else self.aliases(name).get(check_alias(alias))
        version = self.resolve(reference)
        self.set_alias(name, alias, version.id, expected)
        return self.resolve(f"{name}@{version.id}")

    def rollback(self, name: str, alias: str = CHAMPION) -> Version:
        """Point an alias back at what it pointed at before, passing over versions that are gone.

        Raises:
            Conflict: Another process moved the alias meanwhile; nothing was changed.
            NotFound: There is no such alias, or nothing that it can go back to.
        """
        records = Records(self._store, name)
        check_alias(alias)
        current = records.refs().aliases.get(alias)
        if current is None:
            raise NotFound(f"no alias {name}@{alias} in {self._store.url}; {self._known()}")

        def back(refs: Refs) -> Refs:
            _check_expected(name, alias, refs, current)
            live = set(records.live(refs))
            for position, version in refs.earlier(alias):
                if version in live:
                    return refs.pointed_back(alias, position)
            raise NotFound(f"{name}@{alias} has no earlier version to go back to; it stays at {current}")

        return self.resolve(f"{name}@{records.update(back).aliases[alias]}")

    def check_delete(self, name: str, version: str) -> None:
        """Raise what `delete` would raise, and change nothing."""
        records = Records(self._store, name)
        self._deletable(records, records.refs(), check_version(version))

    def delete(self, name: str, version: str) -> datetime:
        """Mark a version as being deleted: no one finds it from now on.

        Returns:
            From when on its files may be removed, by `collect_garbage` or the next `publish`.

        Raises:
            InputError: An alias points at it.
            NotFound: There is no such version.
        """
        records = Records(self._store, name)
        check_version(version)

        def mark(refs: Refs) -> Refs:
            return refs.marked([version], clock.now(), self._deletable(records, refs, version))

        return records.update(mark).deleting[version] + self._delete_grace

    def collect_garbage(self, name: str, dry_run: bool = False) -> Collected:
        """Remove the files of versions that were deleted and of uploads that were given up.

        Args:
            name: The model.
            dry_run: Remove nothing, and only return what would be removed.
        """
        records = Records(self._store, name)
        return collect(records, clock.now(), self._delete_grace, self._upload_grace, dry_run)

    def verify(self, name: str, version: str | None = None) -> Verification:
        """Compare every file of a version, or of all versions of a model, with what was published.

        Raises:
            NotFound: There is no such version.
        """
        return verify(Records(self._store, name), check_version(version) if version else None)

    def complete(self, reference: str) -> tuple[str, str | None]:
        """Take `NAME` or `NAME@VERSION` apart, where the beginning of the version's id is enough.

        Raises:
            NotFound: No version begins so, or several do.
        """
        name, version = split_reference(reference)
        if version is None or is_version(version):
            return name, version
        if not version[:4].isdigit():
            check_version(version)
        records = Records(self._store, name)
        return name, self._beginning_with(records, version, records.refs())

    def _newest(self, name: str) -> str | None:
        records = Records(self._store, name)
        return records.newest(records.refs())

    def _select(self, records: Records, selector: str | None, refs: Refs) -> str:
        if selector is None and CHAMPION in refs.aliases:
            return refs.aliases[CHAMPION]
        if selector is None or selector == LATEST:
            if newest := records.newest(refs):
                return newest
            raise NotFound(f"no version of model {records.name!r} in {self._store.url}; {self._known()}")
        if is_version(selector):
            return selector
        check_alias(selector)
        return refs.aliases.get(selector) or self._beginning_with(records, selector, refs)

    def _beginning_with(self, records: Records, start: str, refs: Refs) -> str:
        """The one version whose id begins so."""
        live = records.live(refs)
        matches = [version for version in live if version.startswith(start)]
        if len(matches) == 1:
            return matches[0]
        reference = f"{records.name}@{start}"
        if matches:
            raise NotFound(f"{reference} is the beginning of several versions: {', '.join(matches[:5])}")
        known = f"there are: {', '.join([LATEST, *sorted(refs.aliases)])}" if live else self._known()
        raise NotFound(f"no alias {reference} in {self._store.url}, and no version begins so; {known}")

    def _known(self) -> str:
        return f"its models: {', '.join(self.names()) or 'none'}"

    def _deletable(self, records: Records, refs: Refs, version: str) -> list[str]:
        """See that a version can be deleted, and list all that are live, newest first."""
        if aliases := _aliases(refs, version):
            raise InputError(f"{records.name}@{version} is {', '.join(aliases)}; move that alias first")
        live = records.live(refs)
        if version not in {*live, *refs.deleting}:
            raise NotFound(f"no version {records.name}@{version} in {self._store.url}")
        return live

    def _content(self, version: Version, path: str) -> Iterator[bytes]:
        size, sha256 = version.files[path]
        records = Records(self._store, version.name)
        return records.content(version.id, path, FileEntry(size=size, sha256=sha256))


def _aliases(refs: Refs, version: str) -> tuple[str, ...]:
    return tuple(sorted(alias for alias, target in refs.aliases.items() if target == version))


def _is_name(name: str) -> bool:
    with suppress(InvalidName):
        return bool(check_name(name))
    return False


def _check_expected(name: str, alias: str, refs: Refs, expected: str | None) -> None:
    current = refs.aliases.get(alias)
    if current != expected:
        raise Conflict(f"{name}@{alias} points at {current}, not at {expected}; nothing was changed")
