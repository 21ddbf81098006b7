"""A run, a forecast, a batch and a checkpoint on a real S3 server, named by the environment alone."""

import io
import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubecast.errors import ModelError
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.pipelines.running.local import run_compiled
from kubecast.settings.loading import AllSettings
from kubecast.steps.checkpoint import checkpoints
from kubecast.storage.store import open_store
from tests.conftest import S3_BUCKET
from tests.support.batches import read_batch
from tests.support.commands import SETTINGS, arguments, kubecast, kubecast_here
from tests.support.panels import hourly
from tests.support.servers.seaweed import Seaweed

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def bucket(seaweed: Seaweed) -> Iterator[str]:
    """An empty folder in a bucket; processes find its store in the environment."""
    seaweed.create_bucket(S3_BUCKET)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in seaweed.environment().items():
            patch.setenv(name, value)
        yield f"s3://{S3_BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def ran(
    bucket: str, tmp_path_factory: pytest.TempPathFactory
) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """A run that published to the bucket, though one of its models cannot be fitted, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    hourly().to_csv(folder / "data.csv", index=False)
    (folder / "configs").mkdir()
    for name in ("training", "catboost"):
        (folder / "configs" / f"{name}.yaml").write_text(json.dumps({name: SETTINGS[name]}))
    words = arguments(folder, "out", "--registry", f"{bucket}/registry", "--models", "catboost,lstm")
    changes = ("lstm.sequence_length=5000", "lstm.patch_length=1", "pipeline.final_fit=false")
    done = kubecast(*words, *(word for change in changes for word in ("--set", change)))
    assert done.returncode == 0, done.stderr
    return folder, done


def test_model_that_cannot_be_fitted_is_named_and_the_others_go_on(ran: Any) -> None:
    folder, done = ran
    board = json.loads((folder / "out" / "leaderboard.json").read_text())
    assert list(board["missing"]) == ["lstm"]
    assert f"left out   lstm: {board['missing']['lstm']}" in done.stdout.splitlines()
    assert {row["model"] for row in board["leaderboard"]} == {
        "catboost",
        "seasonal_naive_24",
        "seasonal_naive_1",
        "ensemble",
    }


def test_a_run_publishes_to_a_bucket_and_forecasts_come_from_it(
    ran: Any, bucket: str, tmp_path: Path
) -> None:
    folder, _ = ran
    data, registry = str(folder / "data.csv"), f"{bucket}/registry"
    [row] = json.loads(kubecast_here("models", "list", "--registry", registry, "--json").stdout)
    assert "champion" in row["aliases"]
    assert kubecast_here("models", "verify", "--registry", registry).returncode == 0

    forecast = kubecast(
        *("forecast", "--registry", registry, "--model", "forecaster", "--data", data),
        *("--output", str(tmp_path / "forecast.parquet")),
    )
    assert forecast.returncode == 0, forecast.stderr
    fetched = pd.read_parquet(tmp_path / "forecast.parquet")
    published = pd.read_parquet(folder / "out" / "forecasts.parquet")
    pd.testing.assert_frame_equal(fetched, published, rtol=0, atol=1e-6)

    compiled = compile_pipeline(AllSettings(), tmp_path / "batch.yaml", "score", on_cluster=False)
    given = {
        "data": data,
        "registry": registry,
        "model": "forecaster",
        "destination": f"{bucket}/batches",
    }
    outputs = run_compiled(compiled, given, tmp_path / "batch", resume=False, on_progress=lambda _: None)
    batch = read_batch(f"{bucket}/batches", "forecaster")
    assert (batch.batch, batch.model) == (outputs["publish-batch"]["Output"], f"forecaster@{row['version']}")
    [file] = batch.files
    [content] = open_store(f"{bucket}/batches").stream(f"forecaster/{file.path}")
    stored = pd.read_parquet(io.BytesIO(content))
    pd.testing.assert_frame_equal(stored, pd.read_parquet(outputs["publish-batch"]["forecasts"]))


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
