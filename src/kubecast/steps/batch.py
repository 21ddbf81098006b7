"""batch_forecast: forecasts of new data by a published ensemble, kept with a manifest of their inputs.

Where they are kept, see ``kubecast.steps.batch_store``.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from kubecast.config.training import Columns
from kubecast.data.clock import as_kubecast
from kubecast.data.files import open_data, read_data, settings_for
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.row_blocks import in_folder
from kubecast.data.timestamps import parse_time
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import NotFound, StoreError
from kubecast.evaluation.batch_review import BatchReview, EarlierBatch, review_batch, score_earlier
from kubecast.evaluation.published import published_evaluation, with_series
from kubecast.logs import step
from kubecast.registry import Registry, Store, Version
from kubecast.reports.score import Kept, render_score
from kubecast.reports.unexplained import page_or_reason
from kubecast.steps.batch_store import Batch, earlier_batches, keep_batch, point_latest, read_table
from kubecast.storage.checksums import FileEntry
from kubecast.storage.store import open_store

EARLIER = 5  # batches that are scored where their targets are in
LOOKED_AT = 30  # batches, newest first, among which they are sought

_LOG = logging.getLogger(__name__)


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
    report: Path | None = None,
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
        report: Gets one self-contained HTML page; None: there is none.

    Raises:
        InputError: The data or a parameter does not fit the model.
        RegistryError: There is no such model, or a store failed; nothing that was kept before is touched.
    """
    store, published = open_store(destination), Registry.open(registry)
    # A version that the gate refused forecasts only where the request names it.
    version = published.resolve(model if "@" in model else f"{model}@champion")
    moment = parse_time(as_of, "as_of") if as_of else None
    with TemporaryDirectory() as folder:
        bundle = Bundle.load(published.fetch(version, "production", Path(folder, "bundle")))
        panel, table, digests = _forecast(bundle, data, future, moment, horizon or None, Path(folder))
        forecasts.parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(forecasts, index=False)
        request: dict[str, str | int] = {
            "model": f"{version.name}@{version.id}",
            **digests,
            "as_of": moment.isoformat() if moment is not None else "",
            "horizon": horizon or bundle.contract.spec.horizon,
        }
        content = forecasts.read_bytes()
        described = _describe(request, as_kubecast(table, bundle.columns), content)
        batch = keep_batch(store, version.name, described, content)
        latest = point_latest(store, version.name, batch)
        if report is not None:
            kept = Kept(
                url=f"{store.url}/{version.name}/{batch.path}",
                new=batch.path == described.path,
                latest=latest,
                columns=[str(name) for name in table.columns],
            )
            page = partial(_page, bundle, panel, table, batch, kept, published, version, store)
            stands = f"The forecasts are kept: {kept.url}"
            report.write_text(page_or_reason(f"Batch of {version.name}", page, stands), "utf-8")
    return batch


def _forecast(
    bundle: Bundle, data: str, future: str, as_of: pd.Timestamp | None, horizon: int | None, folder: Path
) -> tuple[PanelBlocks, pd.DataFrame, dict[str, str | int]]:
    """The history, the forecasts, and the digests of the data and of the covariates.

    Args:
        bundle: The version.
        data: As for ``batch_forecast``.
        future: Likewise.
        as_of: In UTC.
        horizon: Steps; None: the model's.
        folder: Keeps the history as long as it is needed, and the data meanwhile.
    """
    settings = bundle.contract.training.data
    covariates = read_data(future, settings_for(future, settings)) if future else None
    for name in ("data", "history"):
        (folder / name).mkdir()
    texts = bundle.contract.spec.categories
    history = open_data(data, settings_for(data, settings), None, folder / "data", texts)
    future_rows, keep = covariates.rows if covariates else None, in_folder(folder / "history")
    panel = bundle.panel(history.blocks, keep, future_rows, as_of, horizon)
    digests = {"data_digest": history.digest, "future_digest": covariates.digest if covariates else ""}
    return panel, bundle.predict(panel, horizon), dict(digests)


def _page(
    bundle: Bundle,
    panel: PanelBlocks,
    table: pd.DataFrame,
    batch: Batch,
    kept: Kept,
    registry: Registry,
    version: Version,
    store: Store,
) -> str:
    columns, plain = bundle.columns, as_kubecast(table, bundle.columns)
    review = _review(bundle, panel, plain, registry, version)
    earlier = score_batches(store, version.name, batch, columns, panel, bundle.scales(panel))
    return render_score(_facts(batch), review, earlier, kept, table, panel.spec)


def _facts(batch: Batch) -> dict[str, str]:
    """What the page says of a batch's inputs."""
    return {
        "made by": batch.model,
        "batch": batch.batch,
        "data": batch.data_digest,
        "targets seen": f"up to {batch.as_of}" if batch.as_of else "all",
        "file, SHA-256": batch.file.sha256,
    }


def _review(
    bundle: Bundle, panel: PanelBlocks, table: pd.DataFrame, registry: Registry, version: Version
) -> BatchReview:
    evaluation = published_evaluation(registry, version)
    if evaluation is not None:
        evaluation = with_series(evaluation, registry, version)
    return review_batch(panel, table, [*bundle.contract.fitted_through], evaluation)


def score_batches(
    store: Store, model: str, batch: Batch, columns: Columns, panel: PanelBlocks, scales: Mapping[str, float]
) -> list[EarlierBatch]:
    """How the newest batches before this one went whose targets are in.

    Those that cannot be read are left out with a warning; all of them are where the store fails.

    Args:
        store: Holds them.
        model: Its name.
        batch: The newest.
        columns: Names in their files.
        panel: The data, with the targets.
        scales: By series.
    """
    scored = list[EarlierBatch]()
    try:
        for name in earlier_batches(store, model, batch)[:LOOKED_AT]:
            if result := _score_batch(store, model, name, columns, panel, scales):
                scored.append(result)
            if len(scored) == EARLIER:
                break
    except StoreError as error:  # the forecasts are kept; their page goes without
        _LOG.warning("earlier batches are not scored: %s", error)
    return scored


def _score_batch(
    store: Store, model: str, name: str, columns: Columns, panel: PanelBlocks, scales: Mapping[str, float]
) -> EarlierBatch | None:
    try:
        earlier, table = read_table(store, model, name)
        return score_earlier(earlier.batch, earlier.model, as_kubecast(table, columns), panel, scales)
    except StoreError:
        raise
    except NotFound:  # cut off before its manifest, or cleared away meanwhile
        return None
    except Exception as error:  # other columns, another clock: no reason to lose the page
        _LOG.warning("batch %s is not scored: %s: %s", name, type(error).__name__, error)
        return None


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
