"""The bytes of a file on the disk of this machine, wherever the file lies."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def spooled(chunks: Iterable[bytes]) -> Iterator[tuple[Path, str]]:
    """Write bytes to a temporary file, so that they are read once and need no memory.

    Yields:
        The file's path and the SHA-256 of the bytes.
    """
    with TemporaryDirectory() as folder:
        path, digest = Path(folder) / "data", hashlib.sha256()
        with path.open("wb") as stream:
            for chunk in chunks:
                digest.update(chunk)
                stream.write(chunk)
        yield path, digest.hexdigest()
