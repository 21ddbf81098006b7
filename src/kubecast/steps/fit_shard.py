"""train_<model>_shard and final_<model>_shard: the fit of some series, of a model that fits each by itself.

The parts are joined by ``kubecast.steps.join_shards``.
"""

import logging
from pathlib import Path

from kubecast.data.panel_blocks import PanelBlocks
from kubecast.documents import Document
from kubecast.errors import ShardError
from kubecast.logs import bind, step
from kubecast.models.artifact import read_card, read_status, write_model
from kubecast.models.blocks import usable_series
from kubecast.processes import child_main, run_in_child
from kubecast.steps.fit import fit_settings
from kubecast.steps.outputs import progress_reporter
from kubecast.steps.run_settings import RunSettings
from kubecast.steps.series_fit import SeriesFit
from kubecast.steps.series_shards import PART, ShardNumber, ranges_of_shards
from kubecast.steps.shard_status import ShardStatus

_LOG = logging.getLogger(__name__)


class ShardFit(Document):
    """What is fitted: as for ``fit_shard``."""

    kind: str
    panel_dir: Path
    shard: str
    model_dir: Path
    settings: str
    fitted: Path | None


@step
def fit_shard(
    kind: str,
    panel_dir: Path,
    shard: str,
    model_dir: Path,
    attempts: int,
    least: float,
    settings: str = "",
    fitted: Path | None = None,
) -> ShardStatus:
    """Fit the series of a shard, and forecast them.

    The work is done in a process of its own, which is begun again where it dies, by a signal or for want of
    memory: Kubeflow Pipelines tries no container again that failed.

    Args:
        kind: Key of ``kubecast.models.KINDS``, of a divisible one.
        panel_dir: As for ``train_model``.
        shard: Which of how many, as ``3/16``.
        model_dir: Gets what ``train_model`` writes, of these series, and ``shard.json``, how it ended.
        attempts: How many more times the process is begun.
        least: Share of the shards that must not fail.
        settings: As for ``train_model``.
        fitted: See there.

    Returns:
        How it ended, where that ends no run.

    Raises:
        ShardError: The process died, and no shard may fail: a task that fails is not taken from a cache.
    """
    bind(model=kind)
    number = ShardNumber.parse(shard)
    ranges = ranges_of_shards(PanelBlocks.open(panel_dir), number.of)
    model_dir.mkdir(parents=True, exist_ok=True)
    reason = ""
    if fitted is not None and read_status(fitted).state == "failed":
        reason = "the model failed before"
    elif number.number > len(ranges):
        _LOG.info("shard %s has no series: there are %d shards with some", shard, len(ranges))
    else:
        _LOG.info("shard %s: %s", shard, ranges[number.number - 1])
        request = ShardFit(
            kind=kind, panel_dir=panel_dir, shard=shard, model_dir=model_dir, settings=settings, fitted=fitted
        )
        reason, died = run_in_child(__name__, request.model_dump_json(), attempts)
        if died and least == 1:
            raise ShardError(f"shard {shard}, {ranges[number.number - 1]}: {reason}")
    if reason:
        _LOG.warning("shard %s failed: %s", shard, reason)
    ended = ShardStatus(shard=shard, reason=reason)
    ended.write(model_dir / PART)
    return ended


@step
def fit_series(request: ShardFit) -> None:
    """Fit the series of a shard in this process."""
    bind(model=request.kind)
    whole, run = PanelBlocks.open(request.panel_dir), RunSettings.read(request.panel_dir)
    number = ShardNumber.parse(request.shard)
    own = ranges_of_shards(whole, number.of)[number.number - 1]
    settings = fit_settings(request.kind, run, request.settings, request.fitted)
    task = f"{'train' if request.fitted is None else 'final'}_{request.kind}_shard"
    panel = whole.between(own.first, own.last)
    progress = progress_reporter(task, usable_series(panel.series))
    fit = SeriesFit(request.kind, panel, settings, run.seed, request.model_dir, report=progress, whole=whole)
    evaluated = None if request.fitted is None else read_card(request.fitted).log
    forecaster, card = fit.fit_and_forecast(evaluated)
    write_model(request.model_dir, forecaster, card)


if __name__ == "__main__":
    child_main(lambda text: fit_series(ShardFit.model_validate_json(text)))
