"""Queries to a DuckDB file, and addresses of databases; `tests/database/sources.py` has a real PostgreSQL."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from kubecast.config.training import DataSettings
from kubecast.data.files import digest_of, read_data, settings_for
from kubecast.errors import ConfigError, DataError
from tests.support.panels import small_settings
from tests.support.sources import long_rows, panel_of


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file with the table `sales`."""
    path = str(tmp_path_factory.mktemp("duckdb") / "shop.duckdb")
    rows = long_rows()  # noqa: F841  read by DuckDB, under this name
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE sales AS SELECT * FROM rows")
    return path


def settings(query: str | None = None, **more: object) -> DataSettings:
    return DataSettings.model_validate({"query": query, "min_samples": 1, **more})


def test_only_table_gives_the_panel_of_its_rows(shop: str, tmp_path: Path) -> None:
    long_rows().drop(columns="tags").to_csv(tmp_path / "data.csv", index=False)
    pd.testing.assert_frame_equal(panel_of(shop).frame, panel_of(str(tmp_path / "data.csv")).frame)
    rows = read_data(shop, settings()).rows
    assert list(rows.columns) == ["unique_id", "ds", "y"]
    assert rows.attrs["names"] == ["unique_id", "ds", "y", "note", "tags"]


def test_digest_is_of_the_rows_in_any_order(shop: str) -> None:
    queries = [f"SELECT * FROM sales ORDER BY {order};" for order in ("y", "ds DESC", "random()")]
    digests = {digest_of(shop, settings(query)) for query in [None, *queries]}
    assert digests == {read_data(shop, settings(queries[0])).digest}
    missing = "SELECT * REPLACE (nullif(y, (SELECT max(y) FROM sales)) AS y) FROM sales -- fewer"
    assert digest_of(shop, settings(missing)) not in digests
    with pytest.raises(DataError, match="changed since it was first read"):
        read_data(shop, settings(missing), digests.pop())


@pytest.mark.slow
def test_sums_of_floats_are_the_same_to_the_last_bit_each_time(tmp_path: Path) -> None:
    path = str(tmp_path / "many.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE sales AS SELECT random() AS y FROM range(1000000)")
    query = "SELECT 'a' AS unique_id, 'x' AS ds, sum(y) AS y FROM sales"
    assert len({digest_of(path, settings(query)) for _ in range(10)}) == 1


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_clock_of_the_machine_changes_nothing(shop: str) -> None:
    query = "SELECT TIMESTAMPTZ '2026-01-01 00:00'::TEXT AS ds, 1 AS y, 'a' AS unique_id"
    assert read_data(shop, settings(query)).rows["ds"].tolist() == ["2026-01-01 00:00:00+00"]


def test_query_cannot_change_the_settings_of_its_connection(shop: str) -> None:
    query = "SELECT current_setting('lock_configuration') AS y, current_setting('threads') AS unique_id"
    assert read_data(shop, settings(query)).rows.iloc[0].tolist() == [True, 1]


def test_large_whole_numbers_keep_every_digit_as_names(shop: str) -> None:
    query = "SELECT 100000000000000001::HUGEINT + n AS unique_id, 'x' AS ds, n AS y FROM range(2) AS t(n)"
    names = read_data(shop, settings(query)).rows["unique_id"].tolist()
    assert names == ["100000000000000001", "100000000000000002"]


