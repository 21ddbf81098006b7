"""Running both sides of a comparison: each in a process of its own, on the same cores, in turn."""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
MEGABYTE = 1 << 20
ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
"""Default folder of the data sets that CONTRIBUTING.md names."""
M4 = ("m4_hourly_100_train.csv", "m4_hourly_100_test.csv")

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """The cost of one process, its children included, and its output.

    Attributes:
        seconds: Wall time.
        cpu: Processor time.
        peak: Most megabytes that its largest process held.
        status: Exit status; None where the time limit ended it.
        output: Standard output.
    """

    seconds: float
    cpu: float
    peak: float
    status: int | None
    output: str

    @property
    def document(self) -> Any:
        """The JSON in the last line of the output."""
        return json.loads(self.output.strip().rsplit("\n", 1)[-1])


def first_cores(count: int) -> list[int]:
    """The first of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))[:count]


def run(
    command: Sequence[str],
    cores: int = 2,
    timeout: float | None = None,
    log: Path | None = None,
) -> Run:
    """Run a command on the first cores that there are.

    Args:
        command: Program and arguments.
        cores: Number of cores; every library gets as many threads.
        timeout: Seconds after which it is killed.
        log: File that gets both of its outputs; default: standard output is kept, the other shown.

    Raises:
        RuntimeError: It failed.
    """
    chosen = first_cores(cores)
    given = {**os.environ, **dict.fromkeys(THREADS, str(len(chosen)))}
    given.pop("PYTHONDONTWRITEBYTECODE", None)  # imports would be compiled again each time
    with log.open("w+") if log else tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603  the benchmark's own
            command,
            stdout=output,
            stderr=subprocess.STDOUT if log else None,
            env=given,
            cwd=ROOT,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, chosen),
        )
        try:
            status, usage = _wait(process, None if timeout is None else started + timeout)
        except BaseException:  # such as an interrupt, which a session of its own does not get
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if status:
        last = f": {text.strip()[-500:]}" if log else ""
        raise RuntimeError(f"{' '.join(command)[:300]} failed with status {status}{last}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MEGABYTE, status, text)


def _wait(process: "subprocess.Popen[str]", end: float | None) -> tuple[int | None, Any]:
    late = False
    while True:
        ended, status, usage = os.wait4(process.pid, 0 if end is None else os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            return None if late else process.returncode, usage
        if end is not None and not late and time.perf_counter() > end:
            os.killpg(process.pid, signal.SIGKILL)
            late = True
        time.sleep(0.01)


def in_turn(sides: Mapping[str, Callable[[], T]], repeats: int) -> dict[str, list[T]]:
    """Let every side take its turn in each repeat, each time another first."""
    results: dict[str, list[T]] = {name: [] for name in sides}
    order = list(sides.items())
    for repeat in range(repeats):
        at = repeat % len(order)
        for name, side in order[at:] + order[:at]:
            results[name].append(side())
    return results


def median_ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """The median over the repeats of the ratio of one side to the other in the same repeat."""
    return statistics.median(value / other for value, other in zip(values, base, strict=True))


def data_file(folder: Path, name: str) -> Path:
    """Find a file of the benchmarks' data.

    Raises:
        SystemExit: It is not there.
    """
    path = folder / name
    if not path.is_file():
        sys.exit(f"error: {path}: no such file; allowed: a folder that holds it, see CONTRIBUTING.md")
    return path


def figure(value: float, digits: int = 3) -> str:
    """A value with so many significant digits, without an exponent for thousands."""
    rounded = float(f"{value:.{digits}g}")
    return f"{value:,.0f}" if 1000 <= abs(rounded) < 1e9 else f"{value:.{digits}g}"


def spread(values: Sequence[float], digits: int = 3) -> str:
    """The median of values, with lowest and highest."""
    shown = [figure(value, digits) for value in (statistics.median(values), min(values), max(values))]
    return f"{shown[0]} ({shown[1]} to {shown[2]})" if len(values) > 1 else shown[0]
