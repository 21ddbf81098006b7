"""Files that the tasks of a run hand on, and a store whose process is killed."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kubecast.storage.folder import LocalStore

FILES = {"panel.parquet": b"rows", "empty": b"", "outline.json": b"{}"}

Make = Callable[[dict[str, bytes]], Path]
"""Makes a folder with files."""


class Killed(BaseException):
    """Stands for the end of the process."""


class Dying(LocalStore):
    """Does some operations, then nothing ever again, as a killed process."""

    left = 0

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        self.step()
        super().write(path, self._halved(chunks))

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        self.step()
        super().compare_and_swap(path, data, expected)

    def remove(self, path: str) -> None:
        self.step()
        super().remove(path)

    def _halved(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk[: len(chunk) // 2]
            self.step()
            yield chunk[len(chunk) // 2 :]
