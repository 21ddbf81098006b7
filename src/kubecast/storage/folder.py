"""Files in a folder of this machine, with the conditional write and the durability that a registry needs."""

import errno
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore as LocalObjects

from kubecast.errors import Conflict, NotFound, StoreError, StoreForbidden, StoreFull
from kubecast.storage.checksums import CHUNK_BYTES

_ERRORS: dict[int | None, type[StoreError] | type[NotFound]] = {
    errno.ENOENT: NotFound,
    errno.ENOSPC: StoreFull,
    errno.EDQUOT: StoreFull,
    errno.EFBIG: StoreFull,
    errno.EACCES: StoreForbidden,
    errno.EPERM: StoreForbidden,
    errno.EROFS: StoreForbidden,
}


class LocalStore:
    """A folder, made when it is first written to.

    obstore's own local writes know no compare-and-swap and no fsync, so those are done here.
    """

    def __init__(self, root: Path) -> None:
        """Use the folder `root`, which need not exist yet."""
        self._root = root

    @property
    def url(self) -> str:
        """The folder as a URL."""
        return self._root.as_uri()

    def list_folders(self, path: str = "") -> list[str]:
        """List the names of the folders directly below `path`; empty when there is no such folder."""
        if not self._root.is_dir():
            return []
        with self._translated(path):
            folders = obstore.list_with_delimiter(LocalObjects(self._root), path)["common_prefixes"]
            return [folder.rpartition("/")[2] for folder in folders]

    def list_files(self, folder: str, after: str = "") -> dict[str, int]:
        """List the files below a folder with their sizes, those alone whose path sorts after `after`."""
        if not self._root.is_dir():
            return {}
        with self._translated(folder):
            pages = obstore.list(LocalObjects(self._root), folder, offset=after)
            return {file["path"]: file["size"] for page in pages for file in page}

    def stream(self, path: str) -> Iterator[bytes]:
        """Read a file in parts; NotFound when there is none."""
        with self._translated(path):
            for chunk in obstore.get(self._objects(), path).stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

    def read(self, path: str) -> tuple[bytes, str]:
        """Read a small file and its tag; NotFound when there is none."""
        with self._translated(path):
            data = bytes(obstore.get(self._objects(), path).bytes())
        return data, _tag(data)

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a new file in parts; it is durable on return, and partial after an error."""
        target = self._root / path
        with self._translated(path):
            _make_folder(target.parent)
            _write_new(target, chunks)
            _sync_folder(target.parent)

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        """Write a small file at once, durably; Conflict unless its tag is `expected` (None: no such file)."""
        target = self._root / path
        with self._translated(path), self._locked():
            if (_tag(target.read_bytes()) if target.exists() else None) != expected:
                raise Conflict(f"{self.url}/{path}: another writer was faster")
            staged = self._root / ".staged"
            staged.unlink(missing_ok=True)
            _write_new(staged, [data])
            _make_folder(target.parent)
            staged.replace(target)
            _sync_folder(target.parent)

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all below it, if it is there."""
        target = self._root / path
        with self._translated(path):
            while target.is_dir():
                with suppress(FileNotFoundError):  # another process removes the same folder
                    shutil.rmtree(target)
            target.unlink(missing_ok=True)
            if target.parent.is_dir():
                _sync_folder(target.parent)

    def _objects(self) -> LocalObjects:
        if not self._root.is_dir():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return LocalObjects(self._root)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        _make_folder(self._root)
        with (self._root / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _translated(self, path: str) -> Iterator[None]:
        where = f"{self.url}/{path}"
        try:
            yield
        except FileExistsError as error:
            raise Conflict(f"{where}: another writer was faster") from error
        except (OSError, BaseError) as error:
            code = _code(error)
            cause = os.strerror(code) if code else str(error).partition("\n")[0]
            raise _ERRORS.get(code, StoreError)(f"{where}: {cause}") from error


def _code(error: OSError | BaseError) -> int | None:
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT
    stated = re.search(r"os error (\d+)", str(error))
    return int(stated[1]) if stated else None


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write_new(file: Path, chunks: Iterable[bytes]) -> None:
    with file.open("xb") as stream:
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
