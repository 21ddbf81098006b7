"""Rows of typed columns come in blocks of whole series, and the panel is that of all rows at once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecast.config.training import TrainingSettings
from kubecast.data import files, partition
from kubecast.data.files import digest_of, open_data, read_data
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel, write_panel
from kubecast.data.sources.base import Part, table_parts
from kubecast.errors import ConfigError, DataError, KubecastError
from tests.support.panels import WITH_COVARIATES, hourly, small_settings
from tests.unit.data.test_preparation_blocks import assert_equal, faulty

Write = Callable[[pd.DataFrame, Path], Path]


def one_file(rows: pd.DataFrame, folder: Path) -> Path:
    rows.to_parquet(folder / "data.parquet", row_group_size=500)
    return folder / "data.parquet"


def three_files(rows: pd.DataFrame, folder: Path) -> Path:
    (folder / "data").mkdir()
    for number in range(3):
        rows.iloc[number::3].to_parquet(folder / "data" / f"{number}.parquet")
    return folder / "data"


def days(zone: str, at: str = "00:00") -> pd.DataFrame:
    """Daily series, some of them in winter alone, at one time of day on a clock."""
    times = pd.date_range(f"2024-01-01 {at}", periods=200, freq="D", tz=zone)
    ends = {"a": 200, "b": 60, "c": 200}
    random = np.random.default_rng(0)
    tables = [
        pd.DataFrame({"unique_id": name, "ds": times[:end], "y": random.normal(10, 1, end)})
        for name, end in ends.items()
    ]
    return pd.concat(tables)


def ids(kind: str) -> pd.DataFrame:
    rows = hourly(series=12, rows=500)
    numbers = rows["unique_id"].str[1:].astype(int)
    values = {"int": numbers, "float": numbers.astype(float), "text": numbers.astype(str) + ".0"}
    return rows.assign(unique_id=values.get(kind, numbers.astype("float32") + np.float32(0.1)))


PLAIN, DAILY = small_settings(), small_settings(frequency=None, season_lengths=[7])
BERLIN = {"min_samples": 1, "timezone": "Europe/Berlin"}
CASES: dict[str, tuple[pd.DataFrame, TrainingSettings]] = {
    "shuffled": (
        hourly().sample(frac=1, random_state=0),
        small_settings(frequency=None, season_lengths=None),
    ),
    "faulty": (faulty(), small_settings(data=WITH_COVARIATES)),
    "repeated": (pd.concat([hourly(), hourly().iloc[::7]]), PLAIN),
    **{f"ids of {kind}": (ids(kind), PLAIN) for kind in ("int", "float", "text", "float32")},
    "days of Berlin": (days("Europe/Berlin"), DAILY),
    "days of Berlin in UTC": (
        days("Europe/Berlin").assign(ds=lambda rows: rows["ds"].dt.tz_convert("UTC")),
        small_settings(frequency=None, season_lengths=[7], data=BERLIN),
    ),
    "noon in Berlin": (days("Europe/Berlin", "12:00"), small_settings(frequency="D", season_lengths=[7])),
    "days in UTC": (days("UTC"), small_settings(frequency=None, season_lengths=[7], data=BERLIN)),
    "dates": (days("UTC").assign(ds=lambda rows: rows["ds"].dt.date), DAILY),
    "hours of a place": (hourly().assign(ds=lambda rows: rows["ds"].dt.tz_localize("Asia/Tokyo")), PLAIN),
    "ids that are dates": (
        ids("int").assign(
            unique_id=lambda rows: pd.Timestamp("2024-01-01") + pd.to_timedelta(rows["unique_id"], "D")
        ),
        PLAIN,
    ),
    "no series": (hourly(series=1).drop(columns="unique_id"), PLAIN),
    "text": (hourly().astype({"ds": str}), PLAIN),
    "static times": (
        hourly(covariates=True).assign(
            region=lambda rows: (
                pd.Timestamp("2020-01-01") + pd.to_timedelta(rows["region"].str[1:].astype(int), "h")
            )
        ),
        small_settings(data=WITH_COVARIATES),
    ),
    "static booleans": (
        hourly(covariates=True).assign(
            region=lambda rows: (rows["region"] == "r1").astype("boolean").mask(rows["unique_id"] == "s1")
        ),
        small_settings(data=WITH_COVARIATES),
    ),
    "booleans": (hourly().assign(y=lambda rows: rows["y"] > 110), PLAIN),
}


UNDIVIDED = ("no series", "text", "static times", "static booleans")
READ_APART = ("shuffled", "faulty", "dates", "ids that are dates", *UNDIVIDED)  # one file and a folder differ


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write"),
    [*((name, three_files) for name in CASES), *((name, one_file) for name in READ_APART)],
)
def test_panel_is_that_of_all_rows(
    name: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 150)
    rows, settings = CASES[name]
    location = str(write(rows, tmp_path))
    whole, moment = read_data(location, settings.data), rows_until(name)
    (tmp_path / "files").mkdir()
    source = open_data(location, settings.data, whole.digest, tmp_path / "files")
    assert source.digest == whole.digest
    write_panel(source.blocks, settings, tmp_path / "panel", as_of=moment)
    assert_equal(Panel.load(tmp_path / "panel"), build_panel(whole.rows, settings, as_of=moment))
    assert (len([*source.blocks()]) > 1) == (name not in UNDIVIDED)


def rows_until(name: str) -> pd.Timestamp | None:
    return pd.Timestamp("2024-01-15") if name in ("shuffled", "repeated") else None


def failure(location: Path, settings: TrainingSettings, folder: Path) -> tuple[str, str]:
    """What is said of rows in blocks, and of all rows at once."""
    messages = []
    for read in (
        lambda: write_panel(open_data(str(location), settings.data, None, folder).blocks, settings, folder),
        lambda: build_panel(read_data(str(location), settings.data).rows, settings),
    ):
        with pytest.raises(KubecastError) as caught:
            read()
        messages.append(str(caught.value))
    return messages[0], messages[1]


@pytest.mark.parametrize("write", [one_file, three_files])
@pytest.mark.parametrize(
    "fault",
    [
        lambda rows: rows.assign(y=rows["y"].where(rows.index != 500, 1e300)),
        lambda rows: rows.assign(y=np.nan),
        lambda rows: rows.assign(ds=rows["ds"].where(rows.index != 700)),
        lambda rows: rows.assign(unique_id=rows["unique_id"].where(rows.index != 7)),
        lambda rows: pd.concat([rows, rows.iloc[600:601].assign(y=3.0)]),
        lambda rows: rows.assign(ds=rows["ds"].where(rows.index != 900, pd.Timestamp("2030-01-01 00:30"))),
        lambda rows: rows.rename(columns={"y": "sales"}),
        lambda rows: rows.assign(region=[f"r{number % 5}" for number in range(len(rows))]),
        lambda rows: rows.assign(region=pd.Series(pd.NA, rows.index, dtype="string")),
    ],
)  # fmt: skip
def test_faults_are_named_as_in_all_rows(
    fault: Callable[[pd.DataFrame], pd.DataFrame],
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 350)
    location = write(fault(hourly(covariates=True)), tmp_path)
    in_blocks, whole = failure(location, small_settings(data=WITH_COVARIATES), tmp_path)
    assert in_blocks == whole


def test_files_of_other_types_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 350)
    location = three_files(ids("int"), tmp_path)
    rows = pd.read_parquet(location / "1.parquet")
    rows.astype({"unique_id": str}).to_parquet(location / "1.parquet")
    source = open_data(str(location), PLAIN.data, None, tmp_path)
    [block] = source.blocks()
    assert len(block) == len(ids("int"))


def test_numbers_that_are_whole_or_missing_in_one_file_alone_are_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 350)
    rows, settings = hourly().round(), small_settings(data={"min_samples": 1, "max_missing": 0.5})
    location = three_files(rows, tmp_path)
    pd.read_parquet(location / "1.parquet").astype({"y": int}).to_parquet(location / "1.parquet")
    pd.read_parquet(location / "2.parquet").assign(y=None).to_parquet(location / "2.parquet")
    source = open_data(str(location), settings.data, None, tmp_path)
    assert len([*source.blocks()]) > 1
    write_panel(source.blocks, settings, tmp_path / "panel")
    assert_equal(
        Panel.load(tmp_path / "panel"), build_panel(read_data(str(location), settings.data).rows, settings)
    )


def test_columns_may_come_in_another_order_and_times_in_other_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 350)
    location = three_files(hourly().astype({"ds": "datetime64[us]"}), tmp_path)
    rows = pd.read_parquet(location / "1.parquet")
    rows[["y", "ds", "unique_id"]].astype({"ds": "datetime64[ms]"}).to_parquet(location / "1.parquet")
    source = open_data(str(location), PLAIN.data, None, tmp_path)
    assert len([*source.blocks()]) > 1
    write_panel(source.blocks, PLAIN, tmp_path / "panel")
    assert_equal(
        Panel.load(tmp_path / "panel"), build_panel(read_data(str(location), PLAIN.data).rows, PLAIN)
    )


def test_dates_name_series_as_before(tmp_path: Path) -> None:
    rows = ids("int")
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rows["unique_id"], "D")
    location = one_file(rows.assign(unique_id=days.dt.date), tmp_path)
    panel = write_panel(
        open_data(str(location), PLAIN.data, None, tmp_path).blocks, PLAIN, tmp_path / "panel"
    )
    assert panel.series["unique_id"].iloc[0] == "2024-01-01"
    assert str(read_data(str(location), PLAIN.data).rows["unique_id"].iloc[0]) == "2024-01-01"


def test_database_whose_rows_are_not_divided_is_read_once(tmp_path: Path) -> None:
    path = str(tmp_path / "shop.duckdb")
    with duckdb.connect(path) as connection:
        frame = hourly(series=1).drop(columns="unique_id")
        connection.execute("CREATE TABLE sales AS SELECT * FROM frame")
        assert len(frame)
    source = open_data(path, PLAIN.data, None, tmp_path)
    assert write_panel(source.blocks, PLAIN, tmp_path / "panel").report.series == 1
    assert source.digest == digest_of(path, PLAIN.data)


def test_table_without_rows_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "shop.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE sales (unique_id TEXT, ds TIMESTAMP, y DOUBLE)")
    with pytest.raises(DataError, match="no rows; allowed: at least one"):
        open_data(path, PLAIN.data, None, tmp_path)


def test_booleans_of_one_file_are_no_numbers_of_another(tmp_path: Path) -> None:
    rows, settings = hourly(covariates=True).assign(region=1.5), small_settings(data=WITH_COVARIATES)
    location = three_files(rows, tmp_path)
    pd.read_parquet(location / "1.parquet").assign(region=True).to_parquet(location / "1.parquet")
    with pytest.raises(DataError, match="a column has two types"):
        open_data(str(location), settings.data, None, tmp_path)


def test_unknown_zone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 350)
    location = one_file(hourly().assign(ds=lambda rows: rows["ds"].dt.tz_localize("UTC")), tmp_path)
    wrong = small_settings(data={"timezone": "Foo/Bar"})
    with pytest.raises(ConfigError, match=r"training\.data\.timezone 'Foo/Bar' is not known"):
        write_panel(open_data(str(location), wrong.data, None, tmp_path).blocks, wrong, tmp_path / "panel")


def test_rows_of_small_parts_are_written_in_large_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 350)
    location = tmp_path / "data.parquet"
    hourly().sample(frac=1, random_state=0).to_parquet(location, row_group_size=10)
    open_data(str(location), PLAIN.data, None, tmp_path)
    groups = [pq.ParquetFile(path).num_row_groups for path in sorted(tmp_path.glob("0*.parquet"))]
    assert groups == [1] * 3


class Batches(NamedTuple):
    """A source of record batches, as a table or a database is."""

    batches: list[pa.RecordBatch]
    ordered: bool = False

    def digest(self) -> str:
        return "table@1"

    def parts(self) -> Iterator[Part]:
        return table_parts(iter(self.batches), self.batches[0].schema.names)


def test_batches_without_rows_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.RecordBatch.from_pandas(hourly(), preserve_index=False)
    source = Batches([rows.slice(0, 0), rows, rows.slice(0, 0)])
    monkeypatch.setattr(partition, "RANGE_ROWS", 350)
    monkeypatch.setattr(partition, "BATCH_ROWS", rows.num_rows)
    monkeypatch.setattr(files, "open_source", lambda request: source)
    blocks = open_data("table", PLAIN.data, None, tmp_path).blocks
    assert sum(len(block) for block in blocks()) == rows.num_rows


def test_changed_data_is_refused(tmp_path: Path) -> None:
    location = one_file(hourly(), tmp_path)
    with pytest.raises(DataError, match="changed since it was first read"):
        open_data(str(location), PLAIN.data, "0" * 64, tmp_path)
