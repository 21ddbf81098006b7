"""A trial whose search nobody waits for any more: it ends by itself."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from kubecast.errors import TuningError
from kubecast.tuning import heartbeat
from kubecast.tuning.heartbeat import check, ending_without, format_time, parse_time

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
OLD, YOUNG = NOW - timedelta(minutes=10, seconds=1), NOW - timedelta(minutes=10)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat"


def test_time_is_written_and_read_as_kubernetes_does() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert format_time(east) == "2026-01-01T12:00:00Z"
    assert parse_time("2026-01-01T12:00:00Z\n") == NOW
    assert parse_time("2026-01-01T12:00:00") is None  # of no zone
    assert parse_time("yesterday") is None


def test_trial_goes_on_while_the_heartbeat_is_no_more_than_ten_minutes_old(file: Path) -> None:
    file.write_text(format_time(YOUNG))
    check(file, NOW)
    file.write_text(format_time(OLD))
    with pytest.raises(
        TuningError, match=r"nobody waits .* 2026-01-01T11:49:59Z, is more than 10 minutes old"
    ):
        check(file, NOW)


@pytest.mark.parametrize("content", [None, b"", b"soon", b"\xff"], ids=["missing", "empty", "text", "bytes"])
def test_trial_goes_on_where_the_heartbeat_is_not_known(file: Path, content: bytes | None) -> None:
    """Whoever waits may not be allowed to write it."""
    if content is not None:
        file.write_bytes(content)
    check(file, NOW)


def test_body_is_not_begun_where_the_heartbeat_is_old(file: Path) -> None:
    file.write_text(format_time(OLD))
    with pytest.raises(TuningError), ending_without(file, lambda: NOW):
        pytest.fail("it began")


def test_process_ends_while_the_body_runs_once_the_heartbeat_is_old(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "CHECK_SECONDS", 0.01)
    file.write_text(format_time(YOUNG))
    ended, errors = threading.Event(), []

    def end(error: TuningError) -> None:
        errors.append(error)
        ended.set()

    clock = [NOW]
    with ending_without(file, lambda: clock[0], end):
        assert not errors
        clock[0] = NOW + timedelta(seconds=1)
        assert ended.wait(60)
    assert len(errors) == 1


def test_process_goes_on_while_the_heartbeat_is_renewed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "CHECK_SECONDS", 0.001)
    times, looked, errors = [NOW], threading.Event(), []

    def now() -> datetime:
        """Nine minutes later at each look, and renewed in between."""
        times.append(times[-1] + timedelta(minutes=9))
        if len(times) > 20:
            looked.set()
        file.write_text(format_time(times[-1]))
        return times[-1]

    with ending_without(file, now, errors.append):
        assert looked.wait(60)
    assert errors == []


def test_trial_without_a_heartbeat_runs_on_its_own() -> None:
    with ending_without(None, lambda: pytest.fail("it looked")):
        pass


def test_trial_ends_in_the_middle_of_a_fit_with_one_line(file: Path) -> None:
    """Whatever its main thread does: here it waits for ever."""
    file.write_text(format_time(datetime.now(UTC)))
    program = (
        "import logging, sys, threading\n"
        "from datetime import datetime, timedelta, UTC\n"
        "from pathlib import Path\n"
        "from kubecast.tuning import heartbeat\n"
        "logging.basicConfig(level='INFO', format='%(message)s')\n"
        "heartbeat.CHECK_SECONDS = 0.01\n"
        "times = iter([timedelta(0)])\n"
        "now = lambda: datetime.now(UTC) + next(times, timedelta(hours=1))\n"
        "with heartbeat.ending_without(Path(sys.argv[1]), now):\n"
        "    print('objective=0.5')\n"
        "    threading.Event().wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == TuningError.exit_status
    assert done.stdout == "objective=0.5\n"
    [line] = done.stderr.splitlines()
    assert line.startswith("nobody waits for this trial")


@pytest.mark.slow
def test_command_does_not_begin_a_trial_that_nobody_waits_for(file: Path, tmp_path: Path) -> None:
    file.write_text("2026-01-01T00:00:00Z")
    space = {"depth": {"type": "int", "low": 1, "high": 4}}
    variable = {"kind": "catboost", "panel": str(tmp_path), "settings": {}, "search": space}
    environment = {**os.environ, "KUBECAST_TRIAL": json.dumps({**variable, "heartbeat": str(file)})}
    done = subprocess.run(
        [sys.executable, "-c", "from kubecast.cli.app import main; main()", "trial", "depth=2"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == TuningError.exit_status
    assert "error: nobody waits for this trial" in done.stderr
    assert done.stdout == ""
