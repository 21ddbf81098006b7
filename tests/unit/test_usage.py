"""What a process uses, sampled beside it."""

import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from kubecast import usage
from kubecast.usage import Usage, watched


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "INTERVAL", 0.02)
    monkeypatch.setattr(usage, "SHARE", 1.0)


def until(enough: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not enough():
        assert time.monotonic() < end
        sum(range(1000))


def test_processors_and_memory_are_sampled() -> None:
    with watched() as found:
        until(lambda: len(found.cpu) >= 5)
    assert found.seconds == sorted(found.seconds)
    assert len(found.seconds) == len(found.cpu) == len(found.memory)
    assert max(found.cpu) > 0
    assert min(found.memory) > 0
    ended = len(found.cpu)
    time.sleep(0.1)
    assert len(found.cpu) == ended


def test_short_block_has_one_sample() -> None:
    with watched() as found:
        pass
    assert len(found.seconds) == len(found.cpu) == len(found.memory) == 1


def test_children_are_counted() -> None:
    hold = "import sys; kept = bytearray(300 << 20); print('held', flush=True); sys.stdin.read()"
    with watched() as found:
        until(lambda: bool(found.memory))
        before = found.memory[-1]
        with subprocess.Popen(
            [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            seen = len(found.memory)
            until(lambda: len(found.memory) >= seen + 2)
            assert found.memory[-1] - before > 0.25


def test_samples_become_fewer_and_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "KEPT", 8)
    taken: list[int] = []
    busy = usage._busy
    monkeypatch.setattr(usage, "_busy", lambda process: taken.append(1) or busy(process))
    with watched() as found:
        until(lambda: len(taken) > 20)
    assert len(found.seconds) <= 8 < len(taken)
    assert found.seconds == sorted(found.seconds)


def test_gpus_are_sampled_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched() as found:
        until(lambda: len(found.cpu) >= 2)
    with usage._gpus() as gpus:
        assert bool(found.gpu) == (gpus() is not None)


def test_block_that_fails_ends_the_sampling() -> None:
    kept: list[Usage] = []

    def fail() -> None:
        with watched() as found:
            kept.append(found)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    ended = len(kept[0].seconds)
    time.sleep(0.1)
    assert len(kept[0].seconds) == ended
