"""forecast_shard: the forecasts of one shard of series, made in a process of its own."""

import logging
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from kubecast.data.parquet import write_series
from kubecast.documents import Document
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import RegistryError, one_line
from kubecast.logs import step
from kubecast.processes import REASON, child_main, run_in_child
from kubecast.registry import Registry
from kubecast.steps.shard_status import ShardStatus
from kubecast.steps.shards import (
    FORECASTS,
    Shard,
    fetch_history,
    fetch_rows,
    forecasts_part,
)

_LOG = logging.getLogger(__name__)


class ShardRequest(Document):
    """Which shard is forecast: as for ``forecast_shard``."""

    shard: str
    registry: str


@step
def forecast_shard(shard: str, registry: str, attempts: int) -> ShardStatus:
    """Forecast the series of a shard, unless an earlier run did.

    The work is done in a process of its own, which is begun again where it dies, by a signal or for want of
    memory: Kubeflow Pipelines tries no container again that failed.

    Args:
        shard: Its URL, from ``prepare_history``.
        registry: Path or URL.
        attempts: How many more times the process is begun.

    Returns:
        How it ended; a shard that fails ends no run.
    """
    work, name = Shard.open(shard)
    try:
        work.begin(datetime.now(UTC))
        if work.has(forecasts_part(name)):
            _LOG.info("shard %s was forecast before", name)
            return ShardStatus(shard=shard)
        request = ShardRequest(shard=shard, registry=registry)
        reason = run_in_child(__name__, request.model_dump_json(), attempts).reason
    except RegistryError as error:
        reason = one_line(error, REASON)
    if reason:
        _LOG.warning("shard %s failed: %s", name, reason)
    return ShardStatus(shard=shard, reason=reason)


@step
def forecast_rows(request: ShardRequest) -> None:
    """Forecast the series of a shard in this process, and keep the forecasts."""
    (work, name), published = Shard.open(request.shard), Registry.open(request.registry)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        history, panel = fetch_history(work, folder)
        rows = fetch_rows(work, [name], panel)
        version = published.resolve(history.model)
        bundle = Bundle.load(published.fetch(version, "production", folder / "bundle"))
        recipe = history.measured(bundle.ensemble.recipe)
        bundle = replace(bundle, ensemble=replace(bundle.ensemble, recipe=recipe))
        (folder / "forecasts").mkdir()
        # An empty table has the types of the others, as all of them are read as one.
        write_series([bundle.predict(rows, history.horizon)], folder / "forecasts" / FORECASTS)
        work.keep(forecasts_part(name), folder / "forecasts")


if __name__ == "__main__":
    child_main(lambda text: forecast_rows(ShardRequest.model_validate_json(text)))
