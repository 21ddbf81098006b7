"""Faults that pass: what is unavailable is tried again until a budget of time is spent.

``errors.Unavailable`` says which faults these are. A step has one budget for all that it does, and nothing is
tried again at two levels. A thread of its own, such as Optuna's heartbeat of a worker, has its own.
"""

import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from kubecast.errors import ConfigError, Unavailable

VARIABLE = "KUBECAST_RETRY_SECONDS"
LAPTOP_SECONDS = 15.0  # without the variable: a wrong address is reported soon
LONGEST_PAUSE = 15.0
PASSING = frozenset({429, 500, 502, 503, 504})  # HTTP: an answer that may be another one later

_LOG = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class Budget:
    """The time that one step may wait for faults to pass, and has waited so far.

    Attributes:
        seconds: In all. Tries that fail count, and pauses; a try that is under way is not cut short.
        clock: Tells seconds.
        sleep: Waits for seconds.
        spent: Seconds so far.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    spent: float = 0.0

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return max(0.0, self.seconds - self.spent)

    @classmethod
    def from_environment(cls, at_most: float = math.inf) -> "Budget":
        """Read the budget from ``KUBECAST_RETRY_SECONDS``.

        Args:
            at_most: Seconds that it may be.

        Raises:
            ConfigError: The variable is no number of seconds.
        """
        text = os.environ.get(VARIABLE, "")
        if text and not text.isdecimal():
            raise ConfigError(f"{VARIABLE} {text!r}; allowed: a whole number of seconds from 0")
        return cls(min(at_most, float(text or LAPTOP_SECONDS)))


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)
_inside: ContextVar[bool] = ContextVar("inside", default=False)


@contextmanager
def spending(budget: Budget) -> Iterator[Budget]:
    """Let every ``retry`` in here, a step, spend from one budget; outside each has its own."""
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)


def current_budget() -> Budget:
    """The budget of the step that is running; outside of one, a new one."""
    return _budget.get() or Budget.from_environment()


def retry(action: Callable[[], T]) -> T:
    """Do something, again while it is unavailable and there is time left; inside another ``retry``, once.

    Args:
        action: May be done more than once: whoever calls decides what a lost answer means.

    Raises:
        Unavailable: Of the last try, with how often and for how long it was tried.
    """
    if _inside.get():
        return action()
    token = _inside.set(True)
    try:
        return _retry(action, current_budget())
    finally:
        _inside.reset(token)


def _retry(action: Callable[[], T], budget: Budget) -> T:
    begun, tries = budget.clock(), 0
    while True:
        started = budget.clock()
        try:
            return action()
        except Unavailable as error:
            tries += 1
            budget.spent += budget.clock() - started
            if not budget.left and tries == 1:
                raise
            if not budget.left:
                raise _exhausted(error, tries, budget.clock() - begun, budget.seconds) from error
            pause = min(LONGEST_PAUSE, 2.0 ** (tries - 1)) * random.uniform(0.5, 1)  # noqa: S311 not a secret
            pause = min(pause, budget.left)
            budget.spent += pause
            _LOG.warning(
                "%s; try %d follows in %.1f s (%.0f s left of %.0f)",
                *(error, tries + 1, pause, budget.left, budget.seconds),
            )
            budget.sleep(pause)


def _exhausted(error: Unavailable, tries: int, seconds: float, allowed: float) -> Unavailable:
    return type(error)(f"{error}; tried {tries} times in {seconds:.0f} s, {VARIABLE} is {allowed:.0f}")
