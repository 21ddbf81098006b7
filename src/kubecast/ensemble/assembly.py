"""What is stacked: targets, naive forecasts and those of the members beside each other, series by series."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from kubecast.data.levels import ScaleLevels, changes_by_block, with_level_ratio
from kubecast.data.origins import join_forecasts, split_targets
from kubecast.data.panel import KEYS, Cutoffs
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.parquet import SeriesReader, write_series
from kubecast.data.splits import relative_scales
from kubecast.ensemble.naive import naive_candidates, naive_yardsticks, with_naive
from kubecast.models.artifact import PRODUCTION
from kubecast.scoring.forecasts import Forecasts


@dataclass(frozen=True)
class Assembled:
    """The table, and what was found of the series on the way.

    Attributes:
        forecasts: The targets after each origin with the columns of members and yardsticks. Nothing is
            stacked of yardsticks: evaluation reads them from the stack's table.
        scale_levels: How the series' scales stand to their levels.
        relative_scale: The median of the scales over the mean absolute targets; None: no series has both.
    """

    forecasts: Forecasts
    scale_levels: ScaleLevels
    relative_scale: float | None


def assemble(panel: PanelBlocks, members: Mapping[str, Path], path: Path) -> Assembled:
    """Write the table, a block of series at a time.

    Args:
        panel: Gives targets, naive forecasts and levels.
        members: File of the forecasts of each trained member, by its name.
        path: Gets the table.
    """
    seen: list[_Seen] = []
    write_series(_tables(panel, members, seen), path)
    relative = pd.concat([each.relative_scales for each in seen]).median()
    return Assembled(
        Forecasts.of_file(path),
        ScaleLevels.joined(each.scale_levels for each in seen),
        float(relative) if np.isfinite(relative) else None,
    )


class _Seen(NamedTuple):
    """What is found of a block of series."""

    scale_levels: ScaleLevels
    relative_scales: "pd.Series[float]"


def _tables(panel: PanelBlocks, members: Mapping[str, Path], seen: list[_Seen]) -> Iterator[pd.DataFrame]:
    evaluated = pc.field("split") != PRODUCTION
    readers = [SeriesReader.of_file(path, [*KEYS, name], evaluated) for name, path in members.items()]
    naives = [*naive_candidates(panel.spec), *naive_yardsticks(panel.outline)]
    for block, changes in changes_by_block((block, Cutoffs.from_frame(block.origins)) for block in panel):
        levels = ScaleLevels.find(block)
        relative = relative_scales(block.history(block.train_end), panel.spec.season_lengths[0])
        seen.append(_Seen(levels, relative))
        table = with_naive(with_level_ratio(split_targets(block), changes, levels), block, changes, naives)
        for reader in readers:
            table = join_forecasts(table, reader.until(block.ids[-1]), "left")
        yield table
