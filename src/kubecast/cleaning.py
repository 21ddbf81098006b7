"""From the rows of a data file to a panel: every check and repair of the data contract, each one reported."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset

from kubecast.backtest import Parts, origin_steps, plan_parts, series_scales
from kubecast.config import TrainingSettings
from kubecast.errors import ConfigError, DataError
from kubecast.panel import DataReport, Finding, Panel, PanelSpec, steps_after

LARGEST = 1e100  # squares of larger values overflow
ONE_SERIES = "series"  # its name where the file has no column for one

_SEASONS = {  # by frequency alias; the first is MASE's m
    "min": [60, 1440],
    "5min": [288, 2016],
    "10min": [144, 1008],
    "15min": [96, 672],
    "30min": [48, 336],
    "h": [24, 168],
    "D": [7, 365],
    "B": [5],
    "W": [52],
    "ME": [12],
    "MS": [12],
    "QE": [4],
    "QS": [4],
}


@dataclass
class _Notes:
    findings: list[Finding] = field(default_factory=list)

    def add(self, what: str, detail: str, series: str = "", count: int = 0) -> None:
        self.findings.append(Finding(what=what, detail=detail, series=series, count=count))


def build_panel(
    rows: pd.DataFrame, settings: TrainingSettings, *, digest: str = "", as_of: pd.Timestamp | None = None
) -> Panel:
    """Check, repair and split the rows of a data file.

    Args:
        rows: As read, with the file's own column names, in any order.
        settings: The horizon must be set; frequency and season lengths follow from the data where they are not.
        digest: SHA-256 of the source.
        as_of: Rows after it, in UTC, are not seen.

    Raises:
        DataError: The rows break the data contract.
        ConfigError: The settings do not fit the data.
    """
    horizon = required_horizon(settings)
    notes = _Notes()
    frame, timezone = read_rows(rows, settings, notes)
    if as_of is not None:
        frame = frame[frame["ds"] <= as_of]
        if frame.empty:
            raise DataError(f"no row is at or before as_of {as_of}; allowed: a later date")
    frequency = find_frequency(frame, settings)
    frame = complete_grid(frame, frequency, settings, notes)
    frame, ahead = _split_ahead(frame, settings, notes)
    frame, static = _split_static(frame, settings)
    _note_future_dates(frame, notes)
    seasons = _season_lengths(frame, frequency, settings)
    frame = _leave_out(frame, seasons, settings, notes)
    frame = _fill_covariates(frame, settings, notes)
    if len(frame) < settings.data.min_samples:
        raise DataError(
            f"the panel has {len(frame)} rows; allowed: at least training.data.min_samples ="
            f" {settings.data.min_samples}"
        )
    covariates = settings.data.covariates
    lengths = frame.groupby("unique_id", sort=True).size()
    parts = plan_parts(int(lengths.median()), horizon, seasons[0], settings.data, settings.validation)
    align = _alignment(frame, frequency, horizon, settings)
    spec = PanelSpec(
        frequency=frequency,
        horizon=horizon,
        season_lengths=seasons,
        future=covariates.future,
        past=covariates.past,
        static=covariates.static,
        align=align,
        folds=settings.validation.cv_folds,
        digest=digest,
        timezone=timezone,
        columns=settings.data.columns.model_dump(),
    )
    series, origins = _split(frame, spec, parts, settings, notes)
    _note_character(frame, series, notes)
    report = DataReport(rows=len(frame), series=len(series), findings=notes.findings)
    kept = static[static["unique_id"].isin(series["unique_id"])].reset_index(drop=True)
    return Panel(frame, kept, spec, series, origins, ahead, report)


def required_horizon(settings: TrainingSettings) -> int:
    """The horizon, or an error that says where to set it."""
    if settings.horizon is None:
        raise ConfigError("training.horizon is not set; allowed: a whole number of steps, 1 or more")
    return settings.horizon


# --- reading ------------------------------------------------------------------------------------------


def read_rows(rows: pd.DataFrame, settings: TrainingSettings, notes: _Notes) -> tuple[pd.DataFrame, str | None]:
    """Bring the columns to their names and types; sorted, without duplicates."""
    frame = _named_columns(rows, settings, notes)
    frame["unique_id"] = _ids(frame["unique_id"])
    frame["ds"], timezone = _timestamps(frame, settings)
    covariates = settings.data.covariates
    for column in ("y", *covariates.future, *covariates.past):
        frame[column] = _numbers(frame[column], column)
    return _sorted_unique(frame, notes), timezone


def _named_columns(rows: pd.DataFrame, settings: TrainingSettings, notes: _Notes) -> pd.DataFrame:
    if rows.empty:
        raise DataError("the data has no rows; allowed: a header and at least one row")
    columns, covariates = settings.data.columns, settings.data.covariates
    _refuse_duplicate_columns(rows)
    found = ", ".join(map(str, rows.columns))
    wanted = {columns.ds: "ds", columns.y: "y"}
    if columns.unique_id in rows.columns:
        wanted = {columns.unique_id: "unique_id", **wanted}
    elif columns.unique_id != "unique_id":
        raise DataError(f"column {columns.unique_id} (training.data.columns.unique_id) is missing; found: {found}")
    kept = [*covariates.future, *covariates.past, *covariates.static]
    for name in (*wanted, *kept):
        if name not in rows.columns:
            raise DataError(f"column {name} is missing; found: {found}")
    ignored = [str(name) for name in rows.columns if name not in {*wanted, *kept}]
    if ignored:
        notes.add(
            "ignored", f"columns {', '.join(ignored)} are not used; name them in training.data.covariates to use them"
        )
    frame = rows[[*wanted, *kept]].rename(columns=wanted)
    if "unique_id" not in frame:
        frame.insert(0, "unique_id", ONE_SERIES)
    return frame


def _refuse_duplicate_columns(rows: pd.DataFrame) -> None:
    twice = rows.columns[rows.columns.duplicated()]
    if len(twice):
        raise DataError(f"column {twice[0]} appears more than once; allowed: each name once")


def _ids(column: "pd.Series[Any]") -> "pd.Series[Any]":
    missing = column.isna() | (column.astype(str).str.strip() == "")
    if missing.any():
        raise DataError(f"{_where(missing)}: unique_id is empty; allowed: a name for each row's series")
    return column.astype(str).astype(object)


def _timestamps(frame: pd.DataFrame, settings: TrainingSettings) -> tuple["pd.Series[Any]", str | None]:
    """Read ``ds`` as naive UTC, and tell the zone that it came from."""
    column = frame["ds"]
    missing = column.isna()
    if missing.any():
        raise DataError(f"{_where(missing)}: ds is empty; allowed: a timestamp in each row")
    parsed = column if pd.api.types.is_datetime64_any_dtype(column) else _parse(column, settings)
    if parsed.dt.tz is not None:
        zone = settings.data.timezone or str(parsed.dt.tz)
        return parsed.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[ns]"), zone
    if settings.data.timezone is not None:
        return _localize(frame["unique_id"], parsed, settings.data.timezone), settings.data.timezone
    return parsed.astype("datetime64[ns]"), None


def _parse(column: "pd.Series[Any]", settings: TrainingSettings) -> "pd.Series[Any]":
    if pd.api.types.is_numeric_dtype(column):
        raise DataError(f"ds holds numbers, e.g. {column.iloc[0]}; allowed: dates such as 2026-01-31 or 2026-01-31T12:00")
    text = column.astype(str).str.strip()
    aware = text.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True) & text.str.contains(":", regex=False)
    if aware.any() and not aware.all():
        raise DataError(
            f"{_where(~aware)}: ds {text[~aware].iloc[0]!r} has no time zone and other rows have one;"
            " allowed: all or none"
        )
    pattern = settings.data.timestamp_format or "ISO8601"
    parsed = pd.to_datetime(text, format=pattern, errors="coerce", utc=bool(aware.any()))
    bad = parsed.isna()
    if bad.any():
        allowed = (
            f"the format {pattern}"
            if settings.data.timestamp_format
            else "ISO 8601, e.g. 2026-01-31T12:00, between 1678 and 2262, or set training.data.timestamp_format,"
            " e.g. %d/%m/%Y"
        )
        raise DataError(f"{_where(bad)}: ds {text[bad].iloc[0]!r} cannot be read; allowed: {allowed}")
    return parsed


def _localize(ids: "pd.Series[Any]", naive: "pd.Series[Any]", timezone: str) -> "pd.Series[Any]":
    """Local clock time to UTC; at a clock change the file's order tells the doubled hours apart."""
    try:
        parts = [
            part.dt.tz_localize(timezone, ambiguous="infer").dt.tz_convert("UTC").dt.tz_localize(None)
            for _, part in naive.groupby(ids, sort=False)
        ]
    except KeyError as error:
        raise ConfigError(f"training.data.timezone {timezone!r} is not known; allowed: e.g. Europe/Berlin") from error
    except ValueError as error:  # pytz's ambiguous and non-existent times among them
        raise DataError(
            f"ds does not fit time zone {timezone} ({' '.join(str(error).split())[:120]}); allowed: local times that"
            " exist, doubled hours in order"
        ) from error
    return pd.concat(parts).reindex(naive.index).astype("datetime64[ns]")


