"""The how-tos for a cluster, tried as they are written: files edited, commands run, against a server."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kubecast.pipelines.running import following
from kubecast.registry import Registry
from kubecast.settings.loading import load_settings
from kubecast.storage.bucket import ObjectStore
from tests.support.bundles import make_bundle
from tests.support.clusters import invoke
from tests.support.kfp_runs import SUCCEEDS
from tests.support.servers.kfp_api import KfpApi
from tests.support.servers.seaweed import Seaweed

ROOT = Path(__file__).parents[2]
BEARER = "abc"
KUBECAST = ".venv/bin/kubecast "
ON_A_CLUSTER = ("kubectl ", "export ", "make ")

Follow = Callable[[str], list[str]]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpApi]:
    """KFP for several users, as the overlay `dev` has it: without token and namespace it answers nothing."""
    with KfpApi() as server:
        server.script = SUCCEEDS
        server.health["multi_user"] = True
        server.namespaces, server.token = {"kubecast"}, BEARER
        monkeypatch.setenv("KUBECAST_KFP_HOST", server.host)
        monkeypatch.setenv("KUBECAST_KFP_TOKEN", BEARER)
        monkeypatch.setattr(following, "INTERVAL", 0.0)
        yield server


@pytest.fixture
def follow(api: KfpApi, seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Follow:
    """Do what a how-to says, in a new folder, and return what its commands print."""
    for bucket in ("demand", "mlpipeline"):
        seaweed.create_bucket(bucket)
    for name, value in seaweed.environment("writer").items():
        monkeypatch.setenv(name, value)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)

    def follow(name: str) -> list[str]:
        text = (ROOT / "docs" / "how-to" / f"{name}.md").read_text()
        printed = []
        for kind, block in re.findall(r"^ *```(sh|yaml)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
            if kind == "yaml":
                edit(block)
                continue
            for line in block.replace("\\\n", "").splitlines():
                printed.append(do(line.strip(), list(api.runs)))
        return printed

    return follow


def do(line: str, runs: list[str]) -> str:
    if line.startswith(KUBECAST):
        words = [runs[-1] if word == "RUN" else word for word in shlex.split(line, comments=True)[1:]]
        found = invoke(*words)
        assert not found.exit_code, found.output
        assert not found.return_value, found.output
        return found.output
    if not line.startswith(ON_A_CLUSTER):
        words = [
            sys.executable if word == ".venv/bin/python" else word
            for word in shlex.split(line, comments=True)
        ]
        subprocess.run(words, check=True)
    return ""


def edit(block: str) -> None:
    """Bring the keys of a block into the settings file that they belong to."""
    given = yaml.safe_load(block)
    ((name, changes),) = (given if len(given) == 1 else {"cluster": given}).items()
    path = Path("demand") / f"{name}.yaml"
    found = yaml.safe_load(path.read_text())
    merge(found[name], changes)
    path.write_text(yaml.safe_dump(found))


def merge(found: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(found.get(key), dict):
            merge(found[key], value)
        else:
            found[key] = value


@pytest.mark.slow
def test_first_run(follow: Follow, api: KfpApi, tmp_path: Path) -> None:
    # What the run publishes, which this server does not run.
    Registry.open("s3://demand/registry").publish("forecaster", make_bundle(tmp_path), {})
    printed = "".join(follow("first-run"))
    assert "ok         store: s3://demand/registry takes, returns and deletes an object" in printed
    settings = load_settings(Path("demand"))
    assert settings.cluster.environment["AWS_ENDPOINT_URL"] == "http://kubecast-seaweedfs:8333"
    assert settings.cluster.connection.namespace == "kubecast"
    for url, name in [("s3://demand", "demand.csv"), ("s3://mlpipeline", "kubecast/demand.csv")]:
        assert ObjectStore(url).read(name)[0] == Path("demand.csv").read_bytes()
    trained, scored = api.runs.values()
    assert trained.service_account == "kubecast-pipeline"
    assert trained.runtime_config.parameters == {"data": "s3://demand/demand.csv"}
    assert set(scored.runtime_config.parameters) == {"data", "destination"}
    assert {pipeline.display_name for pipeline in api.pipelines.values()} == {
        "kubecast-training",
        "kubecast-batch-forecast",
    }
    assert "would be created" in printed
    assert "SUCCEEDED" in printed


@pytest.mark.slow
def test_gpu_nodes(follow: Follow) -> None:
    follow("gpu-nodes")
    _, platform = yaml.safe_load_all(Path("pipeline.yaml").read_text())
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values()
    pods = {pod["podMetadata"]["labels"]["kubecast/task"]: pod for pod in executors}
    labels = {task: pod["nodeSelector"]["labels"] for task, pod in pods.items() if "nodeSelector" in pod}
    lstm = {"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}
    transformer = {"cloud.google.com/gke-gpu": "true"}
    assert labels == {
        "train-lstm": lstm,
        "final-lstm": lstm,
        "train-transformer": transformer,
        "final-transformer": transformer,
    }
    assert pods["train-lstm"]["tolerations"]


@pytest.mark.slow
def test_nightly_run(follow: Follow, api: KfpApi) -> None:
    printed = follow("schedule-a-nightly-run")
    assert any(text.startswith("created    nightly-retrain") for text in printed)
    (schedule,) = api.recurring.values()
    assert schedule.status == "ENABLED"
    assert schedule.service_account == "kubecast-pipeline"
