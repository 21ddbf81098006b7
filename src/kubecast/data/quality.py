"""Findings about everyday faults of data: nothing is repaired, and none is silent."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.calendars import WEEKDAYS
from kubecast.data.collinearity import moments_of, note_collinear
from kubecast.data.columns import listed
from kubecast.data.findings import Notes
from kubecast.data.levels import level_shifts
from kubecast.data.panel import Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.row_blocks import concat_rows
from kubecast.data.series_sample import sample_series

Floats = NDArray[np.float64]

UNIT_BASES = (10, 60)  # kilo and mega, percent; seconds, minutes and hours
UNIT_TOLERANCE = 0.1  # of a power of a base: a level is known to a few percent
FLAT_SEASONS = 2  # and more without a change is longer than a closed day
FLAT_ROWS = 10  # at least, where seasons are short
FLAT_CHANCE = 1e-3  # of one series to have so long a run, were its repeats independent
CLOSED_SHARE = 0.1  # of a weekday's steps: an open Sunday before Christmas leaves it a closed day
CLOSED_WEEKS = 4  # of a series, at least
OPEN_SHARE = 0.5  # of the other days' steps have a target, or the series is sparse and not closed
SAME = 0.99  # correlation of changes of rank: noise of a tenth of them gives 0.995, the last value's far less
LEAST_CHANGES = 30  # behind that correlation
LEAK_ROWS = 100_000  # that are looked at, of whole series


def note_quality(panel: PanelBlocks, rows: "pd.Series[int]", notes: Notes) -> None:
    """Note what looks like a fault of a panel's data, from one block of series after the other.

    Args:
        panel: With every row and the known-future covariates after them.
        rows: Of each series, indexed by its name.
        notes: Receives one finding of a kind, with the number of series or rows: ``level_shift``,
            ``unit_change``, ``flat``, ``duplicate``, ``closed_days``, ``zeros``, ``future_dates``,
            ``collinear``; ``leak`` and ``constant_future`` for each covariate; ``constant`` and
            ``intermittent`` for each series.
    """
    seen = [[look(block) for look, _ in _CHECKS] for block in panel]
    for (_, note), found in zip(_CHECKS, zip(*seen, strict=True), strict=True):
        note(list(found), notes)
    _note_leaks(panel, rows, notes)


def _shifts(panel: Panel) -> pd.DataFrame:
    return level_shifts(panel, panel.ends)


def _note_shifts(found: list[pd.DataFrame], notes: Notes) -> None:
    """Name the series whose level has changed for good, and those where that looks like another unit."""
    shifts = concat_rows(found)
    is_unit = shifts["is_ratio"].astype(bool) & _unit_like(shifts["change"].to_numpy(dtype=np.float64))
    for what, table, meaning in (
        ("level_shift", shifts[~is_unit], "the level has changed for good; forecasts follow it"),
        ("unit_change", shifts[is_unit], "as after a change of unit; forecasts follow it"),
    ):
        if len(table):
            first = table.iloc[0]
            change = f"{first['change']:.3g} times" if first["is_ratio"] else f"{first['change']:+.3g} from"
            example = f"that of {first['unique_id']} is {change} what it was from {first['ds']} on"
            notes.add(what, f"{listed(table['unique_id'])}: {meaning}; {example}", count=len(table))


def _unit_like(ratios: Floats) -> NDArray[np.bool_]:
    """Whether ratios are near a power of a base that units differ by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        powers = np.log(np.abs(ratios))[:, None] / np.log(UNIT_BASES)
    nearest = np.rint(powers)
    off = np.abs(powers - nearest) * np.log(UNIT_BASES)
    return np.asarray(((nearest != 0) & (off < np.log1p(UNIT_TOLERANCE))).any(axis=1))


