"""Preparation: from the rows of a data file to a panel, with every check and repair of the data contract."""

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.offsets import Tick

from kubecast.config.training import TrainingSettings
from kubecast.data.calendars import known_frequency, offset_of
from kubecast.data.clock import check_clock, on_training_clock
from kubecast.data.columns import listed, local_moment, read_future, read_rows
from kubecast.data.findings import DataReport, Notes
from kubecast.data.grid import complete_grid, find_frequency, season_lengths, series_bounds
from kubecast.data.origins import (
    alignment_of,
    origins_with_covariates,
    plan_split,
    split_series,
    steps_late,
)
from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.periods import is_coarse
from kubecast.data.quality import note_constant_future, note_quality
from kubecast.data.roles import with_two_columns
from kubecast.data.series_table import facts_of_rows
from kubecast.data.stale import note_stale
from kubecast.errors import ConfigError, DataError

_LOG = logging.getLogger(__name__)

_SAME = 0.9  # share of a series' rows that have one value of a static covariate, if it is one


def build_panel(
    rows: pd.DataFrame, settings: TrainingSettings, *, digest: str = "", as_of: pd.Timestamp | None = None
) -> Panel:
    """Check, repair and split the rows of a data file.

    Args:
        rows: As read, with the file's own column names, in any order.
        settings: The horizon must be set; frequency and season lengths follow from the data if they are not.
        digest: Of the source.
        as_of: In UTC. Of rows after it only the known-future covariates are used.

    Raises:
        DataError: The rows break the data contract.
        ConfigError: The settings do not fit the data.
    """
    horizon = required_horizon(settings)
    notes = Notes()
    settings = with_two_columns(rows, settings, notes)
    daily = _stays_local(settings.frequency)
    frame, clock = read_rows(rows, settings, notes, daily=daily)
    frame = _up_to(frame, settings, as_of)
    frequency = find_frequency(frame, settings)
    frame = complete_grid(frame, frequency, settings, notes)
    frame, ahead = _split_ahead(frame, settings, notes)
    seasons = season_lengths(frame, frequency, settings, notes)
    frame = _without_gappy(frame, seasons, settings, notes)
    frame, static = _split_static(frame, settings, notes)
    frame = _fill_covariates(frame, settings, notes)
    _note_future_dates(frame, notes)
    note_stale(frame, frequency, horizon, notes)
    align = alignment_of(frame, frequency, horizon, settings)
    late = steps_late(frame, frequency, align)
    splits = plan_split(frame, late, horizon, seasons, settings, notes)
    spec = PanelSpec(
        frequency=frequency,
        horizon=horizon,
        season_lengths=splits.season_lengths,
        future=settings.data.covariates.future,
        past=settings.data.covariates.past,
        static=settings.data.covariates.static,
        categories=[name for name in static.columns[1:] if not pd.api.types.is_numeric_dtype(static[name])],
        align=align,
        folds=settings.validation.cv_folds,
        digest=digest,
        timezone=clock.zone,
        day_zone=clock.day_zone,
        columns=settings.data.columns.model_dump(),
        splits=splits,
    )
    series, origins = split_series(frame, spec, settings, notes)
    _note_character(frame, notes)
    panel = Panel(_plain(frame), _plain(static), spec, series, origins, _of_series(ahead, frame))
    origins = origins_with_covariates(panel, notes)
    note_quality(panel, notes)
    report = DataReport(rows=len(frame), series=len(series), findings=notes.findings)
    return replace(panel, origins=origins, report=report)


