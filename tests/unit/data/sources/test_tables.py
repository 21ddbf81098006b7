"""Delta Lake and Iceberg tables, made by their own libraries."""

import json
import os
from pathlib import Path
from typing import Any

import deltalake
import pandas as pd
import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from kubecast.config.training import DataSettings
from kubecast.data.files import DataFile, digest_of, read_data
from kubecast.data.sources import base
from kubecast.data.sources.base import Request
from kubecast.data.sources.delta import DeltaTable
from kubecast.data.sources.iceberg import newest_metadata
from kubecast.data.sources.location import find_folder
from kubecast.errors import ConfigError, DataError, StoreForbidden, StoreUnreachable
from kubecast.storage.store import open_store
from tests.support.sources import long_rows, panel_of


class Delta:
    """A Delta Lake table that grows."""

    def __init__(self, folder: Path) -> None:
        self.location = str(folder)

    def append(self, rows: pd.DataFrame) -> int:
        """Add rows; return the version."""
        table = pa.Table.from_pandas(rows, preserve_index=False)
        deltalake.write_deltalake(self.location, table, mode="append", partition_by=["unique_id"])
        return deltalake.DeltaTable(self.location).version()


class Iceberg:
    """An Iceberg table that grows, whose partitions have escapes in their paths."""

    def __init__(self, folder: Path, warehouse: str = "", **properties: str) -> None:
        folder.mkdir()
        place = {"uri": f"sqlite:///{folder}/catalog.db", "warehouse": warehouse or folder.as_uri()}
        self._catalog = SqlCatalog("test", **place, **properties)
        self._catalog.create_namespace("shop")
        self._table: Any = None
        self.location = ""

    def append(self, rows: pd.DataFrame) -> int:
        """Add rows; return the snapshot."""
        table = pa.Table.from_pandas(rows.astype({"ds": "datetime64[us]"}), preserve_index=False)
        if self._table is None:
            self._table = self._catalog.create_table("shop.sales", table.schema)
            with self._table.update_spec() as spec:
                spec.add_identity("note")
        self._table.append(table)
        self.location = self._table.location().removeprefix("file://")
        return int(self._table.current_snapshot().snapshot_id)

    def empty(self) -> None:
        """Take all rows out again."""
        self._table.delete()

    def close(self) -> None:
        """Let go of the catalog."""
        self._catalog.close()


def read(location: str, digest: str | None = None) -> DataFile:
    return read_data(location, DataSettings(), digest)


@pytest.fixture(params=[Delta, Iceberg])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = request.param(tmp_path / "table")
    yield made
    getattr(made, "close", lambda: None)()


@pytest.mark.slow
def test_table_gives_the_panel_of_its_rows(table: Any, tmp_path: Path) -> None:
    rows = long_rows()
    table.append(rows.iloc[::2])
    table.append(rows.iloc[1::2])
    rows.drop(columns="tags").to_csv(tmp_path / "data.csv", index=False)
    one, other = panel_of(table.location), panel_of(str(tmp_path / "data.csv"))
    pd.testing.assert_frame_equal(one.frame, other.frame)


def test_version_is_the_digest_and_may_be_given(table: Any) -> None:
    rows = long_rows()
    first = table.append(rows.head(10))
    digest = digest_of(table.location, DataSettings())
    second = table.append(rows.tail(10))
    assert digest.endswith(f"@{first}")
    assert digest_of(table.location).endswith(f"@{second}")
    assert digest_of(f"{table.location}@{first}") == digest
    assert len(read(f"{table.location}@{first}").rows) == 10
    assert len(read(table.location).rows) == 20


def test_table_that_has_gone_on_is_read_as_it_was_resolved(table: Any) -> None:
    rows = long_rows()
    table.append(rows.head(10))
    digest = digest_of(table.location)
    second = table.append(rows.tail(10))
    file = read(table.location, digest)
    assert (len(file.rows), file.digest) == (10, digest)
    with pytest.raises(DataError, match="changed since it was first read"):
        read(table.location, digest.replace("-", "-0", 1))
    with pytest.raises(DataError, match="changed since it was first read"):
        read(f"{table.location}@{second}", digest)


