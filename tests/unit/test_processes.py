"""Work in processes of their own: how they end, and what is done then."""

import json
import logging
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from kubecast import processes
from kubecast.processes import Outcome, container_memory, run_in_child
from tests.support import child

MODULE = child.__name__
GIB = 1 << 30


@pytest.fixture(autouse=True)
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a control group without a limit."""
    folder = tmp_path / "cgroup"
    folder.mkdir()
    monkeypatch.setattr(processes, "container_memory", lambda: container_memory(folder))
    return folder


@pytest.fixture
def attempts(tmp_path: Path) -> Path:
    """A file with a line for each attempt."""
    return tmp_path / "attempts"


def request(attempts: Path, *ends: str) -> str:
    return json.dumps({"file": str(attempts), "ends": ends})


def count(attempts: Path) -> int:
    return len(attempts.read_text().splitlines())


@pytest.mark.slow
def test_work_that_ends_well_is_done_once(attempts: Path) -> None:
    assert run_in_child(MODULE, request(attempts, "end"), 2) == Outcome()
    assert attempts.read_text() == f"{resource.getrlimit(resource.RLIMIT_DATA)[0]}\n"


@pytest.mark.slow
def test_child_that_is_killed_is_begun_again(attempts: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert run_in_child(MODULE, request(attempts, "signal 9", "end"), 2) == Outcome()
    assert count(attempts) == 2
    assert caplog.messages == ["attempt 1 of 3: its process was ended by SIGKILL"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        (["signal 9"], "was ended by SIGKILL"),
        (["signal 9", "signal 11"], "was ended by SIGSEGV"),
        ([f"signal {signal.SIGRTMIN + 1}"], f"was ended by signal {signal.SIGRTMIN + 1}"),
        (["fail"], "ended with status 1"),
        (["exit 137"], "ended with status 137"),
    ],
)
def test_child_that_always_dies_is_given_up(attempts: Path, ends: list[str], reason: str) -> None:
    assert run_in_child(MODULE, request(attempts, *ends), 2) == Outcome(f"its process {reason}", died=True)
    assert count(attempts) == 3


@pytest.mark.slow
def test_what_a_killed_child_began_ends_with_it(attempts: Path) -> None:
    file = attempts.with_name("left")
    assert run_in_child(MODULE, request(attempts, f"leave {file}"), 0).died
    left = int(file.read_text())
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(left)
        give_up = time.monotonic() + 60
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < give_up
            time.sleep(0.05)


@pytest.mark.slow
def test_no_further_attempts_are_made_than_allowed(attempts: Path) -> None:
    assert run_in_child(MODULE, request(attempts, "signal 9"), 0).died
    assert count(attempts) == 1


@pytest.mark.slow
def test_module_that_is_missing_fails(attempts: Path) -> None:
    assert run_in_child("tests.support.no_such_module", request(attempts), 0).reason == (
        "its process ended with status 1"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("refuse two\nlines,\tand  spaces", "two lines, and spaces"),
        ("fail s3://me:word@bucket/x ist größer", "s3://***@bucket/x ist größer"),
        ("fail GET http://store/x?signature=abc failed", "GET http://store/x?*** failed"),
        ("refuse a\udcffb", "a?b"),
        ("refuse", "InputError"),
    ],
    ids=["lines", "password", "signature", "no text", "empty"],
)
def test_error_of_ours_is_not_repeated(attempts: Path, end: str, reason: str) -> None:
    assert run_in_child(MODULE, request(attempts, "signal 9", end), 5) == Outcome(reason)
    assert count(attempts) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("end", "status"), [("end", 0), ("refuse x", 2), ("fail x", 1), ("fail", 1)])
def test_child_exits_with_the_status_of_its_error(attempts: Path, end: str, status: int) -> None:
    fault = attempts.with_name("fault")
    command = [sys.executable, "-m", MODULE, request(attempts, end), str(fault)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == status
    assert fault.exists() == (end.endswith("x"))


@pytest.mark.slow
def test_reason_that_could_not_be_written_is_no_success(attempts: Path) -> None:
    assert run_in_child(MODULE, request(attempts, "full"), 1).reason == "its process ended with status 1"
    assert count(attempts) == 2


@pytest.mark.slow
def test_child_that_needs_more_memory_than_the_container_has_dies_alone(attempts: Path, cgroup: Path) -> None:
    (cgroup / "memory.max").write_text(f"{GIB}\n")
    reason = run_in_child(MODULE, request(attempts, "fill"), 1).reason
    assert reason == "its process needed more memory than it may use"
    assert attempts.read_text() == f"{GIB // 2}\n" * 2
    assert run_in_child(MODULE, request(attempts, "end"), 0) == Outcome()


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"memory.max": "max\n"}, None),
        ({"memory.max": "8589934592\n"}, 8 * GIB),
        ({"memory/memory.limit_in_bytes": "8589934592\n"}, 8 * GIB),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({"memory.max": "max\n", "memory/memory.limit_in_bytes": "8589934592\n"}, 8 * GIB),
        ({"memory.max": ""}, None),
        ({"memory.max": "\u00e9"}, None),
    ],
    ids=["none", "v2 max", "v2", "v1", "v1 no limit", "both", "empty", "no number"],
)
def test_memory_of_a_container_is_that_of_its_control_group(
    cgroup: Path, files: dict[str, str], limit: int | None
) -> None:
    for name, text in files.items():
        (cgroup / name).parent.mkdir(exist_ok=True)
        (cgroup / name).write_text(text)
    assert container_memory(cgroup) == limit
