"""Batches of forecasts: kept whole, once, with the version that made them."""

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pytest

from kubecast.data import parquet, partition
from kubecast.ensemble import bundle
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import InputError, IntegrityError, NotFound, StoreFull, StoreTimeout
from kubecast.registry import Registry
from kubecast.steps.batch_store import Batch, BatchFile
from kubecast.steps.publish_batch import first_forecast
from kubecast.storage.folder import LocalStore
from tests.support.batches import batch_forecast, read_batch
from tests.support.pages import read_payload
from tests.support.panels import hourly
from tests.support.runs import run

pytestmark = pytest.mark.slow

Make = Callable[..., Batch]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(hourly(), tmp_path_factory.mktemp("batch") / "run")


@pytest.fixture
def make(published: Path, tmp_path: Path) -> Make:
    def forecast(rows: pd.DataFrame | None = None, **changes: object) -> Batch:
        (hourly() if rows is None else rows).to_csv(tmp_path / "new.csv", index=False)
        request = {
            "data": str(tmp_path / "new.csv"),
            "registry": str(published / "registry"),
            "model": "forecaster",
            "destination": str(tmp_path / "batches"),
            "horizon": 0,
            "future": "",
            "as_of": "",
            "forecasts": tmp_path / "copy.parquet",
            **changes,
        }
        return batch_forecast(**request)  # type: ignore[arg-type]

    return forecast


def only_file(batch: Batch) -> BatchFile:
    [file] = batch.files
    return file


def files_of_batches(folder: Path) -> list[str]:
    return [path.name for path in (folder / "batches").rglob("forecast-*.parquet")]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def files(folder: Path) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in folder.rglob("*") if path.is_file())


def test_batch_holds_what_the_version_forecasts_and_names_it(
    make: Make, published: Path, tmp_path: Path
) -> None:
    batch = make()
    stored = tmp_path / "batches" / "forecaster" / only_file(batch).path
    assert stored.read_bytes() == (tmp_path / "copy.parquet").read_bytes()
    assert (only_file(batch).size, only_file(batch).sha256) == (
        stored.stat().st_size,
        hashlib.sha256(stored.read_bytes()).hexdigest(),
    )
    assert batch.model == (published / "published").read_text()
    registry = Registry.open(str(published / "registry"))
    folder = registry.fetch(registry.resolve(batch.model), "production", tmp_path / "fetched")
    pd.testing.assert_frame_equal(pd.read_parquet(stored), Bundle.load(folder).forecast(hourly()))
    assert batch.series == 3
    assert batch.horizon == 6
    assert read_batch(str(tmp_path / "batches"), "forecaster") == batch
    assert read_batch(str(tmp_path / "batches"), "forecaster", batch.batch) == batch


