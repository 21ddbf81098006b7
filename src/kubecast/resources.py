"""Resources that a process uses while it works: processors, memory, and the GPUs that are visible to it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import psutil
import pynvml
from pydantic import Field

from kubecast.documents import Document

INTERVAL = 1.0  # seconds between samples, at least
SHARE = 0.005  # of the time that sampling may take
KEPT = 600  # samples; with more, every other one is left out and they become half as frequent
GIB = 2**30

Gpus = Callable[[], tuple[float, float] | None]


class Usage(Document):
    """Samples of what a process and its children used; lists have one value for each sample.

    Attributes:
        seconds: Since the first sample.
        cpu: Processors kept busy since the sample before.
        memory: Resident memory in GiB.
        gpu: Share of the time that the GPUs worked, their mean; None where none reports it.
        gpu_memory: Memory of the GPUs in use in GiB, by whomever; None as above.
    """

    seconds: list[float] = Field(default=[])
    cpu: list[float] = Field(default=[])
    memory: list[float] = Field(default=[])
    gpu: list[float | None] = Field(default=[])
    gpu_memory: list[float | None] = Field(default=[])


def most_of(values: Iterable[float | None]) -> float | None:
    """The largest sample; None where there is none."""
    return max((value for value in values if value is not None), default=None)


@contextmanager
def watched() -> Iterator[Usage]:
    """Sample this process until the block ends; the result is filled meanwhile."""
    usage, done = Usage(), threading.Event()
    with visible_gpus() as gpus:
        watch = threading.Thread(target=sample, args=(usage, gpus, done), name="usage", daemon=True)
        watch.start()
        try:
            yield usage
        finally:
            done.set()
            watch.join()


def sample(usage: Usage, gpus: Gpus, done: threading.Event) -> None:
    """Add samples of this process to ``usage`` until ``done`` is set.

    Args:
        usage: Gets a sample each ``INTERVAL``, or less often where taking them costs more than ``SHARE``.
        gpus: Returns the GPUs' share of time and memory.
        done: Ends it, after a last sample.
    """
    process, begun, base = psutil.Process(), time.monotonic(), INTERVAL
    interval = base
    last = begun, processor_and_memory(process)[0]
    ended = False
    while not ended:
        ended = done.wait(interval)  # then a last sample, which a short task has alone
        now, spent = time.monotonic(), time.thread_time()
        if ended and usage.seconds and now - last[0] < INTERVAL / 4:
            break  # processor time is counted in steps, too coarse for so short a while
        busy, memory = processor_and_memory(process)
        share, used = gpus() or (None, None)
        usage.seconds.append(now - begun)
        # The time of a child that nobody waited for is lost with it.
        usage.cpu.append(max(busy - last[1], 0.0) / max(now - last[0], 1e-9))
        usage.memory.append(memory / GIB)
        usage.gpu.append(share)
        usage.gpu_memory.append(used)
        last = now, busy
        if len(usage.seconds) >= KEPT:
            _thin(usage)
            base *= 2
        # This thread's own time: waiting for the interpreter costs the fit nothing.
        interval = max(base, (time.thread_time() - spent) / SHARE)


def processor_and_memory(process: psutil.Process) -> tuple[float, int]:
    """Seconds of processor time so far, and bytes of memory, with those of the children."""
    times = process.cpu_times()
    seconds, memory = times.user + times.system + times.children_user + times.children_system, 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # it ended
            memory += each.memory_info().rss
            if each is not process:
                own = each.cpu_times()
                seconds += own.user + own.system
    return seconds, memory


def _thin(usage: Usage) -> None:
    for values in (usage.seconds, usage.cpu, usage.memory, usage.gpu, usage.gpu_memory):
        del values[::2]


@contextmanager
def visible_gpus() -> Iterator[Gpus]:
    """Open NVIDIA's library for reading the GPUs; without a driver there is nothing to read."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver
        yield lambda: None
        return
    try:
        yield _read_gpus
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _read_gpus() -> tuple[float, float] | None:
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())]
        shares = [pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100 for handle in handles]
        used = sum(pynvml.nvmlDeviceGetMemoryInfo(handle).used for handle in handles)
    except pynvml.NVMLError:  # one that does not report it, as a part of a GPU
        return None
    return (sum(shares) / len(shares), used / GIB) if handles else None
