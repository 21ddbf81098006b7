"""Series that are forecast in shards: equal to all at once, resumed, and named where they fail."""

import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest

from kubecast.errors import ConfigError, IntegrityError, ShardError, StoreForbidden, StoreTimeout
from kubecast.processes import Outcome
from kubecast.steps import forecast_shard as forecasting
from kubecast.steps.batch_store import Batch, read_table
from kubecast.steps.forecast_shard import ShardRequest, forecast_rows, forecast_shard
from kubecast.steps.prepare_history import prepare_history
from kubecast.steps.publish_batch import publish_batch
from kubecast.steps.shard_status import ShardStatus
from kubecast.steps.shards import (
    Shard,
    fetch_history,
    fetch_rows,
    forecasts_part,
    shard_count,
)
from kubecast.storage.folder import LocalStore
from kubecast.storage.store import open_store
from kubecast.storage.work import Work
from tests.support.batches import batch_forecast, read_batch
from tests.support.pages import read_payload
from tests.support.panels import WITH_COVARIATES, hourly
from tests.support.runs import run

pytestmark = pytest.mark.slow

MODEL = "forecaster"
LONG = pytest.mark.long


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(hourly(), tmp_path_factory.mktemp("shards") / "run")


@pytest.fixture
def prepare(published: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Prepare the history of twelve series, of which nine are new, in shards."""
    rows = pd.concat([hourly().assign(unique_id=lambda t, n=n: f"{n}" + t["unique_id"]) for n in "xyz"])
    pd.concat([hourly(), rows]).to_parquet(tmp_path / "new.parquet")

    def in_shards(count: int) -> list[str]:
        request = str(tmp_path / "new.parquet"), str(published / "registry"), MODEL, str(tmp_path)
        return prepare_history(*request, 0, "", "", str(count), str(tmp_path / "work"), 7)

    return in_shards


def forecast(shards: list[str], published: Path) -> list[ShardStatus]:
    for shard in shards:
        forecast_rows(ShardRequest(shard=shard, registry=str(published / "registry")))
    return [ShardStatus(shard=shard) for shard in shards]


def publish(
    statuses: list[ShardStatus], published: Path, folder: Path, least: float = 1.0, page: Path | None = None
) -> Batch:
    given = [status.model_dump_json() for status in statuses]
    registry, destination = str(published / "registry"), str(folder / "batches")
    return publish_batch(given, registry, destination, least, folder / "copy.parquet", page)


@pytest.mark.parametrize("count", [4, pytest.param(64, marks=LONG)])
def test_any_number_of_shards_gives_the_same_forecasts_and_page(
    prepare: Callable[..., list[str]], published: Path, tmp_path: Path, count: int
) -> None:
    made = {}
    for number in (1, count):
        page = tmp_path / "page.html"
        batch = publish(forecast(prepare(number), published), published, tmp_path / f"{number}", page=page)
        payload = read_payload(page.read_text())
        made[number] = batch, pd.read_parquet(tmp_path / f"{number}" / "copy.parquet"), payload
    (whole, table, page_of_all), (divided, parts, page_of_parts) = made[1], made[count]
    pd.testing.assert_frame_equal(parts, table, check_exact=True)
    assert page_of_parts == page_of_all
    assert len(whole.files) == 1
    assert len(divided.files) == min(count, 12)
    assert divided.batch == whole.batch
    assert sum(file.shard.series for file in divided.files if file.shard) == divided.series == 12
    store = open_store(str(tmp_path / f"{count}" / "batches"))
    read, stored = read_table(store, MODEL, divided.batch)
    assert read == divided == read_batch(str(tmp_path / f"{count}" / "batches"), MODEL)
    pd.testing.assert_frame_equal(stored.reset_index(drop=True), table)


def test_what_an_earlier_run_made_is_not_made_again(
    prepare: Callable[..., list[str]],
    published: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun = []
    monkeypatch.setattr(forecasting, "run_in_child", lambda _, text, __: begun.append(text) or Outcome())
    shards = prepare(4)
    forecast(shards[1:3], published)
    with caplog.at_level(logging.INFO, "kubecast"):
        assert prepare(4) == shards
    assert "the history is there already" in caplog.text
    for shard in shards:
        forecast_shard(shard, str(published / "registry"), 0)
    assert [ShardRequest.model_validate_json(text).shard for text in begun] == [shards[0], shards[3]]


@LONG
def test_history_that_has_lost_a_file_is_made_again(
    prepare: Callable[..., list[str]], published: Path, tmp_path: Path
) -> None:
    shards = prepare(4)
    work = tmp_path / "work" / Path(shards[0]).parent.name
    for file in work.glob("rows-002-*/panel.parquet"):
        file.unlink()
    assert prepare(4) == shards
    publish(forecast(shards, published), published, tmp_path)


def test_shard_that_fails_for_good_is_named_and_the_rest_is_published(
    prepare: Callable[..., list[str]], published: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shards = prepare(4)
    statuses = forecast(shards[:3], published)
    statuses.append(ShardStatus(shard=shards[3], reason="its process was ended by SIGKILL"))
    with pytest.raises(ShardError, match=r"1 of 4 shards failed.*min_shards 1: 0; .*003, series .*SIGKILL"):
        publish(statuses, published, tmp_path)
    assert not (tmp_path / "batches").exists()
    page = tmp_path / "page.html"
    batch = publish(statuses, published, tmp_path, least=0.75, page=page)
    [missing] = batch.missing
    assert (missing.shard.series, missing.reason) == (3, "its process was ended by SIGKILL")
    assert batch.series == 9
    assert f"no forecasts of {missing.shard}: {missing.reason}" in caplog.text
    text = re.sub(r"\s+", " ", page.read_text())
    assert "3 are missing" in text
    assert missing.reason in text
    assert "Gone since training" not in text
    whole = publish(forecast(shards, published), published, tmp_path)
    assert whole.batch != batch.batch
    assert not whole.missing
    assert read_batch(str(tmp_path / "batches"), MODEL) == whole
    fewer = statuses[1:3] + [ShardStatus(shard=each, reason="no memory") for each in (shards[0], shards[3])]
    assert len(publish(fewer, published, tmp_path, least=0.5).missing) == 2
    assert read_batch(str(tmp_path / "batches"), MODEL) == whole


@LONG
def test_shard_of_which_nothing_is_known_has_failed(
    prepare: Callable[..., list[str]], published: Path, tmp_path: Path
) -> None:
    shards = prepare(4)
    with pytest.raises(ShardError, match="nothing is known of its task"):
        publish(forecast(shards, published)[1:], published, tmp_path)


@LONG
def test_process_of_a_shard_that_dies_is_begun_again(
    prepare: Callable[..., list[str]], published: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [shard] = prepare(1)
    registry = str(published / "registry")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os, pathlib, signal, sys\n"
        f"died = pathlib.Path({str(tmp_path / 'died')!r})\n"
        "if 'kubecast.steps.forecast_shard' in sys.orig_argv and not died.exists():\n"
        "    died.touch()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"), prepend=":")
    assert forecast_shard(shard, registry, 0).reason == "its process was ended by SIGKILL"
    (tmp_path / "died").unlink()
    assert forecast_shard(shard, registry, 1).reason == ""
    assert Shard.open(shard).work.has(forecasts_part("000"))


@LONG
def test_error_of_a_shard_is_its_reason(
    prepare: Callable[..., list[str]], published: Path, tmp_path: Path
) -> None:
    shard = prepare(4)[1]
    for file in (tmp_path / "work").rglob("rows-001-*/panel.parquet"):
        file.write_bytes(b"x" * file.stat().st_size)
    registry = str(published / "registry")
    assert "but its manifest says" in forecast_shard(shard, registry, 2).reason
    assert prepare(4)[1] == shard  # which makes again what is damaged
    assert forecast_shard(shard, registry, 2).reason == ""


@pytest.mark.parametrize(
    "url", ["", "work/000", "s3://bucket/work/0123456789abcdef0123456789abcdef", "a/../000", "x/y/../../etc"]
)
def test_url_of_no_shard_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        Shard.open(url)


@pytest.mark.parametrize(
    ("setting", "rows", "count"),
    [("auto", 1, 1), ("auto", 5_000_000, 1), ("auto", 5_000_001, 2), ("auto", 10**9, 64), ("3", 10, 3)],
)
def test_shards_follow_from_rows(setting: str, rows: int, count: int) -> None:
    assert shard_count(setting, rows) == count


@LONG
def test_batch_of_one_file_of_the_first_schema_is_read(published: Path, tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "new.csv", index=False)
    request = str(tmp_path / "new.csv"), str(published / "registry"), MODEL, str(tmp_path / "batches")
    batch = batch_forecast(*request, 0, "", "", tmp_path / "copy.parquet")
    folder = tmp_path / "batches" / MODEL
    [file] = batch.files
    former = batch.model_dump(mode="json", exclude={"files", "missing"}) | {
        "schema_version": 1,
        "path": file.path,
        "file": {"size": file.size, "sha256": file.sha256},
    }
    import json

    for name in (f"{batch.batch}/manifest.json", "latest.json"):
        (folder / name).write_text(json.dumps(former))
    read, table = read_table(open_store(str(tmp_path / "batches")), MODEL, batch.batch)
    assert [each.path for each in read.files] == [file.path]
    pd.testing.assert_frame_equal(table, pd.read_parquet(tmp_path / "copy.parquet"))
    again = batch_forecast(*request, 0, "", "", tmp_path / "copy.parquet")
    assert again.files[0].path == file.path
    former["path"] = "../../../etc/passwd"
    (folder / batch.batch / "manifest.json").write_text(json.dumps(former))
    with pytest.raises(IntegrityError, match="not the manifest of a batch"):
        read_table(open_store(str(tmp_path / "batches")), MODEL, batch.batch)


def test_work_is_in_the_destination_unless_it_is_told_otherwise(published: Path, tmp_path: Path) -> None:
    hourly().to_csv(tmp_path / "new.csv", index=False)
    request = str(tmp_path / "new.csv"), str(published / "registry"), MODEL, f"{tmp_path}/batches/"
    [shard] = prepare_history(*request, 0, "", "", "auto", "", 7)
    assert shard.startswith((tmp_path / "batches" / ".work").as_uri())
    [shard] = prepare_history(*request, 0, "", "", "auto", str(tmp_path / "elsewhere"), 7)
    assert shard.startswith((tmp_path / "elsewhere").as_uri())


def test_batch_of_no_shard_is_refused(published: Path, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no status of a shard"):
        publish([], published, tmp_path)


def test_shards_have_as_many_rows_as_they_say(prepare: Callable[..., list[str]], tmp_path: Path) -> None:
    shards = [Shard.open(url) for url in prepare(4)]
    history, panel = fetch_history(shards[0].work, tmp_path / "fetched")
    counts = {
        shard.name: sum(map(len, fetch_rows(shard.work, [shard.name], panel).rows())) for shard in shards
    }
    assert counts == {name: each.rows for name, each in history.shards.items()}


@LONG
def test_old_work_that_cannot_be_removed_does_not_stop_a_run(
    prepare: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = Work(open_store(str(tmp_path / "work")), "0" * 32)
    old.begin(datetime.now(UTC) - timedelta(days=8))

    def refuse(_: LocalStore, path: str) -> None:
        raise StoreForbidden(f"{path}: not allowed")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "remove", refuse)
        assert len(prepare(2)) == 2
    assert f"is not removed: {old.key}: not allowed" in caplog.text
    assert len(prepare(2)) == 2
    assert not (tmp_path / "work" / old.key).exists()


def test_destination_that_cannot_be_is_refused_first(published: Path, tmp_path: Path) -> None:
    for destination in ("ftp://nowhere/x", ""):
        with pytest.raises(ConfigError):
            prepare_history("no data", str(published / "registry"), MODEL, destination, 0, "", "", "1", "", 7)


def test_store_that_fails_before_a_shard_is_forecast_is_its_reason(
    prepare: Callable[..., list[str]], published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreTimeout("no answer")

    [shard] = prepare(1)
    monkeypatch.setattr(Work, "has", fail)
    assert forecast_shard(shard, str(published / "registry"), 0).reason == "no answer"


@LONG
def test_shards_of_everyday_data_are_forecast_as_the_whole_is(tmp_path: Path) -> None:
    """Covariates of each kind and their file, a clock, numbers as names, series that ended, a moment."""
    names = {f"s{number}": float(number) for number in range(6)}
    rows = hourly(series=6, rows=330, covariates=True).assign(
        unique_id=lambda table: table["unique_id"].map(names)
    )
    rows["ds"] = rows["ds"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    data = {**WITH_COVARIATES, "stale": "leave_out"}
    version = run(rows, tmp_path / "run", data=data)
    newest = rows["ds"].max()
    rows = rows[(rows["unique_id"] < 5) | (rows["ds"] < newest - pd.Timedelta(hours=40))]
    rows.to_parquet(tmp_path / "new.parquet")
    ends = rows.groupby("unique_id")["ds"].max()
    pd.concat(
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(end, periods=7, freq="h")[1:], "promotion": 1.0})
        for name, end in ends.items()
    ).to_parquet(tmp_path / "future.parquet")
    given = str(tmp_path / "new.parquet"), str(version / "registry"), f"{MODEL}@latest"
    tables = {}
    for count in (1, 6):
        copy = tmp_path / f"{count}.parquet"
        request = 4, str(tmp_path / "future.parquet"), str(newest - pd.Timedelta(hours=9))
        batch = batch_forecast(*given, str(tmp_path / f"{count}"), *request, copy, shards=str(count))
        folder = tmp_path / f"{count}" / MODEL
        files = [pyarrow.parquet.read_table(folder / file.path) for file in batch.files]
        assert len({file.schema.remove_metadata() for file in files}) == 1
        tables[count] = batch.batch, pd.read_parquet(copy)
    assert len(batch.files) == 5
    assert batch.series == 5  # one shard is without a forecast
    assert tables[1][0] == tables[6][0]
    pd.testing.assert_frame_equal(tables[1][1], tables[6][1], check_exact=True)
