"""Models fitted in shards by the local runner: the same version, whatever dies on the way."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.commands import KUBECAST, arguments, with_package

pytestmark = pytest.mark.long

WORDS = ("--json", "--resume", "--set", "pipeline.models=[arima]", "--set", "arima.engine=css")
# Read by every Python at its start; kubecast knows nothing of it.
SITE = """\
import os, pathlib, signal, sys

rule = pathlib.Path(__file__).parent / "rule"
if rule.exists() and all(word in " ".join(sys.orig_argv) for word in rule.read_text().splitlines()):
    rule.unlink()
    os.kill(os.getpid(), signal.SIGKILL)
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let the first process die whose command has each of some words."""
    (tmp_path / "sitecustomize.py").write_text(SITE)
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return lambda *words: (tmp_path / "rule").write_text("\n".join(words)) and None


def run(folder: Path, output: str, count: int, *more: str) -> "subprocess.CompletedProcess[str]":
    words = arguments(folder, output, *WORDS, "--set", f"pipeline.shards={count}", *more)
    return subprocess.run([*KUBECAST, *words], capture_output=True, text=True, check=False)


def made(folder: Path, output: str) -> tuple[pd.DataFrame, Any]:
    """The forecasts of a run, and its figures but for what it took."""
    figures = json.loads((folder / output / "leaderboard.json").read_text())
    for fit in figures["fits"].values():
        fit.pop("seconds")
    return pd.read_parquet(folder / output / "forecasts.parquet"), figures


@pytest.fixture(scope="module")
def whole(folder: Path) -> tuple[pd.DataFrame, Any]:
    """What a run makes that fits all series at once."""
    done = run(folder, "whole", 1)
    assert done.returncode == 0, done.stderr
    return made(folder, "whole")


def assert_same(made: tuple[pd.DataFrame, Any], whole: tuple[pd.DataFrame, Any]) -> None:
    pd.testing.assert_frame_equal(made[0], whole[0], check_exact=True)
    assert made[1] == whole[1]


def shards_of(folder: Path, output: str) -> list[str]:
    """The shards that the latest run really fitted."""
    log = (folder / output / "run.log").read_text()
    return [line.split()[1].rstrip(":") for line in log.splitlines() if line.strip().startswith("shard ")]


def test_process_that_is_killed_is_begun_again(
    folder: Path, whole: tuple[pd.DataFrame, Any], kill: Callable[..., None]
) -> None:
    kill("kubecast.steps.fit_shard", '"shard":"2/3"')
    done = run(folder, "process", 3)
    assert done.returncode == 0, done.stderr
    assert "its process was ended by SIGKILL" in (folder / "process" / "run.log").read_text()
    assert shards_of(folder, "process") == ["1/3", "2/3", "3/3"] * 2
    assert_same(made(folder, "process"), whole)


def test_task_that_is_killed_fails_the_run_and_the_next_one_fits_what_is_missing(
    folder: Path, whole: tuple[pd.DataFrame, Any], kill: Callable[..., None]
) -> None:
    kill("executor_main", '"shard": "2/3"')
    failed = run(folder, "task", 3, "--set", "cluster.retries.attempts=0")
    assert failed.returncode == 1
    assert "the run failed in task train-arima-shard; its log is" in failed.stderr
    assert "2/3" not in shards_of(folder, "task")
    done = run(folder, "task", 3, "--set", "cluster.retries.attempts=0")
    assert done.returncode == 0, done.stderr
    assert shards_of(folder, "task") == ["2/3", "1/3", "2/3", "3/3"]  # train, final
    assert_same(made(folder, "task"), whole)


def test_kind_of_another_package_is_fitted_in_shards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in with_package().items():
        monkeypatch.setenv(name, value)
    for count in (1, 2):
        done = run(folder, f"mean-{count}", count, "--set", "pipeline.models=[mean]")
        assert done.returncode == 0, done.stderr
    assert shards_of(folder, "mean-2") == ["1/2", "2/2"] * 2
    assert_same(made(folder, "mean-2"), made(folder, "mean-1"))


def test_damaged_file_is_named_before_anything_is_fitted(folder: Path) -> None:
    data = folder / "files"
    data.mkdir()
    rows = pd.read_csv(folder / "data.csv")
    for number in range(3):
        rows[number::3].to_parquet(data / f"{number}.parquet")
    sound = (data / "1.parquet").read_bytes()
    (data / "1.parquet").write_bytes(sound[: len(sound) // 2])
    done = run(folder, "damaged", 3, "--data", str(data))
    assert done.returncode == 2
    assert "1.parquet" in done.stderr
    assert not shards_of(folder, "damaged")
