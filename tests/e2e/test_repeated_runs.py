"""A run after one that published, or that was killed."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.commands import KUBECAST, arguments, executed, kubecast, kubecast_here
from tests.support.panels import hourly

pytestmark = pytest.mark.slow


def test_changed_bytes_run_everything_and_another_champion_only_what_judges(
    folder: Path, tmp_path: Path
) -> None:
    def run(rows: pd.DataFrame, *more: str) -> tuple[Any, list[str]]:
        rows.to_csv(tmp_path / "data.csv", index=False)
        done = kubecast(*arguments(tmp_path, "out", "--cache", "--models", "catboost", "--json", *more))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), executed(tmp_path, "out")

    shutil.copytree(folder / "configs", tmp_path / "configs")
    rows = hourly()
    _, every = run(rows)
    changed, again = run(rows.assign(y=rows["y"] + 1))
    assert again == every
    assert len(every) > 6
    registry = str(tmp_path / "out" / "registry")
    promoted = kubecast_here("models", "promote", "--registry", registry, changed["version"])
    assert promoted.returncode == 0, promoted.stderr
    compared, ran = run(rows)
    assert ran == ["evaluate-models", "forecast-champion", "register-model", "resolve-inputs"]
    assert f"forecaster@{compared['decision']['champion']}" == changed["version"]
    other = ("--set", "catboost.iterations=7")
    retrained, ran = run(rows, "--mode", "retrain", *other)
    assert ran == ["resolve-inputs"]  # the champion's settings are those of before
    assert retrained["version"] == compared["version"]
    _, ran = run(rows, *other)
    assert "train-catboost" in ran


def test_killed_run_leaves_the_registry_readable_and_the_next_run_works(folder: Path) -> None:
    registry = folder / "registry"
    first = kubecast(*arguments(folder, "first", "--registry", str(registry), "--models", "catboost"))
    assert first.returncode == 0, first.stderr
    words = arguments(folder, "killed", "--registry", str(registry), "--models", "catboost,arima")
    for moment in ("train-", "register-model"):
        process = subprocess.Popen(
            [*KUBECAST, *words], stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(f"started   {moment}"):
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        listed = json.loads(kubecast_here("models", "list", "--registry", str(registry), "--json").stdout)
        assert [row["aliases"] for row in listed].count("champion") == 1
    done = kubecast(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decision"]["champion"] in {row["version"] for row in listed}
    shown = kubecast_here("models", "show", "--registry", str(registry), json.loads(done.stdout)["version"])
    assert shown.returncode == 0
