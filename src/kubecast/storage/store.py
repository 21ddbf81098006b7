"""Where a registry keeps its files: plain reads and writes, and one conditional write."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

from kubecast.errors import ConfigError
from kubecast.storage.bucket import SCHEMES, ObjectStore
from kubecast.storage.folder import LocalStore


class Store(Protocol):
    """Files by path. A path is relative, with `/` between its parts."""

    @property
    def url(self) -> str:
        """Where the store is, for messages; holds no secret."""
        ...

    def folders(self, path: str = "") -> list[str]:
        """List the names of the folders directly below `path`; empty when there is no such folder."""
        ...

    def sizes(self, folder: str, after: str = "") -> dict[str, int]:
        """List the files below a folder with their sizes, those alone whose path sorts after `after`.

        The order of paths is that of their UTF-8 bytes. Empty when there is no such folder.
        """
        ...

    def stream(self, path: str) -> Iterator[bytes]:
        """Read a file in parts; NotFound when there is none."""
        ...

    def read(self, path: str) -> tuple[bytes, str]:
        """Read a small file and the tag that `swap` knows this content by; NotFound when there is none."""
        ...

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a new file in parts; it is durable on return, and partial after an error.

        Parts that can be gone through again, as no iterator can, are written again after a fault that passed.
        """
        ...

    def swap(self, path: str, data: bytes, expected: str | None) -> None:
        """Write a small file at once, durably; Conflict unless its tag is `expected` (None: no such file)."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all below it, if it is there."""
        ...


def open_store(url: str) -> Store:
    """Open the store at a `file://` URL, a path, or an `s3://`, `gs://`, `az://` or `minio://` URL.

    Raises:
        ConfigError: The URL is of another kind, or names something that is not a folder.
    """
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", url)
    if scheme and scheme[1] in SCHEMES:
        return ObjectStore(url)
    if scheme and scheme[1] != "file":
        allowed = ", ".join(f"{name}://…" for name in ("file", *SCHEMES))
        raise ConfigError(f"registry {scheme[1]}://…: allowed: a path, {allowed}")
    if scheme and not re.match(r"file:///[^/]", url):
        raise ConfigError(f"registry {url!r}: allowed: file:///PATH or a path")
    path = unquote(url.removeprefix("file://")) if scheme else url
    if not path.strip() or not path.isprintable():
        raise ConfigError(f"registry {url!r}: allowed: file:///PATH or a path")
    root = Path(path).absolute()
    if root.exists() and not root.is_dir():
        raise ConfigError(f"registry {url!r} is a file; allowed: a folder")
    return LocalStore(root)
