"""Limits numerical libraries to the processors that the container may use.

They count the node's processors, whatever the container's share of them is. Python imports this module when
it starts, before any of them reads its variable; an entry point would not do, since KFP replaces the command.
"""

import math
import os

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def processors(cgroup: str = "/sys/fs/cgroup") -> int:
    """The cgroup's limit, rounded up; without one, the processors that this process may run on."""
    available = len(os.sched_getaffinity(0))
    quota, period = _version2(cgroup) or _version1(cgroup) or ("max", "")
    if not quota.isdecimal():  # max in version 2, -1 in version 1
        return available
    return max(1, min(available, math.ceil(int(quota) / int(period))))


def _version2(cgroup: str) -> list[str] | None:
    return _words(f"{cgroup}/cpu.max")


def _version1(cgroup: str) -> list[str] | None:
    quota, period = (_words(f"{cgroup}/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    return quota + period if quota and period else None


def _words(path: str) -> list[str] | None:
    try:
        with open(path) as file:  # noqa: PTH123  pathlib is slow to import, and this runs at every start
            return file.read().split()
    except OSError:
        return None


for variable in VARIABLES:
    os.environ.setdefault(variable, str(processors()))
