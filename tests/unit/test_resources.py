"""What a process uses, sampled beside it."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

import pynvml
import pytest

from kubecast import resources
from kubecast.resources import Usage, most_of, watched


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "INTERVAL", 0.02)
    monkeypatch.setattr(resources, "SHARE", 1.0)


def until(enough: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not enough():
        assert time.monotonic() < end
        sum(range(1000))


@pytest.mark.slow
def test_processors_and_memory_are_sampled() -> None:
    with watched() as usage:
        until(lambda: len(usage.cpu) >= 5)
    assert usage.seconds == sorted(usage.seconds)
    assert len(usage.seconds) == len(usage.cpu) == len(usage.memory)
    assert max(usage.cpu) > 0
    assert min(usage.memory) > 0
    ended = len(usage.cpu)
    time.sleep(0.1)
    assert len(usage.cpu) == ended


def test_short_block_has_one_sample() -> None:
    with watched() as usage:
        pass
    assert len(usage.seconds) == len(usage.cpu) == len(usage.memory) == 1


@pytest.mark.slow
def test_children_are_counted() -> None:
    hold = "import sys; kept = bytearray(300 << 20); print('held', flush=True); sys.stdin.read()"
    with watched() as usage:
        until(lambda: bool(usage.memory))
        before = usage.memory[-1]
        with subprocess.Popen(
            [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            before_it = len(usage.memory)
            until(lambda: len(usage.memory) >= before_it + 2)
            assert usage.memory[-1] - before > 0.25


@pytest.mark.slow
def test_samples_become_fewer_and_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "KEPT", 8)
    taken: list[int] = []
    busy = resources.processor_and_memory
    monkeypatch.setattr(resources, "processor_and_memory", lambda process: taken.append(1) or busy(process))
    with watched() as usage:
        until(lambda: len(taken) > 20)
    assert len(usage.seconds) <= 8 < len(taken)
    assert usage.seconds == sorted(usage.seconds)


def test_gpus_are_sampled_where_there_are_some(monkeypatch: pytest.MonkeyPatch) -> None:
    with watched() as usage:
        until(lambda: len(usage.cpu) >= 2)
    with resources.visible_gpus() as gpus:
        assert (most_of(usage.gpu) is not None) == (gpus() is not None)
    assert len(usage.gpu) == len(usage.gpu_memory) == len(usage.seconds)


def test_sample_that_a_gpu_did_not_give_leaves_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([(0.5, 1.0), None, (0.9, 2.0)])
    monkeypatch.setattr(resources, "visible_gpus", lambda: nullcontext(lambda: next(given, None)))
    with watched() as usage:
        until(lambda: len(usage.cpu) >= 4)
    assert usage.gpu[:4] == [0.5, None, 0.9, None]
    assert most_of(usage.gpu_memory) == 2.0


class Scripted(threading.Event):
    """An event that is set after so many waits, of which it keeps the lengths and lets none pass."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self.waits = waits
        self.waited: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout)
        return len(self.waited) >= self.waits


def test_slow_sample_is_followed_by_a_long_pause_and_then_by_short_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = iter([0.0, 10.0, 10.0, 10.0, 10.0, 10.0])  # seconds of the thread before and after each sample
    monkeypatch.setattr(resources, "SHARE", 0.5)
    monkeypatch.setattr(time, "thread_time", lambda: next(own))
    done = Scripted(3)
    resources.sample(Usage(), lambda: None, done)
    assert done.waited == [resources.INTERVAL, 20.0, resources.INTERVAL]


def test_waiting_for_the_interpreter_is_no_cost_of_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 10**6, 1000))
    monkeypatch.setattr(resources, "INTERVAL", 1.0)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))  # 1,000 seconds pass at each look
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    done = Scripted(4)
    resources.sample(Usage(), lambda: None, done)
    assert done.waited == [1.0] * 4


@pytest.mark.parametrize(("waits", "samples"), [(1, 1), (2, 1), (3, 2)])
def test_last_sample_right_after_another_is_left_out(
    monkeypatch: pytest.MonkeyPatch, waits: int, samples: int
) -> None:
    monkeypatch.setattr(resources, "INTERVAL", 1e6)
    usage = Usage()
    resources.sample(usage, lambda: None, Scripted(waits))
    assert len(usage.seconds) == len(usage.cpu) == samples


def test_driver_that_fails_at_its_end_fails_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", fail)
    monkeypatch.setattr(pynvml, "nvmlShutdown", fail)
    with watched() as usage:
        pass
    assert usage.gpu == [None]


def test_block_that_fails_ends_the_sampling() -> None:
    kept: list[Usage] = []

    def fail() -> None:
        with watched() as usage:
            kept.append(usage)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    ended = len(kept[0].seconds)
    time.sleep(0.1)
    assert len(kept[0].seconds) == ended
