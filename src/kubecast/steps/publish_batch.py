"""publish_batch: the forecasts of all shards as one batch, with a manifest of its inputs and a page.

Where it is kept, see ``kubecast.steps.batch_store``.
"""

import hashlib
import json
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from kubecast.config.training import Columns
from kubecast.data.clock import as_kubecast
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.parquet import read_parquet, write_series
from kubecast.data.row_blocks import concat_rows
from kubecast.ensemble.bundle import Contract, all_scales
from kubecast.errors import NotFound, ShardError, StoreError
from kubecast.evaluation.batch_review import BatchReview, EarlierBatch, review_batch, score_earlier
from kubecast.evaluation.published import published_evaluation, with_series
from kubecast.logs import step
from kubecast.registry import Registry, Store, Version
from kubecast.reports.score import Kept, render_score
from kubecast.reports.unexplained import page_or_reason
from kubecast.steps.batch_store import (
    Batch,
    BatchFile,
    MissingShard,
    earlier_batches,
    keep_batch,
    point_latest,
    read_table,
)
from kubecast.steps.shard_status import ShardStatus
from kubecast.steps.shards import (
    FORECASTS,
    History,
    Shard,
    contract_of,
    failed_shards,
    fetch_history,
    fetch_rows,
    forecasts_part,
    recipe_of,
)
from kubecast.storage.checksums import measure
from kubecast.storage.store import open_store
from kubecast.storage.work import Work

EARLIER = 5  # batches that are scored where their targets are in
LOOKED_AT = 30  # batches, newest first, among which they are sought

_LOG = logging.getLogger(__name__)


@step
def publish_batch(
    statuses: Sequence[str],
    registry: str,
    destination: str,
    min_shards: float,
    forecasts: Path,
    report: Path | None = None,
) -> Batch:
    """Keep the forecasts of the shards as one batch; the same request twice is kept once.

    Args:
        statuses: JSON of a ``ShardStatus`` of each shard, from ``forecast_shard``.
        registry: Path or URL.
        destination: Path or URL of the folder that holds the batches.
        min_shards: Share of the shards that must not have failed.
        forecasts: Gets a copy: series and time as the data has them, ``yhat`` and the quantiles.
        report: Gets one self-contained HTML page; None: there is none.

    Raises:
        ShardError: Too many shards failed.
        RegistryError: A store failed; nothing that was kept before is touched.
    """
    store, published = open_store(destination), Registry.open(registry)
    if not statuses:
        raise ShardError("no status of a shard; allowed: that of each forecast_shard")
    known = [ShardStatus.parse(text.encode(), "forecast_shard") for text in statuses]
    work = Shard.open(known[0].shard).work
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        work.begin(datetime.now(UTC))
        history, panel = fetch_history(work, folder)
        failed = failed_shards(history, known, min_shards)
        shards = _Shards(work, folder, history, panel, failed)
        version = published.resolve(history.model)
        contract = contract_of(published, version)
        paths = shards.fetch_forecasts()
        table = concat_rows([read_parquet(path) for path in paths.values()]).reset_index(drop=True)
        if table.empty:
            raise ShardError("no series is forecast; allowed: at least one that training.data.stale keeps")
        forecasts.parent.mkdir(parents=True, exist_ok=True)
        write_series([table], forecasts)
        described = _describe(history, failed, as_kubecast(table, contract.columns), paths)
        batch = keep_batch(store, version.name, described, [*paths.values()])
        for missing in batch.missing:
            _LOG.warning("no forecasts of %s: %s", missing.shard, missing.reason)
        latest = point_latest(store, version.name, batch)
        if report is not None:
            kept = Kept(
                url=_url(store, version.name, batch),
                new=batch.files == described.files,
                latest=latest,
                columns=[str(name) for name in table.columns],
                missing=[(missing.shard, missing.reason) for missing in batch.missing],
            )
            page = _Page(shards, table, contract, batch, kept, published, version, store)
            stands = f"The forecasts are kept: {kept.url}"
            report.write_text(page_or_reason(f"Batch of {version.name}", page.render, stands), "utf-8")
    return batch


