"""A large file on its way to or from a bucket, which goes on, or begins again, after an error."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError

from kubecast.storage.checksums import CHUNK_BYTES

_PARALLEL_PARTS = 4


class Download:
    """A file that is read in parts; after an error the next read goes on where the last one ended."""

    def __init__(self, client: Any, path: str, check_size: Callable[[int], None]) -> None:
        self._client, self._path, self._check_size = client, path, check_size
        self._parts: Iterator[Any] | None = None
        self._tag: str | None = None
        self._done = self._size = 0

    def read(self) -> bytes:
        """The next part; empty at the end."""
        if self._parts is None:
            if self._done and self._done == self._size:
                return b""
            self._parts = self._open()
        try:
            chunk = bytes(next(self._parts, b""))
        except BaseException:
            self._parts = None
            raise
        self._done += len(chunk)
        return chunk

    def _open(self) -> Iterator[Any]:
        options: Any = {"range": {"offset": self._done}, "if_match": self._tag} if self._done else {}
        response = obstore.get(self._client, self._path, options=options)
        if not self._done:
            self._size, self._tag = response.meta["size"], response.meta["e_tag"]
            self._check_size(self._size)
        parts: Iterator[Any] = iter(response.stream(min_chunk_size=CHUNK_BYTES))
        return parts


class Upload:
    """A file that is written in parts, which takes no condition: whether it is there is checked before."""

    def __init__(self, client: Any, path: str, chunks: Iterable[bytes]) -> None:
        self._client, self._path, self._chunks = client, path, chunks
        self._tried = False

    def attempt(self) -> None:
        """Write it all, unless an earlier attempt did whose answer was lost."""
        with suppress(FileNotFoundError):
            obstore.head(self._client, self._path)
            if self._tried and self._is_there():
                return
            raise AlreadyExistsError(self._path)
        self._tried = True
        obstore.put(
            self._client,
            self._path,
            iter(self._chunks),
            chunk_size=CHUNK_BYTES,
            max_concurrency=_PARALLEL_PARTS,
        )

    def _is_there(self) -> bool:
        stored = obstore.get(self._client, self._path).stream(min_chunk_size=CHUNK_BYTES)
        return _digest(map(bytes, stored)) == _digest(self._chunks)


def _digest(chunks: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.digest()
