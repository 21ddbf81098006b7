"""Work that no run uses is cleared, and nothing else, in a folder and on a real S3 server."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubecast.storage.folder import LocalStore
from kubecast.storage.store import Store, open_store
from kubecast.storage.work import Work, clear_work
from tests.support.work import FILES, Dying, Killed, Make

KEY, OTHER = "0123456789abcdef" * 2, "f" * 32
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(params=["root", "s3_url"])
def store(request: pytest.FixtureRequest) -> Store:
    return open_store(str(request.getfixturevalue(request.param)))


def began(store: Store, key: str, days: float) -> Work:
    """Work with a part, which a run began so many days ago."""
    work = Work(store, key)
    work.begin(NOW - days * DAY)
    return work


def test_older_work_alone_is_cleared(store: Store, make: Make) -> None:
    for number, days in enumerate([0, 6.9, 7, 7.1, 400]):
        began(store, f"{number:032x}", days).keep("history", make(FILES))
    old = [f"{number:032x}" for number in (3, 4)]
    before = store.list_files("")
    assert sorted(clear_work(store, NOW - 7 * DAY, dry_run=True)) == old
    assert store.list_files("") == before
    assert sorted(clear_work(store, NOW - 7 * DAY)) == old
    assert sorted(store.list_folders()) == [f"{number:032x}" for number in (0, 1, 2)]
    assert clear_work(store, NOW - 7 * DAY) == []


def test_work_that_is_used_again_is_not_cleared(store: Store) -> None:
    began(store, KEY, 30).begin(NOW)
    assert clear_work(store, NOW - DAY) == []


def test_empty_store_has_nothing_to_clear(store: Store) -> None:
    assert clear_work(store, NOW) == []


FOREIGN = {
    "demand/used.json": b'{"time": "2020-01-01T00:00:00Z"}',
    f"{KEY.upper()}/used.json": b'{"time": "2020-01-01T00:00:00Z"}',
    f"{KEY}0/used.json": b'{"time": "2020-01-01T00:00:00Z"}',
    f"{0:032x}/rows-000.json": b"{}",
    f"{1:032x}/used.json": b"{",
    f"{2:032x}/used.json": b"\xff",
    f"{3:032x}/used.json": b"",
    f"{4:032x}/used.json": b'{"time": "2020-01-01T00:00:00"}',
    f"{5:032x}/used.json": b'{"time": "long ago"}',
    f"{6:032x}/used.json/x": b"a folder",
    "used.json": b'{"time": "2020-01-01T00:00:00Z"}',
}


def test_what_is_not_a_run_s_work_is_left_alone(store: Store) -> None:
    for path, content in FOREIGN.items():
        store.write(path, [content])
    began(store, OTHER, 30)
    assert clear_work(store, NOW) == [OTHER]
    assert {path for path in store.list_files("") if not path.startswith(".")} == FOREIGN.keys()


@pytest.mark.parametrize("steps", range(7))
def test_clearing_that_was_killed_is_finished_by_the_next(root: Path, make: Make, steps: int) -> None:
    work = began(LocalStore(root), KEY, 30)
    for part in ("history", "rows-000"):
        work.keep(part, make(FILES))
    dying = Dying(root)
    dying.left = steps
    try:
        clear_work(dying, NOW)
    except Killed:
        assert clear_work(work.store, NOW) == [KEY]
    assert not (root / KEY).exists()


@pytest.mark.parametrize("files", range(9))
def test_clearing_that_was_killed_between_files_is_finished_by_the_next(
    root: Path, make: Make, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = began(LocalStore(root), KEY, 30)
    for part in ("history", "rows-000"):
        work.keep(part, make(FILES))
    unlink, left = os.unlink, [None] * files

    def unlinked(*arguments: Any, **options: Any) -> None:
        if not left:
            raise Killed
        left.pop()
        unlink(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlinked)
        with pytest.raises(Killed):
            clear_work(work.store, NOW)
    assert clear_work(work.store, NOW) == [KEY]
    assert not (root / KEY).exists()


def test_clearing_removes_the_note_of_use_last(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = began(store, KEY, 30)
    for part in ("history", "rows-000", "zones"):
        work.keep(part, make(FILES))
    remove = store.remove

    def removed(path: str) -> None:
        if "used.json" in path or path == KEY:
            assert [*store.list_files(KEY)] == [f"{KEY}/used.json"]
        else:
            assert f"{KEY}/used.json" in store.list_files(KEY)
        remove(path)

    monkeypatch.setattr(store, "remove", removed)
    assert clear_work(store, NOW) == [KEY]
    assert store.list_folders() == []


def test_run_that_begins_while_others_are_cleared_keeps_its_work(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in (KEY, OTHER):
        began(store, key, 30).keep("history", make(FILES))
    remove = store.remove

    def removed(path: str) -> None:
        key = path.partition("/")[0]
        Work(store, OTHER if key == KEY else KEY).begin(NOW)
        remove(path)

    monkeypatch.setattr(store, "remove", removed)
    assert len(clear_work(store, NOW - DAY)) == 1
    [left] = store.list_folders()
    assert Work(store, left).has("history")
