"""The records of one model in a store: refs, commit records and files, and how each may change."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from kubecast.errors import Conflict, IntegrityError, NotFound
from kubecast.names import check_name
from kubecast.registry.manifest import Manifest, Refs, decode
from kubecast.registry.names import is_version
from kubecast.storage.checksums import FileEntry, verified
from kubecast.storage.store import Store

_SWAP_ATTEMPTS = 30
_SWAP_PAUSE_SECONDS = 0.02


class Records:
    """The records of one model in a store.

    Readers take `refs` before they list commits: a deletion is unmarked only after its commit is gone, so no
    reader takes a version that is going away for one that stays.
    """

    def __init__(self, store: Store, name: str) -> None:
        """Look at the model `name`, which need not be there.

        Raises:
            InvalidName: The name is not allowed.
        """
        self.name = check_name(name)
        self._store = store
        self._refs_path = f"{name}/refs.json"

    def refs(self) -> Refs:
        """Read aliases and deletions; empty where there are none yet."""
        return self._tagged_refs()[0]

    def update(self, change: Callable[[Refs], Refs]) -> Refs:
        """Change the refs by compare-and-swap; `change` is called again when another writer was faster."""
        for attempt in range(_SWAP_ATTEMPTS):
            old, tag = self._tagged_refs()
            new = change(old)
            if new == old:
                return old
            new = new.written_over(old)
            try:
                self._store.compare_and_swap(self._refs_path, new.encode(), tag)
            except Conflict:
                # A client that lost the reply repeats a write that won: the nonce shows it, after others too.
                if not self.refs().hold(new):
                    time.sleep(_SWAP_PAUSE_SECONDS * attempt * random.random())  # noqa: S311 not a secret
                    continue
            return new
        raise Conflict(f"{self.url_of(self._refs_path)}: too many writers at once; try again")

    def commits(self, after: str | None = None) -> dict[str, int]:
        """Sizes of the commit records by version, newest first; an empty one is an aborted upload.

        Args:
            after: Only of versions later than this one.
        """
        start = self.commit_path(after) if after else ""
        records = self._store.list_files(f"{self.name}/commits", start)
        sizes = {path.rpartition("/")[2].removesuffix(".json"): size for path, size in records.items()}
        return {version: sizes[version] for version in sorted(sizes, reverse=True) if is_version(version)}

    def live(self, refs: Refs, after: str | None = None) -> list[str]:
        """List the versions that are published and not being deleted, newest first."""
        commits = self.commits(after)
        return [version for version in commits if commits[version] and version not in refs.deleting]

    def newest(self, refs: Refs) -> str | None:
        """Return the newest live version: one short page of the listing, however many there are."""
        return next(iter(self.live(refs, after=refs.newest)), refs.newest)

    def manifest(self, version: str) -> Manifest:
        """Read what a version holds.

        Raises:
            NotFound: There is no such version.
            IntegrityError: Its commit record is damaged or another's.
        """
        path = self.commit_path(version)
        data = self._commit_record(version)
        if not data:
            raise NotFound(f"no version {self.name}@{version} in {self._store.url}")
        manifest = decode(Manifest, data, self.url_of(path))
        if manifest.version != version:
            raise IntegrityError(f"{self.url_of(path)}: is the manifest of {manifest.version}")
        return manifest

    def commit(self, manifest: Manifest) -> None:
        """Make a version of an upload, unless garbage collection has given it up.

        Raises:
            Conflict: The upload was given up, or another writer took its place.
        """
        path = self.commit_path(manifest.version)
        try:
            self._store.compare_and_swap(path, manifest.encode(), None)
        except Conflict:
            # A client that lost the reply repeats a create that won: the nonce shows it.
            data = self._commit_record(manifest.version)
            if not data:
                raise Conflict(f"{self.url_of(path)}: the upload took too long and was discarded") from None
            if decode(Manifest, data, self.url_of(path)).nonce != manifest.nonce:
                raise

    def abort(self, version: str) -> bool:
        """Give an upload up, so that its writer can no longer commit it; False when the writer was faster."""
        path = self.commit_path(version)
        with suppress(Conflict):
            self._store.compare_and_swap(path, b"", None)
            return True
        return self._commit_record(version) == b""

    def list_folders(self) -> list[str]:
        """List the versions that have a folder, published or not; it may be empty."""
        return sorted(filter(is_version, self._store.list_folders(f"{self.name}/versions")))

    def list_files(self, version: str) -> dict[str, int]:
        """List the files that are stored of a version with their sizes, by path inside the version."""
        folder = f"{self.data_path(version)}/"
        return {path.removeprefix(folder): size for path, size in self._store.list_files(folder[:-1]).items()}

    def paths(self) -> list[str]:
        """List everything that is stored of the model, by path inside it."""
        return [path.removeprefix(f"{self.name}/") for path in self._store.list_files(self.name)]

    def content(self, version: str, path: str, entry: FileEntry) -> Iterator[bytes]:
        """Read one file of a version in parts.

        Raises:
            IntegrityError: At the end: it is missing, or not what its manifest says.
        """
        stored = f"{self.data_path(version)}/{path}"
        try:
            yield from verified(self._store.stream(stored), entry, self.url_of(stored))
        except NotFound as error:
            raise IntegrityError(f"{self.url_of(stored)}: is missing, but its manifest names it") from error

    def write(self, version: str, path: str, chunks: Iterable[bytes]) -> None:
        """Upload one file of a version.

        Raises:
            Conflict: It is there already.
        """
        self._store.write(f"{self.data_path(version)}/{path}", chunks)

    def remove(self, version: str) -> None:
        """Remove a version: its commit record first, so that it is never there in part."""
        self.remove_commit(version)
        self.remove_data(version)

    def remove_commit(self, version: str) -> None:
        """Remove the commit record of a version, or of an aborted upload."""
        self._store.remove(self.commit_path(version))

    def remove_data(self, version: str) -> None:
        """Remove the files of a version or an upload."""
        self._store.remove(self.data_path(version))

    def commit_path(self, version: str) -> str:
        """The path of a version's commit record."""
        return f"{self.name}/commits/{version}.json"

    def data_path(self, version: str) -> str:
        """The path of the folder with a version's files."""
        return f"{self.name}/versions/{version}"

    def url_of(self, path: str) -> str:
        """Name a path in a message."""
        return f"{self._store.url}/{path}"

    def _tagged_refs(self) -> tuple[Refs, str | None]:
        try:
            data, tag = self._store.read(self._refs_path)
        except NotFound:
            return Refs(), None
        return decode(Refs, data, self.url_of(self._refs_path)), tag

    def _commit_record(self, version: str) -> bytes | None:
        with suppress(NotFound):
            return self._store.read(self.commit_path(version))[0]
        return None