def test_whole_numbers_hash_alike_whether_their_batch_has_a_missing_one(shop: str) -> None:
    sets = "VALUES (0), (NULL)", "VALUES (NULL), (0)"
    numbers = [
        f"SELECT 's' AS unique_id, a AS ds, b AS y FROM range(60000) AS t(a), ({rows}) AS u(b)"
        for rows in sets
    ]
    first, second = (digest_of(shop, settings(query)) for query in numbers)
    assert first == second


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT * FROM nosuch", "Table with name nosuch does not exist"),
        ("SELEC 1", "Parser Error"),
        ("DELETE FROM sales", "Parser Error"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM sales WHERE false", "no rows"),
        ("SELECT tags AS y FROM sales", "column y holds list"),
        (
            "SELECT INTERVAL 1 DAY AS gap, 'x' AS ds",
            "column gap holds month_day_nano_interval; allowed: numbers",
        ),
        ("SELECT INTERVAL 1 DAY AS y, 'a' AS unique_id", "column y holds month_day_nano_interval"),
        (r"SELECT '\xff'::BLOB AS photo, 'x' AS ds", "column photo holds binary; allowed: numbers"),
        ("SELECT error('x' || y) AS y, 'a' AS unique_id FROM sales", "Invalid Input Error: x"),
    ],
)
def test_query_that_fails_is_told_in_one_line(shop: str, query: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_data(shop, settings(query))
    assert "\n" not in str(caught.value)


def test_several_tables_name_a_query_that_works(tmp_path: Path) -> None:
    path = str(tmp_path / "two.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.sales AS SELECT 'a' AS ds, 1 AS y")
        connection.execute("CREATE VIEW later AS SELECT 'b' AS ds, 1 AS y")
    with pytest.raises(DataError, match="tables and views: later, sales; allowed: one") as caught:
        read_data(path)
    query = str(caught.value).partition("--query '")[2].rstrip("'")
    assert read_data(path, settings(query)).rows["ds"].tolist() == ["b"]


@pytest.mark.slow
def test_size_is_bounded_before_all_is_read(shop: str) -> None:
    query = "SELECT 'a' AS unique_id, n AS ds, n AS y FROM range(10000000000) AS t(n)"
    for read in (read_data, digest_of):
        with pytest.raises(DataError, match=r"allowed: training\.data\.max_bytes = 3000000"):
            read(shop, settings(query, max_bytes=3_000_000))


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("none.duckdb", "no such file"),
        ("s3://bucket/shop.duckdb", "allowed: one on this machine"),
        ("postgresql://user:not-to-be-shown@host/db", "PGUSER and PGPASSWORD in the environment"),
        ("postgresql://user@host/db", "PGUSER and PGPASSWORD in the environment"),
        ("postgres://host/db?password=not-to-be-shown", "PGUSER and PGPASSWORD in the environment"),
        ("postgresql://host", "PGUSER and PGPASSWORD in the environment"),
        ("postgresql:host/db", "PGUSER and PGPASSWORD in the environment"),
        ("POSTGRESQL://user:not-to-be-shown@host/db", "PGUSER and PGPASSWORD in the environment"),
        ("mysql://user:not-to-be-shown@host/db", "allowed: a path or"),
        ("mysql://user:not-to-be-shown@host/db.duckdb", "allowed: one on this machine"),
        ("postgresql+psycopg://user:not-to-be-shown@host/db", "allowed: a path or"),
        ("file://user:not-to-be-shown@host/db", "allowed: file:///PATH or a path"),
        ("s3://key:not-to-be-shown@bucket/data.csv", "allowed: SCHEME://BUCKET"),
        ("s3://bucket/data.csv?key=not-to-be-shown", "allowed: "),
        ("S3://key:not-to-be-shown@bucket/data.csv", "allowed: "),
    ],
)
@pytest.mark.parametrize("query", [None, "SELECT 1 AS y"])
@pytest.mark.parametrize("read", [read_data, digest_of])
def test_what_is_no_database_is_refused_and_no_secret_is_shown(
    read: Callable[[str, DataSettings], object], location: str, message: str, query: str | None
) -> None:
    with pytest.raises((DataError, ConfigError), match=message) as caught:
        read(location, settings(query))
    assert "not-to-be-shown" not in str(caught.value)


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").write_text("text")
    with pytest.raises(DataError, match="not a valid DuckDB database file"):
        read_data(str(tmp_path / "x.duckdb"))


def test_query_is_refused_where_there_is_no_database_but_not_for_new_data(tmp_path: Path, shop: str) -> None:
    path = str(tmp_path / "data.csv")
    Path(path).write_text("unique_id,ds,y\na,2026-01-01,1\n")
    trained = small_settings(data={"query": "SELECT * FROM sales"}).data
    with pytest.raises(DataError, match=r"training\.data\.query is set; allowed: with a database alone"):
        read_data(path, trained)
    assert len(read_data(path, settings_for(path, trained)).rows) == 1
    assert settings_for(shop, trained).query == "SELECT * FROM sales"
