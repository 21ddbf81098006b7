"""Work in a process of its own, which is begun again where it dies, and whose memory is limited."""

import argparse
import ctypes
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from kubecast.errors import KubecastError, one_line

CGROUP = Path("/sys/fs/cgroup")
OWN_SHARE, OWN_BYTES = 0.1, 1 << 29  # of the container's memory, for the process that waits: the larger
REASON = 500  # characters of a reason

_PR_SET_PDEATHSIG = 1
OUT_OF_MEMORY = 99
"""The exit status of a process that needed more."""

_AS_NEEDED = {"MIMALLOC_ARENA_EAGER_COMMIT": "0"}
"""Arrow and CatBoost would take gibibytes in advance, which count as used where memory is limited."""

_LOG = logging.getLogger(__name__)


class Outcome(NamedTuple):
    """How a process ended.

    Attributes:
        reason: Why it failed, in one line; empty where it did not.
        died: Whether it ended without saying why, so that it may not the next time.
    """

    reason: str = ""
    died: bool = False


def run_in_child(module: str, request: str, attempts: int) -> Outcome:
    """Run a module in a process of its own, and again where it dies, by a signal or an error not ours.

    Its memory is limited to less than the container's, so that it dies alone where it needs more. What it
    began ends with it where it dies; each of these processes may use as much.

    Args:
        module: Calls ``child_main``.
        request: What to do.
        attempts: How many more times to begin.

    Returns:
        How the last of them ended.
    """
    reason = ""
    for number in range(attempts + 1):
        with tempfile.TemporaryDirectory() as folder:
            fault = Path(folder, "fault")
            command = [sys.executable, "-m", module, request, str(fault), *_memory_arguments()]
            status = _run(command, {**os.environ, **_AS_NEEDED})
            if not status:
                return Outcome()
            if fault.exists() and (stated := fault.read_text("utf-8")):  # empty: the disk was full
                return Outcome(stated)
        reason = f"its process {_ended(status)}"
        _LOG.warning("attempt %d of %d: %s", number + 1, attempts + 1, reason)
    return Outcome(reason, died=True)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run a command in a session of its own; where it does not end well, end what it began, too."""
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:  # noqa: S603  our own
        try:
            status = process.wait()
        except BaseException:
            _end_group(process.pid)
            raise
    if status:
        _end_group(process.pid)
    return status


def _end_group(group: int) -> None:
    """Ask its processes to end: one that clears up after the others does not heed it, and ends after them."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)


def child_main(work: Callable[[str], None]) -> None:
    """Do what ``run_in_child`` began this process for, and leave the reason of an error of ours."""
    parser = argparse.ArgumentParser(description="Work for another process of kubecast.")
    parser.add_argument("request", help="what to do")
    parser.add_argument("fault", type=Path, help="file for the reason of a failure")
    parser.add_argument("memory", nargs="?", type=int, help="bytes; default: no limit")
    given = parser.parse_args()
    _end_with_parent()
    if given.memory:
        resource.setrlimit(resource.RLIMIT_DATA, (given.memory, given.memory))
    try:
        work(given.request)
    except MemoryError:
        _LOG.exception("%s bytes of memory are not enough", given.memory or "all")
        sys.exit(OUT_OF_MEMORY)
    except KubecastError as error:
        stated = one_line(error, REASON) or type(error).__name__
        given.fault.write_text(stated, "utf-8", errors="replace")
        sys.exit(error.exit_status)


def _end_with_parent() -> None:
    """Let the kernel end this process when the one that waits for it is gone (Linux alone)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def container_memory(cgroup: Path = CGROUP) -> int | None:
    """The bytes that this container may use; None where there is no limit."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = int((cgroup / name).read_text())
        except (OSError, ValueError):  # there is no such file, or it says max
            continue
        return limit if limit < 1 << 60 else None
    return None


def _memory_arguments() -> list[str]:
    memory = container_memory()
    if memory is None:
        return []
    own = max(memory * OWN_SHARE, min(OWN_BYTES, memory / 2))
    return [str(int(memory - own))]


def _ended(status: int) -> str:
    if status == OUT_OF_MEMORY:
        return "needed more memory than it may use"
    if status >= 0:
        return f"ended with status {status}"
    names = {each.value: each.name for each in signal.Signals}
    return f"was ended by {names.get(-status, f'signal {-status}')}"
