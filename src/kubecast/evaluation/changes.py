"""What changed since the champion: settings and data."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from kubecast.documents import Document
from kubecast.masking import masked

OF_A_RUN = ("model_registry", "seed")  # settings that change no forecast of the same data, or with each run


class Period(Document):
    """Times that a panel covers, in UTC where the data has a zone and steps are shorter than days.

    Attributes:
        data_from: Of the first row of any series.
        data_to: Of the last.
        test_from: The first target of the test split; None without one.
        test_to: The last.
    """

    data_from: datetime
    data_to: datetime
    test_from: datetime | None = None
    test_to: datetime | None = None


def period_of(series: pd.DataFrame, targets: Sequence[pd.Timestamp]) -> Period:
    """The times of the rows of a panel's series, and the first and last of some targets of its test split."""
    times = {"data_from": series["begin"].min(), "data_to": series["end"].max()}
    if targets:
        times |= {"test_from": min(targets), "test_to": max(targets)}
    return Period(**{name: moment.to_pydatetime() for name, moment in times.items()})


class Extent(Document):
    """How much data a version was made of."""

    rows: int
    series: int
    data_to: datetime | None = None


class Change(Document):
    """A setting, or a property of the data, of the champion and of this version; ``-``: it has none."""

    name: str
    before: str
    after: str


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What differs between two mappings, by dotted keys.

    >>> differences({"data": {"stale": "mark"}}, {"data": {"stale": "forecast"}})
    [Change(name='data.stale', before='mark', after='forecast')]
    """
    old, new = dict(_flat("", before)), dict(_flat("", after))
    pairs = ((key, old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in sorted({*old} | {*new}))
    return [_change(*pair) for pair in pairs if pair[1] != pair[2]]


def common_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The differences of two mappings in the keys that both have."""
    common = {*before} & {*after}
    return differences({key: before[key] for key in common}, {key: after[key] for key in common})


def setting_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], ignored: Collection[str] = OF_A_RUN
) -> list[Change]:
    """The settings that differ, as ``FILE.KEY``; of models that both have, and which one alone has.

    Args:
        before: Settings by file, of the champion.
        after: The same of this version.
        ignored: Keys, at any depth, that are left out.
    """
    kinds = [
        Change(name=kind, before="used" if kind in before else "-", after="used" if kind in after else "-")
        for kind in sorted({*before} ^ {*after})
    ]
    changes = common_differences(before, after)
    return kinds + [change for change in changes if not {*change.name.split(".")} & {*ignored}]


def data_changes(before: Extent | None, after: Extent) -> list[Change]:
    """How much data there was and is, where that differs."""
    if before is None:
        return []
    return [
        _change(name, old, new)
        for name, old in before
        if (new := getattr(after, name)) != old and old is not None
    ]


_ABSENT = object()


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and (value or not prefix):
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, value


def _change(name: str, old: Any, new: Any) -> Change:
    """The change of a value in few digits; in all of them where few are the same."""
    before, after = _text(old), _text(new)
    if before == after:
        before, after = _exact(old), _exact(new)
    if before == after:  # in what is masked
        after += " (changed)"
    return Change(name=name, before=before, after=after)


def _exact(value: Any) -> str:
    return "-" if value is _ABSENT else masked(json.dumps(value, ensure_ascii=False, default=str))


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None or value == {} else masked(str(value))
