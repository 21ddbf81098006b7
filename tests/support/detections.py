"""What is looked for in a series, and how often."""

from typing import Any

import pytest

from kubecast.data import levels
from kubecast.data.visible import Visible


def recorded_detections(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A list to which each look for shifts or pulses is added: which, in what values, from which rows."""
    looks: list[tuple[Any, ...]] = []
    for name in ("find_shifts", "find_pulses"):
        find = getattr(levels, name)

        def record(seen: Visible, seasons: Any, name: str = name, find: Any = find) -> Any:
            for number, y in enumerate(seen.y):
                ends = seen.ends[seen.series == number]
                looks.append((name, y[: ends.max() + 1].tobytes(), ends.tobytes()))
            return find(seen, seasons)

        monkeypatch.setattr(levels, name, record)
    return looks
