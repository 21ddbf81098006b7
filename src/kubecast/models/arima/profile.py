"""Season profiles: what earlier seasons lead to expect of each row, which a series is freed of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kubecast.models.arima.filter import Floats, Ints

Smoothed = tuple[int, float]  # a season length and its smoothing


class SeasonPart(NamedTuple):
    """One season length's share of a profile.

    Attributes:
        length: In steps.
        smoothing: Weight of the newest cycle, at least that of a plain mean.
        start: The first row that it takes.
        after: Value expected of each row's phase after the seasons up to the row; shape of the values.
    """

    length: int
    smoothing: float
    start: int
    after: Floats


@dataclass(frozen=True)
class Profile:
    """A causal season profile of one or several columns: the sum of those of several season lengths.

    Attributes:
        before: Value expected of each row after the earlier seasons; shape of the values.
        start: The first row with a whole season of each kind before it; earlier rows are taken as they are.
        parts: The longest season first.
    """

    before: Floats
    start: int
    parts: list[SeasonPart]

    def values_ahead(self, ends: Ints, remainder: Floats) -> Floats:
        """Put the profile on a forecast of what it leaves; both of shape (origins, horizon, ...).

        No row after an origin is seen: where the horizon is longer than a season, the profile goes on from
        the forecast, so that a drift that the remainder holds is carried on.
        """
        return remainder + self._expected(ends, remainder, lambda given, expected: expected + given)

    def remainder_ahead(self, ends: Ints, values: Floats) -> Floats:
        """Take the profile from values that are known ahead of each origin; shape (origins, horizon, ...)."""
        return values - self._expected(ends, values, lambda given, _: given)

    def _expected(self, ends: Ints, given: Floats, value_of: Callable[[Floats, Floats], Floats]) -> Floats:
        expected, horizon = np.zeros_like(given), given.shape[1]
        steps = np.arange(horizon)
        # Values that each part expects at a step; from the second cycle on, by the first.
        paths = [
            np.asarray(part.after[ends[:, None] + 1 - part.length + steps % part.length])
            for part in self.parts
        ]
        for step in range(horizon):
            season_ago = [path[:, step] for path in paths]
            expected[:, step] = np.sum(season_ago, axis=0)
            rest = value_of(given[:, step], expected[:, step])
            for part, path, before in zip(self.parts, paths, season_ago, strict=True):
                if step + part.length < horizon:
                    weight = _weight((ends + 1 + step - part.start) // part.length, part.smoothing)
                    weight = weight.reshape(-1, *[1] * (before.ndim - 1))
                    path[:, step + part.length] = before + weight * (rest - before)
                rest = rest - before
        return expected


def season_profile(values: Floats, seasons: Sequence[Smoothed]) -> Profile:
    """Smooth each phase of a season exponentially over the seasons so far; the next takes what that leaves.

    Args:
        values: Shape (rows,) or (rows, columns).
        seasons: Each one's length in steps and the weight of its newest cycle, at least that of a plain mean:
            0 is the mean of all so far, 1 the last one (a seasonal difference). Empty for no profile.

    Source: the seasonal components of Taylor (2003), "Short-term electricity demand forecasting using double
    seasonal exponential smoothing".
    """
    expected, rest, start, parts = np.zeros_like(values), values, 0, []
    for length, smoothing in seasons:
        before, after = rest.copy(), rest.copy()
        before[start:], after[start:] = _smooth(rest[start:], length, smoothing)
        parts.append(SeasonPart(length, smoothing, start, after))
        expected, rest, start = expected + before, rest - before, start + length
    return Profile(expected, start, parts)


def _smooth(values: Floats, length: int, smoothing: float) -> tuple[Floats, Floats]:
    """Values expected of each row before it is seen, the first cycle to be itself, and after."""
    before, after = values.copy(), values.copy()
    for number, first in enumerate(range(length, len(values), length), start=1):
        rows = slice(first, first + length)
        count = len(values[rows])
        before[rows] = after[first - length : first - length + count]
        weight = _weight(number, smoothing)
        after[rows] = before[rows] + weight * (values[rows] - before[rows])
    return before, after


def _weight(cycle: Any, smoothing: float) -> Any:
    """Weight of the newest cycle, the first of which is number 0."""
    return np.maximum(smoothing, 1 / (cycle + 1))
