"""Targets of the Makefile, by the commands that they run."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clusters import folder_with, invoke
from tests.support.servers.kfp_api import KfpApi

OF_THE_MAKE_THAT_RUNS_THE_TESTS = {"ARGS", "MAKEFLAGS", "MAKEOVERRIDES"}
ROOT = Path(__file__).parents[2]
NIGHTLY = '    - {name: nightly, cron: "0 2 * * *", parameters: {data: "s3://demand/demand.csv"}}\n'


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpApi]:
    with KfpApi() as server:
        monkeypatch.setenv("KUBECAST_KFP_HOST", server.host)
        yield server


def planned(*words: str) -> list[str]:
    """The commands that a target would run."""
    result = subprocess.run(
        ["make", "--dry-run", "--silent", "--directory", ROOT, *words],
        check=True,
        capture_output=True,
        text=True,
        env={
            name: value for name, value in os.environ.items() if name not in OF_THE_MAKE_THAT_RUNS_THE_TESTS
        },
    )
    return result.stdout.replace("\\\n", " ").splitlines()


def make(*words: str) -> None:
    _, *command = shlex.split(planned(*words)[-1])
    found = invoke(*command)
    assert not found.exit_code


def test_submit(api: KfpApi, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "my demand", "    []\n")
    make("submit", f"CONFIG={folder}", "DATA=s3://demand/demand.csv", "ARGS=--name first")
    make("submit", f"CONFIG={folder}", "DATA=s3://demand/demand.csv", "MODE=retrain")
    trained, retrained = api.runs.values()
    assert trained.display_name == "first"
    assert trained.runtime_config.parameters == {"data": "s3://demand/demand.csv"}
    assert retrained.display_name.startswith("retrain-")


def test_schedule(api: KfpApi, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "configs", NIGHTLY)
    make("schedule", f"CONFIG={folder}", "ARGS=--dry-run")
    assert not api.recurring
    make("schedule", f"CONFIG={folder}")
    assert [each.display_name for each in api.recurring.values()] == ["nightly"]


@pytest.mark.slow
@pytest.mark.parametrize(("terminal", "bar"), [("/dev/pts/0", "on"), ("", "off")])
def test_setup_shows_its_progress_by_a_bar_in_a_terminal_and_by_lines_in_a_log(
    terminal: str, bar: str
) -> None:
    words = ["setup", "--what-if=requirements/dev.txt", f"MAKE_TERMOUT={terminal}"]
    (line,) = [each for each in planned(*words) if "requirements/dev.txt" in each and "pip install" in each]
    assert f"--progress-bar {bar} " in line
    assert "--quiet" not in line
