"""What components log in a pod: run as the launcher runs them, by KFP's executor in a process of its own."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubecast.components.training.train_catboost import train_catboost
from kubecast.data.panel import Panel
from kubecast.steps.run_settings import RunSettings, section
from tests.support.models import SETTINGS
from tests.support.panels import small_settings

ROOT = Path(__file__).parents[2]
TRAINER = ROOT / "components/training/trainer.py"
FILES = [
    TRAINER,
    *(
        file
        for file in sorted((ROOT / "components").glob("*/*/component.py"))
        if "trainer(" not in file.read_text()
    ),
]
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBECAST_RUN_ID": "6c1d", "KUBECAST_TASK": "train-catboost"}


def execute(panel: Path, folder: Path, settings: str) -> subprocess.CompletedProcess[str]:
    """Run train_catboost as a pod does: by the command of the compiled file."""
    outputs = {"model": "Model", "metrics": "Metrics", "report": "HTML"}
    given = {
        "inputs": {
            "parameterValues": {"settings": settings},
            "artifacts": {"panel": {"artifacts": [_input("panel", panel)]}},
        },
        "outputs": {
            "artifacts": {
                name: {
                    "artifacts": [
                        {
                            "name": name,
                            "type": {"schemaTitle": f"system.{kind}", "schemaVersion": "0.0.1"},
                            "uri": str(folder / name),
                        }
                    ]
                }
                for name, kind in outputs.items()
            },
            "outputFile": str(folder / "outputs.json"),
        },
    }
    [executor] = train_catboost.pipeline_spec.deployment_spec["executors"].values()
    container = executor["container"]
    words = [json.dumps(given) if word == "{{$}}" else word for word in container["args"]]
    environment = {key: value for key, value in os.environ.items() if key != "KUBECAST_LOG_FORMAT"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(
        [*container["command"], *words], capture_output=True, text=True, check=False, env=environment | POD
    )


def _input(name: str, path: Path) -> dict[str, Any]:
    """As `tests.support.launcher` has it, of an artifact that lies where the launcher has put it."""
    return {
        "name": "9",
        "type": {"instanceSchema": ""},
        "uri": str(path),
        "metadata": {"display_name": name},
    }


@pytest.fixture
def panel_dir(panel: Panel, tmp_path: Path) -> Path:
    panel.save(tmp_path / "panel")
    training = small_settings(checkpoint_url="s3://nowhere/checkpoints")
    models: dict[str, Any] = {"catboost": section(SETTINGS["catboost"])}
    RunSettings(training=training, models=models, seed=1, on_failure="stop").write(tmp_path / "panel")
    return tmp_path / "panel"


@pytest.mark.slow
def test_component_in_a_pod_tells_all_in_json_and_leaves_the_executors_lines_alone(
    panel_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}.get(name, "s3cret"))
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    done = execute(panel_dir, tmp_path / "out", "")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    common = {"run": "6c1d", "task": "train-catboost", "model": "catboost"}
    assert all(common.items() <= line.items() for line in lines)
    assert [(line["done"], line["total"]) for line in lines if "done" in line][-1] == (20, 20)
    [warning] = [line["message"] for line in lines if line["level"] == "WARNING"]
    assert warning.startswith("no checkpoints are kept: ")
    assert lines[-1]["message"] == "catboost: ok"
    assert "[KFP Executor" in done.stdout
    assert not re.search(r"no checkpoints are kept|catboost: ok|progress train", done.stdout)
    assert "s3cret" not in done.stderr


@pytest.mark.slow
def test_component_that_fails_tells_its_error_in_one_line_before_pythons_trace(
    panel_dir: Path, tmp_path: Path
) -> None:
    done = execute(panel_dir, tmp_path / "out", '{"iterations": -1}')
    first, second, *_, last = done.stderr.splitlines()
    line = json.loads(first)
    assert done.returncode == 1
    assert (line["level"], line["task"], line["model"]) == ("ERROR", "train-catboost", "catboost")
    assert line["message"].startswith("ConfigError: parameter catboost_settings: iterations: ")
    assert line["exception"].splitlines()[0] == second == "Traceback (most recent call last):"
    assert last == f"kubecast.errors.{line['message']}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: "trainer" if file == TRAINER else file.parent.name)
def test_every_component_calls_a_step(file: Path) -> None:
    imported = re.findall(r"from (kubecast\.steps\.\w+) import ([\w, ]+)", file.read_text())
    functions = [
        getattr(importlib.import_module(module), name)
        for module, names in imported
        for name in names.split(", ")
    ]
    steps = [function for function in functions if getattr(function, "__wrapped__", None)]
    assert len(steps) == 1
