"""Shards: ranges of series that a task of their own works on, and what the tasks hand on to each other.

``history``         the panel without its rows, and ``history.json``
``rows-<shard>``    the rows of a shard
``forecasts-<shard>``  its forecasts

These are parts of a run's ``Work``.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field

from kubecast.data.panel_blocks import ROWS, PanelBlocks
from kubecast.data.series_ranges import SeriesRange
from kubecast.documents import Document
from kubecast.ensemble.bundle import Contract
from kubecast.ensemble.recipe import StackRecipe
from kubecast.errors import ConfigError, ShardError
from kubecast.registry import Registry, Version
from kubecast.settings.pipeline import MOST_SHARDS
from kubecast.steps.shard_status import ShardStatus, failures_allowed
from kubecast.storage.work import Work

HISTORY = "history"
FORECASTS = "forecasts.parquet"
ROWS_OF_A_SHARD = 5_000_000

_NAME = r"[0-9]{3}"
ShardName = Annotated[str, Field(pattern=f"^{_NAME}$")]


class History(Document):
    """What a batch is forecast from.

    Attributes:
        request: What the forecasts follow from: ``model`` (``NAME@VERSION``), ``data_digest``,
            ``future_digest``, ``as_of`` and ``horizon``.
        relative_scale: For series without a scale of their own, where the version has none; else None.
        shards: The series of each, by its name.
    """

    document_name: ClassVar[str] = "a history.json"

    request: dict[str, str | int]
    relative_scale: float | None = None
    shards: dict[ShardName, SeriesRange]

    @property
    def model(self) -> str:
        """``NAME@VERSION``."""
        return str(self.request["model"])

    @property
    def horizon(self) -> int:
        """Steps."""
        return int(self.request["horizon"])

    def measured(self, recipe: StackRecipe) -> StackRecipe:
        """The recipe of the version, with a relative scale."""
        if recipe.relative_scale is not None:
            return recipe
        return recipe.model_copy(update={"relative_scale": self.relative_scale})


class Shard(NamedTuple):
    """A shard of a run's work."""

    work: Work
    name: str

    @classmethod
    def open(cls, url: str) -> "Shard":
        """Open what ``url`` names.

        Raises:
            ConfigError: It is not the URL of a shard.
        """
        folder, _, name = url.rpartition("/")
        if not re.fullmatch(_NAME, name):
            raise ConfigError(f"shard {url!r}: allowed: WORK/KEY/NUMBER, as prepare_history returns it")
        return cls(Work.open(folder), name)

    @property
    def url(self) -> str:
        """For ``open``."""
        return f"{self.work.url}/{self.name}"


def shard_count(setting: str, rows: int) -> int:
    """The number of shards: ``auto`` is one for every five million rows, at most 64."""
    return min(-(-rows // ROWS_OF_A_SHARD), MOST_SHARDS) if setting == "auto" else int(setting)


def rows_part(shard: str) -> str:
    """The name of the part with the rows of a shard."""
    return f"rows-{shard}"


def forecasts_part(shard: str) -> str:
    """The name of the part with the forecasts of a shard."""
    return f"forecasts-{shard}"


def fetch_history(work: Work, folder: Path) -> tuple[History, Path]:
    """Copy the panel without its rows to ``folder/history``."""
    panel = work.fetch(HISTORY, folder / HISTORY)
    return History.read(panel / "history.json"), panel


def fetch_rows(work: Work, shards: Sequence[str], panel: Path) -> PanelBlocks:
    """Copy the rows of shards beside a panel, and open that with these rows."""
    parts = [rows_part(shard) for shard in shards]
    return PanelBlocks.open(panel, [work.fetch(part, panel.parent / part) / ROWS for part in parts])


def contract_of(registry: Registry, version: Version) -> Contract:
    """What the data of a version must look like, without its models."""
    path = "production/bundle.json"
    return Contract.parse(registry.read_file(version, path), f"{version.id}/{path}")


def recipe_of(registry: Registry, version: Version) -> StackRecipe:
    """The weights and quantiles of a version, without its models."""
    path = "production/ensemble.json"
    return StackRecipe.parse(registry.read_file(version, path), f"{version.id}/{path}")


def failed_shards(history: History, statuses: Sequence[ShardStatus], least: float) -> dict[str, str]:
    """Why shards failed, where not too many did.

    Args:
        history: Names the shards.
        statuses: How each ended.
        least: Share of the shards that must not have failed.

    Returns:
        The reason of each that failed, by its name.

    Raises:
        ShardError: Too many failed, or of one nothing is known.
    """
    reasons = {Shard.open(status.shard).name: status.reason for status in statuses}
    reasons = {shard: reasons.get(shard, "nothing is known of its task") for shard in history.shards}
    failed = {shard: reason for shard, reason in reasons.items() if reason}
    allowed = failures_allowed(len(reasons), least)
    if len(failed) > allowed:
        shard, reason = next(iter(failed.items()))
        raise ShardError(
            f"{len(failed)} of {len(reasons)} shards failed; allowed by pipeline.min_shards {least:g}:"
            f" {allowed}; the first is {shard}, {history.shards[shard]}: {reason}"
        )
    return failed
