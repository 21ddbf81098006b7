"""Tuning by the command, through KFP's local runner, in processes of their own.

One of the kinds is that of `tests/another_package`, which is on the path alone.
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from kubecast.registry import Registry
from tests.support.commands import ANOTHER_PACKAGE, SETTINGS, arguments, executed, kubecast
from tests.support.panels import hourly

pytestmark = pytest.mark.long

FILES: dict[str, dict[str, Any]] = {
    "training": SETTINGS["training"] | {"optimization": {"n_trials": 4, "folds": 2}},
    "mean": {"steps": 5},
    "catboost": {"iterations": 20, "depth": 1, "learning_rate": 0.001},  # any trial is better
    "pipeline": {"models": ["mean", "catboost"], "tuning": {"models": ["mean", "catboost", "ensemble"]}},
}
SPACE = {
    "learning_rate": {"type": "float", "low": 0.2, "high": 0.5},
    "depth": {"type": "int", "low": 2, "high": 4},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "configs" / "search").mkdir(parents=True)
    for name, section in FILES.items():
        (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump({name: section}))
    (folder / "configs" / "search" / "catboost.yaml").write_text(yaml.safe_dump({"catboost": SPACE}))
    hourly().to_csv(folder / "data.csv", index=False)
    return folder


def run(folder: Path, mode: str, *more: str) -> str:
    """The version that a run publishes."""
    words = arguments(folder, "out", "--resume", "--json", "--mode", mode, *more)
    done = kubecast(*words, package=ANOTHER_PACKAGE)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["version"])


def settings_of(folder: Path, version: str) -> dict[str, Any]:
    """The settings that a version was trained with, by kind."""
    registry = Registry.open(str(folder / "out" / "registry"))
    settings: dict[str, Any] = registry.resolve(version).metadata["settings"]
    return settings


@pytest.fixture(scope="module")
def tuned(folder: Path) -> str:
    """The version of the run that tunes."""
    version = run(folder, "tune")
    assert {"tune-mean", "tune-catboost", "tune-ensemble"} <= set(executed(folder, "out"))
    return version


def test_tuning_finds_settings_that_are_trained_and_published(folder: Path, tuned: str) -> None:
    trials = pd.read_csv(folder / "out" / "trials-catboost.csv")
    assert len(trials) == 4
    assert "Tuning of catboost" in (folder / "out" / "tuning-catboost.html").read_text()
    settings = settings_of(folder, tuned)["catboost"]
    best = trials.loc[trials["error"].idxmin()]
    assert settings["depth"] == best["depth"] > 1
    assert settings["learning_rate"] == pytest.approx(best["learning_rate"])
    assert settings["iterations"] == 20


def test_kind_of_another_package_is_trained_and_tuned(folder: Path, tuned: str) -> None:
    board = json.loads((folder / "out" / "leaderboard.json").read_text())["leaderboard"]
    assert {"mean", "catboost", "ensemble"} <= {row["model"] for row in board if row["split"] == "test"}
    assert (folder / "out" / "training-mean.html").exists()
    trials = pd.read_csv(folder / "out" / "trials-mean.csv")
    assert trials["steps"].between(1, 48).all()
    assert trials["steps"][0] == 5  # its settings file's are tried first
    assert settings_of(folder, tuned)["mean"]["steps"] in set(trials["steps"])


def test_tuned_settings_are_taken_up_by_the_next_retraining(folder: Path, tuned: str) -> None:
    assert run(folder, "tune") == tuned
    assert executed(folder, "out") == ["resolve-inputs"]
    changes = ("pipeline.final_fit=false", "mean.steps=7", "mean.threads=2")  # threads are the machine's
    retrained = run(folder, "retrain", *(word for change in changes for word in ("--set", change)))
    assert not [task for task in executed(folder, "out") if task.startswith("tune-")]
    champion = settings_of(folder, tuned)
    assert settings_of(folder, retrained) == champion | {"mean": champion["mean"] | {"threads": 2}}


def test_kind_of_another_package_forecasts_in_a_new_process(folder: Path, tuned: str) -> None:
    registry, data, output = folder / "out" / "registry", folder / "data.csv", folder / "forecast.parquet"
    words = ("--registry", str(registry), "--model", tuned, "--data", str(data), "--output", str(output))
    done = kubecast("forecast", *words, package=ANOTHER_PACKAGE)
    assert done.returncode == 0, done.stderr
    store = Registry.open(str(registry))
    published = pd.read_parquet(BytesIO(store.read_file(store.resolve(tuned), "production_forecast.parquet")))
    pd.testing.assert_frame_equal(pd.read_parquet(output), published, rtol=0, atol=1e-9)
