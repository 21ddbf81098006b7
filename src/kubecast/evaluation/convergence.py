"""Whether a fit came to its end: what its loss curves say, in words and in figures."""

from dataclasses import dataclass

import numpy as np

from kubecast.models.base import FitLog

TAIL = 0.2  # of the curve, over which its slope is taken
FLAT = 0.01  # of the loss over that tail: a fall of less is none, in 20 epochs as in 1,000 trees
ADVICE = {
    "over-fitting": "Give it less freedom: fewer or smaller layers, shallower trees, more regularisation.",
    "still improving": "Let it go on: more epochs or iterations.",
    "time limit reached": "Raise the time limit, or make a step cheaper.",
    "never improved": "It has learned nothing: try a smaller learning rate, or more patience.",
}
RISE = 0.05  # of the validation loss after its best step: more is over-fitting, if training still fell


@dataclass(frozen=True)
class Convergence:
    """The end of a fit.

    Attributes:
        verdict: ``converged``, ``stopped early``, ``never improved``, ``over-fitting``,
            ``still improving``, ``time limit reached`` or ``repeated``.
        reason: The same in a sentence.
        slope: Change of the validation loss, else of the training loss, over its last fifth, or its last 3
            steps if that is fewer, on a straight line, by its mean there; None for fewer than 3 steps.
        gap: Validation loss by training loss at the best step, less 1; None where one is missing or 0.
        rise: Validation loss at the last step by that at the best step, less 1; None as above.
    """

    verdict: str
    reason: str
    slope: float | None = None
    gap: float | None = None
    rise: float | None = None

    @property
    def advice(self) -> str:
        """What to change; empty where nothing is to be changed."""
        return ADVICE.get(self.verdict, "")


def convergence(log: FitLog) -> Convergence:
    """The verdict on a fit, from why it stopped and how its loss went."""
    train, validation = log.curves.get("train", []), log.curves.get("validation", [])
    losses = validation or train
    best = min(log.best or 0, len(losses) - 1)
    slope = _slope(losses)
    gap = _less_one(validation, best, train, min(best, len(train) - 1))
    rise = _less_one(validation, -1, validation, best)
    verdict, reason = _verdict(log, slope, _fell(train, best), rise)
    return Convergence(verdict, reason, slope, gap, rise)


def _verdict(log: FitLog, slope: float | None, fell: bool, rise: float | None) -> tuple[str, str]:
    falls = slope is not None and slope < -FLAT
    if log.stopped == "replayed":
        return "repeated", "the evaluated fit was repeated on all rows, with nothing held out"
    if log.stopped == "time_limit":
        after = f"; the loss {_falling(slope)}" if falls and slope is not None else ""
        return "time limit reached", f"the time limit ended the fit{after}"
    if rise is not None and rise > RISE and fell:
        return "over-fitting", (
            f"after step {log.best} the validation loss rose by {100 * rise:.0f} %, the training loss fell;"
            f" the model of step {log.best} is kept"
        )
    if log.stopped == "early_stopping" and log.best == 0:
        return "never improved", "the validation loss never fell below that of the first step"
    if log.stopped == "early_stopping":
        return "stopped early", f"the validation loss did not fall any more after step {log.best}"
    if falls and slope is not None:
        return "still improving", f"the loss {_falling(slope)}"
    return "converged", "the loss did not fall any more" if log.curves else "the fit came to its end"


def _falling(slope: float) -> str:
    return f"fell by {100 * -slope:.1f} % over its last fifth"


def _slope(losses: list[float]) -> float | None:
    tail = np.asarray(losses[-max(3, round(TAIL * len(losses))) :])
    mean = float(np.mean(np.abs(tail))) if len(tail) else 0.0
    if len(tail) < 3 or mean == 0:
        return None
    return float(np.polyfit(np.arange(len(tail)), tail, 1)[0]) * (len(tail) - 1) / mean


def _fell(train: list[float], best: int) -> bool:
    return len(train) > best + 1 and train[-1] < train[best]


def _less_one(above: list[float], at: int, below: list[float], under: int) -> float | None:
    if not above or not below or below[under] == 0:
        return None
    return above[at] / below[under] - 1
