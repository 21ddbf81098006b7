import gzip
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kubecast.config.training import DataSettings
from kubecast.data.files import digest_of, read_data
from kubecast.errors import (
    BucketNotFound,
    DataError,
    InputError,
    StoreError,
    StoreForbidden,
    StoreUnreachable,
)

CSV = b"unique_id,ds,y\na,2024-01-01,1\na,2024-01-02,\n"


def write(folder: Path, data: bytes, name: str = "data.csv") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def test_csv_stays_text_and_is_numbered_by_line(tmp_path: Path) -> None:
    file = read_data(write(tmp_path, b"id,y\n007,1.50\nNA,\n"))
    assert list(file.rows["id"]) == ["007", "NA"]
    assert list(file.rows["y"].isna()) == [False, True]
    assert list(file.rows.index) == [2, 3]
    assert file.rows.attrs["unit"] == "line"


def test_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    location = write(tmp_path, CSV)
    assert read_data(location).digest == digest_of(location) == hashlib.sha256(CSV).hexdigest()


@pytest.mark.parametrize("members", [1, 3])
def test_gzip_file_is_read_and_its_digest_is_that_of_the_file(tmp_path: Path, members: int) -> None:
    text = CSV + b"".join(b"a,2024-01-%02d,%d\n" % (day, day) for day in range(3, 30))
    cuts = [
        text[number * len(text) // members : (number + 1) * len(text) // members] for number in range(members)
    ]
    data = b"".join(gzip.compress(cut, mtime=0) for cut in cuts)
    location = write(tmp_path, data, "data.csv.gz")
    file, plain = read_data(location), read_data(write(tmp_path, text))
    pd.testing.assert_frame_equal(file.rows, plain.rows)
    assert file.digest == digest_of(location) == hashlib.sha256(data).hexdigest()


def test_expected_digest_must_match(tmp_path: Path) -> None:
    location = write(tmp_path, CSV)
    read_data(location, expected_digest=digest_of(location))
    with pytest.raises(DataError, match="changed since it was first read"):
        read_data(location, expected_digest="0" * 64)


def test_file_url_is_read(tmp_path: Path) -> None:
    location = Path(write(tmp_path, CSV, "my data.csv")).as_uri()
    assert "%20" in location
    assert len(read_data(location).rows) == 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"a,b\r\n1,2\r\n3,4\r\n", [2, 3]),
        (b"a,b\n1,2\n3,4\n\n\n", [2, 3]),
        (b"a,b\n\n1,2\n\n3,4", [3, 5]),
        (b'a,b\n"1\n1",2\n3,4\n', [2, 4]),
        (b'\xef\xbb\xbfa,b\n"1,5",2\n3,4\n', [2, 3]),
    ],
)
def test_lines_are_those_of_the_file(tmp_path: Path, text: bytes, lines: list[int]) -> None:
    rows = read_data(write(tmp_path, text)).rows
    assert list(rows.index) == lines
    assert list(rows.columns) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a;b\n1;2\n", "separated by semicolons"),
        (b"a\tb\n1\t2\n", "separated by tabs"),
        (b'a,b\n1,2\n"3,4\n', "line 3: unexpected end of data"),
        (b'a,b\n1,2\n\n3,"4"x\n', "line 4: ',' expected after"),
        (b'a,b\n1,2"\n3,4\n', "without its partner"),
        (b"\n\n", "no header"),
        (b"a,b\n1,2,5\n", r"line 2: 3 columns \(a decimal comma\?\); allowed: 2"),
        (gzip.compress(gzip.compress(CSV, mtime=0), mtime=0), "compressed with gzip twice"),
        (gzip.compress(CSV, mtime=0)[:-4], "not a whole gzip file"),
        (b"PK\x03\x04xx", "Excel"),
    ],
)
def test_what_is_no_csv_is_refused(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_data(write(tmp_path, text))


def test_parquet_keeps_its_types_and_counts_rows(tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin")
    frame = pd.DataFrame({"id": pd.Categorical(list("aab")), "ds": times, "y": [1, 2, 3]}).set_index("ds")
    location = str(tmp_path / "data.parquet")
    frame.to_parquet(location)
    rows = read_data(location).rows
    assert set(rows.columns) == {"id", "ds", "y"}
    assert str(rows["ds"].dtype) == "datetime64[ns, Europe/Berlin]"
    assert list(rows.index) == [1, 2, 3]
    assert rows.attrs["unit"] == "row"


def test_columns_that_nobody_reads_refuse_nothing(tmp_path: Path) -> None:
    table = pa.table({"unique_id": ["a"], "ds": ["2026-01-01"], "y": [1.0], "tags": [[1]], "note": ["x"]})
    pq.write_table(table, tmp_path / "data.pq")
    settings = DataSettings.model_validate({"covariates": {"past": ["price"]}})
    rows = read_data(str(tmp_path / "data.pq"), settings).rows
    assert list(rows.columns) == ["unique_id", "ds", "y"]
    assert rows.attrs["names"] == ["unique_id", "ds", "y", "tags", "note"]
    text = b"note,unique_id,note,ds,y\n\xe9,a,1,2026-01-01,1\n"
    rows = read_data(write(tmp_path, text), settings).rows
    assert rows.to_dict("list") == {"unique_id": ["a"], "ds": ["2026-01-01"], "y": ["1"]}
    with pytest.raises(DataError, match="column tags holds list"):
        read_data(str(tmp_path / "data.pq"), DataSettings.model_validate({"covariates": {"past": ["tags"]}}))


def test_file_without_a_column_for_the_series_is_read_but_for_nested_columns(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"ds": ["2026-01-01"], "y": [1.0], "tags": [[1]], "note": ["x"]}), tmp_path / "a.pq"
    )
    rows = read_data(str(tmp_path / "a.pq"), DataSettings()).rows
    assert list(rows.columns) == ["ds", "y", "note"]


