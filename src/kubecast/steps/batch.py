"""batch_forecast: forecasts of new data by a published ensemble, kept with a manifest of their inputs.

<destination>/<model>/<batch>/forecast-<nonce>.parquet
<destination>/<model>/<batch>/manifest.json      created last: the batch exists from then on
<destination>/<model>/latest.json                the manifest of the batch with the newest forecasts
"""

import hashlib
import json
import tempfile
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal

import pandas as pd

from kubecast.data.clock import as_kubecast
from kubecast.data.files import read_data, settings_for
from kubecast.data.timestamps import parse_time
from kubecast.documents import Document
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import Conflict, NotFound, StoreError
from kubecast.logs import step
from kubecast.registry import Registry, Store
from kubecast.storage.checksums import FileEntry
from kubecast.storage.store import open_store

_ATTEMPTS = 20


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
    path: str
    file: FileEntry

    def markdown(self) -> str:
        """A table of the batch in Markdown, for the dashboard."""
        cells = {"made by": self.model, "series": self.series, "horizon": self.horizon}
        cells |= {"first forecast": self.first, "last forecast": self.last, "file": self.path}
        rows = [f"| {name} | {value} |" for name, value in cells.items()]
        return "\n".join(["| what | value |", "|---|---|", *rows]) + "\n"


@step
def batch_forecast(
    data: str,
    registry: str,
    model: str,
    destination: str,
    horizon: int,
    future: str,
    as_of: str,
    forecasts: Path,
) -> Batch:
    """Forecast beyond the end of the data and keep the result; the same request twice is kept once.

    Args:
        data: Path or URL of the data.
        registry: Path or URL.
        model: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``; a name alone is its champion.
        destination: Path or URL of the folder that holds the batches.
        horizon: Steps; 0: the model's.
        future: Path or URL of known-future covariates over the horizon; empty for none.
        as_of: ISO date or time; empty for none.
        forecasts: Gets a copy: series and time as the data has them, ``yhat`` and the quantiles.

    Raises:
        InputError: The data or a parameter does not fit the model.
        RegistryError: There is no such model, or a store failed; nothing that was kept before is touched.
    """
    store, published = open_store(destination), Registry.open(registry)
    # A version that the gate refused forecasts only where the request names it.
    version = published.resolve(model if "@" in model else f"{model}@champion")
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.load(published.fetch(version, "production", Path(folder)))
    settings = bundle.contract.training.data
    history = read_data(data, settings_for(data, settings))
    covariates = read_data(future, settings_for(future, settings)) if future else None
    moment = parse_time(as_of, "as_of") if as_of else None
    table = bundle.forecast(history.rows, horizon or None, covariates.rows if covariates else None, moment)
    forecasts.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(forecasts, index=False)
    request: dict[str, str | int] = {
        "model": f"{version.name}@{version.id}",
        "data_digest": history.digest,
        "future_digest": covariates.digest if covariates else "",
        "as_of": moment.isoformat() if moment is not None else "",
        "horizon": horizon or bundle.contract.spec.horizon,
    }
    content = forecasts.read_bytes()
    plain = as_kubecast(table, bundle.contract.training.data.columns)
    batch = _keep(store, version.name, _describe(request, plain, content), content)
    _point_latest(store, version.name, batch)
    return batch


def _describe(request: Mapping[str, str | int], table: pd.DataFrame, content: bytes) -> Batch:
    """Make the manifest of a new batch; its name covers everything that the forecasts are a function of."""
    first, last = first_forecast(table).to_pydatetime(), table["ds"].max().to_pydatetime()
    name = f"{first:%Y%m%dT%H%M%SZ}-{hashlib.sha256(json.dumps(request).encode()).hexdigest()[:16]}"
    contents = {
        "batch": name,
        "created": datetime.now(UTC),
        "series": table["unique_id"].nunique(),
        "first": first,
        "last": last,
        "path": f"{name}/forecast-{uuid.uuid4().hex}.parquet",
        "file": FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest()),
    }
    return Batch.model_validate({**request, **contents})


def first_forecast(table: pd.DataFrame) -> pd.Timestamp:
    """The time at which forecasts begin: the latest of the series', but for the last twentieth of them.

    Series that ended long ago do not hold ``latest.json`` back, nor does one with a date in the future, if it
    is one of many, move it ahead of all that comes.
    """
    begins = table.groupby("unique_id")["ds"].min()
    return pd.Timestamp(begins.quantile(0.95, interpolation="higher"))


def _keep(store: Store, model: str, batch: Batch, content: bytes) -> Batch:
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


def _point_latest(store: Store, model: str, batch: Batch) -> None:
    """Move ``latest.json`` forward by compare-and-swap; never back to older forecasts."""
    for _ in range(_ATTEMPTS):
        tag: str | None = None
        with suppress(NotFound):
            current, tag = _read_manifest(store, _latest_path(model))
            if (current.first, current.created) >= (batch.first, batch.created):
                return
        with suppress(Conflict):
            return store.compare_and_swap(_latest_path(model), batch.model_dump_json().encode(), tag)
    raise Conflict(f"{store.url}/{_latest_path(model)}: too many writers at once; try again")


def _latest_path(model: str) -> str:
    return f"{model}/latest.json"


def _read_manifest(store: Store, path: str) -> tuple[Batch, str]:
    data, tag = store.read(path)
    return Batch.parse(data, f"{store.url}/{path}"), tag