def _numbers(column: "pd.Series[Any]", name: str) -> "pd.Series[Any]":
    values = pd.to_numeric(column, errors="coerce").astype(np.float64)
    given = column.notna() & (column.astype(str).str.strip() != "")
    bad = values.isna() & given & ~column.astype(str).str.strip().str.lower().isin(["nan", "na", "null", "none"])
    if bad.any():
        text = str(column[bad].iloc[0])
        hint = " (a decimal comma?)" if text.replace(",", "", 1).replace("-", "", 1).isdigit() else ""
        raise DataError(f"{_where(bad)}: {name} holds {text!r}{hint}; allowed: numbers with a decimal point")
    large = np.isinf(values) | (values.abs() > LARGEST)
    if large.any():
        raise DataError(f"{_where(large)}: {name} is {values[large].iloc[0]:g}; allowed: finite, at most {LARGEST:g}")
    if values.isna().all():
        raise DataError(f"column {name} holds no value; allowed: numbers")
    return values


def _sorted_unique(frame: pd.DataFrame, notes: _Notes) -> pd.DataFrame:
    keys = ["unique_id", "ds"]
    ordered = frame.sort_values(keys, kind="stable")
    moved = int((ordered.index != frame.index).sum())
    if moved:
        notes.add("sorted", f"{moved} rows were not in order of series and time", count=moved)
    repeated = ordered.duplicated()
    clash = ordered[~repeated].duplicated(keys)
    if clash.any():
        row = ordered[~repeated][clash].iloc[0]
        raise DataError(
            f"{_where(clash)}: series {row['unique_id']} has two different rows at {row['ds']}; allowed: one value"
            " for each time (for local clock time set training.data.timezone)"
        )
    if repeated.any():
        notes.add("deduplicated", f"{int(repeated.sum())} rows were there twice", count=int(repeated.sum()))
    return ordered[~repeated].reset_index(drop=True)