def test_parquet_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    pd.DataFrame({"y": [1.0]}).to_parquet(tmp_path / "data.bin")
    assert read_data(str(tmp_path / "data.bin")).rows["y"].tolist() == [1.0]


@pytest.mark.parametrize("cut", [0.5, 0.99])
def test_truncated_parquet_is_refused(tmp_path: Path, cut: float) -> None:
    path = tmp_path / "data.parquet"
    pd.DataFrame({"y": range(1000)}).to_parquet(path)
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        read_data(str(path))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"y": [[1, 2]]}), "column y holds list"),
        (pa.table([pa.array([1]), pa.array([2])], names=["y", "y"]), "'y' appears more than once"),
        (pa.table({"y": pa.array([], pa.float64())}), "no rows"),
    ],
)
def test_parquet_that_is_no_table_of_values_is_refused(tmp_path: Path, table: pa.Table, message: str) -> None:
    pq.write_table(table, tmp_path / "data.pq")
    with pytest.raises(DataError, match=message):
        read_data(str(tmp_path / "data.pq"))


@pytest.mark.parametrize("location", ["nope.csv", "", "a\0b", "ftp://host/data.csv", "https://host/data.csv"])
def test_what_is_not_there_is_refused(tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no such file|allowed: a path or|not a file"):
        read_data(location)


def test_folder_without_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data files in this folder"):
        digest_of(str(tmp_path))


class S3(BaseHTTPRequestHandler):
    """Answers as S3 does, by the name of the bucket."""

    def do_GET(self) -> None:
        bucket, _, listing = self.path.split("/")[1].partition("?")
        nofile = (404, b"<Error><Code>NoSuchKey</Code></Error>")
        status, body = {
            "data": (200, CSV),
            "forbidden": (403, b"<Error><Code>AccessDenied</Code></Error>"),
            "nobucket": (404, b"<Error><Code>NoSuchBucket</Code></Error>"),
            "nofile": (200, b"<ListBucketResult></ListBucketResult>") if listing else nofile,
            "broken": (400, b"<Error><Code>Strange</Code></Error>"),
        }[bucket]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), S3)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("s3")
