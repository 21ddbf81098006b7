"""Segments of the series, in which errors may differ: regions, kinds of article, large and small ones."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd

from kubecast.data.panel import Panel
from kubecast.documents import Document
from kubecast.scoring.significance import finite

MOST = 12  # segments
TENTHS = 10


class SegmentRow(Document):
    """The series of one segment.

    Attributes:
        by: What divides the series: ``the first part of the id``, a static covariate, or ``tenth by size``.
        segment: Its name.
        series: How many could be scored.
        mase: Mean over them on the test split, by model.
    """

    by: str
    segment: str
    series: int
    mase: dict[str, float]


def by_segment(errors: pd.DataFrame, panel: Panel, sizes: Mapping[str, float]) -> list[SegmentRow]:
    """MASE by segment; empty where the series cannot be divided.

    Args:
        errors: MASE on the test split, indexed by series, a column for each model.
        panel: Gives the static covariates.
        sizes: Of each series.
    """
    names = [str(name) for name in errors.index]
    by, segments = _division(names, panel, sizes)
    if not by:
        return []
    means = errors.groupby(segments).mean()
    counts = pd.Series(segments).value_counts()
    return [
        SegmentRow(
            by=by,
            segment=str(segment),
            series=int(counts[segment]),
            mase={str(model): value for model, each in row.items() if (value := finite(each)) is not None},
        )
        for segment, row in zip(means.index, means.to_dict("records"), strict=True)
    ]


def _division(names: Sequence[str], panel: Panel, sizes: Mapping[str, float]) -> tuple[str, list[str]]:
    prefixes = [re.split(r"[/|:_.\s]", name, maxsplit=1)[0] for name in names]
    if _divides(prefixes):
        return "the first part of the id", prefixes
    for column in panel.spec.static:
        if column in panel.spec.categories:
            values = panel.static.set_index("unique_id")[column].reindex(pd.Index(names)).astype(str).tolist()
            if _divides(values):
                return column, values
    if len(names) < 2 * TENTHS:
        return "", []
    ranks = pd.Series([sizes[name] for name in names]).rank(method="first")
    tenths = pd.qcut(ranks, TENTHS, labels=False) + 1
    return "tenth by size, the largest last", [f"{tenth:02d}" for tenth in tenths]


def _divides(values: Sequence[str]) -> bool:
    return 2 <= len(set(values)) <= min(MOST, len(values) // 2)