def history_panel(
    rows: pd.DataFrame,
    settings: TrainingSettings,
    spec: PanelSpec,
    *,
    future: pd.DataFrame | None = None,
    as_of: pd.Timestamp | None = None,
    known: Collection[str] = (),
) -> Panel:
    """Check and repair rows for a model that is already fitted; they are not split.

    Args:
        rows: As read, with the file's own column names, in any order.
        settings: Those of the training run.
        spec: That of the training run's panel.
        future: Known-future covariates after the rows' end, under the same column names.
        as_of: In UTC. Of rows after it only the known-future covariates are used.
        known: Series that the model was trained on, which keep their names.

    Returns:
        A panel with no origins, no cut-offs and no scales. Its zone is ``training.data.timezone``, even UTC,
        or the place that the model was trained on; else that of the rows.

    Raises:
        DataError: The rows break the data contract, lack a column that the model was trained with, or are on
            another clock.
    """
    notes = Notes()
    settings = with_two_columns(rows, settings, notes)
    settings, daily = on_training_clock(settings, spec), _stays_local(spec.frequency)
    frame, clock = read_rows(rows, settings, notes, spec.categories, daily, known)
    check_clock(clock.zone, spec, "the data")
    if future is not None and spec.future:
        ahead, future_zone = read_future(future, settings, daily, frame["unique_id"].cat.categories)
        check_clock(future_zone, spec, "the file of future covariates")
        if settings.data.resample is None:
            _refuse_other_steps(frame, ahead, spec.frequency)
        frame = _with_future(frame, ahead)
    as_of = None if as_of is None else _on_rows_clock(as_of, rows, settings, spec.frequency)
    frame = complete_grid(_up_to(frame, settings, as_of), spec.frequency, settings, notes)
    frame, ahead = _split_ahead(frame, settings, notes)
    frame = _without_gappy(frame, spec.season_lengths, settings, notes)
    frame, static = _split_static(frame, settings, notes)
    frame = _plain(_fill_covariates(frame, settings, notes))
    note_stale(frame, spec.frequency, spec.horizon, notes)
    never = np.full(len(static), np.datetime64("NaT", "ns"))
    series = facts_of_rows(frame).assign(train_end=never, validation_end=never, train_rows=0, route="model")
    series[["train_mean", "zeros", "scale", "rmsse_scale"]] = np.nan
    origins = pd.DataFrame({"unique_id": [], "cutoff": [], "split": [], "fold": []})
    spec = spec.model_copy(update={"timezone": clock.zone})
    panel = Panel(frame, _plain(static), spec, series, origins, _of_series(ahead, frame))
    note_constant_future(panel, notes)
    for finding in notes.findings:
        if finding.what in ("left_out", "stale", "constant_future", "static"):
            what = finding.what.replace("_", " ")
            _LOG.warning("%s: %s", what, finding.detail, extra={"series": finding.series})
    report = DataReport(rows=len(frame), series=len(series), findings=notes.findings)
    return replace(panel, report=report)


def _refuse_other_steps(frame: pd.DataFrame, future: pd.DataFrame, frequency: str) -> None:
    """Refuse known-future covariates between the steps of the data, as of a clock half an hour off."""
    offset = offset_of(frequency)
    if not isinstance(offset, Tick):
        return
    starts, stops = series_bounds(frame)
    ds = frame["ds"].to_numpy()
    # A series that is off its own grid is not the future's fault: complete_grid names it.
    own = ((ds[stops - 1] - ds[starts]).astype(np.int64) % offset.nanos) == 0
    first = pd.Series(ds[starts][own], index=frame["unique_id"].array[starts][own].astype(object))
    known = future[future["unique_id"].isin(first.index)]
    since = known["ds"].to_numpy() - first.loc[known["unique_id"]].to_numpy()
    off = known[since.astype(np.int64) % offset.nanos != 0]
    if len(off):
        row = off.iloc[0]
        raise DataError(
            f"the file of future covariates, series {row['unique_id']}: {row['ds']} is between the steps"
            f" of the data ({len(off)} such rows); allowed: times of the same steps of {frequency},"
            " on the same clock"
        )


def _with_future(frame: pd.DataFrame, future: pd.DataFrame) -> pd.DataFrame:
    """Add rows that have no target; a row of the data that has one is kept as it is."""
    known = future[future["unique_id"].isin(frame["unique_id"].cat.categories)]
    both = pd.concat([known, frame.assign(unique_id=frame["unique_id"].astype(object))], ignore_index=True)
    both["unique_id"] = pd.Categorical(both["unique_id"], categories=frame["unique_id"].cat.categories)
    both = both.assign(unobserved=both["y"].isna()).sort_values(
        ["unique_id", "ds", "unobserved"], kind="stable"
    )
    again = both.duplicated(["unique_id", "ds"]) & both["unobserved"]  # targets of one time may be added up
    return both.loc[~again, list(frame.columns)].reset_index(drop=True)


def newest_time(rows: pd.DataFrame, settings: TrainingSettings, at: pd.Timestamp) -> pd.Timestamp:
    """The newest timestamp at or before a moment, both as ``ds`` stands in a panel.

    Raises:
        DataError: The rows cannot be read, or none is so old.
    """
    settings = with_two_columns(rows, settings, Notes())
    frame, _ = read_rows(rows, settings, Notes(), daily=_stays_local(settings.frequency))
    at = _on_rows_clock(at, rows, settings, settings.frequency)
    return pd.Timestamp(_up_to(frame, settings, at).loc[lambda rows: rows["ds"] <= at, "ds"].max())