def test_object_store_is_read() -> None:
    assert len(read_data("s3://data/folder/data.csv").rows) == 2
    assert digest_of("s3://data/folder/data.csv") == hashlib.sha256(CSV).hexdigest()
    with pytest.raises(DataError, match=r"44 bytes; allowed: training\.data\.max_bytes = 10"):
        read_data("s3://data/folder/data.csv", DataSettings(max_bytes=10))


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("bucket", "kind"),
    [
        ("forbidden", StoreForbidden),
        ("nobucket", BucketNotFound),
        ("nofile", DataError),
        ("broken", StoreError),
    ],
)
def test_object_store_errors_are_told_apart(bucket: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        read_data(f"s3://{bucket}/data.csv")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.slow
def test_store_that_is_down_is_told(s3: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(StoreUnreachable, match="cannot be reached"):
        read_data("s3://data/data.csv")


@pytest.mark.parametrize(
    ("fault", "message"), [(b"\xe9", "line 100001: not UTF-8"), (b"1,2", "line 100001: 3 col")]
)
def test_fault_late_in_a_large_file_is_found(fault: bytes, message: str, tmp_path: Path) -> None:
    text = b"a,b\n" + b"some text,12345\n" * 99_999 + b"x," + fault + b"\n" + b"some text,12345\n" * 10
    with pytest.raises(DataError, match=message):
        read_data(write(tmp_path, text))


@pytest.mark.parametrize(
    "location",
    [
        "https://user:not-to-be-shown@host/x.csv",
        "https://host/x.csv?X-Amz-Signature=not-to-be-shown",
        "s3://key:not-to-be-shown@bucket/x.csv",
        "s3://key:not-to-be-shown@bucket/x.pkl",
        "s3://bucket/x.csv?X-Amz-Signature=not-to-be-shown",
    ],
)
def test_address_that_may_hold_a_secret_is_refused_and_not_repeated(location: str) -> None:
    with pytest.raises(InputError, match="allowed") as caught:
        read_data(location)
    assert "not-to-be-shown" not in str(caught.value)


def test_file_url_names_no_host_and_its_path_is_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="allowed: file:///PATH"):
        read_data("file://etc/hostname")
    location = write(tmp_path, CSV, "a#1?.csv")
    assert read_data(f"file://{location}").digest == digest_of(location)


@pytest.mark.parametrize("kind", ["csv", "parquet", "folder", "duckdb"])
def test_blanks_around_the_names_of_columns_do_not_count(tmp_path: Path, kind: str) -> None:
    rows = pd.DataFrame({"unique_id": ["a"], " day": ["2026-01-01"], "units sold ": [1.0], "note": ["x"]})
    columns = {"ds": "day ", "y": " units sold"}
    location, settings = tmp_path / f"data.{kind}", DataSettings.model_validate({"columns": columns})
    if kind == "csv":
        rows.to_csv(location, index=False)
    elif kind == "parquet":
        rows.to_parquet(location)
    elif kind == "folder":
        (location / " unique_id =a").mkdir(parents=True)
        rows.drop(columns="unique_id").to_parquet(location / " unique_id =a" / "part-0.parquet")
    else:
        with duckdb.connect(str(location)) as connection:
            connection.register("rows", rows)
            connection.execute("CREATE TABLE sales AS SELECT * FROM rows")
        settings = settings.model_copy(update={"query": "SELECT * FROM sales"})
    read = read_data(str(location), settings).rows
    assert set(read.columns) == {"unique_id", "day", "units sold"}
    assert set(read.attrs["names"]) == {"unique_id", "day", "units sold", "note"}


def test_names_of_columns_that_differ_by_blanks_alone_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"unique_id": ["a"], "ds": ["2026-01-01"], "y": [1], "y ": [2]}).to_parquet(
        tmp_path / "a.pq"
    )
    with pytest.raises(DataError, match="column 'y' appears more than once"):
        read_data(str(tmp_path / "a.pq"), DataSettings())