@dataclass(frozen=True)
class _Shards:
    """The shards that were forecast, of all those of a history.

    Attributes:
        work: Holds them.
        folder: Gets what is read of it.
        history: Names all shards.
        panel: The folder of the panel without its rows.
        failed: Reasons of those that were not forecast.
    """

    work: Work
    folder: Path
    history: History
    panel: Path
    failed: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [shard for shard in self.history.shards if shard not in self.failed]

    def fetch_forecasts(self) -> dict[str, Path]:
        """Copy the file of each."""
        parts = {shard: forecasts_part(shard) for shard in self.names}
        return {shard: self.work.fetch(part, self.folder / part) / FORECASTS for shard, part in parts.items()}

    def fetch_panel(self) -> PanelBlocks:
        """Copy the rows of all, and open the panel of their series."""
        panel = fetch_rows(self.work, self.names, self.panel)
        if not self.failed:
            return panel
        known = {name for name in panel.series["unique_id"] if not self.lacks(name)}

        def choose(table: pd.DataFrame) -> pd.DataFrame:
            return table[table["unique_id"].isin(known)].reset_index(drop=True)

        return replace(panel, outline=panel.outline.with_each(choose))

    def lacks(self, name: str) -> bool:
        """Whether a series is, or would be, in a shard that failed."""
        ranges = [self.history.shards[shard] for shard in self.failed]
        return any(each.first <= name <= each.last for each in ranges)


@dataclass(frozen=True)
class _Page:
    """The page of a batch, and what it is made from."""

    shards: _Shards
    table: pd.DataFrame
    contract: Contract
    batch: Batch
    kept: Kept
    registry: Registry
    version: Version
    store: Store

    def render(self) -> str:
        """One self-contained page."""
        columns, panel = self.contract.columns, self.shards.fetch_panel()
        scales = all_scales(recipe_of(self.registry, self.version), panel)
        review = self._review(panel, as_kubecast(self.table, columns))
        earlier = score_batches(self.store, self.version.name, self.batch, columns, panel, scales)
        return render_score(_facts(self.batch), review, earlier, self.kept, self.table, panel.spec)

    def _review(self, panel: PanelBlocks, table: pd.DataFrame) -> BatchReview:
        evaluation = published_evaluation(self.registry, self.version)
        if evaluation is not None:
            evaluation = with_series(evaluation, self.registry, self.version)
        seen = [name for name in self.contract.fitted_through if not self.shards.lacks(name)]
        return review_batch(panel, table, seen, evaluation)


def _url(store: Store, model: str, batch: Batch) -> str:
    """Where the forecasts are: the URL of one file, or of the manifest that names several."""
    path = batch.files[0].path if len(batch.files) == 1 else f"{batch.batch}/manifest.json"
    return f"{store.url}/{model}/{path}"


def _facts(batch: Batch) -> dict[str, str]:
    """What the page says of a batch's inputs."""
    facts = {
        "made by": batch.model,
        "batch": batch.batch,
        "data": batch.data_digest,
        "targets seen": f"up to {batch.as_of}" if batch.as_of else "all",
    }
    if len(batch.files) == 1:
        return facts | {"file, SHA-256": batch.files[0].sha256}
    return facts | {"files": f"{len(batch.files)}, which the manifest names"}


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


def _describe(
    history: History, failed: Mapping[str, str], table: pd.DataFrame, paths: Mapping[str, Path]
) -> Batch:
    """Make the manifest of a new batch; its name covers everything that the forecasts are a function of."""
    first, last = first_forecast(table).to_pydatetime(), table["ds"].max().to_pydatetime()
    missing = [MissingShard(shard=history.shards[shard], reason=reason) for shard, reason in failed.items()]
    inputs: dict[str, object] = {**history.request}
    if missing:  # a batch with fewer series is another one
        inputs["missing"] = [each.shard.model_dump() for each in missing]
    name = f"{first:%Y%m%dT%H%M%SZ}-{hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]}"
    files = [
        BatchFile(
            path=f"{name}/forecast-{uuid.uuid4().hex}.parquet",
            shard=history.shards[shard],
            **dict(measure(path)),
        )
        for shard, path in paths.items()
    ]
    contents = {
        "batch": name,
        "created": datetime.now(UTC),
        "series": table["unique_id"].nunique(),
        "first": first,
        "last": last,
        "files": files,
        "missing": missing,
    }
    return Batch.model_validate({**history.request, **contents})


def first_forecast(table: pd.DataFrame) -> pd.Timestamp:
    """The time at which forecasts begin: the latest of the series', but for the last twentieth of them.

    Series that ended long ago do not hold ``latest.json`` back, nor does one with a date in the future, if it
    is one of many, move it ahead of all that comes.
    """
    begins = table.groupby("unique_id")["ds"].min()
    return pd.Timestamp(begins.quantile(0.95, interpolation="higher"))