def _note_closed_days(found: list[pd.DataFrame], notes: Notes) -> None:
    """Name the weekdays of a daily grid on which there is hardly a target: forecasts would stand on them."""
    days = concat_rows(found)
    if days.empty:
        return
    ids = days.index.to_numpy()
    closed, is_open, shares = (days[name].to_numpy() for name in ("closed", "open", "share"))
    of_others = np.where(closed, 0.0, shares)
    hardly = of_others.sum(axis=0) <= CLOSED_SHARE * shares.sum(axis=0).max()
    shared = closed.any(axis=0) & ~is_open.any(axis=0) & hardly
    own = closed & ~shared
    if shared.any():
        names = ", ".join(np.array(WEEKDAYS)[shared])
        opened = np.array(WEEKDAYS)[~shared]
        grid = f"W-{opened[0]}" if len(opened) == 1 else "-".join(["C", *opened])
        strays = ids[(of_others[:, shared] > 0).any(axis=1)]
        but = f" (but some of {listed(strays)}: too short or sparse to tell)" if len(strays) else ""
        detail = (
            f"hardly a target on {names}{but}; allowed: training.frequency: {grid},"
            " with training.data.resample where rows stand on closed days"
        )
        notes.add("closed_days", detail, count=int(closed[:, shared].any(axis=1).sum()))
    if own.any():
        some = own.any(axis=1)
        names = listed(np.array(WEEKDAYS)[own[np.argmax(some)]])
        detail = (
            f"{listed(ids[some])}: hardly a target on one weekday or more, e.g. {names}, on which other"
            " series have theirs; allowed: training.data.empty: zero, where a day without a row is one of 0"
        )
        notes.add("closed_days", detail, count=int(some.sum()))


def _closed_days(panel: Panel) -> pd.DataFrame:
    """By series and weekday from Monday, whether it is ``closed``, ``open``, and its ``share`` of targets.

    A weekday of a sparse series, or one that a series has few times, is neither closed nor open. Of a grid
    that is not daily, no row.
    """
    if panel.spec.frequency != "D":
        return pd.DataFrame()
    cells = panel.series_codes * 7 + panel.frame["ds"].dt.weekday.to_numpy()
    steps, targets = (
        np.bincount(cells, weights, 7 * len(panel.ids)).reshape(-1, 7)
        for weights in (None, panel.frame["observed"].to_numpy(dtype=np.float64))
    )
    is_known, hardly = steps >= CLOSED_WEEKS, targets <= CLOSED_SHARE * steps
    rest = np.where(hardly, 0.0, targets).sum(axis=1), np.where(hardly, 0, steps).sum(axis=1)
    is_known &= (rest[0] > OPEN_SHARE * rest[1])[:, None]
    days = {"closed": is_known & hardly, "open": is_known & ~hardly, "share": targets / np.maximum(steps, 1)}
    return pd.concat({name: pd.DataFrame(table, panel.ids) for name, table in days.items()}, axis=1)


