import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import (
    ConfigError,
    Conflict,
    NotFound,
    RegistryError,
    StoreError,
    StoreForbidden,
    StoreFull,
)
from kubecast.registry.store import LocalStore, Store, open_store


@pytest.fixture
def store(root: Path) -> Store:
    return LocalStore(root)


def test_path_and_url_open_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "my registry"
    assert open_store("my registry").url == open_store(str(folder)).url == open_store(folder.as_uri()).url
    assert not folder.exists()


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/x", "gs://bucket", "az://box/x", "minio://bucket/x"])
def test_other_kind_of_store_is_refused_without_repeating_its_secret(url: str) -> None:
    with pytest.raises(ConfigError, match=r"not supported yet; allowed: file:///PATH or a path") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


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


def test_reading_makes_no_folder(store: Store, root: Path) -> None:
    assert store.folders() == []
    assert store.sizes("a") == {}
    with pytest.raises(NotFound):
        store.read("a/b")
    with pytest.raises(NotFound):
        list(store.stream("a/b"))
    assert not root.exists()


def test_what_is_written_is_listed_and_read_back_in_parts(store: Store) -> None:
    part = b"x" * 5_000_000
    store.write("m/big file ü%20.bin", [part, part, part])
    store.write("m/n/small", [])
    assert store.sizes("m") == {"m/big file ü%20.bin": 15_000_000, "m/n/small": 0}
    assert store.sizes("nothing") == {}
    assert store.folders() == ["m"]
    chunks = list(store.stream("m/big file ü%20.bin"))
    assert len(chunks) > 1
    assert b"".join(chunks) == part * 3


def test_file_is_never_written_over(store: Store) -> None:
    store.write("m/a", [b"first"])
    with pytest.raises(Conflict, match="m/a"):
        store.write("m/a", [b"second"])
    assert store.read("m/a")[0] == b"first"


def test_swap_creates_only_when_nothing_is_there(store: Store) -> None:
    store.swap("m/refs.json", b"1", None)
    with pytest.raises(Conflict):
        store.swap("m/refs.json", b"2", None)
    assert store.read("m/refs.json")[0] == b"1"


def test_swap_replaces_only_the_content_that_was_read(store: Store) -> None:
    store.swap("m/refs.json", b"1", None)
    _, tag = store.read("m/refs.json")
    store.swap("m/refs.json", b"2", tag)
    with pytest.raises(Conflict):
        store.swap("m/refs.json", b"3", tag)
    with pytest.raises(Conflict):
        store.swap("m/other", b"3", tag)
    assert store.read("m/refs.json")[0] == b"2"


def test_swap_interrupted_before_its_rename_changes_nothing(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.swap("m/refs.json", b"1", None)
    _, tag = store.read("m/refs.json")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.swap("m/refs.json", b"2", tag)
    assert store.read("m/refs.json")[0] == b"1"
    assert store.folders() == ["m"]
    store.swap("m/refs.json", b"3", tag)
    assert store.read("m/refs.json")[0] == b"3"


def test_remove_takes_a_file_a_folder_or_nothing(store: Store) -> None:
    store.write("m/a", [b"1"])
    store.write("m/f/g/b", [b"1"])
    store.remove("m/a")
    store.remove("m/f")
    store.remove("m/f")
    store.remove("n/a")
    assert store.sizes("m") == {}


def test_remove_goes_on_when_another_process_removes_the_same_folder(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("m/f/a", [b"1"])
    store.write("m/f/b", [b"1"])
    unlink, raced = os.unlink, []

    def unlink_second(path: str, **kwargs: Any) -> None:
        unlink(path, **kwargs)
        if not raced:
            raced.append(path)
            raise FileNotFoundError(errno.ENOENT, "gone", path)

    monkeypatch.setattr(os, "unlink", unlink_second)
    store.remove("m/f")
    assert raced
    assert not (root / "m" / "f").exists()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EACCES, StoreForbidden),
        (errno.EROFS, StoreForbidden),
        (errno.EPERM, StoreForbidden),
        (errno.EIO, StoreError),
    ],
)
def test_failure_of_the_disk_is_told_by_its_kind(
    store: Store, code: int, kind: type[RegistryError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    for write in (lambda: store.write("m/a", [b"1"]), lambda: store.swap("m/b", b"1", None)):
        with pytest.raises(kind, match=os.strerror(code)) as caught:
            write()
        assert type(caught.value) is kind
        assert "\n" not in str(caught.value)


def test_unreadable_file_is_told_as_forbidden(
    store: Store, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("m/a", [b"1"])
    if os.geteuid() == 0:  # permission bits do not bind root, so say what obstore says to others
        monkeypatch.setattr("obstore.get", _deny)
    (root / "m" / "a").chmod(0)
    with pytest.raises(StoreForbidden, match="m/a: Permission denied"):
        store.read("m/a")


def _deny(*_: object) -> None:
    from obstore.exceptions import GenericError

    raise GenericError("Generic LocalFileSystem error: Permission denied (os error 13)\n\nDebug source: …")


def test_other_failure_of_the_client_is_told_in_one_line(store: Store, root: Path) -> None:
    root.mkdir()
    with pytest.raises(StoreError, match="not supported") as caught:
        store.read("a#1")
    assert "\n" not in str(caught.value)


def test_writer_over_its_file_size_limit_gets_store_full(store: Store, root: Path) -> None:
    store.write("m/before", [b"1"])
    script = (
        "import sys; from kubecast.errors import StoreFull; from kubecast.registry.store import open_store\n"
        "try: open_store(sys.argv[1]).write('m/big', [b'x' * 1000] * 1000)\n"
        "except StoreFull as error: print(error); sys.exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(root)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (9, "")
    assert "m/big: File too large" in done.stdout
    assert store.read("m/before")[0] == b"1"
