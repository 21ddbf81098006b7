"""Covariates of a panel: one value of a static one for each series, and no gap in the others."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from kubecast.config.training import Covariates, TrainingSettings
from kubecast.data.columns import listed
from kubecast.data.findings import Notes
from kubecast.errors import DataError

_SAME = 0.9  # share of a series' rows that have one value of a static covariate, if it is one


def clean_covariates(
    blocks: Iterable[pd.DataFrame], settings: TrainingSettings, notes: Notes
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Clean one block of series after the other, and note what was found when all are done.

    Args:
        blocks: ``unique_id`` (categorical, without empty categories), ``ds`` and the covariates.
        settings: Name the covariates.
        notes: Receives the findings.

    Yields:
        The rows without the static covariates, the others carried over gaps from the past; and the static
        covariates, a row for each series, missing where no row of it has one.

    Raises:
        DataError: A series has several values of a static covariate too often for mistakes.
    """
    gaps: Counter[str] = Counter()
    several: dict[str, list[object]] = {}
    lacking: dict[str, list[object]] = {}
    names = settings.data.covariates.static
    for frame in blocks:
        static = pd.DataFrame({"unique_id": frame["unique_id"].cat.categories})
        for name in names:
            values, mixed = _static_values(frame, name)
            own = values.reindex(static["unique_id"]).to_numpy()
            missing = pd.isna(own)
            if own.dtype == object:
                own[missing] = None  # as it is when the table was saved
            static[name] = own
            several.setdefault(name, []).extend(mixed)
            lacking.setdefault(name, []).extend(static.loc[missing, "unique_id"])
        yield _filled(frame.drop(columns=names), settings.data.covariates, gaps), static
    _note(several, lacking, notes)
    for name in (*settings.data.covariates.future, *settings.data.covariates.past):
        if count := gaps[name]:
            detail = f"{count} missing values of {name} filled from the row before"
            notes.add("covariate", detail, count=count)


def _note(several: dict[str, list[object]], lacking: dict[str, list[object]], notes: Notes) -> None:
    for name, series in several.items():
        if series:
            detail = f"{name} has several values for {listed(series)}: the most frequent one is taken"
            notes.add("static", detail, count=len(series))
    for name, series in lacking.items():
        if series:
            notes.add("static", f"{name} is missing for {listed(series)}", count=len(series))


def _static_values(frame: pd.DataFrame, name: str) -> "tuple[pd.Series[Any], list[object]]":
    """By series the value that its rows have, and the series of which a few have another by mistake."""
    rows = frame[["unique_id", name]].dropna().value_counts(sort=False).rename("rows").reset_index()
    rows = rows.sort_values(["unique_id", "rows"], ascending=[True, False], kind="stable")
    first = rows.drop_duplicates("unique_id").set_index("unique_id")
    share = first["rows"] / rows.groupby("unique_id", observed=True)["rows"].sum()
    if len(mixed := share.index[share < _SAME]):
        count = (rows["unique_id"] == mixed[0]).sum()
        raise DataError(f"series {mixed[0]}: static covariate {name} has {count} values; allowed: one")
    return first[name], list(share.index[share < 1])


def _filled(frame: pd.DataFrame, covariates: Covariates, gaps: Counter[str]) -> pd.DataFrame:
    """Carry covariates over gaps from the past; before its first value a past-only one is 0."""
    for name in (*covariates.future, *covariates.past):
        count = int(frame[name].isna().sum())
        if count:
            gaps[name] += count
            filled = frame.groupby("unique_id", observed=True)[name].ffill()
            if name in covariates.future:
                # Known in advance, so its first value is known on the rows before it too.
                filled = filled.groupby(frame["unique_id"], observed=True).bfill()
            frame = frame.assign(**{name: filled.fillna(0.0)})
    return frame
