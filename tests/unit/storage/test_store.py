"""What every store does, on each of them: a folder and a real S3 server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubecast.errors import ConfigError, Conflict, IntegrityError, NotFound
from kubecast.storage.store import Store, open_store


@pytest.fixture(params=["root", "s3_url"])
def store(request: pytest.FixtureRequest) -> Store:
    return open_store(str(request.getfixturevalue(request.param)))


@pytest.mark.parametrize("url", ["ftp://key:secret@bucket/x", "https://host/x", "S3://bucket"])
def test_other_kind_of_store_is_refused_without_repeating_its_secret(url: str) -> None:
    with pytest.raises(
        ConfigError, match=r"allowed: a path, file://…, s3://…, gs://…, az://…, minio://…"
    ) as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_path_and_url_open_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my registry"
    assert open_store("my registry").url == open_store(str(folder)).url == open_store(folder.as_uri()).url
    assert not folder.exists()


@pytest.mark.parametrize(
    "url", ["", " ", "file://", "file://host/x", "file:////x", "file:/x", "a\0b", "file:///a%00"]
)
def test_malformed_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        open_store(url)


def test_address_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; allowed: a folder"):
        open_store(str(tmp_path / "file"))


@pytest.mark.slow
def test_what_is_written_is_listed_and_read_back_in_parts(store: Store) -> None:
    part = b"x" * 5_000_000
    store.write("m/big file ü%20.bin", [part, part, part])
    store.write("m/n/small", [])
    assert store.list_files("m") == {"m/big file ü%20.bin": 15_000_000, "m/n/small": 0}
    assert store.list_files("nothing") == {}
    assert store.list_folders() == ["m"]
    chunks = list(store.stream("m/big file ü%20.bin"))
    assert len(chunks) > 1
    assert b"".join(chunks) == part * 3


def test_file_is_never_written_over(store: Store) -> None:
    store.write("m/a", [b"first"])
    with pytest.raises(Conflict, match="m/a"):
        store.write("m/a", [b"second"])
    assert store.read("m/a")[0] == b"first"


def test_swap_creates_only_when_nothing_is_there(store: Store) -> None:
    store.compare_and_swap("m/refs.json", b"1", None)
    with pytest.raises(Conflict):
        store.compare_and_swap("m/refs.json", b"2", None)
    assert store.read("m/refs.json")[0] == b"1"


def test_swap_replaces_only_the_content_that_was_read(store: Store) -> None:
    store.compare_and_swap("m/refs.json", b"1", None)
    _, tag = store.read("m/refs.json")
    store.compare_and_swap("m/refs.json", b"2", tag)
    with pytest.raises(Conflict):
        store.compare_and_swap("m/refs.json", b"3", tag)
    with pytest.raises(Conflict):
        store.compare_and_swap("m/other", b"3", tag)
    assert store.read("m/refs.json")[0] == b"2"


def test_remove_takes_a_file_a_folder_or_nothing(store: Store) -> None:
    store.write("m/a", [b"1"])
    store.write("m/f/g/b", [b"1"])
    store.remove("m/a")
    store.remove("m/f")
    store.remove("m/f")
    store.remove("n/a")
    assert store.list_files("m") == {}


def test_empty_store_has_nothing_to_read(store: Store) -> None:
    assert store.list_folders() == store.list_folders("a") == []
    assert store.list_files("a") == {}
    store.remove("a")
    with pytest.raises(NotFound, match="a/b"):
        store.read("a/b")
    with pytest.raises(NotFound, match="a/b"):
        list(store.stream("a/b"))


def test_large_file_is_never_written_over(store: Store) -> None:
    parts = [b"x" * 9_000_000]
    store.write("m/a", parts)
    with pytest.raises(Conflict, match="m/a"):
        store.write("m/a", [b"y" * 9_000_000])
    assert next(store.stream("m/a"))[:1] == b"x"


def test_folders_are_listed_one_level_at_a_time(store: Store) -> None:
    for path in ("m/versions/b/f", "m/versions/a/f", "m/commits/c.json", "n/refs.json"):
        store.write(path, [b"1"])
    assert sorted(store.list_folders()) == ["m", "n"]
    assert sorted(store.list_folders("m")) == ["commits", "versions"]
    assert sorted(store.list_folders("m/versions")) == ["a", "b"]
    assert store.list_folders("m/commits") == []


def test_files_are_listed_from_a_path_on(store: Store) -> None:
    for number in range(5):
        store.write(f"m/commits/{number}.json", [b"1" * number])
    assert store.list_files("m/commits", after="m/commits/2.json") == {
        "m/commits/3.json": 3,
        "m/commits/4.json": 4,
    }
    assert store.list_files("m/commits", after="m/commits/2") == {
        f"m/commits/{number}.json": number for number in (2, 3, 4)
    }
    assert store.list_files("m/commits", after="m/commits/9") == {}


def test_name_that_begins_as_a_folder_is_not_in_it(store: Store) -> None:
    store.write("m/a/1", [b"1"])
    store.write("m/ab/1", [b"1"])
    assert list(store.list_files("m/a")) == ["m/a/1"]
    store.remove("m/a")
    assert list(store.list_files("m")) == ["m/ab/1"]


def test_write_that_fails_in_the_middle_leaves_no_whole_file(store: Store) -> None:
    def failing() -> Iterator[bytes]:
        yield b"x" * 9_000_000
        raise IntegrityError("the bundle changed")

    with pytest.raises(IntegrityError, match="the bundle changed"):
        store.write("m/a", failing())
    assert store.list_files("m").get("m/a", 0) < 9_000_001


@pytest.mark.slow
def test_folder_of_more_files_than_one_request_takes_is_listed_and_removed(store: Store) -> None:
    for number in range(1001):
        store.write(f"m/{number:04}", [])
    assert sorted(store.list_files("m")) == [f"m/{number:04}" for number in range(1001)]
    store.remove("m")
    assert store.list_files("m") == {}
