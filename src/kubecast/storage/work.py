"""Folders of files that the tasks of a run hand on to each other through a store.

<key>/used.json                the time at which a task last began to work with them
<key>/<part>-<nonce>/…         the files of a part, uploaded first
<key>/<part>.json              the record of a part, created last: the part is there from then on

The key says what the files follow from, so that a run that is begun again finds what an earlier one finished.
"""

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field

from kubecast.documents import Document
from kubecast.errors import ConfigError, Conflict, IntegrityError, NotFound, StoreError
from kubecast.storage.checksums import FileEntry, Reread, measure, read_chunks, verified
from kubecast.storage.downloads import save, staged
from kubecast.storage.locations import scheme_of
from kubecast.storage.store import Store, open_store

_ATTEMPTS = 20
_USED = "used.json"

KEY = re.compile(r"[0-9a-f]{32}")
"""Of the folder of each run's work."""

_FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class _Part(Document):
    """The record of a part: its folder, and its files by name."""

    document_name: ClassVar[str] = "a record of work"

    folder: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    files: dict[_FileName, FileEntry]


class _Used(Document):
    document_name: ClassVar[str] = "a record of work's use"

    time: AwareDatetime


@dataclass(frozen=True)
class Work:
    """What the tasks of one run hand on to each other.

    Attributes:
        store: Holds it, and that of other runs.
        key: A digest of all that it follows from.
        location: The URL of the store as it was given, which a bucket's own would not be read as again where
            its prefix has a percent sign; of a path the store's own is absolute.
    """

    store: Store
    key: str
    location: str = ""

    @classmethod
    def open(cls, url: str) -> "Work":
        """Open what ``url`` names.

        Raises:
            ConfigError: It is not the URL of a run's work.
        """
        folder, _, key = url.rpartition("/")
        if not KEY.fullmatch(key):
            raise ConfigError(f"work {url!r}: allowed: URL/KEY, as the task before returns it")
        return cls(open_store(folder), key, folder)

    @property
    def url(self) -> str:
        """Its folder, for ``open``."""
        return f"{self.location.rstrip('/') if scheme_of(self.location) else self.store.url}/{self.key}"

    def begin(self, now: datetime) -> None:
        """Note that a task begins to work with it, so that it is not cleared away."""
        with suppress(Conflict):  # many tasks note it at once: one of them has
            self._write(_USED, _Used(time=now), lambda _: False)

    def keep(self, part: str, folder: Path) -> None:
        """Upload the files of a folder as a part; of two writers the first one's part is the one kept.

        Args:
            part: Its name: small letters, digits and hyphens.
            folder: Holds files, and no folders.
        """
        record = _Part(
            folder=f"{part}-{uuid.uuid4().hex}",
            files={file.name: measure(file) for file in sorted(folder.iterdir())},
        )
        try:
            for name in record.files:
                self.store.write(
                    f"{self.key}/{record.folder}/{name}", Reread(partial(read_chunks, folder / name))
                )
        except BaseException:
            self._discard(record)
            raise
        if not self._write(f"{part}.json", record, self._is_stored):
            self._discard(record)

    def has(self, part: str) -> bool:
        """Whether a part is there with all its files."""
        with suppress(NotFound, IntegrityError):
            return self._is_whole(self._record(part))
        return False

    def fetch(self, part: str, target: Path) -> Path:
        """Copy the files of a part to a new folder, which appears only after all of them were checked.

        Raises:
            NotFound: There is no such part.
            IntegrityError: A file is missing or altered; the part is gone then, and can be made again.
        """
        try:
            return self._fetch(part, target)
        except IntegrityError:
            with suppress(StoreError):
                self.store.remove(f"{self.key}/{part}.json")
            raise

    def _fetch(self, part: str, target: Path) -> Path:
        record = self._record(part)
        with staged(target) as folder:
            for name, entry in record.files.items():
                path = f"{self.key}/{record.folder}/{name}"
                try:
                    save(folder / name, verified(self.store.stream(path), entry, self._url_of(path)))
                except NotFound as error:
                    raise IntegrityError(
                        f"{self._url_of(path)}: is missing, but its record names it"
                    ) from error
        return target

    def _record(self, part: str) -> _Part:
        path = f"{self.key}/{part}.json"
        return _Part.parse(self.store.read(path)[0], self._url_of(path))

    def _is_whole(self, record: _Part) -> bool:
        folder = f"{self.key}/{record.folder}"
        entries = {f"{folder}/{name}": entry.size for name, entry in record.files.items()}
        return self.store.list_files(folder) == entries

    def _is_stored(self, data: bytes) -> bool:
        with suppress(IntegrityError):
            return self._is_whole(_Part.parse(data, "a record"))
        return False

    def _write(self, name: str, document: Document, may_stay: Callable[[bytes], bool]) -> bool:
        """Write a small file, but where there is one that may stay; return whether it was written."""
        path, content = f"{self.key}/{name}", document.model_dump_json().encode()
        for _ in range(_ATTEMPTS):
            tag: str | None = None
            with suppress(NotFound):
                data, tag = self.store.read(path)
                if data == content:  # written, and the answer lost
                    return True
                if may_stay(data):
                    return False
            with suppress(Conflict):
                self.store.compare_and_swap(path, content, tag)
                return True
        raise Conflict(f"{self._url_of(path)}: too many writers at once; try again")

    def _discard(self, record: _Part) -> None:
        with suppress(StoreError):
            self.store.remove(f"{self.key}/{record.folder}")

    def _url_of(self, path: str) -> str:
        return f"{self.store.url}/{path}"


def clear_work(store: Store, before: datetime, dry_run: bool = False) -> list[str]:
    """Remove what no run has begun to work with since a time.

    Args:
        store: Holds the work of runs, and nothing else.
        before: The time.
        dry_run: Whether to remove nothing.

    Returns:
        The keys of what is removed. What has another name, or no readable note of its use, is left alone.
    """
    cleared = []
    for key in filter(KEY.fullmatch, store.list_folders()):
        if _was_used_before(store, key, before):
            if not dry_run:
                _clear(store, key, before)
            cleared.append(key)
    return cleared


def _clear(store: Store, key: str, before: datetime) -> None:
    """Remove records, then files, then the note of use: what is left by a crash, the next clearing removes.

    A run that begins meanwhile keeps what is not gone yet. What goes as it begins it may have found; it fails
    then, and makes it when it is submitted again.
    """
    records = [path for path in store.list_files(key) if path.count("/") == 1 and path != f"{key}/{_USED}"]
    folders = [f"{key}/{folder}" for folder in store.list_folders(key)]
    for path in [*records, *folders, key]:
        if not _was_used_before(store, key, before):
            return
        store.remove(path)


def _was_used_before(store: Store, key: str, before: datetime) -> bool:
    path = f"{key}/{_USED}"
    with suppress(NotFound, IntegrityError):
        return _Used.parse(store.read(path)[0], path).time < before
    return False
