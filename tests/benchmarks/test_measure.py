"""How the benchmarks run a side."""

import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import measure
from benchmarks.measure import data_file, figure, run, spread

PYTHON = [sys.executable, "-c"]


def test_what_a_process_printed_and_took() -> None:
    result = run([*PYTHON, "import os; print('x'); print(len(os.sched_getaffinity(0)))"], cores=1)
    assert (result.status, result.document) == (0, 1)
    assert result.cpu > 0
    assert result.peak > 1


def test_a_log_holds_both_outputs_and_a_failure_its_end(tmp_path: Path) -> None:
    script = "import sys; print('first'); print('last words', file=sys.stderr); sys.exit(3)"
    with pytest.raises(RuntimeError, match=r"(?s)failed with status 3: .*last words"):
        run([*PYTHON, script], cores=1, log=tmp_path / "log")
    assert set((tmp_path / "log").read_text().split("\n")) == {"first", "last words", ""}


def test_a_process_that_is_late_is_killed() -> None:
    assert run(["sleep", "60"], timeout=0.1).status is None


def test_an_interrupt_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = []

    def interrupted(process: Any, end: float | None) -> Any:
        pids.append(process.pid)
        time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(measure, "_wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(["sleep", "60"])
    assert not psutil.pid_exists(pids[0])


def test_figures_have_three_digits_and_thousands_no_exponent() -> None:
    shown = {0.123456: "0.123", 12.34: "12.3", 999.4: "999", 999.7: "1,000", 18_936.4: "18,936", 0.0: "0"}
    assert {value: figure(value) for value in shown} == shown
    assert spread([1500.0, 1400.4, 2000.0]) == "1,500 (1,400 to 2,000)"


def test_data_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert data_file(tmp_path, "a.csv") == tmp_path / "a.csv"
    with pytest.raises(SystemExit, match=r"error: .*/b\.csv: no such file; allowed: a folder that holds it"):
        data_file(tmp_path, "b.csv")
