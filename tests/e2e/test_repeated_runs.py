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

from tests.support.commands import (
    ANOTHER_PACKAGE,
    KUBECAST,
    arguments,
    executed,
    kubecast,
    kubecast_here,
    with_package,
)
from tests.support.panels import hourly

pytestmark = pytest.mark.long

WORDS = ("--resume", "--models", "mean", "--set", "pipeline.final_fit=false")
"""Of all kinds that of another package is fitted soonest."""


def run(folder: Path, rows: pd.DataFrame, *more: str) -> tuple[dict[str, Any], list[str]]:
    """What a run answers, and the tasks that it ran."""
    rows.to_csv(folder / "data.csv", index=False)
    done = kubecast(*arguments(folder, "out", "--json", *WORDS, *more), package=ANOTHER_PACKAGE)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), executed(folder, "out")


@pytest.fixture(scope="module")
def published(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder of a run that published, and the tasks that it ran."""
    own = tmp_path_factory.mktemp("published")
    shutil.copytree(folder / "configs", own / "configs")
    _, ran = run(own, hourly())
    return own, ran


def test_changed_bytes_run_everything_and_another_champion_only_what_judges(
    published: tuple[Path, list[str]],
) -> None:
    folder, every = published
    rows = hourly()
    changed, again = run(folder, rows.assign(y=rows["y"] + 1))
    assert again == every
    assert len(every) > 6
    registry = str(folder / "out" / "registry")
    promoted = kubecast_here("models", "promote", "--registry", registry, changed["version"])
    assert promoted.returncode == 0, promoted.stderr
    compared, ran = run(folder, rows)
    assert ran == ["evaluate-models", "forecast-champion", "register-model", "resolve-inputs"]
    assert f"forecaster@{compared['decision']['champion']}" == changed["version"]
    retrained, ran = run(folder, rows, "--mode", "retrain", "--set", "mean.steps=7")
    assert ran == ["resolve-inputs"]  # the champion's settings are those of before
    assert retrained["version"] == compared["version"]


def test_killed_run_of_other_settings_leaves_the_registry_readable_and_the_next_run_works(
    published: tuple[Path, list[str]],
) -> None:
    folder, every = published
    registry = folder / "out" / "registry"
    words = arguments(folder, "out", *WORDS, "--set", "mean.steps=3")
    for moment in ("train-", "register-model"):
        process = subprocess.Popen(
            [*KUBECAST, *words],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=os.environ | with_package(),
        )
        assert process.stderr is not None
        for line in process.stderr:
            if f"] {moment}" in line:
                break
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        listed = json.loads(kubecast_here("models", "list", "--registry", str(registry), "--json").stdout)
        assert [row["aliases"] for row in listed].count("champion") == 1
    assert "train-mean" in executed(folder, "out")  # which other settings run again
    done = kubecast(*words, "--json", package=ANOTHER_PACKAGE)
    assert done.returncode == 0, done.stderr
    ran = executed(folder, "out")
    assert "register-model" in ran
    assert len(ran) < len(every)  # what had ended before the signal came is not run again
    assert json.loads(done.stdout)["decision"]["champion"] in {row["version"] for row in listed}
    shown = kubecast_here("models", "show", "--registry", str(registry), json.loads(done.stdout)["version"])
    assert shown.returncode == 0