def _where(bad: "pd.Series[bool]") -> str:
    rows = [str(row) for row in bad.index[bad.to_numpy()][:3]]
    more = f" and {int(bad.sum()) - len(rows)} more" if bad.sum() > len(rows) else ""
    return f"row {', '.join(rows)}{more}"


# --- the grid -----------------------------------------------------------------------------------------


def find_frequency(frame: pd.DataFrame, settings: TrainingSettings) -> str:
    """The frequency of the settings, else that of the data's most common step."""
    if settings.frequency is not None:
        return _known_frequency(settings.frequency)
    same = frame["unique_id"].eq(frame["unique_id"].shift())
    steps = frame["ds"].diff()[same]
    if steps.empty:
        raise DataError("no series has two rows, so the frequency is not known; allowed: set training.frequency")
    step = steps.mode().iloc[0]
    if step < pd.Timedelta(days=28):
        return str(to_offset(step).freqstr)  # type: ignore[union-attr]
    longest = frame.loc[frame["unique_id"] == frame["unique_id"].mode().iloc[0], "ds"]
    found = pd.infer_freq(longest) if len(longest) > 2 else None
    if found is None:
        raise DataError("the frequency does not follow from the data; allowed: set training.frequency, e.g. MS or D")
    return _known_frequency(found)