def _on_rows_clock(
    moment: pd.Timestamp, rows: pd.DataFrame, settings: TrainingSettings, frequency: str | None
) -> pd.Timestamp:
    """A moment in UTC as the rows stand: on the local clock where they are brought together in days."""
    if settings.data.resample is None or not _stays_local(frequency):
        return moment
    return local_moment(rows, settings, moment)


def required_horizon(settings: TrainingSettings) -> int:
    """The horizon, or an error that says where to set it."""
    if settings.horizon is None:
        raise ConfigError("training.horizon is not set; allowed: a whole number of steps, 1 or more")
    return settings.horizon


def _of_series(ahead: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the series that a frame has."""
    ahead = _plain(ahead)
    return ahead[ahead["unique_id"].isin(frame["unique_id"].unique())].reset_index(drop=True)


def _stays_local(frequency: str | None) -> bool | None:
    """Whether timestamps stay on the local clock; None where it follows from the values."""
    return None if frequency is None else is_coarse(known_frequency(frequency))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(unique_id=frame["unique_id"].astype(object)).reset_index(drop=True)


def _up_to(frame: pd.DataFrame, settings: TrainingSettings, as_of: pd.Timestamp | None) -> pd.DataFrame:
    """The rows up to a moment; where there are known-future covariates, those of later rows stay."""
    if as_of is None:
        return frame
    late = frame["ds"] > as_of
    if late.all():
        raise DataError(f"no row is at or before as_of {as_of}; allowed: {frame['ds'].min()} or later")
    if not settings.data.covariates.future:
        return _without_empty(frame[~late])
    frame.loc[late, ["y", *settings.data.covariates.past]] = np.nan
    return frame


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    kept = frame.reset_index(drop=True)
    kept["unique_id"] = kept["unique_id"].cat.remove_unused_categories()
    return kept


def _split_ahead(
    frame: pd.DataFrame, settings: TrainingSettings, notes: Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut each series to where its target begins and ends; what is known after that is kept apart."""
    covariates = settings.data.covariates
    frame["observed"] = frame["y"].notna()
    times = frame["ds"].where(frame["observed"]).groupby(frame["unique_id"], observed=True)
    first, last = times.transform("min"), times.transform("max")
    for name in frame.loc[last.isna(), "unique_id"].unique():
        notes.add("left_out", "no target value at all", series=str(name))
    kept = frame[(frame["ds"] >= first) & (frame["ds"] <= last)]
    if kept.empty:
        raise DataError("no series has a target value; allowed: numbers in y")
    columns = ["unique_id", "ds", "y", "observed", *covariates.future, *covariates.past, *covariates.static]
    ahead = frame.loc[(frame["ds"] > last) & bool(covariates.future), ["unique_id", "ds", *covariates.future]]
    return _without_empty(kept[columns]), ahead.dropna()


def _split_static(
    frame: pd.DataFrame, settings: TrainingSettings, notes: Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take one value for each series and static covariate; it is missing where no row has one."""
    names = settings.data.covariates.static
    static = pd.DataFrame({"unique_id": frame["unique_id"].cat.categories})
    for name in names:
        values = _static_values(frame, name, notes).reindex(static["unique_id"])
        static[name] = values.to_numpy()
        if len(lacking := values.index[values.isna()]):
            notes.add("static", f"{name} is missing for {listed(lacking)}", count=len(lacking))
    return frame.drop(columns=names), static


def _static_values(frame: pd.DataFrame, name: str, notes: Notes) -> "pd.Series[Any]":
    """By series the value that its rows have; a few rows of another are mistakes.

    Raises:
        DataError: A series has several values too often for that.
    """
    rows = frame[["unique_id", name]].dropna().value_counts(sort=False).rename("rows").reset_index()
    rows = rows.sort_values(["unique_id", "rows"], ascending=[True, False], kind="stable")
    first = rows.drop_duplicates("unique_id").set_index("unique_id")
    share = first["rows"] / rows.groupby("unique_id", observed=True)["rows"].sum()
    if len(mixed := share.index[share < _SAME]):
        count = (rows["unique_id"] == mixed[0]).sum()
        raise DataError(f"series {mixed[0]}: static covariate {name} has {count} values; allowed: one")
    if len(mistaken := share.index[share < 1]):
        detail = f"{name} has several values for {listed(mistaken)}: the most frequent one is taken"
        notes.add("static", detail, count=len(mistaken))
    return first[name]


def _without_gappy(
    frame: pd.DataFrame, seasons: list[int], settings: TrainingSettings, notes: Notes
) -> pd.DataFrame:
    """Leave out series with too much missing, and report what is missing in the others.

    Raises:
        DataError: No series is left.
    """
    missing = ~frame["observed"]
    if not missing.any():
        return frame
    run = (~missing).cumsum()[missing]
    gaps = run.groupby([frame.loc[missing, "unique_id"], run], observed=True).size()
    longest = gaps.groupby(level=0, observed=True).max()
    counts = missing.groupby(frame["unique_id"], observed=True).agg(["sum", "size"])
    max_gap = settings.data.max_gap or 3 * max(seasons)
    zero = ", or training.data.empty: zero, where a step without a row is one of 0"
    left_out: dict[str, str] = {}
    for (name, gap), (count, size) in zip(longest.items(), counts.loc[longest.index].to_numpy(), strict=True):
        amount = f"{count} of {size} targets are missing, {gap} of them in one gap"
        if gap > max_gap:
            left_out[str(name)] = f"{amount}; allowed: training.data.max_gap = {max_gap}{zero}"
        elif count / size > settings.data.max_missing:
            share = f"{settings.data.max_missing:g}"
            left_out[str(name)] = f"{amount}; allowed: a share of training.data.max_missing = {share}{zero}"
        else:
            notes.add("missing", amount, series=str(name), count=int(count))
    for name, detail in left_out.items():
        notes.add("left_out", detail, series=name)
    kept = ~frame["unique_id"].isin(list(left_out))
    if not kept.any():
        name, detail = next(iter(left_out.items()))
        raise DataError(f"series {name}: {detail}")
    return _without_empty(frame[kept])


def _fill_covariates(frame: pd.DataFrame, settings: TrainingSettings, notes: Notes) -> pd.DataFrame:
    """Carry covariates over gaps from the past; before its first value a past-only one is 0."""
    covariates = settings.data.covariates
    for name in (*covariates.future, *covariates.past):
        gaps = int(frame[name].isna().sum())
        if gaps:
            notes.add("covariate", f"{gaps} missing values of {name} filled from the row before", count=gaps)
            filled = frame.groupby("unique_id", observed=True)[name].ffill()
            if name in covariates.future:
                # Known in advance, so its first value is known on the rows before it too.
                filled = filled.groupby(frame["unique_id"], observed=True).bfill()
            frame[name] = filled.fillna(0.0)
    _note_collinear(frame, [*covariates.future, *covariates.past], notes)
    return frame


def _note_collinear(frame: pd.DataFrame, names: list[str], notes: Notes) -> None:
    if not names:
        return
    # The largest value first: squares of values up to 1e100 would overflow.
    values = frame[names].to_numpy(dtype=np.float64)
    values = values / np.maximum(np.abs(values).max(axis=0), np.finfo(np.float64).tiny)
    values = values - values.mean(axis=0)
    spread = values.std(axis=0)
    scaled = values / np.where(spread > 1e-9, spread, np.inf)
    if np.linalg.matrix_rank(scaled.T @ scaled / len(scaled), tol=1e-9, hermitian=True) < len(names):
        notes.add("collinear", f"covariates {', '.join(names)}: one is constant or follows from the others")


def _note_future_dates(frame: pd.DataFrame, notes: Notes) -> None:
    tomorrow = pd.Timestamp.now(tz="UTC").tz_localize(None) + pd.Timedelta(days=1)
    late = frame["ds"] > tomorrow
    if late.any():
        first = frame[late].iloc[0]
        example = f"{first['ds']} of series {first['unique_id']}"
        notes.add(
            "future_dates", f"{int(late.sum())} rows lie in the future, e.g. {example}", count=int(late.sum())
        )


def _note_character(frame: pd.DataFrame, notes: Notes) -> None:
    targets = frame["y"].groupby(frame["unique_id"], observed=True)
    constant = targets.min() == targets.max()
    for name in constant.index[constant]:
        notes.add("constant", "every target has the same value", series=str(name))
    zero = frame["y"] == 0
    if not zero.any():
        return
    shares = zero[frame["observed"]].groupby(frame.loc[frame["observed"], "unique_id"], observed=True).mean()
    for name, share in shares[(shares > 0.5) & (shares < 1)].items():
        notes.add("intermittent", f"{share:.0%} of the targets are 0", series=str(name))
    advice = "zeros in the target; read scaled errors, not percentage errors"
    notes.add("zeros", f"{listed(shares.index[shares > 0])}: {advice}", count=int(zero.sum()))
