"""What every model is: a trainer that holds settings, and the forecaster that its fit returns."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from pydantic import BaseModel, ConfigDict, JsonValue

from kubecast.data.panel import Cutoffs, Panel


class FitLog(BaseModel):
    """What happened in a fit, as JSON.

    Attributes:
        stopped: Why the fit ended: ``converged``, ``early_stopping``, ``max_iterations``, ``time_limit`` or
            ``replayed``.
        replay: What repeats the fit on other rows without holding out a tail: the number of trees or
            updates, learning rates, orders. Its keys are the model's own.
        curves: Loss by epoch or iteration, e.g. ``{"train": [...], "validation": [...]}``.
        best: Position of the best epoch or iteration in ``curves``.
        seconds: Wall time of the fit.
        fallbacks: Reason by series, for each that the model could not fit or forecast itself.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    stopped: str
    replay: dict[str, JsonValue] = {}
    curves: dict[str, list[float]] = {}
    best: int | None = None
    seconds: float = 0.0
    fallbacks: dict[str, str] = {}


def ignore(*_: Any) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class FitPlan:
    """How to fit.

    Attributes:
        seed: Of every random choice.
        deadline: As ``time.monotonic()``, saving included; a fit that reaches it keeps its best so far.
        replay: None: hold out a tail of the training rows and stop early. Else a ``FitLog.replay``: repeat
            that fit on all rows, with no tail.
        checkpoint: A file that the fit writes as it goes, whole or not at all, and goes on from if it is
            there.
        report: Called with step and loss; may raise to end the fit.
        improved: Called, before ``report``, with a network's forecaster before its first epoch and after each
            that is the best so far; it is to be used at once, since the next epoch changes it.
    """

    seed: int = 0
    deadline: float | None = None
    replay: dict[str, JsonValue] | None = None
    checkpoint: Path | None = None
    report: Callable[[int, float], None] = field(default=ignore)
    improved: Callable[["Forecaster"], None] = field(default=ignore)


def deadline_after(limit: float | None, end: float = math.inf) -> float | None:
    """A fit's deadline: ``limit`` seconds from now (None: no limit), and not after ``end``."""
    if limit is not None:
        end = min(end, time.monotonic() + limit)
    return None if math.isinf(end) else end


class Forecaster(Protocol):
    """A fitted model; immutable."""

    @property
    def name(self) -> str:
        """Of the instance: several of one kind can be members of an ensemble."""
        ...

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """Forecast the panel's horizon from each origin, seeing nothing of the target after it.

        Returns:
            ``unique_id``, ``cutoff``, ``ds``, ``<name>``: ``horizon`` rows for each origin, in their order,
            every value finite. A series that the model cannot forecast gets the fallback.
        """
        ...

    def save(self, directory: Path) -> None:
        """Write the model's own files, none of them a pickle."""
        ...


class Trainer(Protocol):
    """Holds settings only."""

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple[Forecaster, FitLog]:
        """Fit on every row up to ``until``; a series without a cut-off there is not fitted to.

        Raises:
            ModelError: The model cannot be fitted.
        """
        ...