def _known_frequency(text: str) -> str:
    try:
        offset = to_offset(text)
    except ValueError as error:
        raise ConfigError(
            f"training.frequency {text!r} is not known; allowed: a pandas offset alias, e.g. h, 30min, D, MS"
        ) from error
    if offset is None or offset.n < 1:
        raise ConfigError(f"training.frequency {text!r} does not go forward; allowed: e.g. h, 30min, D, MS")
    return str(offset.freqstr)


def complete_grid(frame: pd.DataFrame, frequency: str, settings: TrainingSettings, notes: _Notes) -> pd.DataFrame:
    """Give every series a row for each step between its first and its last."""
    off = _off_grid(frame, frequency)
    if off.any():
        frame = _resample(frame, off, frequency, settings, notes)
    bounds = frame.groupby("unique_id", sort=True)["ds"].agg(["min", "max"])
    steps = [pd.date_range(first, last, freq=frequency) for first, last in bounds.itertuples(index=False)]
    grid = pd.DataFrame(
        {
            "unique_id": np.repeat(bounds.index.to_numpy(dtype=object), [len(times) for times in steps]),
            "ds": np.concatenate([times.to_numpy(dtype="datetime64[ns]") for times in steps]),
        }
    )
    if len(grid) > 50 * len(frame) + 1_000_000:
        raise DataError(
            f"a grid of {frequency} has {len(grid)} rows for {len(frame)} rows of data; allowed: a frequency that"
            " fits the data, or none to have it found"
        )
    return grid.merge(frame, on=["unique_id", "ds"], how="left") if len(grid) > len(frame) else frame


def _off_grid(frame: pd.DataFrame, frequency: str) -> "pd.Series[bool]":
    offset = to_offset(frequency)
    if isinstance(offset, pd.offsets.Tick):
        first = frame.groupby("unique_id")["ds"].transform("min")
        return (frame["ds"] - first) % pd.Timedelta(offset) != pd.Timedelta(0)
    times = pd.DatetimeIndex(frame["ds"].unique())
    on = {time for time in times if offset.is_on_offset(time)}  # type: ignore[union-attr]
    return ~frame["ds"].isin(on)


def _resample(
    frame: pd.DataFrame, off: "pd.Series[bool]", frequency: str, settings: TrainingSettings, notes: _Notes
) -> pd.DataFrame:
    row = frame[off].iloc[0]
    how = settings.data.resample
    if how is None:
        raise DataError(
            f"series {row['unique_id']}: {row['ds']} is not on the grid of {frequency} ({int(off.sum())} such rows);"
            " allowed: regular steps, another training.frequency, or training.data.resample: mean, sum or last"
        )
    notes.add("resampled", f"{int(off.sum())} rows off the grid of {frequency} were brought onto it by {how}",
              count=int(off.sum()))  # fmt: skip
    rules = {name: "first" if name in settings.data.covariates.static else how for name in frame.columns[2:]}
    rules["y"] = how
    binned = frame.groupby(["unique_id", pd.Grouper(key="ds", freq=frequency)], sort=True)
    out = binned.agg(rules).reset_index()
    if how == "sum":  # an empty sum is 0, which is not an observation
        out.loc[binned["y"].count().to_numpy() == 0, "y"] = np.nan
    return out


