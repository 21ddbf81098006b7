"""train_<model> and final_<model> of a model whose series were fitted in shards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc

from kubecast.data.levels import LevelChanges
from kubecast.data.panel import Cutoffs
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.parquet import column_names, row_groups
from kubecast.data.series_ranges import SeriesRange
from kubecast.errors import ModelError
from kubecast.logs import bind, step
from kubecast.models.artifact import FORECASTS, PRODUCTION, ModelCard, Status, read_card
from kubecast.models.base import FitLog, Forecaster
from kubecast.models.blocks import Origins, forecast_blocks, production_origins
from kubecast.steps.fit import fit_settings
from kubecast.steps.run_settings import RunSettings
from kubecast.steps.series_fit import SeriesFit
from kubecast.steps.series_shards import PART, ranges_of_shards
from kubecast.steps.shard_status import ShardStatus, failures_allowed
from kubecast.steps.write_fit import write_fit


@step
def join_shards(
    kind: str,
    panel_dir: Path,
    shards: Sequence[Path],
    model_dir: Path,
    least: float,
    settings: str = "",
    fitted: Path | None = None,
    report: Path | None = None,
) -> Status:
    """Make one model of those of the shards.

    The series of a shard that failed get the fallback of the model, the reason in its log. A final fit of
    which one failed is refused as a whole, as otherwise models of different ages would forecast.

    Args:
        kind: As for ``train_model``, and the others.
        panel_dir: See there.
        shards: What ``fit_shard`` wrote, in any order.
        model_dir: See there.
        least: Share of the shards that must not have failed.
        settings: See there.
        fitted: See there.
        report: See there.

    Raises:
        ModelError: Too many shards failed, or no series could be fitted, and the run's ``on_failure`` is
            ``stop``.
    """
    bind(model=kind)
    panel, run = PanelBlocks.open(panel_dir), RunSettings.read(panel_dir)
    chosen = fit_settings(kind, run, settings, fitted)
    fit = _JoinedFit(kind, panel, chosen, run.seed, model_dir, whole=panel, shards=shards, least=least)
    return write_fit(fit, run.on_failure, fitted, report)


@dataclass(frozen=True, kw_only=True)
class _JoinedFit(SeriesFit):
    """A fit whose parts are there already.

    Attributes:
        least: Share of them that must not have failed.
    """

    least: float
    _joined: dict[str, Path] = field(default_factory=dict)

    def fit(self, evaluated: FitLog | None) -> tuple[Forecaster, ModelCard]:
        """Join the models of the shards.

        Raises:
            ModelError: Too many shards failed, or no series could be fitted.
        """
        failed = self._failures(1.0 if evaluated is not None else self.least)
        folders = {status.shard: folder for folder, status in self._statuses.items()}
        joined = {shard: folders[shard] for shard in self._ranges if shard not in failed}
        cards = [read_card(part) for part in joined.values()]
        forecaster = self._join([part / "forecaster" for part in joined.values()])
        log = FitLog.joined([card.log for card in cards])
        lost = {
            name: reason for shard, reason in failed.items() for name in self._part(shard).series["unique_id"]
        }
        log = log.model_copy(update={"fallbacks": dict(sorted({**log.fallbacks, **lost}.items()))})
        self._require_fitted(log)
        self._joined.update(joined)
        return forecaster, cards[0].model_copy(update={"log": log})

    def write_forecasts(self, forecaster: Forecaster, *origins: Origins) -> None:
        """Write the forecasts of the shards, and make those of the ones that are not joined."""
        self._changes.clear()
        self._changes.extend(
            LevelChanges.detect(self.sample, Cutoffs.from_frame(each(self.sample))) for each in origins
        )
        self.write_tables(chain(*(self._tables(forecaster, each) for each in origins)))

    def _tables(self, forecaster: Forecaster, origins: Origins) -> Iterator[pd.DataFrame]:
        is_production = pc.field("split") == PRODUCTION
        rows = is_production if origins is production_origins else ~is_production
        for shard in self._ranges:
            if shard in self._joined:
                path = self._joined[shard] / FORECASTS
                yield from filter(len, row_groups(path, column_names(path), rows))
            else:
                yield from forecast_blocks(forecaster, self._part(shard), origins)

    def _failures(self, least: float) -> dict[str, str]:
        """Why shards failed, where not too many did."""
        reasons = {status.shard: status.reason for status in self._statuses.values()}
        failed = {
            shard: f"shard {shard} failed: {reasons[shard]}" for shard in self._ranges if reasons[shard]
        }
        allowed = failures_allowed(len(self._ranges), least)
        if len(failed) > allowed:
            shard, reason = next(iter(failed.items()))
            raise ModelError(
                f"{len(failed)} of {len(self._ranges)} shards of its series failed; allowed: {allowed}; the"
                f" first, {self._ranges[shard]}: {reason}"
            )
        return failed

    def _part(self, shard: str) -> PanelBlocks:
        own = self._ranges[shard]
        return self.panel.between(own.first, own.last)

    @cached_property
    def _statuses(self) -> dict[Path, ShardStatus]:
        return {folder: ShardStatus.read(folder / PART) for folder in self.shards}

    @cached_property
    def _ranges(self) -> dict[str, SeriesRange]:
        """The series of each shard that has some, by its name, in their order."""
        count = len(self.shards)
        ranges = ranges_of_shards(self.panel, count)
        return {f"{number}/{count}": each for number, each in enumerate(ranges, 1)}
