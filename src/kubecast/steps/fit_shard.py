"""train_<model>_shard and final_<model>_shard: the fit of some series, of a model that fits each by itself.

The parts are joined by ``kubecast.steps.join_shards``.
"""

import logging
import re
from pathlib import Path
from typing import ClassVar, NamedTuple

from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.series_ranges import SeriesRange, ranges_of
from kubecast.documents import Document
from kubecast.errors import ConfigError
from kubecast.logs import bind, step
from kubecast.models.artifact import read_card, read_status, write_model
from kubecast.models.blocks import evaluated_origins, production_origins, usable_series
from kubecast.processes import child_main, run_in_child
from kubecast.steps.fit import Fit, fit_settings
from kubecast.steps.outputs import progress_reporter
from kubecast.steps.run_settings import RunSettings

PART = "shard.json"

_LOG = logging.getLogger(__name__)


class FittedShard(Document):
    """How the fit of a shard ended.

    Attributes:
        shard: As for ``fit_shard``.
        reason: Why it failed, in one line; empty where it did not.
    """

    document_name: ClassVar[str] = "a fitted shard"

    shard: str
    reason: str = ""


class ShardFit(Document):
    """What is fitted: as for ``fit_shard``."""

    kind: str
    panel_dir: Path
    shard: str
    model_dir: Path
    settings: str
    fitted: Path | None


class _Place(NamedTuple):
    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "_Place":
        if found := re.fullmatch(r"([1-9][0-9]?)/([1-9][0-9]?)", text):
            place = cls(int(found[1]), int(found[2]))
            if place.number <= place.of:
                return place
        raise ConfigError(f"shard {text!r}: allowed: NUMBER/COUNT, from 1/1 to 64/64")


@step
def fit_shard(
    kind: str,
    panel_dir: Path,
    shard: str,
    model_dir: Path,
    attempts: int,
    settings: str = "",
    fitted: Path | None = None,
) -> FittedShard:
    """Fit the series of a shard, and forecast them.

    The work is done in a process of its own, which is begun again where it dies, by a signal or for want of
    memory: Kubeflow Pipelines tries no container again that failed.

    Args:
        kind: Key of ``kubecast.models.KINDS``, of a divisible one.
        panel_dir: As for ``train_model``.
        shard: Which of how many, as ``3/16``.
        model_dir: Gets what ``train_model`` writes, of these series, and ``shard.json``, how it ended.
        attempts: How many more times the process is begun.
        settings: As for ``train_model``.
        fitted: See there.

    Returns:
        How it ended; a shard that fails ends no run.
    """
    bind(model=kind)
    wanted, ranges = _Place.parse(shard), ranges_of_shards(PanelBlocks.open(panel_dir), shard)
    model_dir.mkdir(parents=True, exist_ok=True)
    reason = ""
    if fitted is not None and read_status(fitted).state == "failed":
        reason = "the model failed before"
    elif wanted.number > len(ranges):
        _LOG.info("shard %s has no series: there are %d shards with some", shard, len(ranges))
    else:
        _LOG.info("shard %s: %s", shard, ranges[wanted.number - 1])
        request = ShardFit(
            kind=kind, panel_dir=panel_dir, shard=shard, model_dir=model_dir, settings=settings, fitted=fitted
        )
        reason = run_in_child(__name__, request.model_dump_json(), attempts)
    if reason:
        _LOG.warning("shard %s failed: %s", shard, reason)
    ended = FittedShard(shard=shard, reason=reason)
    ended.write(model_dir / PART)
    return ended


@step
def fit_series(request: ShardFit) -> None:
    """Fit the series of a shard in this process."""
    bind(model=request.kind)
    whole, run = PanelBlocks.open(request.panel_dir), RunSettings.read(request.panel_dir)
    own = ranges_of_shards(whole, request.shard)[_Place.parse(request.shard).number - 1]
    settings = fit_settings(request.kind, run, request.settings, request.fitted)
    task = f"{'train' if request.fitted is None else 'final'}_{request.kind}_shard"
    panel = whole.between(own.first, own.last)
    progress = progress_reporter(task, usable_series(panel.series))
    fit = Fit(request.kind, whole, panel, settings, run.seed, request.model_dir, report=progress)
    if request.fitted is None:
        forecaster, card = fit.fit(None)
        fit.write_forecasts(forecaster, evaluated_origins, production_origins)
    else:
        forecaster, card = fit.fit(read_card(request.fitted).log)
        fit.write_forecasts(forecaster, production_origins)
    write_model(request.model_dir, forecaster, card)


def ranges_of_shards(panel: PanelBlocks, shard: str) -> list[SeriesRange]:
    """The series of each shard of as many as a shard's name says, or of fewer where series are few."""
    sizes = panel.series[["unique_id", "size"]].rename(columns={"size": "rows"})
    return ranges_of(sizes, _Place.parse(shard).of)


if __name__ == "__main__":
    child_main(lambda text: fit_series(ShardFit.model_validate_json(text)))
