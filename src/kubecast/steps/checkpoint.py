"""Checkpoints of fits, kept where a pod that takes the place of another one finds them.

    <checkpoint_url>/<key>/<time>-<digest>

The key is made of what the fit is a function of, so that a retried task, a run that is submitted again and
the next schedule all go on from the same checkpoint, and no other fit does. A file is written under a name of
its own and its predecessor is removed after it: there is always a whole one.
"""

import hashlib
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from kubecast.errors import NotFound, RegistryError
from kubecast.storage.checksums import Reread, read_chunks
from kubecast.storage.store import Store, open_store

MAX_AGE = timedelta(days=14)  # of a fit that nobody came back to

_LOG = logging.getLogger(__name__)
_TIME = "%Y%m%dT%H%M%S%fZ"
_PATH = re.compile(r"[^/]+/(\d{8}T\d{12}Z)-([0-9a-f]{16})")  # nothing else in the folder is ever removed

Report = Callable[[int, float], None]


@contextmanager
def checkpoints(url: str, key: str, report: Report) -> Iterator[tuple[Path | None, Report]]:
    """Fetch the checkpoint of a fit, keep it after each report, and remove it once the fit is done.

    A store that fails costs the protection, not the fit: it is warned of once.

    Args:
        url: Path or URL of the folder of all checkpoints; empty: none are kept.
        key: Key of the fit; hexadecimal.
        report: Called after each epoch.

    Yields:
        The values for ``FitPlan.checkpoint`` and ``FitPlan.on_step``.
    """
    if not url:
        yield None, report
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "checkpoint"
        stored = _StoredCheckpoint(open_store(url), key, file)
        stored.attempt(stored.fetch)

        def keep_and_report(done: int, loss: float) -> None:
            stored.attempt(stored.keep)
            report(done, loss)

        yield file, keep_and_report
        stored.attempt(stored.remove)


class _StoredCheckpoint:
    """The checkpoint of one fit in a store."""

    def __init__(self, store: Store, key: str, file: Path) -> None:
        self._store, self._key, self._file = store, key, file
        self._failed = False

    def attempt(self, action: Callable[[], None]) -> None:
        """Run an action, unless the store has failed before."""
        if self._failed:
            return
        try:
            action()
        except RegistryError as error:
            self._failed = True
            _LOG.warning("no checkpoints are kept: %s", error)

    def fetch(self) -> None:
        """Bring the newest whole file, and remove what other fits left behind long ago."""
        self._expire()
        for path in sorted(self._store.list_files(self._key), reverse=True):
            with suppress(NotFound):  # another attempt has replaced it
                data = b"".join(self._store.stream(path))
                if hashlib.sha256(data).hexdigest()[:16] == _digest_of(path):
                    self._file.write_bytes(data)
                    _LOG.info("goes on from the checkpoint of %s", _time_of(path))
                    return

    def keep(self) -> None:
        """Upload the file, then remove those before it; a model that writes none has nothing to keep."""
        if not self._file.exists():
            return
        before = list(self._store.list_files(self._key))
        digest = hashlib.sha256(self._file.read_bytes()).hexdigest()[:16]
        path = f"{self._key}/{datetime.now(UTC).strftime(_TIME)}-{digest}"
        self._store.write(path, Reread(partial(read_chunks, self._file)))
        for old in before:
            self._store.remove(old)

    def remove(self) -> None:
        """Remove every file of the fit."""
        self._store.remove(self._key)

    def _expire(self) -> None:
        for path in self._store.list_files(""):
            written = _time_of(path)
            if written is not None and datetime.now(UTC) - written > MAX_AGE:
                self._store.remove(path)


def _time_of(path: str) -> datetime | None:
    match = _PATH.fullmatch(path)
    with suppress(ValueError):
        return datetime.strptime(match[1], _TIME).replace(tzinfo=UTC) if match else None
    return None


def _digest_of(path: str) -> str:
    return path.rpartition("-")[2]
