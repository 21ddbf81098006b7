"""What the tasks of a run hand on to each other, in a folder and on a real S3 server."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import ConfigError, Conflict, IntegrityError, NotFound, StoreBusy
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


@pytest.fixture
def work(store: Store) -> Work:
    return Work(store, KEY)


def fetched(work: Work, part: str, folder: Path) -> dict[str, bytes]:
    target = work.fetch(part, folder / f"fetched-{len(list(folder.iterdir()))}")
    return {file.name: file.read_bytes() for file in target.iterdir()}


def folders_of(work: Work, part: str = "rows-000") -> list[str]:
    return [name for name in work.store.list_folders(work.key) if name.startswith(f"{part}-")]


def file_of(work: Work, name: str) -> str:
    """The path of a file of the one folder there is."""
    [folder] = folders_of(work)
    return f"{work.key}/{folder}/{name}"


def overwrite(store: Store, path: str, content: bytes) -> None:
    store.remove(path)
    store.write(path, [content])


def test_part_that_was_kept_is_fetched_as_it_was(work: Work, make: Make, tmp_path: Path) -> None:
    assert not work.has("rows-000")
    work.keep("rows-000", make(FILES))
    work.keep("rows-001", make({"other": b"x"}))
    assert work.has("rows-000")
    assert fetched(work, "rows-000", tmp_path) == FILES
    assert not work.has("rows-00")
    assert not Work(work.store, OTHER).has("rows-000")


def test_part_without_files_is_a_part(work: Work, make: Make, tmp_path: Path) -> None:
    work.keep("rows-000", make({}))
    assert work.has("rows-000")
    assert fetched(work, "rows-000", tmp_path) == {}


@pytest.mark.slow
def test_large_file_is_handed_on(work: Work, make: Make, tmp_path: Path) -> None:
    content = b"0123456789" * 2_000_000
    work.keep("rows-000", make({"panel.parquet": content}))
    assert fetched(work, "rows-000", tmp_path) == {"panel.parquet": content}


def test_work_that_nobody_began_has_no_part(work: Work, tmp_path: Path) -> None:
    assert not work.has("history")
    with pytest.raises(NotFound, match=r"history\.json"):
        work.fetch("history", tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_the_part_kept_first_stays(work: Work, make: Make, tmp_path: Path) -> None:
    work.keep("rows-000", make({"a": b"first"}))
    before = folders_of(work)
    work.keep("rows-000", make({"a": b"second"}))
    assert folders_of(work) == before
    assert fetched(work, "rows-000", tmp_path) == {"a": b"first"}


@pytest.mark.parametrize(
    "harm",
    [
        lambda store, path: store.remove(path),
        lambda store, path: overwrite(store, path, b"longer than it was"),
        lambda store, path: store.write(f"{path}-more", [b"x"]),
        lambda store, path: overwrite(store, f"{KEY}/rows-000.json", b"{"),
        lambda store, path: overwrite(store, f"{KEY}/rows-000.json", b"\xff"),
        lambda store, path: overwrite(store, f"{KEY}/rows-000.json", b'{"folder": "../x", "files": {}}'),
    ],
    ids=["gone", "another size", "one more", "no JSON", "no text", "another folder"],
)
def test_part_that_is_not_as_its_record_says_is_kept_again(
    work: Work, make: Make, tmp_path: Path, harm: Callable[[Store, str], object]
) -> None:
    work.keep("rows-000", make(FILES))
    harm(work.store, file_of(work, "panel.parquet"))
    assert not work.has("rows-000")
    work.keep("rows-000", make({"a": b"again"}))
    assert work.has("rows-000")
    assert fetched(work, "rows-000", tmp_path) == {"a": b"again"}


def test_altered_file_is_refused_and_leaves_nothing(work: Work, make: Make, tmp_path: Path) -> None:
    work.keep("rows-000", make(FILES))
    overwrite(work.store, file_of(work, "panel.parquet"), b"swor")
    with pytest.raises(IntegrityError, match=r"panel\.parquet: 4 bytes"):
        work.fetch("rows-000", tmp_path / "fetched")
    assert not list(tmp_path.glob("*fetched*"))


def test_missing_file_is_refused(work: Work, make: Make, tmp_path: Path) -> None:
    work.keep("rows-000", make(FILES))
    work.store.remove(file_of(work, "panel.parquet"))
    with pytest.raises(IntegrityError, match=r"panel\.parquet: is missing"):
        work.fetch("rows-000", tmp_path / "fetched")


@pytest.mark.parametrize("steps", range(7))
def test_writer_that_is_killed_leaves_no_part_and_the_next_one_keeps_it(
    root: Path, make: Make, tmp_path: Path, steps: int
) -> None:
    dying, work = Dying(root), Work(LocalStore(root), KEY)
    dying.left = steps
    contents = {name: content * 2 for name, content in FILES.items()}
    try:
        Work(dying, KEY).keep("rows-000", make(contents))
    except Killed:
        assert not work.has("rows-000")
        with pytest.raises(NotFound):
            work.fetch("rows-000", tmp_path / "fetched")
    else:
        assert steps > 5
    work.keep("rows-000", make(contents))
    assert fetched(work, "rows-000", tmp_path) == contents


def test_upload_that_fails_leaves_no_files(root: Path, make: Make) -> None:
    class Failing(LocalStore):
        def write(self, path: str, chunks: Iterable[bytes]) -> None:
            super().write(path, chunks)
            if path.endswith("panel.parquet"):
                raise StoreBusy("503")

    work = Work(Failing(root), KEY)
    with pytest.raises(StoreBusy, match="503"):
        work.keep("rows-000", make(FILES))
    assert work.store.list_files(KEY) == {}


def during_swap(store: Store, monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Do something once, just before the store swaps."""
    swap, pending = store.compare_and_swap, [action]

    def swapped(*arguments: Any) -> None:
        if pending:
            pending.pop()()
        swap(*arguments)

    monkeypatch.setattr(store, "compare_and_swap", swapped)


