import errno
import itertools
import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import Conflict, StoreFull
from kubecast.registry import Registry, Store, clock, publishing, records
from kubecast.registry.manifest import MAX_NONCES
from kubecast.storage.folder import LocalStore
from tests.support.bundles import MakeBundle


class Killed(BaseException):
    """Stands for the end of the process."""


class DyingStore(LocalStore):
    def __init__(self, root: Path, steps: int) -> None:
        """Do `steps` more operations or parts of one, then nothing ever again, as a killed process."""
        super().__init__(root)
        self.steps = steps

    def step(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Killed

    def list_files(self, folder: str, after: str = "") -> dict[str, int]:
        self.step()
        return super().list_files(folder, after)

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        self.step()
        super().write(path, self._dying(chunks))
        self.step()

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        self.step()
        super().compare_and_swap(path, data, expected)
        self.step()

    def remove(self, path: str) -> None:
        self.step()
        super().remove(path)
        self.step()

    def _dying(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.step()
            yield chunk[: len(chunk) // 2]
            self.step()
            yield chunk[len(chunk) // 2 :]


@pytest.mark.slow
def test_process_killed_at_any_step_leaves_a_registry_that_loads_and_goes_on(
    root: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    registry = Registry.open(str(root), delete_grace=timedelta(0))
    champion = registry.publish("demand", make_bundle("champion"), {})
    registry.set_alias("demand", "champion", champion.id, None)
    for steps in itertools.count():
        dying = Registry(DyingStore(root, steps), delete_grace=timedelta(0))
        bundle = make_bundle(f"killed-{steps}")
        try:
            dying.publish("demand", bundle, {}, max_versions=2)
            break
        except Killed:
            pass
        for version in registry.versions("demand"):
            registry.fetch(version, "evaluated", tmp_path / "fetched" / str(steps) / version.id)
        repeated = registry.publish("demand", bundle, {}, max_versions=2)
        assert registry.resolve("demand@latest") == repeated
        following = registry.publish("demand", make_bundle(f"following-{steps}"), {}, max_versions=2)
        assert [version.id for version in registry.versions("demand")] == [following.id, champion.id]
        assert registry.aliases("demand") == {"champion": champion.id}
    assert steps > 20


class ReplyLosingStore(LocalStore):
    """Does each swap, then says that another writer was faster: what a repeated request gets."""

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        super().compare_and_swap(path, data, expected)
        raise Conflict("the reply was lost, and the repeated request found its own write")


def test_write_that_won_but_lost_its_reply_counts_as_won(root: Path, make_bundle: MakeBundle) -> None:
    registry = Registry(ReplyLosingStore(root))
    version = registry.publish("demand", make_bundle(), {})
    registry.set_alias("demand", "champion", version.id, None)
    assert [each.id for each in registry.versions("demand")] == [version.id]
    assert registry.aliases("demand") == {"champion": version.id}


class SupersededStore(ReplyLosingStore):
    """Lets another writer swap the refs too before a lost reply is noticed."""

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        try:
            super().compare_and_swap(path, data, expected)
        finally:
            name = path.partition("/")[0]
            other = records.Records(LocalStore(self._root), name)
            other.update(lambda refs: refs.marked([], clock.now(), other.live(refs)[1:]))
            other.update(lambda refs: refs.marked([], clock.now(), other.live(refs)))


def test_alias_whose_lost_write_was_followed_by_others_counts_as_moved(
    root: Path, make_bundle: MakeBundle
) -> None:
    registry = Registry.open(str(root))
    first, second, third = (registry.publish("demand", make_bundle(f"b{n}"), {}) for n in range(3))
    for version in (first, second):
        registry.promote(f"demand@{version.id}")
    racing = Registry(SupersededStore(root))
    racing.set_alias("demand", "champion", third.id, expected=second.id)
    assert registry.aliases("demand") == {"champion": third.id}
    assert racing.rollback("demand").id == second.id
    assert registry.aliases("demand") == {"champion": second.id}
    assert registry.rollback("demand").id == first.id


@pytest.mark.slow
def test_refs_remember_a_bounded_number_of_writes(root: Path, make_bundle: MakeBundle) -> None:
    registry = Registry.open(str(root))
    first, second = (registry.publish("demand", make_bundle(f"b{n}"), {}) for n in range(2))
    for _ in range(MAX_NONCES):
        for version in (first, second):
            registry.promote(f"demand@{version.id}")
    refs = records.Records(LocalStore(root), "demand").refs()
    assert len(set(refs.past_nonces)) == MAX_NONCES


def test_version_is_published_though_retirement_fails(
    root: Path, make_bundle: MakeBundle, caplog: pytest.LogCaptureFixture
) -> None:
    class NoRefsStore(LocalStore):
        def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
            if path.endswith("refs.json"):
                raise StoreFull("the disk is full")
            super().compare_and_swap(path, data, expected)

    registry = Registry.open(str(root))
    registry.publish("demand", make_bundle("b0"), {}, max_versions=1)
    version = Registry(NoRefsStore(root)).publish("demand", make_bundle("b1"), {}, max_versions=1)
    assert f"{version.id} is published, but no older version was retired: the disk is full" in caplog.text
    assert registry.resolve("demand@latest") == version
    assert len(registry.versions("demand")) == 2
    assert registry.publish("demand", make_bundle("b1"), {}, max_versions=1) == version
    assert registry.versions("demand") == [version]


class RacingStore(LocalStore):
    def __init__(self, root: Path, other: bytes, races: int) -> None:
        """Let another writer change the same file before each swap, `races` times."""
        super().__init__(root)
        self.other = other
        self.races = races

    def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
        if self.races:
            self.races -= 1
            super().compare_and_swap(
                path, self.other % self.races if b"%" in self.other else self.other, expected
            )
        super().compare_and_swap(path, data, expected)


OTHER_REFS = b'{"generation": %d, "nonce": "x", "aliases": {}, "deleting": {}}'


def test_alias_is_set_after_other_changes_to_the_same_refs(
    registry: Registry, root: Path, make_bundle: MakeBundle
) -> None:
    version = registry.publish("demand", make_bundle(), {})
    Registry(RacingStore(root, OTHER_REFS, 3)).set_alias("demand", "champion", version.id, None)
    assert registry.aliases("demand") == {"champion": version.id}


def test_writer_that_always_loses_gives_up_with_a_conflict(
    registry: Registry, root: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_SWAP_PAUSE_SECONDS", 0)
    version = registry.publish("demand", make_bundle(), {})
    with pytest.raises(Conflict, match=r"refs\.json: too many writers at once"):
        Registry(RacingStore(root, OTHER_REFS, 1000)).set_alias("demand", "champion", version.id, None)
    assert registry.aliases("demand") == {}


def test_commit_that_garbage_collection_took_is_a_conflict(root: Path, make_bundle: MakeBundle) -> None:
    with pytest.raises(Conflict, match="took too long"):
        Registry(RacingStore(root, b"", 1)).publish("demand", make_bundle(), {})
    assert Registry.open(str(root)).versions("demand") == []


def test_commit_that_another_writer_took_is_a_conflict(
    registry: Registry, root: Path, make_bundle: MakeBundle
) -> None:
    version = registry.publish("demand", make_bundle("b0"), {})
    taken = (root / "demand" / "commits" / f"{version.id}.json").read_bytes()
    with pytest.raises(Conflict, match="another writer was faster"):
        Registry(RacingStore(root, taken, 1)).publish("demand", make_bundle("b1"), {})


def test_upload_into_the_folder_of_another_writer_leaves_it_alone(
    registry: Registry, root: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.publish("demand", make_bundle("b0"), {})
    monkeypatch.setattr(publishing, "new_version", lambda time, key: version.id)
    with pytest.raises(Conflict):
        registry.publish("demand", make_bundle("b1"), {})
    assert registry.read_file(version, "report.html") == b"<html></html>"


def test_version_deleted_while_they_are_listed_is_left_out(
    registry: Registry, root: Path, make_bundle: MakeBundle
) -> None:
    class DeletingStore(LocalStore):
        def list_files(self, folder: str, after: str = "") -> dict[str, int]:
            files = super().list_files(folder, after)
            self.remove(min(files))
            return files

    first = registry.publish("demand", make_bundle("b0"), {})
    second = registry.publish("demand", make_bundle("b1"), {})
    listed = Registry(DeletingStore(root)).versions("demand")
    assert [version.id for version in listed] == [second.id]
    assert first.id < second.id


@pytest.mark.parametrize("write", range(1, 12))
def test_full_disk_publishes_nothing_and_older_versions_stay(
    registry: Registry, root: Path, make_bundle: MakeBundle, tmp_path: Path, write: int
) -> None:
    old = registry.publish("demand", make_bundle("old"), {})
    fsync, calls = os.fsync, itertools.count(1)

    def full(descriptor: int) -> None:
        if next(calls) >= write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreFull, match="No space left on device"):
            registry.publish("demand", make_bundle("new"), {})
    assert registry.resolve("demand") == old
    registry.fetch(old, "production", tmp_path / "to")
    assert registry.publish("demand", make_bundle("new"), {}) == registry.resolve("demand@latest")


def test_failed_upload_gives_its_space_back(
    registry: Registry, root: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = registry.publish("demand", make_bundle("old"), {})

    def fail(_: Any, path: str, __: Any) -> None:
        raise StoreFull(path)

    monkeypatch.setattr(LocalStore, "write", fail)
    with pytest.raises(StoreFull):
        registry.publish("demand", make_bundle("new"), {})
    assert [folder.name for folder in (root / "demand" / "versions").iterdir()] == [old.id]


def test_any_store_with_these_operations_will_do(root: Path) -> None:
    store: Store = LocalStore(root)
    assert Registry(store).models() == []
