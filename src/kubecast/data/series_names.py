"""The names of series, however their column writes them: 1, 1.0 and "1" are one series."""

import re
from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kubecast.data.values import Labels
from kubecast.errors import DataError


def ids_of(column: "pd.Series[Any]", labels: Labels, known: Iterable[str] = ()) -> pd.Categorical:
    """The series of each row, under the name that is known for it, else under its plain one."""
    codes, names = pd.factorize(column)
    _refuse_inexact(column, codes, names, labels)
    texts = pd.Index([_text(name) for name in names], dtype=object)
    blank = np.append(texts.str.strip() == "", True)  # the last stands for a missing value, whose code is -1
    missing = blank[codes]
    if missing.any():
        raise DataError(f"{labels.at(missing)}: unique_id is empty; allowed: a name for each row's series")
    spelt = match_names(texts, known)
    order, ascending = pd.factorize(texts.map(spelt), sort=True)
    return pd.Categorical.from_codes(cast(Any, order[codes]), categories=pd.Index(ascending, dtype=object))


def _refuse_inexact(
    column: "pd.Series[Any]", codes: NDArray[np.int64], names: "pd.Index[Any]", labels: Labels
) -> None:
    """Refuse floats that may stand for several whole numbers: two series would be one."""
    dtype: Any = column.dtype  # factorize widens the narrowest floats
    widest = np.finfo(dtype if isinstance(dtype, np.dtype) and dtype.kind == "f" else float).nmant

    def is_inexact(name: object) -> bool:
        if not isinstance(name, float | np.floating):
            return False
        digits = min(np.finfo(type(name)).nmant, widest, np.finfo(float).nmant)  # names are written as floats
        return bool(abs(name) >= 2 ** (digits + 1))

    inexact = np.array([*map(is_inexact, np.asarray(names)), False])  # the last: a missing value, code -1
    if inexact.any():
        name = names[int(np.argmax(inexact))]
        raise DataError(
            f"{labels.at(inexact[codes])}: unique_id {name:.17g} is a float, whose last digits are lost;"
            " allowed: whole numbers or text"
        )


def match_names(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """The name that is known for each series, whether it was read as 1, 1.0 or text; else its plain name.

    >>> match_names(["1.0", "2.50", "x"], ["1"])
    {'1.0': '1', '2.50': '2.50', 'x': 'x'}
    """
    plain = {_plain_name(name): name for name in known} | {name: name for name in known}
    return {name: plain.get(name) or plain.get(_plain_name(name), _plain_name(name)) for name in names}


def plain_names(values: "pd.Series[Any]") -> list[str]:
    """The name of the series of each value of a column, before one that is known for it; empty for none."""
    return ["" if pd.isna(value) else _plain_name(_text(value)) for value in values]


def are_plain(names: Iterable[str]) -> bool:
    """Whether series have these names however their column writes them."""
    return all(_plain_name(name) == name for name in names)


def _text(name: object) -> str:
    whole = isinstance(name, float | np.floating) and float(name).is_integer()
    return f"{name:.0f}" if whole else str(name).strip()


def _plain_name(name: str) -> str:
    """A whole number without the zeros that its column's type or its decimals wrote after it."""
    whole = re.fullmatch(r"([+-]?[0-9]+)\.0+", name)
    return whole[1] if whole else name