def test_of_two_writers_at_once_the_first_one_s_files_are_kept_alone(
    work: Work, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make({"a": b"first"})
    during_swap(work.store, monkeypatch, lambda: work.keep("rows-000", first))
    work.keep("rows-000", make({"a": b"second"}))
    assert len(folders_of(work)) == 1
    assert fetched(work, "rows-000", tmp_path) == {"a": b"first"}


def test_of_two_writers_that_mend_a_part_the_first_one_s_files_are_kept(
    work: Work, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.keep("rows-000", make({"a": b"lost"}))
    work.store.remove(file_of(work, "a"))
    first = make({"a": b"first"})
    during_swap(work.store, monkeypatch, lambda: work.keep("rows-000", first))
    work.keep("rows-000", make({"a": b"second"}))
    assert fetched(work, "rows-000", tmp_path) == {"a": b"first"}


class ReplyLosing(LocalStore):
    """Does each swap, then says that another writer was faster: what a repeated request gets."""

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        super().compare_and_swap(path, data, expected)
        raise Conflict("the reply was lost, and the repeated request found its own write")


def test_record_whose_reply_was_lost_keeps_its_files(root: Path, make: Make, tmp_path: Path) -> None:
    work = Work(ReplyLosing(root), KEY)
    work.keep("rows-000", make(FILES))
    assert work.has("rows-000")
    assert fetched(work, "rows-000", tmp_path) == FILES


def test_note_of_use_whose_reply_was_lost_is_written(root: Path) -> None:
    work = Work(ReplyLosing(root), KEY)
    work.begin(NOW)
    assert clear_work(work.store, NOW + DAY, dry_run=True) == [KEY]


def test_writer_that_others_always_overtake_gives_up(
    root: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(LocalStore(root), KEY)

    def overtaken(*_: object) -> None:
        raise Conflict("another writer was faster")

    monkeypatch.setattr(work.store, "compare_and_swap", overtaken)
    with pytest.raises(Conflict, match=r"rows-000\.json: too many writers at once"):
        work.keep("rows-000", make(FILES))
    work.begin(NOW)  # whose use one of the others has noted


def test_url_opens_the_same_work(work: Work, make: Make, tmp_path: Path) -> None:
    work.keep("rows-000", make(FILES))
    again = Work.open(work.url)
    assert (again.key, again.url) == (KEY, work.url)
    assert fetched(again, "rows-000", tmp_path) == FILES


@pytest.mark.parametrize("name", ["my work", "100%25", "a#b", "wörk", "a?b"])
def test_url_of_a_folder_with_any_name_opens_the_same_work(tmp_path: Path, make: Make, name: str) -> None:
    work = Work(open_store(str(tmp_path / name)), KEY)
    work.keep("rows-000", make(FILES))
    assert Work.open(work.url).has("rows-000")
    assert Work.open(f"{tmp_path / name}/{KEY}").has("rows-000")


@pytest.mark.parametrize(
    "url",
    [
        "",
        KEY,
        f"/{KEY}",
        "s3://bucket/work",
        f"work/{KEY}/",
        f"work/{KEY}0",
        f"work/{KEY.upper()}",
        f"{KEY}/x",
    ],
)
def test_other_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        Work.open(url)


def test_refusal_shows_no_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        Work.open("s3://me:word@bucket/work")
    assert "word" not in str(caught.value)
