"""The figures of an evaluation as tables."""

from collections.abc import Sequence
from typing import Any, get_args

import pandas as pd

from kubecast.data.panel import Split
from kubecast.errors import InputError
from kubecast.evaluation.importance import Importance
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.series_table import frame_of
from kubecast.scoring.metrics import COVERAGE


def leaderboard_of(evaluation: Evaluation) -> pd.DataFrame:
    """Each model on the test split, best first: ``model``, MASE, skill, the settings' metrics, ``weight``."""
    weights = {member.model: member.weight for member in evaluation.ensemble.members}
    table = metrics_of(evaluation, "test", "model")
    figures = ["mase", "skill", *evaluation.scoring]
    table = table.reindex(columns=["model", *figures]).astype(dict.fromkeys(figures, float))
    return table.assign(weight=table["model"].map(weights))


def metrics_of(evaluation: Evaluation, split: str, by: str) -> pd.DataFrame:
    """Every metric of each model on one split.

    Args:
        evaluation: The figures.
        split: ``test`` or ``validation``.
        by: ``model``, ``lead_time``, ``series``, ``fold`` or ``phase``.

    Raises:
        InputError: ``split`` or ``by`` is another one.
    """
    tables: dict[str, Sequence[Any]] = {
        "model": evaluation.leaderboard,
        "lead_time": evaluation.by_lead_time,
        "series": evaluation.by_series,
        "fold": evaluation.by_fold,
        "phase": evaluation.by_phase,
    }
    for name, value, allowed in (("by", by, [*tables]), ("split", split, get_args(Split))):
        if value not in allowed:
            raise InputError(f"metrics: {name} {value!r}; allowed: {', '.join(allowed)}")
    key = {"series": "unique_id"}.get(by, by)
    table = frame_of(tables[by])
    if table.empty:
        return pd.DataFrame(columns=[*dict.fromkeys([key, "model", "split"])])
    table = (
        table[table["split"] == split].drop(columns="undefined", errors="ignore").astype({"model": object})
    )
    return table[[key, *sorted(table.columns.drop(key), key=_is_share)]].reset_index(drop=True)


def _is_share(column: str) -> bool:
    """Whether it holds the share of targets inside an interval, ``coverage_80``; these stand last."""
    return column.startswith(COVERAGE) and column.removeprefix(COVERAGE)[:1].isdecimal()


def explanation_of(evaluation: Evaluation, inputs: Sequence[Importance]) -> pd.DataFrame:
    """What the forecasts owe to each member and each input, the most first.

    Returns:
        ``what`` (``member`` or ``input``), ``name``, ``rise`` of the MASE without it, ``spread``, ``weight``.
    """
    stack = evaluation.ensemble.mase_stack
    members = [
        ("member", each.model, _rise(each.mase_without, stack), None, each.weight)
        for each in evaluation.ensemble.members
    ]
    rows = [*members, *(("input", each.feature, each.value, each.spread, None) for each in inputs)]
    table = pd.DataFrame(rows, columns=["what", "name", "rise", "spread", "weight"])
    table = table.astype(dict.fromkeys(["rise", "spread", "weight"], float))
    return table.sort_values(["what", "rise"], ascending=False, ignore_index=True)


def _rise(without: float | None, stack: float | None) -> float | None:
    return None if without is None or stack is None else without - stack
