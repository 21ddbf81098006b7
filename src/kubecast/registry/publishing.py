"""Publishing: upload the files of a bundle, commit them as a version, retire versions over the limit."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from kubecast.errors import ConfigError, Conflict, InputError, NotFound, StoreError, StoreTimeout
from kubecast.registry import clock
from kubecast.registry.garbage_collection import finish_deletions
from kubecast.registry.manifest import JSON, Manifest, Refs, check_metadata, draft, idempotency_key, scan
from kubecast.registry.names import may_hold, new_version, version_time
from kubecast.registry.records import Records
from kubecast.storage.checksums import FileEntry, Reread, read_chunks, verified

_log = logging.getLogger(__name__)


def publish(
    records: Records,
    bundle: Path,
    metadata: Mapping[str, JSON],
    max_versions: int,
    delete_grace: timedelta,
    upload_grace: timedelta,
) -> tuple[Manifest, Refs]:
    """Publish a bundle, or find it where it is published already, and retire the oldest versions.

    Retirement that fails is a warning, as the version is there by then; the next publish does it.

    Raises:
        InputError: The bundle, the metadata or `max_versions` cannot be used.
        StoreError: The store failed; what was published before is intact.
        StoreTimeout: The upload took over half its grace.
    """
    _check_max_versions(max_versions)
    files = scan(bundle)
    plain = check_metadata(metadata)
    key = idempotency_key(files)
    refs, commits = records.refs(), records.commits()
    manifest = _published(records, refs, commits, key)
    if manifest is None:
        manifest = draft(_next_version(commits, key), key, files, plain)
        deadline = _Deadline(manifest.version, upload_grace / 2)
        _upload(records, bundle, manifest, deadline)
        _commit(records, manifest, deadline)
    try:
        refs = retire(records, manifest.version, max_versions, delete_grace)
    except (Conflict, StoreError) as error:
        _log.warning("%s is published, but no older version was retired: %s", manifest.version, error)
    return manifest, refs


class _Deadline:
    """Until when a writer may commit: well before garbage collection may take its upload.

    Two clocks, as the one stands still while a machine sleeps, and the other can be set.
    """

    def __init__(self, version: str, allowed: timedelta) -> None:
        self._version = version
        self._allowed = allowed
        self._started = time.monotonic()

    def passed(self) -> bool:
        elapsed = timedelta(seconds=time.monotonic() - self._started)
        return max(elapsed, clock.now() - version_time(self._version)) >= self._allowed

    def check(self, where: str) -> None:
        if self.passed():
            raise StoreTimeout(
                f"{where}: the upload took over {self._allowed}, half its grace; nothing was published"
            )


def _published(records: Records, refs: Refs, commits: Mapping[str, int], key: str) -> Manifest | None:
    for version, size in commits.items():
        if size and version not in refs.deleting and may_hold(version, key):
            with suppress(NotFound):  # deleted since it was listed
                manifest = records.manifest(version)
                if manifest.idempotency_key == key:
                    return manifest
    return None


def _next_version(commits: Iterable[str], key: str) -> str:
    now = clock.now()
    for newest in commits:
        now = max(now, version_time(newest) + timedelta(microseconds=1))
        break
    return new_version(now, key)


def _upload(records: Records, bundle: Path, manifest: Manifest, deadline: _Deadline) -> None:
    folder = records.data_path(manifest.version)
    try:
        for path, entry in manifest.files.items():
            records.write(manifest.version, path, Reread(partial(read_bundled, bundle / path, entry)))
            deadline.check(records.url_of(folder))
    except Conflict:
        raise  # the folder is another writer's
    except BaseException:
        with suppress(StoreError):
            records.remove_data(manifest.version)
        raise


def _commit(records: Records, manifest: Manifest, deadline: _Deadline) -> None:
    """Make the upload a version.

    Garbage collection may have come and gone, with its empty record, while this process was frozen just
    before it wrote: then the version is taken back.
    """
    records.commit(manifest)
    if deadline.passed() and records.list_files(manifest.version) != _sizes(manifest):
        records.remove(manifest.version)
        deadline.check(records.url_of(records.data_path(manifest.version)))


def retire(records: Records, published: str, max_versions: int, grace: timedelta) -> Refs:
    """Remove versions that any process marked a grace time ago, then mark the oldest above the limit."""
    now = clock.now()
    finish_deletions(records, now, grace)

    def mark(refs: Refs) -> Refs:
        live = records.live(refs)
        kept = {published, *live[:1], *refs.kept}
        removable = [version for version in reversed(live) if version not in kept]
        return refs.marked(removable[: max(0, len(live) - max_versions)], now, live)

    return records.update(mark)


def _sizes(manifest: Manifest) -> dict[str, int]:
    return {path: entry.size for path, entry in manifest.files.items()}


def _check_max_versions(max_versions: Any) -> None:
    if isinstance(max_versions, bool) or not isinstance(max_versions, int) or max_versions < 1:
        raise ConfigError(f"max_versions is {max_versions!r}; allowed: a whole number from 1")


def read_bundled(file: Path, entry: FileEntry) -> Iterator[bytes]:
    """Read a bundle's file, which must still be what was hashed."""
    try:
        yield from verified(read_chunks(file), entry, str(file))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}") from error