def test_batch_does_not_depend_on_how_rows_are_cut(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = hourly()
    old = rows["ds"] <= rows["ds"].max() - pd.Timedelta(hours=24)
    rows.to_parquet(tmp_path / "new.parquet")
    rows[old].to_parquet(tmp_path / "old.parquet")
    found = []
    for cut in (False, True):
        if cut:
            monkeypatch.setattr(partition, "RANGE_ROWS", 150)
            monkeypatch.setattr(parquet, "BLOCK_ROWS", 50)
            monkeypatch.setattr(bundle, "FORECAST_ROWS", 100)
        kept = {"destination": str(tmp_path / f"cut {cut}"), "report": tmp_path / "page.html"}
        earlier = make(data=str(tmp_path / "old.parquet"), **kept)
        batch = make(data=str(tmp_path / "new.parquet"), **kept)
        text = (tmp_path / "page.html").read_text()
        found.append((pd.read_parquet(tmp_path / "copy.parquet"), read_payload(text), batch.batch))
        assert earlier.batch in text
    whole, blocks = found
    pd.testing.assert_frame_equal(blocks[0], whole[0], check_exact=True)
    assert blocks[1:] == whole[1:]


def test_the_same_request_twice_is_kept_once(make: Make, tmp_path: Path) -> None:
    first = make()
    before = contents(tmp_path / "batches" / "forecaster")
    assert make() == first
    assert contents(tmp_path / "batches" / "forecaster") == before


def test_another_horizon_or_moment_is_another_batch(make: Make) -> None:
    rows = hourly()
    moment = str(rows["ds"].max() - pd.Timedelta(hours=24))
    names = {make().batch, make(horizon=3).batch, make(as_of=moment).batch}
    assert len(names) == 3


def test_latest_moves_to_newer_forecasts_and_never_back(make: Make, tmp_path: Path) -> None:
    rows = hourly()
    old = make(rows[rows["ds"] <= rows["ds"].max() - pd.Timedelta(hours=24)])
    assert read_batch(str(tmp_path / "batches"), "forecaster") == old
    new = make(rows)
    assert read_batch(str(tmp_path / "batches"), "forecaster") == new
    assert make(rows[rows["ds"] <= rows["ds"].max() - pd.Timedelta(hours=48)]).first < new.first
    assert read_batch(str(tmp_path / "batches"), "forecaster") == new


def test_series_that_ended_long_ago_do_not_hold_latest_back(make: Make, tmp_path: Path) -> None:
    rows = hourly()
    newest = rows["ds"].max()
    ended = (rows["unique_id"] != "s0") & (rows["ds"] > newest - pd.Timedelta(hours=150))
    yesterday = make(rows[(rows["unique_id"] == "s0") & (rows["ds"] <= newest - pd.Timedelta(hours=24))])
    today = make(rows[~ended])
    assert today.first == newest + pd.Timedelta(hours=1) > yesterday.first
    assert read_batch(str(tmp_path / "batches"), "forecaster") == today


@pytest.mark.parametrize(("others", "first"), [(25, "2024-06-01"), (3, "2124-06-01")])
def test_one_date_in_the_future_among_many_does_not_decide(others: int, first: str) -> None:
    days = pd.DatetimeIndex(["2124-06-01", *["2024-06-01"] * others, "2020-01-01"])
    table = pd.DataFrame({"unique_id": [f"s{number}" for number in range(len(days))], "ds": days})
    assert first_forecast(table) == pd.Timestamp(first)


def test_a_batch_cut_off_before_its_manifest_is_made_again(make: Make, tmp_path: Path) -> None:
    batch = make()
    folder = tmp_path / "batches" / "forecaster"
    (folder / batch.batch / "manifest.json").unlink()
    (folder / "latest.json").unlink()
    again = make()
    assert again.batch == batch.batch
    assert only_file(again).path != only_file(batch).path
    assert read_batch(str(tmp_path / "batches"), "forecaster") == again


def test_a_manifest_whose_reply_was_lost_keeps_its_file(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap_and_fail(store: LocalStore, path: str, data: bytes, expected: str | None) -> None:
        swap(store, path, data, expected)
        raise StoreTimeout("no reply")

    swap = LocalStore.compare_and_swap
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "compare_and_swap", swap_and_fail)
        with pytest.raises(StoreTimeout):
            make()
    batch = make()
    assert (tmp_path / "batches" / "forecaster" / only_file(batch).path).exists()
    assert read_batch(str(tmp_path / "batches"), "forecaster") == batch


def test_a_file_that_was_written_in_part_is_taken_away(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(store: LocalStore, path: str, chunks: Iterable[bytes]) -> None:
        write(store, path, [b"half"] if is_of_batch(path) else chunks)
        if is_of_batch(path):
            raise StoreFull("no space left")

    def is_of_batch(path: str) -> bool:
        return path.startswith("forecaster/")

    write = LocalStore.write
    with monkeypatch.context() as patch:
        patch.setattr(LocalStore, "write", fill_up)
        with pytest.raises(StoreFull):
            make()
    assert files(tmp_path / "batches" / "forecaster") == []
    assert read_batch(str(tmp_path / "batches"), "forecaster", make().batch)


def overtaken(monkeypatch: pytest.MonkeyPatch, name: str, other: Callable[[], Batch]) -> list[Batch]:
    """Let another writer finish just before the first write of ``name``; gives what that one kept."""

    def swap_late(store: LocalStore, path: str, data: bytes, expected: str | None) -> None:
        if path.endswith(name):
            monkeypatch.setattr(LocalStore, "compare_and_swap", swap)
            kept.append(other())
        swap(store, path, data, expected)

    swap, kept = LocalStore.compare_and_swap, list[Batch]()
    monkeypatch.setattr(LocalStore, "compare_and_swap", swap_late)
    return kept


def test_two_writers_of_one_batch_keep_the_first_ones(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = overtaken(monkeypatch, "manifest.json", make)
    assert [make()] == first
    assert files_of_batches(tmp_path) == [Path(only_file(first[0]).path).name]
    assert read_batch(str(tmp_path / "batches"), "forecaster") == first[0]


def test_writer_of_older_forecasts_that_was_overtaken_leaves_latest(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = hourly()
    newer = overtaken(monkeypatch, "latest.json", make)
    older = make(rows[rows["ds"] <= rows["ds"].max() - pd.Timedelta(hours=24)])
    assert older.first < newer[0].first
    assert read_batch(str(tmp_path / "batches"), "forecaster") == newer[0]


def test_version_that_is_no_champion_forecasts_only_when_it_is_named(
    make: Make, published: Path, tmp_path: Path
) -> None:
    registry = Registry.open(str(published / "registry"))
    bundle = registry.fetch(registry.resolve("forecaster"), "production", tmp_path / "fetched")
    refused = Registry.open(str(tmp_path / "registry"))
    version = refused.publish("forecaster", bundle.parent, {})
    with pytest.raises(NotFound, match="no alias forecaster@champion"):
        make(registry=str(tmp_path / "registry"))
    named = make(registry=str(tmp_path / "registry"), model=f"forecaster@{version.id}")
    assert named.model == f"forecaster@{version.id}"


def test_data_that_does_not_fit_keeps_nothing(make: Make, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="horizon 7"):
        make(horizon=7)
    assert not (tmp_path / "batches").exists()


def test_unknown_alias_is_named(make: Make) -> None:
    with pytest.raises(NotFound, match="no alias forecaster@challenger"):
        make(model="forecaster@challenger")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema_version": 3}', b"\x80\x04"])
def test_an_altered_manifest_is_refused(make: Make, tmp_path: Path, content: bytes) -> None:
    batch = make()
    (tmp_path / "batches" / "forecaster" / batch.batch / "manifest.json").write_bytes(content)
    with pytest.raises(IntegrityError, match="not the manifest of a batch"):
        make()


def test_page_says_what_to_look_at_and_where_the_file_is(make: Make, tmp_path: Path) -> None:
    rows = hourly()
    newest = rows["ds"].max()
    jump = (rows["unique_id"] == "s1") & (rows["ds"] > newest - pd.Timedelta(hours=6))
    rows.loc[jump, "y"] *= 30
    new = rows[rows["unique_id"] == "s0"].assign(unique_id="another")
    ended = (rows["unique_id"] == "s2") & (rows["ds"] > newest - pd.Timedelta(hours=60))
    earlier = make(rows[rows["ds"] <= newest - pd.Timedelta(hours=24)])
    page = tmp_path / "page.html"
    batch = make(pd.concat([rows[~ended], new]), report=page)
    text = re.sub(
        r"\s+", " ", re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page.read_text(), flags=re.DOTALL)
    )
    assert f"{tmp_path / 'batches'}/forecaster/{only_file(batch).path}" in text
    assert batch.model in text
    assert "1 are new to the model, 1 ended before the others" in text
    assert "Written: look at" in text
    assert earlier.batch in text
    series = {each["id"]: each for each in read_payload(page.read_text())["explorer"]["series"]}
    assert set(series) == {"another", "s0", "s1", "s2"}
    assert "new" in series["another"]["flags"]
    assert "stale" in series["s2"]["flags"]
    assert all(len(each["ahead"]["mid"]) == 6 for each in series.values())
    forecast = pd.read_parquet(tmp_path / "copy.parquet").groupby("unique_id")["yhat"].sum()
    hours = (rows["unique_id"] == "s0") & (rows["ds"] > newest - pd.Timedelta(hours=24))
    day_before = rows[hours].sort_values("ds")["y"].head(6).sum()
    assert series["s0"]["change"] == pytest.approx(forecast["s0"] / day_before - 1, rel=1e-3)


def test_page_of_a_batch_that_stands_says_so_and_names_the_series_that_are_gone(
    make: Make, tmp_path: Path
) -> None:
    rows, page = hourly(), tmp_path / "page.html"
    make(rows[rows["unique_id"] != "s2"])
    make(rows[rows["unique_id"] != "s2"], report=page)
    text = page.read_text()
    assert "Written before, by the same request" in text
    assert "Gone since training: 1 series" in text
    old = rows[rows["ds"] <= rows["ds"].max() - pd.Timedelta(hours=48)]
    make(old, report=page)
    assert "latest.json stays at newer forecasts" in page.read_text()


@pytest.mark.parametrize("failing", ["render_score", "review_batch", "all_scales"])
def test_page_that_cannot_be_made_costs_the_page_alone(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no <font>")

    monkeypatch.setattr(f"kubecast.steps.publish_batch.{failing}", fail)
    batch = make(report=tmp_path / "page.html")
    assert read_batch(str(tmp_path / "batches"), "forecaster") == batch
    page = (tmp_path / "page.html").read_text()
    assert "There is no page: ValueError: no &lt;font&gt;" in page
    assert "The forecasts are kept: " in page
    assert f"{tmp_path / 'batches'}/forecaster/{only_file(batch).path}" in page
