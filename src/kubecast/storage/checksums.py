"""Files in chunks, and the sizes and hashes that they are checked against."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kubecast.errors import IntegrityError

CHUNK_BYTES = 8 << 20

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class FileEntry(BaseModel):
    """The size and hash of one file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Annotated[int, Field(ge=0, strict=True)]
    sha256: Sha256


def measure(file: Path) -> FileEntry:
    """Return the size and hash of a file."""
    digest = hashlib.sha256()
    size = 0
    for chunk in read_chunks(file):
        digest.update(chunk)
        size += len(chunk)
    return FileEntry(size=size, sha256=digest.hexdigest())


def read_chunks(file: Path) -> Iterator[bytes]:
    """Read a file in parts, so that a large model never fills the memory."""
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


@dataclass(frozen=True)
class Reread:
    """The parts of a file, read from its start again by each that goes through them."""

    read: Callable[[], Iterator[bytes]]

    def __iter__(self) -> Iterator[bytes]:
        """Begin."""
        return self.read()


def verified(chunks: Iterable[bytes], entry: FileEntry, where: str) -> Iterator[bytes]:
    """Pass the chunks on, and raise IntegrityError at their end unless size and hash are the entry's."""
    digest = hashlib.sha256()
    size = 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if (size, digest.hexdigest()) != (entry.size, entry.sha256):
        raise IntegrityError(
            f"{where}: {size} bytes with SHA-256 {digest.hexdigest()[:12]}…, "
            f"but its manifest says {entry.size} bytes with {entry.sha256[:12]}…"
        )
