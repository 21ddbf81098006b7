"""Folders of files, local and in a bucket."""

import gzip
from itertools import product
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecast.config.training import DataSettings
from kubecast.data.columns import read_block
from kubecast.data.files import digest_of, read_data
from kubecast.data.panel import Panel
from kubecast.errors import DataError
from kubecast.storage.store import open_store
from tests.support.panels import small_settings
from tests.support.sources import long_rows, panel_of, write_folder


def assert_same(one: Panel, other: Panel) -> None:
    pd.testing.assert_frame_equal(one.frame, other.frame)
    pd.testing.assert_frame_equal(one.static, other.static)
    pd.testing.assert_frame_equal(one.series, other.series)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return long_rows()


@pytest.fixture(scope="module")
def one_file(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Panel:
    path = tmp_path_factory.mktemp("one") / "data.parquet"
    pq.write_table(pa.Table.from_pandas(rows, preserve_index=False), path)
    return panel_of(str(path))


LAYOUTS = list(product(("csv", "csv.gz", "parquet"), (1, 5), ([], ["unique_id"], ["note", "unique_id"])))


@pytest.mark.parametrize(("kind", "files", "partitions"), LAYOUTS)
def test_no_layout_changes_the_panel(
    tmp_path: Path, rows: pd.DataFrame, one_file: Panel, kind: str, files: int, partitions: list[str]
) -> None:
    shuffled = rows.sample(frac=1, random_state=files)
    folder = write_folder(tmp_path / "data", shuffled, kind, files, partitions)
    assert_same(panel_of(folder), one_file)


@pytest.mark.parametrize("how", ["sum", "mean", "last"])
def test_no_layout_changes_rows_that_are_brought_together(tmp_path: Path, how: str) -> None:
    rows = long_rows()
    twice = pd.concat([rows, rows.assign(y=rows["y"] / 3)])
    settings = small_settings(data={"min_samples": 1, "resample": how})
    panels = [
        panel_of(
            write_folder(tmp_path / str(seed), twice.sample(frac=1, random_state=seed), "csv", seed, []),
            settings,
        )
        for seed in (1, 4)
    ]
    assert_same(*panels)


def test_decimal_names_keep_every_digit(tmp_path: Path) -> None:
    table = pa.table(
        {
            "unique_id": pa.array([100000000000000001, 100000000000000002], pa.decimal128(20, 0)),
            "ds": ["2026-01-01", "2026-01-01"],
            "y": pa.array([1, 2], pa.decimal128(5, 1)),
            "size": pa.array([1, 2], pa.decimal128(5, 1)),
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    settings = small_settings(data={"resample": "sum", "covariates": {"static": ["size"]}})
    rows = read_data(str(tmp_path), settings.data).rows
    assert rows["y"].dtype == "float64"
    read = read_block(rows, settings).frame
    assert read["unique_id"].tolist() == ["100000000000000001", "100000000000000002"]
    assert read[["y", "size"]].to_numpy().tolist() == [[1, 1], [2, 2]]


def test_names_are_whole_numbers_in_one_file_and_decimal_ones_in_another(tmp_path: Path) -> None:
    ids = {"a": pa.array([1], pa.int64()), "b": pa.array([100000000000000001], pa.decimal128(20, 0))}
    for name, column in ids.items():
        pq.write_table(
            pa.table({"unique_id": column, "ds": ["2026-01-01"], "y": [1]}), tmp_path / f"{name}.parquet"
        )
    rows = read_data(str(tmp_path), DataSettings()).rows
    assert sorted(rows["unique_id"]) == ["1", "100000000000000001"]


def test_hour_that_comes_twice_needs_an_offset_where_rows_have_no_order(tmp_path: Path) -> None:
    hours = ["00:00", "01:00", "02:00", "02:00", "03:00", "04:00"]
    lines = "".join(f"a,2024-10-27T{hour},{number}\n" for number, hour in enumerate(hours))
    (tmp_path / "data.csv").write_text(f"unique_id,ds,y\n{lines}")
    settings = small_settings(data={"timezone": "Europe/Berlin"})
    ordered = read_block(read_data(str(tmp_path / "data.csv")).rows, settings).frame
    assert ordered["y"].tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(
        DataError, match=r"data\.csv: line 4; data\.csv: line 5: ds is in an hour that comes twice"
    ):
        read_block(read_data(str(tmp_path)).rows, settings)


def test_partitions_are_unescaped_and_a_missing_one_is_missing(tmp_path: Path) -> None:
    for name in ("shop=S%C3%A3o%20Paulo", "shop=__HIVE_DEFAULT_PARTITION__"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("ds,y\n2026-01-01,1\n")
    assert set(read_data(str(tmp_path)).rows["shop"].dropna()) == {"São Paulo"}
    assert read_data(str(tmp_path)).rows["shop"].isna().sum() == 1


def test_digest_is_of_paths_and_bytes_and_the_same_however_it_is_found(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "data", long_rows(), "csv", 3, [])
    digest = digest_of(folder)
    assert read_data(folder, expected_digest=digest).digest == digest
    Path(folder, "_late").write_text("not data")
    assert digest_of(folder) == digest
    Path(folder, "part-0.csv").rename(Path(folder, "part-9.csv"))
    assert digest_of(folder) != digest
    with pytest.raises(DataError, match="changed since it was first read"):
        read_data(folder, expected_digest=digest)


def test_columns_that_nobody_reads_refuse_nothing(tmp_path: Path) -> None:
    for number, extra in enumerate(([[1]], ["text"])):
        table = pa.table({"unique_id": ["a"], "ds": [f"2026-01-0{number + 1}"], "y": [1.0], "tags": extra})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    rows = read_data(str(tmp_path), DataSettings()).rows
    assert list(rows.columns) == ["unique_id", "ds", "y"]
    assert rows.attrs["names"] == ["unique_id", "ds", "y", "tags"]


def test_messages_name_the_file_and_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("unique_id,ds,y\na,2026-01-04,1\n")
    (tmp_path / "b.csv").write_text("unique_id,ds,y\na,2026-01-02,1\na,2026-01-01,x\n")
    with pytest.raises(DataError, match=r"b\.csv: line 3: y holds 'x'"):
        panel_of(str(tmp_path))
    (tmp_path / "b.csv").write_text("unique_id,ds,y\na,2026-01-02,1,2\n")
    with pytest.raises(DataError, match=r"b\.csv: line 2: 4 columns"):
        panel_of(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("b.json", b"{}", r"b\.json: neither CSV nor Parquet"),
        ("b.csv", b"unique_id,ds,z\na,2026-01-02,1\n", "allowed: the same in every file"),
        ("b.csv", b"PK\x03\x04xx", "a zip or Excel file"),
        (
            "b.csv.gz",
            gzip.compress(b"unique_id,ds,y\na,2026-01-02,1\n", mtime=0)[:-9],
            "not a whole gzip file",
        ),
        (
            "b.csv.gz",
            gzip.compress(b"x" * 3000, mtime=0),
            "decompressed: .* allowed: training.data.max_bytes = 2000",
        ),
    ],
)
def test_file_that_does_not_fit_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / "a.csv").write_text("unique_id,ds,y\na,2026-01-01,1\n")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_data(str(tmp_path), DataSettings(max_bytes=2000))


def test_csv_and_parquet_in_one_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ds,y\n2026-01-01,1\n")
    pq.write_table(pa.table({"ds": ["2026-01-02"], "y": [1.0]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"a\.csv and b\.parquet are CSV and Parquet; allowed: one kind"):
        read_data(str(tmp_path))


def test_column_of_two_types_is_refused(tmp_path: Path) -> None:
    for number, value in enumerate((1.0, "x")):
        table = pa.table({"unique_id": ["a"], "ds": [f"2026-01-0{number + 1}"], "y": [value]})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    with pytest.raises(DataError, match=r"a column has two types \(.*Field y.*double vs string\)"):
        read_data(str(tmp_path))


def test_what_is_held_is_bounded_before_all_is_read(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("unique_id,ds,y\n" + "a,2026-01-01,1\n" * 20)
    (tmp_path / "3.csv").write_text("broken")
    with pytest.raises(DataError, match=r"allowed: training\.data\.max_bytes = 900"):
        read_data(str(tmp_path), DataSettings(max_bytes=900))


def test_header_alone_is_a_part_without_rows(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("ds,y\n")
    with pytest.raises(DataError, match="no rows"):
        read_data(str(tmp_path))
    (tmp_path / "b.csv").write_text("ds,y\n2026-01-01,1\n")
    assert len(read_data(str(tmp_path)).rows) == 1


def test_prefix_of_a_bucket_is_a_folder(tmp_path: Path, s3_url: str) -> None:
    folder = Path(write_folder(tmp_path / "data", long_rows(), "parquet", 2, ["unique_id"]))
    store = open_store(s3_url)
    for path in folder.rglob("*.parquet"):
        store.write(f"data/{path.relative_to(folder)}", [path.read_bytes()])
    location = f"{s3_url}/data"
    assert_same(panel_of(location), panel_of(str(folder)))
    assert digest_of(location) == digest_of(f"{location}/") == digest_of(str(folder))
    with pytest.raises(DataError, match="no such file"):
        read_data(f"{s3_url}/none")
    with pytest.raises(DataError, match="no data files in this folder"):
        read_data(f"{s3_url}/none/")


def test_names_with_escapes_are_those_of_the_bucket(s3_url: str) -> None:
    store = open_store(s3_url)
    names = ["shop=S%C3%A3o%20Paulo/é 1.csv", "shop=a b/100%25.csv", "shop=ü/b.csv"]
    for number, name in enumerate(names):
        store.write(f"my data/{name}", [f"ds,y\n2026-01-01,{number}\n".encode()])
    rows = read_data(f"{s3_url}/my%20data").rows
    assert dict(zip(rows["shop"], rows["y"], strict=True)) == {"São Paulo": "0", "a b": "1", "ü": "2"}
