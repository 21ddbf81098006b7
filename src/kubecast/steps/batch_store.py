"""Batches of forecasts in their store: kept whole, once, and read again.

<destination>/<model>/<batch>/forecast-<nonce>.parquet    one for each shard of the series
<destination>/<model>/<batch>/manifest.json      created last: the batch exists from then on
<destination>/<model>/latest.json                the manifest of the batch with the newest forecasts
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pandas as pd
from pydantic import Field, model_validator

from kubecast.data.parquet import read_parquet
from kubecast.data.row_blocks import concat_rows
from kubecast.data.series_ranges import SeriesRange
from kubecast.documents import Document, nested
from kubecast.errors import Conflict, NotFound, StoreError
from kubecast.registry import Store
from kubecast.storage.checksums import FileEntry, Reread, Sha256, read_chunks, verified

_ATTEMPTS = 20
_FILE = r"^[0-9A-Za-z-]+/forecast-[0-9a-f]{32}\.parquet$"  # below the model's folder, and nowhere else


class BatchFile(Document):
    """A Parquet file of a batch.

    Attributes:
        path: Below the model's folder.
        size: Bytes.
        sha256: Of these.
        shard: The series that it has forecasts of; None in a batch of before there were shards.
    """

    path: Annotated[str, Field(pattern=_FILE)]
    size: Annotated[int, Field(ge=0, strict=True)]
    sha256: Sha256
    shard: SeriesRange | None = None

    @property
    def entry(self) -> FileEntry:
        """Its size and hash."""
        return FileEntry(size=self.size, sha256=self.sha256)


class MissingShard(Document):
    """Series that a batch has no forecasts of, and why."""

    shard: SeriesRange
    reason: str


class Batch(Document):
    """The manifest of one batch of forecasts.

    Attributes:
        batch: Name of its folder: the time of the first forecast and a digest of all inputs.
        model: ``NAME@VERSION`` of the ensemble.
        created: Time at which it was made.
        data_digest: Of the data: of a file its SHA-256, of a table its id and version.
        future_digest: That of the known-future covariates; empty for none.
        as_of: Targets after it were not seen; empty for none.
        horizon: Steps.
        series: Number of series.
        first: Time of the first forecast of the series that go on, in UTC where the data has a zone and steps
            are shorter than days; those that ended long ago begin earlier.
        last: Time of the last forecast, likewise.
        files: Its Parquet files, in ascending order of series.
        missing: Shards that failed.
    """

    document_name: ClassVar[str] = "the manifest of a batch"

    schema_version: Literal[2] = 2
    batch: str
    model: str
    created: datetime
    data_digest: str
    future_digest: str
    as_of: str
    horizon: int
    series: int
    first: datetime
    last: datetime
    files: Annotated[list[BatchFile], Field(min_length=1)]
    missing: list[MissingShard] = Field(default=[])

    @model_validator(mode="before")
    @classmethod
    def _read_one_file(cls, data: Any) -> Any:
        """Read the first schema, whose batches have one file."""
        if not isinstance(data, dict) or data.get("schema_version") != 1:
            return data
        entry = nested(data, "file")
        kept = {key: value for key, value in data.items() if key not in ("path", "file")}
        return kept | {"schema_version": 2, "files": [{"path": data.get("path"), **entry}]}


def keep_batch(store: Store, model: str, batch: Batch, files: Sequence[Path]) -> Batch:
    """Upload the files, then create the manifest; of two writers the first one's batch is the one kept.

    Args:
        store: Keeps it.
        model: Its name.
        batch: The manifest.
        files: Those of ``batch.files``, in that order.
    """
    manifest = f"{model}/{batch.batch}/manifest.json"
    with suppress(NotFound):
        return _read_manifest(store, manifest)[0]
    try:
        for file, source in zip(batch.files, files, strict=True):
            store.write(f"{model}/{file.path}", Reread(partial(read_chunks, source)))
    except BaseException:
        _discard(store, model, batch)
        raise
    try:
        store.compare_and_swap(manifest, batch.model_dump_json().encode(), None)
    except Conflict:
        # Another writer, or this one whose reply was lost.
        stored = _read_manifest(store, manifest)[0]
        if stored.files != batch.files:
            _discard(store, model, batch)
        return stored
    # After any other error the manifest may be there all the same, so the files that it names stay.
    return batch


def _discard(store: Store, model: str, batch: Batch) -> None:
    with suppress(StoreError):
        for file in batch.files:
            store.remove(f"{model}/{file.path}")


def point_latest(store: Store, model: str, batch: Batch) -> bool:
    """Move ``latest.json`` forward by compare-and-swap; never back to older forecasts.

    Returns:
        Whether it points at this batch.
    """
    for _ in range(_ATTEMPTS):
        tag: str | None = None
        with suppress(NotFound):
            current, tag = _read_manifest(store, _latest_path(model))
            if _newness(current) >= _newness(batch):
                return current.batch == batch.batch
        with suppress(Conflict):
            store.compare_and_swap(_latest_path(model), batch.model_dump_json().encode(), tag)
            return True
    raise Conflict(f"{store.url}/{_latest_path(model)}: too many writers at once; try again")


def _newness(batch: Batch) -> tuple[datetime, bool, datetime]:
    """A batch that lacks series is never newer than a whole one of the same time."""
    return batch.first, not batch.missing, batch.created


def _latest_path(model: str) -> str:
    return f"{model}/latest.json"


def _read_manifest(store: Store, path: str) -> tuple[Batch, str]:
    data, tag = store.read(path)
    return Batch.parse(data, f"{store.url}/{path}"), tag


def earlier_batches(store: Store, model: str, batch: Batch) -> list[str]:
    """The names of the batches whose forecasts began before those of this one, newest first.

    Raises:
        StoreError: The store failed.
    """
    return sorted((name for name in store.list_folders(model) if name < batch.batch), reverse=True)


def read_table(store: Store, model: str, name: str) -> tuple[Batch, pd.DataFrame]:
    """The manifest of a batch, and its forecasts.

    Raises:
        NotFound: There is no such batch.
        IntegrityError: The manifest is none, or a file is another than it says.
        StoreError: The store failed.
    """
    batch, _ = _read_manifest(store, f"{model}/{name}/manifest.json")
    paths = [f"{model}/{file.path}" for file in batch.files]
    contents = (
        b"".join(verified(store.stream(path), file.entry, f"{store.url}/{path}"))
        for path, file in zip(paths, batch.files, strict=True)
    )
    return batch, concat_rows([read_parquet(content) for content in contents])
