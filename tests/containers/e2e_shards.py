"""Series in shards, each a container of its own: what dies, what fails for good, and what is damaged."""

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.storage.bucket import ObjectStore
from tests.containers.podman import Podman
from tests.containers.running import Finished, call
from tests.support.batches import read_batch

MODEL = "shards"
FILES, SERIES, ROWS = 12, 300, 120
DATA, REGISTRY = "s3://kubecast/panel/", "s3://kubecast/shards/registry"
SETTINGS = (
    "pipeline.models=[arima]",
    "arima.engine=css",
    "arima.max_order=[1, 1, 1]",
    "training.data.min_samples=50",
    "pipeline.shards=4",
    f"training.model_name={MODEL}",
)
# Read by every Python of a container at its start; kubecast knows nothing of it.
SITE = """\
import json, os, pathlib, signal, sys, time

words = " ".join(sys.orig_argv)
for path in pathlib.Path(__file__).parent.glob("*.json"):
    rule = json.loads(path.read_text())
    if all(text in words for text in rule["words"]):
        if rule["once"]:
            path.unlink(missing_ok=True)
        if rule["signal"]:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(600)
"""

Run = Callable[..., Finished]


def file_of(number: int) -> bytes:
    """The rows of every series on some of its days, as a Parquet file."""
    hours = pd.date_range("2024-01-01", periods=ROWS, freq="h")[number * ROWS // FILES :][: ROWS // FILES]
    generator = np.random.default_rng(number)
    table = pd.DataFrame({"unique_id": [f"shop {n:03}" for n in range(SERIES)]}).merge(
        pd.DataFrame({"ds": hours}), how="cross"
    )
    level = 10 + table["unique_id"].str[-3:].astype(int) % 7
    table["y"] = level + np.sin(table["ds"].dt.hour / 4) + generator.normal(0, 0.1, len(table))
    stream = io.BytesIO()
    table.to_parquet(stream, index=False)
    return stream.getvalue()


@pytest.fixture(scope="module")
def site(root: Path) -> Path:
    """A folder whose rules end processes of containers."""
    folder = root / "site"
    folder.mkdir(mode=0o2775)
    folder.chmod(0o2777)
    (folder / "sitecustomize.py").write_text(SITE)
    return folder


@pytest.fixture(autouse=True)
def _no_rule_is_left(site: Path) -> Iterator[None]:
    yield
    (site / "rule.json").unlink(missing_ok=True)


@pytest.fixture(scope="module")
def fit(store: dict[str, str], run: Run, site: Path) -> Callable[..., Finished]:
    """Train on the twelve files."""
    files = ObjectStore("s3://kubecast")
    for number in range(FILES):
        files.write(f"panel/part-{number:02}.parquet", [file_of(number)])

    def fit(mode: str, *settings: str) -> Finished:
        request = {"data": DATA, "registry": REGISTRY, "horizon": 6, "frequency": "h", "season_lengths": "24"}
        return run(mode, (*SETTINGS, *settings), variables=variables(site), **request)

    return fit


def variables(site: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{site}:/opt/kubecast", "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="module")
def trained(fit: Callable[..., Finished], site: Path) -> Finished:
    """A training in whose course a process died."""
    rule(site, "-m kubecast.steps.fit_shard", '"shard":"2/4"', once=True)
    return fit("train")


@pytest.fixture(scope="module")
def version(trained: Finished) -> str:
    return str(trained.outputs["register-model"]["Output"])


def rule(site: Path, *words: str, once: bool, kill: bool = True) -> None:
    (site / "rule.json").write_text(json.dumps({"words": words, "once": once, "signal": kill}))


@pytest.fixture
def score(version: str, run: Run, site: Path) -> Callable[..., Finished]:
    """Score the twelve files into a folder, in four shards unless settings say otherwise."""

    def score(folder: str, *settings: str, **given: Any) -> Finished:
        destination = f"s3://kubecast/{folder}"
        request = {"data": DATA, "registry": REGISTRY, "model": MODEL, "destination": destination}
        return run("score", (*SETTINGS, *settings), variables=variables(site), **request, **given)

    return score


@pytest.fixture(scope="module")
def whole(version: str, run: Run) -> pd.DataFrame:
    """The forecasts in one shard."""
    settings = (*SETTINGS, "pipeline.shards=1")
    request = {"data": DATA, "registry": REGISTRY, "model": MODEL, "destination": "s3://kubecast/whole"}
    return forecasts(run("score", settings, **request))


def forecasts(finished: Finished) -> pd.DataFrame:
    return pd.read_parquet(finished.outputs["publish-batch"]["forecasts"])


def test_fit_in_shards_makes_the_version_that_one_at_once_makes(
    trained: Finished, fit: Callable[..., Finished]
) -> None:
    assert "its process was ended by SIGKILL" in trained.log
    assert trained.log.count("shard 2/4: series shop") == 2  # train, final
    at_once = fit("retrain", "pipeline.shards=1")
    tables = [pd.read_parquet(each.outputs["register-model"]["forecast"]) for each in (trained, at_once)]
    assert len(tables[0]) == SERIES * 6
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_process_that_is_killed_is_begun_again(
    score: Callable[..., Finished], whole: pd.DataFrame, site: Path
) -> None:
    rule(site, "-m kubecast.steps.forecast_shard", "/002", once=True)
    done = score("process")
    assert "its process was ended by SIGKILL" in done.log
    pd.testing.assert_frame_equal(forecasts(done), whole)
    batch = read_batch("s3://kubecast/process", MODEL)
    assert [file.shard.series for file in batch.files if file.shard] == [75] * 4


def test_container_that_is_killed_fails_the_run_and_the_next_one_makes_what_is_missing(
    score: Callable[..., Finished], whole: pd.DataFrame, site: Path, podman: Podman
) -> None:
    rule(site, "executor_main", "/003", once=True, kill=False)
    killed, over = threading.Event(), threading.Event()
    watch = threading.Thread(target=kill_container, args=("/003", podman, killed, over))
    watch.start()
    try:
        failed = score("container", "cluster.parallelism=1", fails=True)
    finally:
        over.set()
        watch.join()
    assert killed.is_set()
    assert "publish_batch" not in failed.log
    again = score("container")
    assert len(re.findall(r"shard \d{3} was forecast before", again.log)) == 3
    assert "the history is there already" in again.log
    pd.testing.assert_frame_equal(forecasts(again), whole)


def kill_container(word: str, podman: Podman, killed: threading.Event, over: threading.Event) -> None:
    """Kill the container whose command has a word, as soon as it is there."""
    while not (killed.is_set() or over.wait(0.5)):
        columns = "{{.ID}} {{.Command}}"
        running = call("podman", "ps", "--no-trunc", "--format", columns, **podman.environment)
        for container, _, command in (line.partition(" ") for line in running.splitlines()):
            if word in command:
                call("podman", "kill", "--signal", "KILL", container, **podman.environment)
                killed.set()


def test_shard_that_fails_for_good_is_named_and_the_rest_is_published(
    score: Callable[..., Finished], whole: pd.DataFrame, site: Path
) -> None:
    rule(site, "-m kubecast.steps.forecast_shard", "/001", once=False)
    done = score("rest", "pipeline.min_shards=0.75", "cluster.retries.attempts=1")
    assert done.log.count("its process was ended by SIGKILL") >= 2
    [missing] = read_batch("s3://kubecast/rest", MODEL).missing
    assert missing.reason == "its process was ended by SIGKILL"
    kept = ~whole["unique_id"].between(missing.shard.first, missing.shard.last)
    assert (~kept).sum() == 75 * 6
    pd.testing.assert_frame_equal(forecasts(done), whole[kept].reset_index(drop=True))
    page = Path(done.outputs["publish-batch"]["report"]).read_text()
    assert missing.shard.first in page
    failed = score("nothing", fails=True)
    assert "1 of 4 shards failed; allowed by pipeline.min_shards 1: 0" in failed.log
    assert not ObjectStore("s3://kubecast").list_files(f"nothing/{MODEL}")


def test_damaged_file_is_named_before_anything_is_forecast(score: Callable[..., Finished]) -> None:
    files = ObjectStore("s3://kubecast")
    path = "panel/part-05.parquet"
    sound = b"".join(files.stream(path))
    files.remove(path)
    files.write(path, [sound[: len(sound) // 2]])
    try:
        failed = score("damaged", fails=True)
    finally:
        files.remove(path)
        files.write(path, [sound])
    assert re.search(r"DataError\s*: .*part-05\.parquet", failed.log)
    assert "Got executor_input" in failed.log
    assert "forecast_shard" not in failed.log
