"""Shards of the series of a panel, which a model is fitted to one by one."""

import re
from typing import NamedTuple

from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.series_ranges import SeriesRange, ranges_of
from kubecast.errors import ConfigError
from kubecast.settings.pipeline import MOST_SHARDS

PART = "shard.json"
"""The file of a shard's ``ShardStatus``."""


class ShardNumber(NamedTuple):
    """Which shard it is, and of how many."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "ShardNumber":
        """Read it as ``3/16``.

        Raises:
            ConfigError: It is not the name of a shard.
        """
        if match := re.fullmatch(r"([1-9][0-9]?)/([1-9][0-9]?)", text):
            number, of = int(match[1]), int(match[2])
            if number <= of <= MOST_SHARDS:
                return cls(number, of)
        raise ConfigError(f"shard {text!r}: allowed: NUMBER/COUNT, the count at most {MOST_SHARDS}")


def ranges_of_shards(panel: PanelBlocks, count: int) -> list[SeriesRange]:
    """The series of each of so many shards, or of fewer where series are few.

    Training rows are divided evenly, as a fit takes as long as these; a series without any counts as one.
    """
    series = panel.series.assign(rows=panel.series["train_rows"].clip(lower=1))
    return ranges_of(series, count)
