"""The interface of every model: a trainer that holds settings, and the forecaster that its fit returns."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import pandas as pd
from pydantic import Field, JsonValue

from kubecast.data.panel import Cutoffs, Panel
from kubecast.documents import Document


class Sample(Document):
    """The series that a model was fitted to, where these are not all.

    Attributes:
        series: How many.
        of_series: Of how many that could be fitted.
        rows: Training rows that they have.
    """

    series: int
    of_series: int
    rows: int


class FitLog(Document):
    """The log of a fit, as JSON.

    Attributes:
        stopped: Why the fit ended: ``converged``, ``early_stopping``, ``max_iterations``, ``time_limit`` or
            ``replayed``.
        fixed_fit: The fit to be repeated on other rows without holding out a tail: the number of trees or
            updates, learning rates, orders. Its keys are the model's own; a series that it lacks gets the
            fallback.
        curves: Loss by epoch or iteration, e.g. ``{"train": [...], "validation": [...]}``.
        best: Position of the best epoch or iteration in ``curves``.
        seconds: Wall time of the fit.
        fallbacks: Reason by series that it was fitted to, for each that it could not fit or forecast itself.
        sample: The series that it was fitted to; None: all of them.
    """

    document_name: ClassVar[str] = "the log of a fit"
    former_names: ClassVar[Mapping[str, str]] = {"replay": "fixed_fit"}

    stopped: str
    fixed_fit: dict[str, JsonValue] = Field(default={})
    curves: dict[str, list[float]] = Field(default={})
    best: int | None = None
    seconds: float = 0.0
    fallbacks: dict[str, str] = Field(default={})
    sample: Sample | None = None

    @classmethod
    def joined(cls, logs: Sequence["FitLog"]) -> Self:
        """The log of a model whose series were fitted in parts: it has no curves, as each part has its own.

        Args:
            logs: At least one; ``seconds`` are summed, tables in ``fixed_fit`` united.
        """
        fixed_fit: dict[str, JsonValue] = {}
        for log in logs:
            for key, value in log.fixed_fit.items():
                known = fixed_fit.get(key)
                both = isinstance(known, dict) and isinstance(value, dict)
                fixed_fit[key] = {**known, **value} if both else value  # type: ignore[dict-item]
        return cls(
            stopped=next((log.stopped for log in logs if log.stopped == "time_limit"), logs[0].stopped),
            fixed_fit=fixed_fit,
            seconds=sum(log.seconds for log in logs),
            fallbacks={name: reason for log in logs for name, reason in log.fallbacks.items()},
        )


def ignore(*_: Any) -> None:
    """Report nothing."""


class Evidence(NamedTuple):
    """Some whole series of a panel, and the rows of each that a fit may see."""

    panel: Panel
    until: Cutoffs


@dataclass(frozen=True)
class FitPlan:
    """The plan of a fit: its seed, its deadline, and whom it reports to.

    Attributes:
        seed: Seed of every random choice.
        deadline: Time by ``time.monotonic()``, saving included; a fit that reaches it keeps its best so far.
        fixed_fit: None: hold out a tail of the training rows and stop early. Else a ``FitLog.fixed_fit``:
            repeat that fit on all rows, with no tail.
        checkpoint: A file that the fit writes as it goes, whole or not at all, and goes on from if it is
            there.
        on_step: Called with step and loss; may raise to end the fit.
        evidence: What holds for all series alike is decided on these, so that it does not depend on which of
            them are fitted; that may be none, which is no error then. None: all are fitted.
        on_improvement: Called, before ``on_step``, with a network's forecaster before its first epoch and
            after each that is the best so far; it is to be used at once, since the next epoch changes it.
    """

    seed: int = 0
    deadline: float | None = None
    fixed_fit: dict[str, JsonValue] | None = None
    checkpoint: Path | None = None
    evidence: Evidence | None = None
    on_step: Callable[[int, float], None] = field(default=ignore)
    on_improvement: Callable[["Forecaster"], None] = field(default=ignore)


def deadline_after(limit: float | None, end: float = math.inf) -> float | None:
    """Compute a fit's deadline: ``limit`` seconds from now (None: no limit), and not after ``end``."""
    if limit is not None:
        end = min(end, time.monotonic() + limit)
    return None if math.isinf(end) else end


class Forecaster(Protocol):
    """A fitted model; immutable."""

    @property
    def name(self) -> str:
        """Name of the instance: several of one kind can be members of an ensemble."""
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


class DivisibleForecaster(Forecaster, Protocol):
    """One that has something of its own for each series, so that these can be fitted in parts.

    Each part is fitted with ``FitPlan.evidence``, and without a checkpoint.
    """

    @classmethod
    def join(cls, parts: Sequence[Path], directory: Path) -> None:
        """Write the files of a model of all series, as ``save`` would.

        Args:
            parts: Directories that ``save`` wrote, the series of each after those of the one before.
            directory: Gets the files.
        """
        ...


class Trainer(Protocol):
    """A model's settings, and how it is fitted with them."""

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple[Forecaster, FitLog]:
        """Fit on every row up to ``until``; a series without a cut-off there is not fitted to.

        Raises:
            ModelError: The model cannot be fitted. Where the plan has evidence, those of its series
                that cannot be are named in the log alone, be it all of them.
        """
        ...
