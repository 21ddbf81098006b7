"""The store that a registry keeps its files in: plain reads and writes, and one conditional write."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from kubecast.errors import ConfigError
from kubecast.storage.bucket import ObjectStore
from kubecast.storage.folder import LocalStore
from kubecast.storage.locations import FILE, local_path, scheme_of
from kubecast.storage.providers import PROVIDERS


class Store(Protocol):
    """Files by path. A path is relative, with `/` between its parts."""

    @property
    def url(self) -> str:
        """The place of the store, for messages; holds no secret."""
        ...

    def list_folders(self, path: str = "") -> list[str]:
        """List the names of the folders directly below `path`; empty when there is no such folder."""
        ...

    def list_files(self, folder: str, after: str = "") -> dict[str, int]:
        """List the files below a folder with their sizes, those alone whose path sorts after `after`.

        The order of paths is that of their UTF-8 bytes. Empty when there is no such folder.
        """
        ...

    def stream(self, path: str) -> Iterator[bytes]:
        """Read a file in parts; NotFound when there is none."""
        ...

    def read(self, path: str) -> tuple[bytes, str]:
        """Read a small file, and the tag that `compare_and_swap` knows this content by.

        Raises:
            NotFound: There is no such file.
        """
        ...

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a new file in parts; it is durable on return, and partial after an error.

        Parts that can be gone through again, as no iterator can, are written again after a fault that passed.
        """
        ...

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        """Write a small file at once, durably; Conflict unless its tag is `expected` (None: no such file)."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all below it, if it is there."""
        ...


def open_store(url: str) -> Store:
    """Open the store at a path, a `file://` URL, or the URL of a bucket.

    Raises:
        ConfigError: The URL is of another kind, or names something that is not a folder.
    """
    scheme = scheme_of(url)
    if scheme in PROVIDERS:
        return ObjectStore(url)
    if scheme not in ("", FILE):
        allowed = ", ".join(f"{name}://…" for name in (FILE, *PROVIDERS))
        raise ConfigError(f"registry {scheme}://…: allowed: a path, {allowed}")
    path = local_path(url)
    if path is None or not url.strip() or not str(path).isprintable():
        raise ConfigError(f"registry {url!r}: allowed: file:///PATH or a path")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"registry {url!r} is a file; allowed: a folder")
    return LocalStore(path.absolute())
