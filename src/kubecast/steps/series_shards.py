"""Shards of the series of a panel, which a model is fitted to one by one."""

import re
from typing import ClassVar, NamedTuple

from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.series_ranges import SeriesRange, ranges_of
from kubecast.documents import Document
from kubecast.errors import ConfigError
from kubecast.settings.pipeline import MOST_SHARDS

PART = "shard.json"
"""The file of a ``FittedShard``."""


class FittedShard(Document):
    """How the fit of a shard ended.

    Attributes:
        shard: As for ``fit_shard``.
        reason: Why it failed, in one line; empty where it did not.
    """

    document_name: ClassVar[str] = "a fitted shard"

    shard: str
    reason: str = ""


class Place(NamedTuple):
    """Which shard it is, and of how many."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read it as ``3/16``.

        Raises:
            ConfigError: It is not the name of a shard.
        """
        if found := re.fullmatch(r"([1-9][0-9]?)/([1-9][0-9]?)", text):
            place = cls(int(found[1]), int(found[2]))
            if place.number <= place.of <= MOST_SHARDS:
                return place
        raise ConfigError(f"shard {text!r}: allowed: NUMBER/COUNT, the count at most {MOST_SHARDS}")


def ranges_of_shards(panel: PanelBlocks, shard: str) -> list[SeriesRange]:
    """The series of each shard of as many as a shard's name says, or of fewer where series are few.

    Training rows are divided evenly, as a fit takes as long as these; a series without any counts as one.
    """
    series = panel.series.assign(rows=panel.series["train_rows"].clip(lower=1))
    return ranges_of(series, Place.parse(shard).of)
