"""A kind of model that another package brings is compiled; tests/e2e/test_tuning.py runs it.

`tests/another_package` is such a package, as CONTRIBUTING tells to write one: here it is on the path alone.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import ANOTHER_PACKAGE, SETTINGS, kubecast

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "configs").mkdir()
    files: dict[str, dict[str, Any]] = {
        "training": SETTINGS["training"],
        "mean": {"steps": 5},
        "pipeline": {"models": ["mean", "catboost"], "tuning": {"models": ["mean", "ensemble"]}},
    }
    for name, section in files.items():
        (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump({name: section}))
    return folder


@pytest.mark.slow
def test_it_has_a_component_resources_and_an_image_on_a_cluster(folder: Path) -> None:
    compiled = folder / "pipeline.yaml"
    words = ("compile", "--config", str(folder / "configs"), "--output", str(compiled), "--mode", "tune")
    words = (*words, "--set", "cluster.tasks.train_mean.memory_limit=3Gi")
    done = kubecast(*words, package=ANOTHER_PACKAGE)
    assert done.returncode == 0, done.stderr
    spec = next(yaml.safe_load_all(compiled.read_text()))
    executors = spec["deploymentSpec"]["executors"]
    container = executors["exec-train-mean"]["container"]
    assert container["image"].startswith("kubecast-base:")
    assert container["resources"]["resourceMemoryLimit"] == "3Gi"
    assert container["command"][-1].endswith("train_mean = trainer('mean')")
    assert {"exec-tune-mean", "exec-final-mean"} <= set(executors)
    assert "mean_settings" in spec["root"]["inputDefinitions"]["parameters"]


@pytest.mark.slow
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