def test_only_needed_columns_are_read_and_their_size_is_bounded(table: Any) -> None:
    table.append(long_rows())
    rows = read_data(table.location, DataSettings()).rows
    assert set(rows.columns) == {"unique_id", "ds", "y"}
    assert set(rows.attrs["names"]) == {"unique_id", "ds", "y", "note", "tags"}
    with pytest.raises(DataError, match=r"allowed: training\.data\.max_bytes = 5000"):
        read_data(table.location, DataSettings(max_bytes=5000))


def test_version_that_is_not_there_is_refused(table: Any) -> None:
    table.append(long_rows().head(10))
    with pytest.raises(DataError, match=r"has no (version|snapshot) 99") as caught:
        read(f"{table.location}@99")
    assert "\n" not in str(caught.value)


def test_table_that_is_broken_is_told_in_one_line(table: Any) -> None:
    table.append(long_rows().head(10))
    for file in Path(table.location).rglob("*.parquet"):
        file.write_bytes(b"PAR1broken")
    with pytest.raises(DataError, match=r"cannot read this table") as caught:
        read(table.location)
    assert "\n" not in str(caught.value)
    for path in Path(table.location).rglob("*.json"):
        path.write_text("{broken")
    with pytest.raises(DataError, match=r"cannot read this table") as caught:
        read(table.location)
    assert "\n" not in str(caught.value)


def test_table_in_a_bucket_is_read(tmp_path: Path, s3_url: str) -> None:
    delta = Delta(tmp_path / "table")
    delta.append(long_rows())
    store = open_store(s3_url)
    for path in Path(delta.location).rglob("*.*"):
        store.write(f"table/{path.relative_to(delta.location)}", [path.read_bytes()])
    location = f"{s3_url}/table"
    pd.testing.assert_frame_equal(panel_of(location).frame, panel_of(delta.location).frame)
    assert digest_of(location) == digest_of(delta.location)


@pytest.mark.slow
def test_iceberg_table_in_a_bucket_is_read(
    tmp_path: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    properties = {
        "s3.endpoint": os.environ["AWS_ENDPOINT_URL"],
        "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
        "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "s3.region": "us-east-1",
    }
    table = Iceberg(tmp_path / "catalog", s3_url, **properties)
    table.append(long_rows())
    table.close()
    assert table.location.startswith(s3_url)
    assert len(panel_of(table.location).frame) == len(long_rows())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-shown")
    with pytest.raises(StoreForbidden) as caught:
        read(table.location)
    assert "not-to-be-shown" not in str(caught.value)


def test_rows_that_a_deletion_vector_marks_are_deleted(tmp_path: Path) -> None:
    delta = Delta(tmp_path / "table")
    delta.append(long_rows().head(4))
    log = tmp_path / "table/_delta_log"
    actions = [json.loads(line) for line in (log / f"{0:020}.json").read_text().splitlines()]
    (add,) = (action["add"] for action in actions if "add" in action)
    names = ["deletionVectors", "timestampNtz"]
    features = {"readerFeatures": names, "writerFeatures": names}
    second_and_fourth = "^Bg9^0rr910000000000iXQKl0rr91000315c8Xg0rri4"
    vector = {"storageType": "i", "pathOrInlineDv": second_and_fourth, "sizeInBytes": 36, "cardinality": 2}
    actions = [
        {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}},
        {"remove": {"path": add["path"], "deletionTimestamp": 1, "dataChange": True}},
        {"add": {**add, "deletionVector": vector}},
    ]
    (log / f"{1:020}.json").write_text("\n".join(map(json.dumps, actions)))
    assert read(delta.location).rows["y"].tolist() == long_rows()["y"].iloc[[0, 2]].tolist()
    assert len(read(f"{delta.location}@0").rows) == 4


