"""Data of a real PostgreSQL: `make test-database`, as root."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from kubecast import retrying
from kubecast.config.training import DataSettings
from kubecast.data.files import digest_of, read_data
from kubecast.errors import DataError, KubecastError, StoreForbidden, StoreUnreachable
from tests.support.clock import Clock
from tests.support.panels import small_settings
from tests.support.servers.postgresql import Server, running_postgres
from tests.support.sources import long_rows, panel_of

QUERY = "SELECT * FROM sales -- all of them"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_postgres(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(scope="module")
def filled(postgres: Server) -> str:
    user_and_host, _, database = postgres.url.removeprefix("postgresql://").partition("/")
    with psycopg.connect(postgres.url) as connection:
        connection.execute(
            "CREATE TABLE sales (unique_id text, ds timestamptz, y numeric, mood text, tags int[])"
        )
        with connection.cursor().copy("COPY sales (unique_id, ds, y, tags) FROM STDIN") as copy:
            for row in long_rows().itertuples():
                copy.write_row((row.unique_id, f"{row.ds}+00", row.y, "{1,2}"))
        connection.execute("CREATE USER reader PASSWORD 'secret'")
    return f"postgresql://{user_and_host.partition('@')[2]}/{database}"


@pytest.fixture
def url(filled: str, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGUSER", postgres.url.removeprefix("postgresql://").partition("@")[0])
    return filled


def settings(query: str = QUERY, **more: object) -> DataSettings:
    return DataSettings.model_validate({"query": query, "min_samples": 1, **more})


def test_query_gives_the_panel_of_its_rows_in_any_order(url: str, tmp_path: Path) -> None:
    rows = long_rows().drop(columns="tags")
    rows.assign(ds=rows["ds"].dt.tz_localize("UTC")).to_csv(tmp_path / "data.csv", index=False)
    expected = panel_of(str(tmp_path / "data.csv"))
    digests = set()
    for order in ("y", "ds DESC, unique_id", "random()"):
        query = f"SELECT * FROM sales ORDER BY {order};"
        chosen = small_settings(data={"min_samples": 1, "query": query})
        pd.testing.assert_frame_equal(panel_of(url, chosen).frame, expected.frame)
        digests |= {digest_of(url, chosen.data), read_data(url, chosen.data).digest}
    assert len(digests) == 1
    fewer = settings("SELECT * FROM sales WHERE y > (SELECT min(y) FROM sales)")
    assert digest_of(url, fewer) not in digests
    with pytest.raises(DataError, match="changed since it was first read"):
        read_data(url, fewer, digests.pop())


def test_types_of_postgresql_are_read(url: str) -> None:
    query = (
        "SELECT 1::bigint AS unique_id, DATE '2026-01-01' + n AS ds, n / 3.0 AS y, n % 2 = 0 AS open,"
        " n::real AS r, CASE WHEN n = 2 THEN NULL ELSE n END::smallint AS gap, gen_random_uuid() AS note,"
        " ARRAY[n] AS list FROM generate_series(1, 3) AS n"
    )
    chosen = settings(query, covariates={"past": ["open", "r", "gap"]})
    rows = read_data(url, chosen).rows
    assert list(rows.columns) == ["unique_id", "ds", "y", "open", "r", "gap"]
    assert rows.attrs["names"] == ["unique_id", "ds", "y", "open", "r", "gap", "note", "list"]
    assert rows["y"].tolist() == pytest.approx([1 / 3, 2 / 3, 1])
    assert rows["open"].tolist() == [False, True, False]
    assert rows["gap"].isna().tolist() == [False, True, False]


def test_rows_come_in_the_same_order_each_time_so_that_sums_of_floats_are_the_same(url: str) -> None:
    query = "SELECT current_setting('synchronize_seqscans') AS y, 'a' AS unique_id"
    assert read_data(url, settings(query)).rows["y"].tolist() == ["off"]


def test_numeric_names_keep_every_digit(url: str) -> None:
    query = (
        "SELECT (100000000000000001 + n)::numeric(20) AS unique_id, DATE '2026-01-01' AS ds, n::numeric AS y"
        " FROM generate_series(0, 1) AS n"
    )
    rows = read_data(url, settings(query)).rows
    assert rows["unique_id"].tolist() == ["100000000000000001", "100000000000000002"]
    assert rows["y"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("query", "kind", "message"),
    [
        ("SELECT * FROM nosuch", DataError, 'relation "nosuch" does not exist'),
        ("SELEC 1", DataError, "syntax error"),
        ("SELECT 1/0 AS y, 'a' AS unique_id", DataError, "division by zero"),
        ("DELETE FROM sales RETURNING *", DataError, "syntax error"),
        ("SELECT setval('s', 1)", DataError, 'relation "s" does not exist'),
        ("SELECT * FROM sales WHERE false", DataError, "no rows"),
        ("", DataError, "allowed: training.data.query, e.g. --query 'SELECT"),
        ("SELECT 1 AS a, 2 AS a", DataError, 'column reference "a" is ambiguous'),
    ],
)
def test_query_that_fails_is_told_in_one_line(
    url: str, query: str, kind: type[KubecastError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        read_data(url, DataSettings(query=query or None))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_query_that_takes_too_long_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=50")
    with pytest.raises(DataError, match="canceling statement due to statement timeout"):
        read_data(url, settings("SELECT pg_sleep(5)::text AS y, 'a' AS unique_id"))


def test_query_only_reads(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM sales; SELECT 1'")
    with pytest.raises(DataError, match="read-only transaction"):
        read_data(url, settings("SELECT wipe() AS y"))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM sales) AS a LIMIT 0; COMMIT; CREATE TABLE hacked(x int); COMMIT;"
        " SELECT * FROM (SELECT * FROM sales",
        "SELECT * FROM sales) AS a LIMIT 0; SET default_transaction_read_only = off; COMMIT;"
        " CREATE TABLE hacked(x int); COMMIT; SELECT * FROM (SELECT * FROM sales",
    ],
)
def test_query_is_one_statement(url: str, query: str) -> None:
    with pytest.raises(DataError, match="cannot insert multiple commands into a prepared statement"):
        read_data(url, settings(query))
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('hacked')").fetchone() == (None,)


def test_size_is_bounded_before_all_is_read(url: str) -> None:
    query = "SELECT 'a' AS unique_id, n AS ds, n AS y FROM (SELECT generate_series(1, 100000000) AS n) AS t"
    for read in (read_data, digest_of):
        with pytest.raises(DataError, match=r"allowed: training\.data\.max_bytes = 3000000"):
            read(url, settings(query, max_bytes=3_000_000))


def test_faults_of_the_server_are_told_apart(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match='database "none" does not exist'):
        read_data(url.rpartition("/")[0] + "/none", settings())
    with pytest.raises(StoreUnreachable, match="cannot be reached"):
        read_data("postgresql://127.0.0.1:1/demand", settings())
    with pytest.raises(StoreUnreachable, match="cannot be reached"):
        read_data("postgresql://nowhere.invalid/demand", settings())
    monkeypatch.setenv("PGUSER", "reader")
    with pytest.raises(StoreForbidden, match="permission denied for table sales"):
        read_data(url, settings())
    monkeypatch.setenv("PGPASSWORD", "not-to-be-shown")
    with pytest.raises(StoreForbidden, match=r"password authentication failed.*; allowed: PGUSER") as caught:
        read_data(url, settings())
    assert "not-to-be-shown" not in str(caught.value)
    monkeypatch.delenv("PGPASSWORD")
    with pytest.raises(StoreForbidden, match="no password supplied"):
        read_data(url, settings())


def test_server_that_is_away_at_first_is_waited_for(url: str, postgres: Server) -> None:
    postgres.stop()
    clock = Clock(during=lambda number: postgres.start() and None if number == 2 else None)
    with retrying.spending(clock.budget(600)):
        assert len(read_data(url, settings()).rows) == len(long_rows())
    assert len(clock.pauses) == 2
