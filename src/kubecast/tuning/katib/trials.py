"""The states of an Experiment and its trials, from Katib's conditions and observations."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kubecast.tuning.trial import METRIC

_STATES = {
    "Succeeded": "complete",
    "EarlyStopped": "pruned",
    "Failed": "failed",
    "Killed": "failed",
    "MetricsUnavailable": "failed",
}


def true_conditions(document: Mapping[str, Any]) -> dict[str, str]:
    """The conditions that hold, by type: message, else reason."""
    conditions = (document.get("status") or {}).get("conditions") or []
    return {
        condition["type"]: str(condition.get("message") or condition.get("reason") or "")
        for condition in conditions
        if condition.get("status") == "True"
    }


def has_ended(trial: Mapping[str, Any]) -> bool:
    """Whether a trial is over, however it ended."""
    return bool(true_conditions(trial).keys() & _STATES.keys())


def record(trial: Mapping[str, Any]) -> dict[str, Any] | None:
    """One trial as ``parameters``, ``error``, ``state`` and ``reason``; None while it runs."""
    conditions = {kind: text for kind, text in true_conditions(trial).items() if kind in _STATES}
    if not conditions:
        return None
    kind, reason = list(conditions.items())[-1]
    state, error = _STATES[kind], _error(trial)
    if error is None and kind in ("Succeeded", "MetricsUnavailable"):
        state, reason = "failed", f"it printed no {METRIC}=: see the log of its pod"
    assignments = trial["spec"].get("parameterAssignments") or []
    return {
        "parameters": {each["name"]: str(each["value"]) for each in assignments},
        "error": error,
        "state": state,
        "reason": "" if state == "complete" else reason,
    }


def _error(trial: Mapping[str, Any]) -> float | None:
    metrics = ((trial.get("status") or {}).get("observation") or {}).get("metrics") or []
    for metric in metrics:
        if metric.get("name") == METRIC:
            with suppress(ValueError, TypeError):  # Katib writes "unavailable"
                latest = float(metric.get("latest"))
                return latest if math.isfinite(latest) else None
    return None
