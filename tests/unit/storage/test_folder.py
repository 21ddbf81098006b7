import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import NotFound, RegistryError, StoreError, StoreForbidden, StoreFull
from kubecast.storage.folder import LocalStore


@pytest.fixture
def store(root: Path) -> LocalStore:
    return LocalStore(root)


def test_reading_makes_no_folder(store: LocalStore, root: Path) -> None:
    assert store.list_folders() == []
    assert store.list_files("a") == {}
    with pytest.raises(NotFound):
        store.read("a/b")
    with pytest.raises(NotFound):
        list(store.stream("a/b"))
    assert not root.exists()


def test_swap_interrupted_before_its_rename_changes_nothing(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.compare_and_swap("m/refs.json", b"1", None)
    _, tag = store.read("m/refs.json")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.compare_and_swap("m/refs.json", b"2", tag)
    assert store.read("m/refs.json")[0] == b"1"
    assert store.list_folders() == ["m"]
    store.compare_and_swap("m/refs.json", b"3", tag)
    assert store.read("m/refs.json")[0] == b"3"


def test_remove_goes_on_when_another_process_removes_the_same_folder(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
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
    store: LocalStore, code: int, kind: type[RegistryError], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    for write in (lambda: store.write("m/a", [b"1"]), lambda: store.compare_and_swap("m/b", b"1", None)):
        with pytest.raises(kind, match=os.strerror(code)) as caught:
            write()
        assert type(caught.value) is kind
        assert "\n" not in str(caught.value)


def test_unreadable_file_is_told_as_forbidden(
    store: LocalStore, root: Path, monkeypatch: pytest.MonkeyPatch
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


def test_other_failure_of_the_client_is_told_in_one_line(store: LocalStore, root: Path) -> None:
    root.mkdir()
    with pytest.raises(StoreError, match="not supported") as caught:
        store.read("a#1")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_writer_over_its_file_size_limit_gets_store_full(store: LocalStore, root: Path) -> None:
    store.write("m/before", [b"1"])
    script = (
        "import sys; from kubecast.errors import StoreFull; from kubecast.storage.store import open_store\n"
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