def _split_ahead(
    frame: pd.DataFrame, settings: TrainingSettings, notes: _Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut each series to where its target begins and ends; known-future covariates after that are kept apart."""
    observed = frame["y"].notna()
    empty = sorted(set(frame["unique_id"]) - set(frame.loc[observed, "unique_id"]))
    for name in empty:
        notes.add("left_out", "no target value at all", series=name)
    times = frame["ds"].where(observed).groupby(frame["unique_id"])
    first, last = times.transform("min"), times.transform("max")
    future = settings.data.covariates.future
    ahead = frame.loc[frame["ds"] > last, ["unique_id", "ds", *future]].dropna()
    kept = frame[(frame["ds"] >= first) & (frame["ds"] <= last)].reset_index(drop=True)
    kept.insert(3 if list(kept.columns[:3]) == ["unique_id", "ds", "y"] else 2, "observed", kept["y"].notna())
    if kept.empty:
        raise DataError("no series has a target value; allowed: numbers in y")
    columns = ["unique_id", "ds", "y", "observed", *future, *settings.data.covariates.past]
    statics = settings.data.covariates.static
    return kept[[*columns, *statics]], (ahead if future else ahead.iloc[:0]).reset_index(drop=True)


def _split_static(frame: pd.DataFrame, settings: TrainingSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    names = settings.data.covariates.static
    grouped = frame.groupby("unique_id", sort=True)
    for name in names:
        counts = grouped[name].nunique()
        if (counts != 1).any():
            series = counts.index[counts != 1][0]
            raise DataError(
                f"series {series}: static covariate {name} has {counts[series]} values; allowed: one for each series"
            )
    static = grouped[names].first().reset_index() if names else pd.DataFrame({"unique_id": list(grouped.groups)})
    static["unique_id"] = static["unique_id"].astype(object)
    return frame.drop(columns=names), static


def _note_future_dates(frame: pd.DataFrame, notes: _Notes) -> None:
    now = pd.Timestamp.now(tz="UTC").tz_localize(None) + pd.Timedelta(days=1)
    late = frame["ds"] > now
    if late.any():
        notes.add("future_dates", f"{int(late.sum())} observed rows lie in the future", count=int(late.sum()))


def _season_lengths(frame: pd.DataFrame, frequency: str, settings: TrainingSettings) -> list[int]:
    longest = int(frame.groupby("unique_id").size().max())
    if settings.season_lengths is not None:
        long = [m for m in settings.season_lengths if 2 * m > longest]
        if long:
            raise ConfigError(
                f"season length {long[0]} needs series of {2 * long[0]} rows, the longest has {longest};"
                " allowed: shorter training.season_lengths"
            )
        return list(dict.fromkeys(settings.season_lengths))
    alias = frequency.split("-")[0]
    known = [m for m in _SEASONS.get(alias, [1]) if 3 * m <= longest]
    return known or [1]


def _leave_out(
    frame: pd.DataFrame, seasons: list[int], settings: TrainingSettings, notes: _Notes
) -> pd.DataFrame:
    """Refuse a series with too much missing, and report what is missing in the others."""
    max_gap = settings.data.max_gap or 3 * max(seasons)
    missing = ~frame["observed"]
    counts = missing.groupby(frame["unique_id"], sort=True).agg(["sum", "size"])
    run = (~missing).cumsum()[missing]
    gaps = run.groupby([frame["unique_id"][missing], run]).size().groupby(level=0).max()
    for name, (count, size) in zip(counts.index, counts.to_numpy(), strict=True):
        if count == 0:
            continue
        gap = int(gaps.get(name, 0))
        if gap > max_gap:
            raise DataError(
                f"series {name}: a gap of {gap} steps; allowed: training.data.max_gap = {max_gap}"
            )
        if count / size > settings.data.max_missing:
            raise DataError(
                f"series {name}: {count} of {size} targets are missing; allowed: a share of"
                f" training.data.max_missing = {settings.data.max_missing:g}"
            )
        notes.add("missing", f"{count} of {size} targets, the longest gap {gap} steps", series=name, count=int(count))
    return frame


def _fill_covariates(frame: pd.DataFrame, settings: TrainingSettings, notes: _Notes) -> pd.DataFrame:
    """Carry covariates over gaps from the past; before its first value a past-only one is 0."""
    covariates = settings.data.covariates
    for name in (*covariates.future, *covariates.past):
        gaps = int(frame[name].isna().sum())
        if gaps:
            notes.add("covariate", f"{gaps} missing values of {name} carried over from the row before", count=gaps)
            filled = frame.groupby("unique_id")[name].ffill()
            # Known in advance, so looking back from the first value to the rows before it leaks nothing.
            frame[name] = filled.groupby(frame["unique_id"]).bfill() if name in covariates.future else filled
            frame[name] = frame[name].fillna(0.0)
    _note_collinear(frame, [*covariates.future, *covariates.past], notes)
    return frame


def _note_collinear(frame: pd.DataFrame, names: list[str], notes: _Notes) -> None:
    if not names:
        return
    values = frame[names].to_numpy(dtype=np.float64)
    spread = values.std(axis=0)
    centred = (values - values.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    if np.linalg.matrix_rank(centred, tol=1e-6 * np.sqrt(len(centred))) < len(names):
        notes.add("collinear", f"covariates {', '.join(names)} are constant or combinations of each other")


# --- the split ----------------------------------------------------------------------------------------


def _alignment(frame: pd.DataFrame, frequency: str, horizon: int, settings: TrainingSettings) -> Any:
    """Calendar cut-offs where all series end within one horizon of each other and share one grid."""
    ends = frame.groupby("unique_id")["ds"].max()
    after_earliest = steps_after(pd.Series([ends.min()]), horizon, frequency)[0]
    near = ends.max() <= after_earliest[-1]
    shared = ends[ends > ends.min()].isin(after_earliest).all()
    if settings.data.align == "calendar" and not shared and near:
        raise DataError("series stand on different grids; allowed: training.data.align: series_end")
    if settings.data.align != "auto":
        return settings.data.align
    return "calendar" if near and shared else "series_end"


def _split(
    frame: pd.DataFrame, spec: PanelSpec, parts: Parts, settings: TrainingSettings, notes: _Notes
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cut-offs, origins and scales of every series."""
    ds = frame["ds"].to_numpy()
    ids, starts = np.unique(frame["unique_id"].to_numpy().astype(str), return_index=True)
    stops = np.append(starts[1:], len(frame))
    steps = origin_steps(parts, spec.horizon, settings.validation, spec.season_lengths[0])
    grid_end = frame["ds"].max()
    rows, tables = [], []
    for name, start, stop in zip(ids, starts, stops, strict=True):
        # The calendar's end may lie after this series' own: count the same steps back from there.
        late = _steps_between(ds[stop - 1], grid_end, spec) if spec.align == "calendar" else 0

        def cut(back: int, start: int = start, stop: int = stop, late: int = late) -> Any:
            row = stop - 1 - (back - late)
            return ds[row] if start <= row < stop else np.datetime64("NaT", "ns")

        train_end, validation_end = cut(parts.validation + parts.test), cut(parts.test)
        trained = stop - (parts.validation + parts.test) + late - start
        observed = int(frame["observed"].to_numpy()[start : start + max(trained, 0)].sum())
        route = "model" if observed >= parts.minimum else "fallback"
        if route == "fallback":
            notes.add(
                "short",
                f"{observed} observed training rows, {parts.minimum} needed: forecast by the fallback",
                series=name,
            )
        rows.append({"unique_id": name, "train_end": train_end, "validation_end": validation_end, "route": route})
        cutoffs = [cut(int(back)) for back in steps["back"]]
        table = steps[["part", "block"]].assign(unique_id=name, cutoff=cutoffs)
        tables.append(table[(table["cutoff"].notna()) & (table["cutoff"] < ds[stop - 1])])
    series = pd.DataFrame(rows)
    series["unique_id"] = series["unique_id"].astype(object)
    training = frame.merge(series[["unique_id", "train_end"]], on="unique_id")
    training = training[training["ds"] <= training["train_end"]]
    series = series.merge(series_scales(training, spec.season_lengths[0]), on="unique_id", how="left")
    for name in series.loc[series["scale"].isna(), "unique_id"]:
        notes.add("not_scored", "no scale: too few or only equal training rows", series=name)
    origins = pd.concat(tables, ignore_index=True)[["unique_id", "cutoff", "part", "block"]]
    origins["unique_id"] = origins["unique_id"].astype(object)
    if set(origins["part"]) != {"validation", "test"} or (series["route"] == "fallback").all():
        raise DataError("no series is long enough to be fitted and judged; allowed: longer series or a shorter horizon")
    return series, origins


def _steps_between(earlier: Any, later: Any, spec: PanelSpec) -> int:
    return len(pd.date_range(earlier, later, freq=spec.frequency)) - 1


def _note_character(frame: pd.DataFrame, series: pd.DataFrame, notes: _Notes) -> None:
    grouped = frame.groupby("unique_id", sort=True)["y"]
    for name in grouped.nunique().pipe(lambda counts: counts.index[counts == 1]):
        notes.add("constant", "every target has the same value", series=str(name))
    zeros = (frame["y"] == 0).groupby(frame["unique_id"]).mean()
    for name in zeros.index[(zeros > 0.5) & (zeros < 1)]:
        notes.add("intermittent", f"{zeros[name]:.0%} of the targets are 0", series=str(name))
    if (frame["y"] == 0).any():
        notes.add("zeros", "the target holds zeros: read scaled errors rather than percentage errors")
