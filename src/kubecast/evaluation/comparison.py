"""A version and the champion, scored on the same targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from kubecast.data.origins import join_forecasts
from kubecast.data.panel import KEYS, Panel
from kubecast.documents import Document
from kubecast.errors import DataError
from kubecast.scoring.forecasts import Forecasts
from kubecast.scoring.loss_grid import LossGrid, LossSums
from kubecast.scoring.metrics import ENSEMBLE, intervals, quantile_column, scorable, series_metrics
from kubecast.scoring.resampling import MANY_SERIES
from kubecast.scoring.significance import Paired, finite, paired_difference

SEGMENTS = 10
MOST_CHANGED = 5  # series that gained most, and as many that lost most
DIGITS = 4  # of relative changes: a model that is loaded again differs in the seventh

_CHAMPION = "champion"
_BOTH = [ENSEMBLE, _CHAMPION]


@dataclass(frozen=True)
class Champion:
    """The champion and its forecasts, from ``forecast_champion``.

    Attributes:
        version: Its id.
        not_comparable: Why it has no forecasts; empty where it has.
        forecasts: ``unique_id``, ``cutoff``, ``ds``, ``fitted_through``, ``yhat`` and the quantiles, in
            ascending order of series; of ``fitted_through``, see ``kubecast.ensemble.bundle.Contract``.
        replaceable: Whether it has seen all there is and was itself not evaluated: it gives way to a version
            that is.
        failed_tests: Version by the digest of a paired test that it failed; see ``Decision.tested``.
    """

    version: str
    not_comparable: str
    forecasts: Forecasts
    replaceable: bool = False
    failed_tests: Mapping[str, str] = field(default_factory=dict)


class SeriesComparison(Document):
    """A series of both on the same targets.

    Attributes:
        unique_id: Of the series.
        mase: Of the version.
        champion_mase: Of the champion.
    """

    unique_id: str
    mase: float
    champion_mase: float


class Comparison(Document):
    """The version and the champion on the same targets, which neither has seen.

    Attributes:
        origins: Number of origins, over all series.
        first_origin: The earliest; None in a document of before it was kept, as the latest.
        last_origin: The latest.
        gained: At most 5 series whose MASE fell most, the one that fell most first.
        lost: At most 5 series whose MASE rose most, the one that rose most first.
        series: Number of series that could be scored.
        mase: Of the version.
        champion_mase: Of the champion.
        gain: 1 - ``mase`` / ``champion_mase``; None where the champion's is 0 and the version's is not.
        interval: Nominal coverage, in percent, of the widest interval that both have.
        coverage: Share of targets inside the version's.
        champion_coverage: The same of the champion's.
        worst_segment: The series, or the tenth of the series by scale, where the version loses most.
        worst_loss: What it loses there: the difference of both MASEs over the champion's, there or overall,
            whichever is larger; None where that is 0.
        paired: The version's error less the champion's.
    """

    origins: int
    series: int
    mase: float
    champion_mase: float
    gain: float | None
    interval: str | None
    coverage: float | None
    champion_coverage: float | None
    worst_segment: str
    worst_loss: float | None
    paired: Paired
    first_origin: datetime | None = None
    last_origin: datetime | None = None
    gained: list[SeriesComparison] = Field(default=[])
    lost: list[SeriesComparison] = Field(default=[])


class CommonTargets(NamedTuple):
    """The targets of a block of series that a version and the champion have both forecast.

    Attributes:
        losses: Of both, by series and origin.
        mase: Of both by series, those that could be scored.
        inside: Share of targets inside each one's interval, by series; no columns where they have none alike.
        cutoffs: Of the origins with a scored target; shape (origins,).
    """

    losses: LossSums
    mase: pd.DataFrame
    inside: pd.DataFrame
    cutoffs: "pd.Series[Any]"

    @classmethod
    def of(
        cls,
        test: pd.DataFrame,
        series: pd.DataFrame,
        panel: Panel,
        levels: Sequence[float],
        champion: "Champion",
        theirs: pd.DataFrame,
    ) -> "CommonTargets":
        """Score both.

        Args:
            test: A block of the version's forecasts of the test split.
            series: Scales.
            panel: Says what counts as one origin.
            levels: Of the version's quantiles.
            champion: The champion.
            theirs: Its forecasts of the block's series, perhaps with those of others.

        Raises:
            DataError: It has seen one of its targets.
        """
        _refuse_seen(champion, theirs)
        theirs = theirs.drop(columns="fitted_through").rename(columns=_champion_column)
        common = join_forecasts(test.reset_index(drop=True), theirs)
        losses = LossSums.from_table(common, series, panel, _BOTH)
        scored = common[scorable(common, series)]
        mase = series_metrics(scored, series, _BOTH)["mase"].droplevel("split")
        inside = {}
        if bounds := _interval(levels, champion)[1]:
            theirs_bounds = map(_champion_column, bounds)
            for name, (low, high) in zip(_BOTH, (bounds, theirs_bounds), strict=True):
                inside[name] = scored["y"].between(scored[low], scored[high])
        shares = pd.DataFrame(inside).groupby(scored["unique_id"].astype(object)).mean()
        origins = scored[["unique_id", "cutoff"]].drop_duplicates()
        return cls(losses, mase, shares, origins["cutoff"])


def compare(
    blocks: Sequence[CommonTargets],
    series: pd.DataFrame,
    panel: Panel,
    levels: Sequence[float],
    champion: Champion,
) -> Comparison | None:
    """Put a version and the champion side by side; None where no target of both was observed.

    Args:
        blocks: Of different series, in their order.
        series: Scales.
        panel: Says what groups series have.
        levels: Of the version's quantiles.
        champion: With forecasts.
    """
    grid = LossGrid.joined([block.losses for block in blocks], panel)
    cutoffs = pd.concat([block.cutoffs for block in blocks])
    if cutoffs.empty:
        return None
    mase = pd.concat([block.mase for block in blocks])
    covered = {
        str(name): finite(share) for name, share in pd.concat([each.inside for each in blocks]).mean().items()
    }
    own, other = float(mase[ENSEMBLE].mean()), float(mase[_CHAMPION].mean())
    segment, loss = _worst_segment(mase, series)
    gained, lost = _most_changed(mase)
    return Comparison(
        origins=len(cutoffs),
        first_origin=cutoffs.min().to_pydatetime(),
        last_origin=cutoffs.max().to_pydatetime(),
        series=len(mase),
        mase=own,
        champion_mase=other,
        gain=_ratio(other - own, other),
        interval=_interval(levels, champion)[0],
        coverage=covered.get(ENSEMBLE),
        champion_coverage=covered.get(_CHAMPION),
        worst_segment=segment,
        worst_loss=loss,
        paired=paired_difference(grid, ENSEMBLE, _CHAMPION),
        gained=gained,
        lost=lost,
    )


def _champion_column(name: str) -> str:
    return {"yhat": _CHAMPION}.get(name, name if name in KEYS else f"{_CHAMPION}_{name}")


def _refuse_seen(champion: Champion, table: pd.DataFrame) -> None:
    seen = table[table["cutoff"] < table["fitted_through"]]
    if len(seen):
        row = seen.iloc[0]
        raise DataError(
            f"champion {champion.version}, series {row['unique_id']}: origin {row['cutoff']} lies before"
            f" {row['fitted_through']}, up to which it was fitted or chosen; allowed: later origins only"
        )


def _ratio(difference: float, base: float) -> float | None:
    if base == 0:
        return 0.0 if difference == 0 else None
    return round(difference / base, DIGITS)


def _worst_segment(mase: pd.DataFrame, series: pd.DataFrame) -> tuple[str, float | None]:
    """Single series where there are few, tenths of them by scale where there are many.

    A segment that the champion forecasts almost perfectly would turn noise into a large loss, so the loss is
    over the champion's MASE of all series where that is larger.
    """
    names = mase.index.to_series()
    if len(mase) > MANY_SERIES:
        scale = names.map(series.set_index("unique_id")["scale"]).rank(method="first")
        names = (
            "tenth " + (pd.qcut(scale, SEGMENTS, labels=False) + 1).astype(str) + " of the series by scale"
        )
    means = mase.groupby(names).mean()
    worse = means[ENSEMBLE] - means[_CHAMPION]
    base = means[_CHAMPION].clip(lower=float(mase[_CHAMPION].mean()))
    name = (worse / base.where(base > 0, np.finfo(float).tiny)).idxmax()
    return str(name), _ratio(float(worse[name]), float(base[name]))


def _most_changed(mase: pd.DataFrame) -> tuple[list[SeriesComparison], list[SeriesComparison]]:
    """The series that gained most and those that lost most, by the difference of both MASEs."""
    changes = mase[ENSEMBLE] - mase[_CHAMPION]
    changes = changes[changes.abs() > 10.0**-DIGITS * mase[_CHAMPION]]

    def compared(names: pd.Index) -> list[SeriesComparison]:
        return [
            SeriesComparison(
                unique_id=str(name),
                mase=mase.loc[name, ENSEMBLE],
                champion_mase=mase.loc[name, _CHAMPION],
            )
            for name in names
        ]

    gained = changes[changes < 0].sort_values(kind="stable")
    lost = changes[changes > 0].sort_values(ascending=False, kind="stable")
    return compared(gained.index[:MOST_CHANGED]), compared(lost.index[:MOST_CHANGED])


def _interval(levels: Sequence[float], champion: Champion) -> tuple[str | None, list[str]]:
    """The widest interval of the version that the champion has too: its nominal coverage and its columns."""
    for nominal, (low, high) in intervals(levels).items():
        bounds = [quantile_column(low), quantile_column(high)]
        if set(bounds) <= set(champion.forecasts.columns):
            return nominal, bounds
    return None, []
