"""prepare_history: the data that a published version forecasts from, in shards of whole series."""

import hashlib
import itertools
import json
import logging
import operator
import os
from datetime import UTC, datetime, timedelta
from importlib.metadata import version as version_of
from pathlib import Path
from tempfile import TemporaryDirectory

from kubecast.data.files import open_data, read_data, settings_for
from kubecast.data.panel_blocks import ROWS, PanelBlocks
from kubecast.data.parquet import write_series
from kubecast.data.row_blocks import in_folder
from kubecast.data.series_ranges import in_ranges, ranges_of, row_counts
from kubecast.data.timestamps import parse_time
from kubecast.ensemble.bundle import with_measure
from kubecast.ensemble.recipe import StackRecipe
from kubecast.errors import RegistryError
from kubecast.logs import step
from kubecast.registry import Registry
from kubecast.steps.shards import (
    HISTORY,
    History,
    Shard,
    contract_of,
    fetch_history,
    recipe_of,
    rows_part,
    shard_count,
)
from kubecast.storage.store import Store, open_store
from kubecast.storage.work import Work, clear_work

_LOG = logging.getLogger(__name__)


@step
def prepare_history(
    data: str,
    registry: str,
    model: str,
    destination: str,
    horizon: int,
    future: str,
    as_of: str,
    shards: str,
    work: str,
    keep_days: int,
) -> list[str]:
    """Read the data, put it on the version's grid, and keep it in shards, unless an earlier run did.

    Args:
        data: Path or URL of the data.
        registry: Path or URL.
        model: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``; a name alone is its champion.
        destination: Path or URL of the folder that holds the batches.
        horizon: Steps; 0: the model's.
        future: Path or URL of known-future covariates over the horizon; empty for none.
        as_of: ISO date or time; empty for none.
        shards: ``auto``, or their number.
        work: Path or URL of the folder in which runs keep what their tasks hand on; empty: ``.work`` in the
            destination.
        keep_days: Days after which what a run kept there is removed.

    Returns:
        The URLs of the shards.

    Raises:
        InputError: The data or a parameter does not fit the model.
        RegistryError: There is no such model, or a store failed.
    """
    published, location = Registry.open(registry), work or f"{destination.rstrip('/')}/.work"
    open_store(destination)  # one that cannot be is refused before anything is forecast
    store = open_store(location)
    # A version that the gate refused forecasts only where the request names it.
    version = published.resolve(model if "@" in model else f"{model}@champion")
    contract, moment = contract_of(published, version), parse_time(as_of, "as_of") if as_of else None
    settings, steps = contract.training.data, contract.steps(horizon or None)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name in ("data", "blocks"):
            (folder / name).mkdir()
        covariates = read_data(future, settings_for(future, settings)) if future else None
        rows = open_data(data, settings_for(data, settings), None, folder / "data", contract.spec.categories)
        request: dict[str, str | int] = {
            "model": f"{version.name}@{version.id}",
            "data_digest": rows.digest,
            "future_digest": covariates.digest if covariates else "",
            "as_of": moment.isoformat() if moment is not None else "",
            "horizon": steps,
        }
        kept = Work(store, _key(request, shards), location)
        now = datetime.now(UTC)
        kept.begin(now)
        _clear_older(store, now, keep_days)
        if (known := _kept(kept, folder)) is not None:
            _LOG.info("the history is there already: %s", kept.url)
            return _urls(kept, known)
        blocks = in_folder(folder / "blocks")
        ahead = covariates.rows if covariates else None
        panel = contract.history(rows.blocks, blocks, ahead, moment, steps)
        history = _history(request, panel, shards, recipe_of(published, version))
        _keep_rows(kept, panel, history, folder)
        _keep_outline(kept, panel, history, folder / "outline")
    return _urls(kept, history)


def _clear_older(store: Store, now: datetime, days: int) -> None:
    """Remove what other runs left; where that fails, this one goes on."""
    try:
        if cleared := clear_work(store, now - timedelta(days=days)):
            _LOG.info("removed the work of %d runs that is older than %d days", len(cleared), days)
    except RegistryError as error:
        _LOG.warning("work that is older than %d days is not removed: %s", days, error)


def _urls(work: Work, history: History) -> list[str]:
    return [Shard(work, name).url for name in history.shards]


def _key(request: dict[str, str | int], shards: str) -> str:
    """A digest of all that the work follows from, the code included."""
    code = {"kubecast": version_of("kubecast"), "image": os.environ.get("KUBECAST_IMAGE", "")}
    return hashlib.sha256(json.dumps({**request, **code, "shards": shards}).encode()).hexdigest()[:32]


def _kept(work: Work, folder: Path) -> History | None:
    """The history that an earlier run kept; None where it did not, or any of it is gone."""
    if not work.has(HISTORY):
        return None
    history, _ = fetch_history(work, folder)
    return history if all(work.has(rows_part(shard)) for shard in history.shards) else None


def _history(request: dict[str, str | int], panel: PanelBlocks, shards: str, recipe: StackRecipe) -> History:
    series = row_counts(panel.rows())
    ranges = ranges_of(series, shard_count(shards, int(series["rows"].sum())))
    return History(
        request=request,
        relative_scale=with_measure(recipe, panel).relative_scale,
        shards={f"{number:03}": each for number, each in enumerate(ranges)},
    )


def _keep_rows(work: Work, panel: PanelBlocks, history: History, folder: Path) -> None:
    """Keep the rows of one shard after the other, so that the disk holds one of them beside the panel."""
    names, ranges = [*history.shards], [*history.shards.values()]
    cut = in_ranges(panel.rows(), ranges)
    for number, rows in itertools.groupby(cut, key=operator.itemgetter(0)):
        if work.has(rows_part(names[number])):  # of a run that was ended here
            continue
        with TemporaryDirectory(dir=folder) as part:
            write_series((block for _, block in rows), Path(part, ROWS))
            work.keep(rows_part(names[number]), Path(part))
        _LOG.info("shard %s: %s", names[number], ranges[number])


def _keep_outline(work: Work, panel: PanelBlocks, history: History, folder: Path) -> None:
    """Keep the panel without its rows: with it the history is there."""
    panel.outline.save(folder)
    history.write(folder / "history.json")
    work.keep(HISTORY, folder)
