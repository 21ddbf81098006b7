"""The batch pipeline, as a cluster would read it and as the local runner runs it."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from kubecast.config.training import TrainingSettings
from kubecast.errors import KubecastError
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.pipelines.running.local import run_compiled
from kubecast.settings.loading import AllSettings, load_settings
from tests.support.batches import read_batch
from tests.support.panels import hourly
from tests.support.runs import run
from tests.support.servers.webhook import Webhook

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = AllSettings(training=TrainingSettings(model_name="demand"))
    return compile_pipeline(settings, tmp_path_factory.mktemp("batch") / "batch.yaml", "score")


def test_three_tasks_that_are_never_cached_one_of_them_for_each_shard(compiled: Path) -> None:
    spec: dict[str, Any] = next(yaml.safe_load_all(compiled.read_text()))
    tasks = spec["root"]["dag"]["tasks"]
    [loop] = [task for task in tasks.values() if "parameterIterator" in task]
    assert loop["iteratorPolicy"] == {"parallelismLimit": 8}
    inner = spec["components"][loop["componentRef"]["name"]]["dag"]["tasks"]
    assert inner.keys() == {"forecast-shard"}
    every = {**{name: task for name, task in tasks.items() if task is not loop}, **inner}
    assert every.keys() == {"prepare-history", "forecast-shard", "publish-batch"}
    assert not any("enableCache" in task["cachingOptions"] for task in every.values())
    images = {
        name: executor["container"]["image"].partition(":")[0]
        for name, executor in spec["deploymentSpec"]["executors"].items()
    }
    assert images == {
        "exec-prepare-history": "kubecast-base",
        "exec-forecast-shard": "kubecast-serving",
        "exec-publish-batch": "kubecast-base",
    }
    found = spec["root"]["inputDefinitions"]["parameters"]
    defaults = {name: value.get("defaultValue") for name, value in found.items()}
    assert defaults == {
        "data": None,
        "destination": None,
        "model": "demand",
        "registry": "/app/models",
        "horizon": 0,
        "future": "",
        "as_of": "",
    }


def test_it_forecasts_new_data_with_the_champion(tmp_path: Path) -> None:
    compiled = compile_pipeline(AllSettings(), tmp_path / "local.yaml", "score", on_cluster=False)
    rows = hourly()
    published = run(rows, tmp_path / "run")
    rows.to_csv(tmp_path / "new.csv", index=False)
    arguments = {
        "data": str(tmp_path / "new.csv"),
        "registry": str(published / "registry"),
        "model": "forecaster@champion",
        "destination": str(tmp_path / "batches"),
    }
    outputs = run_compiled(compiled, arguments, tmp_path / "out", resume=False, on_progress=lambda _: None)
    batch = read_batch(str(tmp_path / "batches"), "forecaster")
    assert outputs["publish-batch"]["Output"] == batch.batch
    assert batch.model == (published / "published").read_text()
    stored = pd.read_parquet(tmp_path / "batches" / "forecaster" / batch.files[0].path)
    pd.testing.assert_frame_equal(stored, pd.read_parquet(outputs["publish-batch"]["forecasts"]))


def test_run_that_fails_tells_so(tmp_path: Path, webhook: Webhook) -> None:
    settings = load_settings(None, ["cluster.notifications={secret: hook}", "cluster.retries.attempts=0"])
    compiled = compile_pipeline(settings, tmp_path / "told.yaml", "score")
    compiled.write_text(compiled.read_text().partition("\n---\n")[0])  # the rest is of the platform
    arguments = {
        "data": str(tmp_path / "nowhere.csv"),
        "registry": str(tmp_path),
        "destination": str(tmp_path / "batches"),
    }
    with pytest.raises(KubecastError):
        run_compiled(compiled, arguments, tmp_path / "out", resume=False, on_progress=lambda _: None)
    (told,) = webhook.got
    assert (told["event"], told["link"]) == ("failure", "")
    assert told["run"].startswith("kubecast-batch-forecast")
    assert told["error"]