def test_iceberg_table_without_rows_is_refused(tmp_path: Path) -> None:
    table = Iceberg(tmp_path / "table")
    table.append(long_rows().head(1))
    table.empty()
    table.close()
    with pytest.raises(DataError, match="no rows; allowed: at least one"):
        read(table.location)


@pytest.mark.parametrize(
    ("hint", "names", "expected"),
    [
        ("", ["00000-a", "00001-b"], "00001-b"),
        ("", ["v2", "98765432-1234-5678-9abc-def012345678"], "v2"),  # Hadoop's, of a write that goes on
        ("00000-a", ["00000-a", "00001-b"], "00000-a"),
        ("00000-a.metadata.json\n", ["00000-a", "00001-b"], "00000-a"),
        (
            "1",
            ["v1", "v2.gz", "v4", "00005-a"],
            "v2.gz",
        ),  # a hint may be late, and a version comes by renaming
        ("4", ["v1", "v2", "v4"], "v4"),
    ],
)
def test_iceberg_metadata_is_what_the_hint_names(
    tmp_path: Path, hint: str, names: list[str], expected: str
) -> None:
    write_metadata(tmp_path, hint, names)
    folder = find_folder(str(tmp_path))
    assert folder is not None
    assert newest_metadata(folder) == f"metadata/{expected}.metadata.json"


@pytest.mark.parametrize("hint", ["3", "00002-a", "../secret"])
def test_iceberg_hint_to_a_file_that_is_not_there_is_refused(tmp_path: Path, hint: str) -> None:
    write_metadata(tmp_path, hint, ["v1", "v2"])
    with pytest.raises(DataError, match=r"version-hint\.text names .*, which is not there; allowed: "):
        read(str(tmp_path))


def write_metadata(folder: Path, hint: str, names: list[str]) -> None:
    (folder / "metadata").mkdir()
    (folder / "metadata/version-hint.text").write_text(hint)
    for name in names:
        (folder / f"metadata/{name}.metadata.json").write_text("{}")


def test_file_of_another_kind_of_store_is_not_opened(tmp_path: Path) -> None:
    table = Iceberg(tmp_path / "table")
    table.append(long_rows().head(10))
    table.close()
    for path in Path(table.location).rglob("*.metadata.json"):
        path.write_text(
            path.read_text().replace('"manifest-list":"file:///', '"manifest-list":"s3://bucket/')
        )
    with pytest.raises(DataError, match="this Iceberg table is in a folder; allowed: files of this machine"):
        read(table.location)


@pytest.mark.slow
def test_faults_of_a_delta_table_in_a_bucket_are_told_apart(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delta = Delta(tmp_path / "table")
    delta.append(long_rows().head(10))
    store = open_store(s3_url)
    for path in Path(delta.location, "_delta_log").glob("*.json"):
        store.write(f"table/_delta_log/{path.name}", [path.read_bytes()])
    location = f"{s3_url}/table"
    with pytest.raises(DataError, match=r"cannot read this table \(.*Failed to fetch") as caught:
        read(location)
    assert "\n" not in str(caught.value)
    folder = find_folder(location)
    assert folder is not None
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-to-be-shown")
    with pytest.raises(StoreForbidden) as forbidden:
        DeltaTable(Request(location), folder, None).digest()
    assert "not-to-be-shown" not in str(forbidden.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnreachable, match=r"table: object store http://127.0.0.1:1 cannot be reached"):
        DeltaTable(Request(location), folder, None).digest()


@pytest.mark.parametrize("kind", ["deltalake", "pyiceberg"])
def test_library_that_is_not_installed_names_the_extra(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(base.importlib, "import_module", missing)
    with pytest.raises(
        ConfigError, match=rf"{kind} is not installed; allowed: pip install 'kubecast\[tables\]'"
    ):
        base.import_extra(kind)
