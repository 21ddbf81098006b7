"""A run, a forecast, a batch and a checkpoint on a real S3 server, named by the environment alone."""

import json
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from kubecast.errors import ModelError
from kubecast.settings.loading import AllSettings
from kubecast.steps.checkpoint import checkpoints
from kubecast.storage.store import open_store
from pipelines.compiling import compile_pipeline
from pipelines.running.local import run_compiled
from tests.support.batches import read_batch
from tests.support.commands import SETTINGS, kubecast, kubecast_here
from tests.support.panels import hourly

pytestmark = pytest.mark.slow


def test_a_run_publishes_to_a_bucket_and_forecasts_come_from_it(s3_url: str, tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "configs").mkdir()
    for name in ("training", "catboost"):
        (tmp_path / "configs" / f"{name}.yaml").write_text(json.dumps({name: SETTINGS[name]}))
    data, registry = str(tmp_path / "data.csv"), f"{s3_url}/registry"
    ran = kubecast(
        *("run", "--data", data, "--config", str(tmp_path / "configs"), "--models", "catboost"),
        *("--output", str(tmp_path / "out"), "--registry", registry, "--json"),
    )
    assert ran.returncode == 0, ran.stderr
    version = json.loads(ran.stdout)["version"]

    listed = kubecast_here("models", "list", "--registry", registry, "--json")
    assert version.partition("@")[2] in listed.stdout
    assert "champion" in listed.stdout
    assert kubecast_here("models", "verify", "--registry", registry).returncode == 0

    forecast = kubecast(
        *("forecast", "--registry", registry, "--model", "forecaster", "--data", data),
        *("--output", str(tmp_path / "forecast.parquet")),
    )
    assert forecast.returncode == 0, forecast.stderr
    fetched = pd.read_parquet(tmp_path / "forecast.parquet")
    published = pd.read_parquet(tmp_path / "out" / "forecasts.parquet")
    pd.testing.assert_frame_equal(fetched, published, rtol=0, atol=1e-6)

    compiled = compile_pipeline(AllSettings(), tmp_path / "batch.yaml", "score", on_cluster=False)
    arguments = {
        "data": data,
        "registry": registry,
        "model": "forecaster",
        "destination": f"{s3_url}/batches",
    }
    outputs = run_compiled(compiled, arguments, tmp_path / "batch", caching=False, on_progress=lambda _: None)
    batch = read_batch(f"{s3_url}/batches", "forecaster")
    assert (batch.batch, batch.model) == (outputs["batch-forecast"]["Output"], version)
    [content] = open_store(f"{s3_url}/batches").stream(f"forecaster/{batch.path}")
    assert content == Path(outputs["batch-forecast"]["forecasts"]).read_bytes()


def test_a_checkpoint_in_a_bucket_is_found_by_the_next_attempt(s3_url: str) -> None:
    for content in (b"first epoch", b"second epoch"):
        with suppress(ModelError), checkpoints(s3_url, "aa", lambda done, loss: None) as (file, report):
            assert file is not None
            assert not file.exists() or file.read_bytes() == b"first epoch"
            file.write_bytes(content)
            report(1, 0.0)
            raise ModelError("cut off")
    store = open_store(s3_url)
    assert len(store.list_files("aa")) == 1
    with checkpoints(s3_url, "aa", lambda done, loss: None) as (file, _):
        assert file is not None
        assert file.read_bytes() == b"second epoch"
    assert store.list_files("aa") == {}