def _flat(panel: Panel) -> pd.DataFrame:
    """The series with a stretch of one value that is too long for how often they repeat one."""
    y, codes = panel.frame["y"].to_numpy(dtype=np.float64), panel.series_codes
    starts, lengths = _runs(y, codes)
    longest = _longest(lengths, codes[starts], len(panel.ids))
    size = np.diff(panel.indptr)
    repeats = size - np.bincount(codes[starts], minlength=len(size)) - (longest - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A run of n repeats begins at one of the rows with a chance of at most rows * share ** n.
        usual = np.log(FLAT_CHANCE / size) / np.log(repeats / (size - longest))
    least = max(FLAT_ROWS, FLAT_SEASONS * panel.spec.season_lengths[0])
    is_flat = (longest > least) & (longest > np.nan_to_num(usual)) & (longest < size)
    run = np.flatnonzero(is_flat[codes[starts]] & (lengths == longest[codes[starts]]))
    rows = starts[run]
    table = panel.frame[["unique_id", "ds", "y"]].iloc[rows].assign(rows=lengths[run])
    return table.drop_duplicates("unique_id").reset_index(drop=True)


def _note_flat(found: list[pd.DataFrame], notes: Notes) -> None:
    flat = concat_rows(found)
    if len(flat):
        first = flat.iloc[0]
        example = f"{first['rows']} rows of {first['y']:g} from {first['ds']} on"
        detail = (
            f"{listed(flat['unique_id'])}: one value for more than {FLAT_SEASONS} seasons, e.g. {example}"
        )
        notes.add("flat", detail, count=len(flat))


def _runs(values: Floats, codes: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First rows and lengths of stretches of one value of one series; a missing value is by itself."""
    new = (values[1:] != values[:-1]) | (codes[1:] != codes[:-1])
    starts = np.flatnonzero(np.concatenate([[True], new]))
    return starts, np.diff(np.append(starts, len(values)))


def _longest(lengths: NDArray[np.intp], codes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """By series."""
    longest = np.zeros(count, dtype=np.int64)
    np.maximum.at(longest, codes, lengths)
    return longest


def _fingerprints(panel: Panel) -> pd.DataFrame:
    """A hash of the times and targets of each series that varies, and the number of its rows."""
    table = panel.frame[["ds", "y"]]
    hashes = pd.util.hash_pandas_object(table, index=False).to_numpy()
    first = panel.indptr[:-1]
    y = table["y"].to_numpy(dtype=np.float64)
    varies = np.fmax.reduceat(y, first) > np.fmin.reduceat(y, first)
    sums = np.add.reduceat(hashes, first)
    return pd.DataFrame({"unique_id": panel.ids, "hash": sums, "rows": np.diff(panel.indptr)})[varies]


def _note_duplicates(found: list[pd.DataFrame], notes: Notes) -> None:
    """Name the series that have another one's targets at every timestamp, and vary."""
    table = concat_rows(found).reset_index(drop=True)
    groups = table.groupby(["hash", "rows"])["unique_id"]
    again = groups.cumcount() > 0
    pairs = zip(groups.transform("first")[again], table["unique_id"][again], strict=True)
    same = [f"{first} and {other}" for first, other in pairs]
    if same:
        detail = f"{listed(sorted(same))}: the same target at every timestamp"
        notes.add("duplicate", detail, count=len(same))


def _note_leaks(panel: PanelBlocks, rows: "pd.Series[int]", notes: Notes) -> None:
    """Name the covariates that move as the target does at the same time, or at a later one."""
    names = [*panel.spec.future, *panel.spec.past]
    if not names:
        return
    compared = panel.only(sample_series(rows, LEAK_ROWS).index)
    frame, codes = compared.frame, compared.series_codes
    target = _rank_changes(frame["y"], codes)
    changes = {name: _rank_changes(frame[name], codes) for name in names}
    for lead in range(panel.spec.horizon + 1):
        later = target.groupby(codes).shift(-lead)
        for name in [name for name in changes if _correlation(changes[name], later) > SAME]:
            when = "at the same time" if lead == 0 else f"{lead} steps later"
            notes.add("leak", f"{name} moves as the target does {when}: is it known before the target is?")
            del changes[name]


def _rank_changes(values: "pd.Series[Any]", codes: NDArray[np.int64]) -> "pd.Series[float]":
    """From a row to the next, of the value's rank in its series: the same for every rising function of it."""
    ranks = values.groupby(codes).rank(pct=True)
    return ranks.groupby(codes).diff()


def _correlation(values: "pd.Series[float]", target: "pd.Series[float]") -> float:
    """The size of the correlation of changes about 0; 0 where too few values change."""
    both = (values.notna() & target.notna()).to_numpy()
    x, y = values.to_numpy()[both], target.to_numpy()[both]
    if np.count_nonzero(x) < LEAST_CHANGES or not y.any():
        return 0.0
    return float(abs(x @ y) / np.sqrt((x @ x) * (y @ y)))


def note_constant_future(found: list[pd.DataFrame], notes: Notes) -> None:
    """Name the known-future covariates that stay at one value after the data for longer than ever in it."""
    for (_, name), ids in concat_rows(found).groupby(["place", "covariate"])["unique_id"]:
        detail = (
            f"{name} of {listed(ids)}: one value in all rows after the target's last, never so long before"
        )
        notes.add("constant_future", detail, count=len(ids))


def constant_in_future(panel: Panel) -> pd.DataFrame:
    """``covariate``, its ``place`` among them, and ``unique_id`` of what ``note_constant_future`` names."""
    after, found = panel.future_covariates, []
    for place, name in enumerate(panel.spec.future if len(after) else ()):
        future = after.groupby("unique_id", sort=True)[name].agg(["nunique", "size"])
        starts, lengths = _runs(panel.frame[name].to_numpy(dtype=np.float64), panel.series_codes)
        longest = pd.Series(_longest(lengths, panel.series_codes[starts], len(panel.ids)), index=panel.ids)
        constant = future.index[(future["nunique"] == 1) & (future["size"] > longest[future.index])]
        found.append(pd.DataFrame({"place": place, "covariate": name, "unique_id": constant.astype(str)}))
    return concat_rows(found or [pd.DataFrame({"place": [], "covariate": [], "unique_id": []})])


def _character(panel: Panel) -> pd.DataFrame:
    """By series, whether every target has the same value, the share of zeros among them, and how many."""
    y, first = panel.frame["y"].to_numpy(dtype=np.float64), panel.indptr[:-1]
    zeros, seen = (np.add.reduceat(each.astype(np.int64), first) for each in (y == 0, ~np.isnan(y)))
    constant = np.fmax.reduceat(y, first) == np.fmin.reduceat(y, first)
    return pd.DataFrame({"unique_id": panel.ids, "constant": constant, "zeros": zeros, "share": zeros / seen})


def _note_character(found: list[pd.DataFrame], notes: Notes) -> None:
    series = concat_rows(found)
    for name in series.loc[series["constant"], "unique_id"]:
        notes.add("constant", "every target has the same value", series=name)
    some = series[series["zeros"] > 0]
    often = some.loc[(some["share"] > 0.5) & (some["share"] < 1), ["unique_id", "share"]]
    for name, share in often.itertuples(index=False):
        notes.add("intermittent", f"{share:.0%} of the targets are 0", series=name)
    if len(some):
        advice = "zeros in the target; read scaled errors, not percentage errors"
        notes.add("zeros", f"{listed(some['unique_id'])}: {advice}", count=int(some["zeros"].sum()))


def _late(panel: Panel) -> pd.DataFrame:
    """The series with rows in the future: how many, and the first."""
    tomorrow = pd.Timestamp.now(tz="UTC").tz_localize(None) + pd.Timedelta(days=1)
    late = panel.frame[panel.frame["ds"] > tomorrow].groupby("unique_id")["ds"]
    return late.agg(rows="size", ds="min").reset_index()


def _note_late(found: list[pd.DataFrame], notes: Notes) -> None:
    late = concat_rows(found)
    if len(late):
        count, first = int(late["rows"].sum()), late.iloc[0]
        detail = f"{count} rows lie in the future, e.g. {first['ds']} of series {first['unique_id']}"
        notes.add("future_dates", detail, count=count)


_CHECKS: list[tuple[Callable[[Panel], Any], Callable[[list[Any], Notes], None]]] = [
    (moments_of, note_collinear),
    (_late, _note_late),
    (_character, _note_character),
    (_shifts, _note_shifts),
    (_closed_days, _note_closed_days),
    (_flat, _note_flat),
    (_fingerprints, _note_duplicates),
    (constant_in_future, note_constant_future),
]
"""What is looked at in each block, and what is noted of all."""
