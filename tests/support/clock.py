"""Time that passes when a test says so."""

from collections.abc import Callable
from dataclasses import dataclass, field

from kubecast.retrying import Budget


@dataclass
class Clock:
    """A clock that only pauses move on.

    Attributes:
        now: Seconds.
        pauses: Those there were.
        during: Done in each pause, with its number from 1.
    """

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    during: Callable[[int], None] = lambda number: None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)
        self.during(len(self.pauses))

    def budget(self, seconds: float) -> Budget:
        """A budget that waits on this clock."""
        return Budget(seconds, clock=lambda: self.now, sleep=self.sleep)
