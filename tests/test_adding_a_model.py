"""A kind of model that another package brings is trained, tuned, retrained, published and forecast with.

`tests/another_package` is such a package, as CONTRIBUTING tells to write one: here it is on the path alone.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.support.commands import KUBECAST, SETTINGS
from tests.support.panels import hourly

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tests/another_package"
TRAINING = SETTINGS["training"] | {"optimization": {"n_trials": 3, "folds": 2}}


def kubecast(*words: str, package: Path = PACKAGE) -> "subprocess.CompletedProcess[str]":
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([*KUBECAST, *words], capture_output=True, text=True, check=False, env=environment)


def answer(*words: str) -> dict[str, Any]:
    done = kubecast(*words, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "configs").mkdir()
    files = {
        "training": TRAINING,
        "mean": {"steps": 5},
        "catboost": {"iterations": 5, "depth": 2},
        "pipeline": {"models": ["mean", "catboost"], "tuning": {"models": ["mean", "ensemble"]}},
    }
    for name, section in files.items():
        (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump({name: section}))
    hourly().to_csv(folder / "data.csv", index=False)
    return folder


def run(folder: Path, mode: str, *words: str) -> dict[str, Any]:
    places = ("--data", folder / "data.csv", "--config", folder / "configs", "--output", folder / "out")
    return answer("run", *map(str, places), "--mode", mode, *words)


def published(folder: Path, version: str) -> dict[str, Any]:
    registry = str(folder / "out" / "registry")
    metadata: dict[str, Any] = answer("models", "show", version, "--registry", registry)["metadata"]
    return metadata


def test_it_is_trained_tuned_retrained_and_forecast_with(folder: Path) -> None:
    trained = run(folder, "train")
    assert published(folder, trained["version"])["settings"]["mean"]["steps"] == 5
    board = json.loads((folder / "out" / "leaderboard.json").read_text())["leaderboard"]
    assert {"mean", "catboost", "ensemble"} <= {row["model"] for row in board if row["split"] == "test"}
    assert (folder / "out" / "training-mean.html").exists()

    tuned = run(folder, "tune")
    trials = pd.read_csv(folder / "out" / "trials-mean.csv")
    assert trials["steps"].between(1, 48).all()
    settings = published(folder, tuned["version"])["settings"]["mean"]

    retrained = run(folder, "retrain", "--set", "mean.steps=7", "--set", "mean.threads=2")
    champion = trained if settings["steps"] == 5 else tuned
    assert published(folder, retrained["version"])["settings"]["mean"] == (
        published(folder, champion["version"])["settings"]["mean"] | {"threads": 2}
    )

    words = ("--registry", str(folder / "out" / "registry"), "--model", "forecaster")
    output = folder / "forecast.parquet"
    done = kubecast("forecast", *words, "--data", str(folder / "data.csv"), "--output", str(output))
    assert done.returncode == 0, done.stderr
    forecasts = pd.read_parquet(folder / "out" / "forecasts.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(output), forecasts, rtol=0, atol=1e-9)


def test_it_has_a_component_resources_and_an_image_on_a_cluster(folder: Path) -> None:
    compiled = folder / "pipeline.yaml"
    words = ("compile", "--config", str(folder / "configs"), "--output", str(compiled), "--mode", "tune")
    done = kubecast(*words, "--set", "cluster.tasks.train_mean.memory_limit=3Gi")
    assert done.returncode == 0, done.stderr
    spec = next(yaml.safe_load_all(compiled.read_text()))
    executors = spec["deploymentSpec"]["executors"]
    container = executors["exec-train-mean"]["container"]
    assert container["image"].startswith("kubecast-base:")
    assert container["resources"]["resourceMemoryLimit"] == "3Gi"
    assert container["command"][-1].endswith("train_mean = trainer('mean')")
    assert {"exec-tune-mean", "exec-final-mean"} <= set(executors)
    assert "mean_settings" in spec["root"]["inputDefinitions"]["parameters"]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (
            "arima = kubecast_mean:KIND",
            "entry point arima of kubecast.models, kubecast_mean:KIND: allowed: a name",
        ),
        ("cutoff = kubecast_mean:KIND", "entry point cutoff of kubecast.models"),
        (
            "other = no_such_package:KIND",
            "cannot be loaded (ModuleNotFoundError: No module named 'no_such_package')",
        ),
        ("other = json:dumps", "found function; allowed: a kubecast.models.Kind"),
    ],
)
def test_a_package_that_brings_no_kind_of_its_own_is_refused(
    tmp_path: Path, point: str, message: str
) -> None:
    described = tmp_path / "other-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[kubecast.models]\n{point}\n")
    done = kubecast("compile", "--output", str(tmp_path / "pipeline.yaml"), package=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
