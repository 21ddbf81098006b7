"""What runs in containers are made of: the images, a command, and what a run leaves."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

KUBECAST = str(Path(sys.executable).with_name("kubecast"))
USER = "1000:0"
MODELS = os.environ.get("MODELS", "arima,lstm,transformer,catboost").split(",")
TAG = subprocess.check_output(["images/tag.sh"], text=True).strip()


@dataclass(frozen=True)
class Finished:
    outputs: dict[str, dict[str, Any]]
    log: str


def call(*words: str, fails: bool = False, **variables: str) -> str:
    done = subprocess.run(
        words,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert bool(done.returncode) == fails, done.stdout[-6000:]
    return done.stdout


def without_retries(compiled: Path) -> None:
    """Leave out that tasks are tried again: KFP's local runner does so where a cluster does not."""
    documents = [*yaml.safe_load_all(compiled.read_text())]
    spec = documents[0]
    graphs = [spec["root"], *spec["components"].values()]
    for task in (task for graph in graphs for task in graph.get("dag", {}).get("tasks", {}).values()):
        task.pop("retryPolicy", None)
    compiled.write_text(yaml.safe_dump_all(documents))
