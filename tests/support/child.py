"""A module whose process does as it is asked, for ``kubecast.processes.run_in_child``.

A request is JSON: ``file`` gets a line for each attempt, with the soft limit of the process's memory, and
``ends`` says how each attempt ends; the last one's end is that of all further ones.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kubecast.errors import InputError, ShardError
from kubecast.processes import child_main

MANY = 2 << 30


def work(text: str) -> None:
    """End as the request asks."""
    request: dict[str, Any] = json.loads(text)
    file, ends = Path(request["file"]), request["ends"]
    with file.open("a") as attempts:
        print(resource.getrlimit(resource.RLIMIT_DATA)[0], file=attempts)
    number = len(file.read_text().splitlines())
    end, _, detail = ends[min(number, len(ends)) - 1].partition(" ")
    _ENDS[end](detail)


def _kill(number: str) -> None:
    os.kill(os.getpid(), int(number))
    signal.pause()


def _exit(status: str) -> None:
    os._exit(int(status))


def _refuse(message: str) -> None:
    raise InputError(message)


def _fail(message: str) -> None:
    raise ShardError(message) if message else ValueError("not ours")


def _fill(_: str) -> None:
    print(len(b"x" * MANY), file=sys.stderr)


def _full(_: str) -> None:
    """As on a full disk: a file can be made, and nothing written to it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    raise InputError("cannot be written")


def _leave(file: str) -> None:
    """Die, and leave a process that would go on for long."""
    left = subprocess.Popen(["sleep", "600"])
    Path(file).write_text(str(left.pid))
    _kill("9")


_ENDS: dict[str, Callable[[str], object]] = {
    "signal": _kill,
    "exit": _exit,
    "refuse": _refuse,
    "fail": _fail,
    "fill": _fill,
    "full": _full,
    "leave": _leave,
    "end": str,
}


if __name__ == "__main__":
    child_main(work)
