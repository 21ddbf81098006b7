"""Batches of forecasts in their store: kept whole, once, and read again.

<destination>/<model>/<batch>/forecast-<nonce>.parquet
<destination>/<model>/<batch>/manifest.json      created last: the batch exists from then on
<destination>/<model>/latest.json                the manifest of the batch with the newest forecasts
"""

from contextlib import suppress
from datetime import datetime
from typing import Annotated, ClassVar, Literal

import pandas as pd
from pydantic import Field

from kubecast.data.parquet import read_parquet
from kubecast.documents import Document
from kubecast.errors import Conflict, NotFound, StoreError
from kubecast.registry import Store
from kubecast.storage.checksums import FileEntry, verified

_ATTEMPTS = 20
_FILE = r"^[0-9A-Za-z-]+/forecast-[0-9a-f]{32}\.parquet$"  # below the model's folder, and nowhere else


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
        path: Path of the Parquet file, below the model's folder.
        file: Size and SHA-256 of that file.
    """

    document_name: ClassVar[str] = "the manifest of a batch"

    schema_version: Literal[1] = 1
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
    path: Annotated[str, Field(pattern=_FILE)]
    file: FileEntry


def keep_batch(store: Store, model: str, batch: Batch, content: bytes) -> Batch:
    """Upload the file, then create the manifest; of two writers the first one's batch is the one kept."""
    manifest = f"{model}/{batch.batch}/manifest.json"
    with suppress(NotFound):
        return _read_manifest(store, manifest)[0]
    path = f"{model}/{batch.path}"
    try:
        store.write(path, [content])
    except BaseException:
        _discard(store, path)
        raise
    try:
        store.compare_and_swap(manifest, batch.model_dump_json().encode(), None)
    except Conflict:
        # Another writer, or this one whose reply was lost.
        stored = _read_manifest(store, manifest)[0]
        if stored.path != batch.path:
            _discard(store, path)
        return stored
    # After any other error the manifest may be there all the same, so the file that it names stays.
    return batch


def _discard(store: Store, path: str) -> None:
    with suppress(StoreError):
        store.remove(path)


def point_latest(store: Store, model: str, batch: Batch) -> bool:
    """Move ``latest.json`` forward by compare-and-swap; never back to older forecasts.

    Returns:
        Whether it points at this batch.
    """
    for _ in range(_ATTEMPTS):
        tag: str | None = None
        with suppress(NotFound):
            current, tag = _read_manifest(store, _latest_path(model))
            if (current.first, current.created) >= (batch.first, batch.created):
                return current.batch == batch.batch
        with suppress(Conflict):
            store.compare_and_swap(_latest_path(model), batch.model_dump_json().encode(), tag)
            return True
    raise Conflict(f"{store.url}/{_latest_path(model)}: too many writers at once; try again")


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
        IntegrityError: The manifest is none, or its file is another than it says.
        StoreError: The store failed.
    """
    batch, _ = _read_manifest(store, f"{model}/{name}/manifest.json")
    path = f"{model}/{batch.path}"
    content = b"".join(verified(store.stream(path), batch.file, f"{store.url}/{path}"))
    return batch, read_parquet(content)
