from datetime import timedelta
from pathlib import Path

import pytest

from kubecast.errors import Conflict
from kubecast.registry import Collected, Registry
from kubecast.storage.folder import LocalStore
from tests.support.bundles import MakeBundle

NOTHING = Collected(deleted=[], uploads=[], records=[])
OLD = "20200101T000000000000Z-0000000{}"


@pytest.fixture
def eager(root: Path) -> Registry:
    """With no grace for deletions."""
    return Registry.open(str(root), delete_grace=timedelta(0))


def upload(root: Path, version: str) -> Path:
    file = root / "demand" / "versions" / version / "evaluated" / "part.bin"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    return file


def commit_file(root: Path, version: str) -> Path:
    return root / "demand" / "commits" / f"{version}.json"


def test_nothing_stored_leaves_nothing_to_collect(registry: Registry, root: Path) -> None:
    assert registry.collect_garbage("demand") == NOTHING
    assert not root.exists()


def test_abandoned_upload_is_removed_and_then_its_record(registry: Registry, root: Path) -> None:
    old = OLD.format(1)
    file = upload(root, old)
    assert registry.collect_garbage("demand") == Collected(deleted=[], uploads=[old], records=[])
    assert not file.exists()
    assert commit_file(root, old).read_bytes() == b""
    assert registry.entries("demand") == []
    assert registry.collect_garbage("demand") == Collected(deleted=[], uploads=[], records=[old])
    assert not commit_file(root, old).exists()
    assert registry.collect_garbage("demand") == NOTHING


def test_upload_within_its_grace_and_what_is_published_stay(
    registry: Registry, root: Path, make_bundle: MakeBundle
) -> None:
    version = registry.publish("demand", make_bundle(), {})
    young = upload(root, version.id[:-8] + "ffffffff")
    foreign = upload(root, "notes")
    assert registry.collect_garbage("demand") == NOTHING
    assert young.exists()
    assert foreign.exists()
    assert registry.verify("demand", version.id).faults == []


def test_files_that_arrive_after_an_upload_was_given_up_are_removed(registry: Registry, root: Path) -> None:
    old = OLD.format(1)
    upload(root, old)
    registry.collect_garbage("demand")
    late = upload(root, old)
    assert registry.collect_garbage("demand") == Collected(deleted=[], uploads=[old], records=[])
    assert not late.exists()


def test_writer_that_commits_first_keeps_its_upload(root: Path, make_bundle: MakeBundle) -> None:
    class RacingStore(LocalStore):
        """The writer of an upload commits just before it is given up."""

        def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
            commit_file(root, old).parent.mkdir(exist_ok=True)
            commit_file(root, old).write_bytes(b"a manifest")
            super().compare_and_swap(path, data, expected)

    old = OLD.format(1)
    file = upload(root, old)
    assert Registry(RacingStore(root)).collect_garbage("demand") == NOTHING
    assert file.exists()


def test_two_collections_at_once_both_go_through(root: Path) -> None:
    class RacingStore(LocalStore):
        def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
            super().compare_and_swap(path, data, expected)
            raise Conflict("another one did the same, or the reply was lost")

    old = OLD.format(1)
    file = upload(root, old)
    assert Registry(RacingStore(root)).collect_garbage("demand").uploads == [old]
    assert not file.exists()


def test_dry_run_tells_the_same_and_changes_nothing(
    registry: Registry, eager: Registry, root: Path, make_bundle: MakeBundle
) -> None:
    version = registry.publish("demand", make_bundle(), {})
    registry.delete("demand", version.id)
    upload(root, OLD.format(1))
    commit_file(root, OLD.format(2)).touch()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    planned = eager.collect_garbage("demand", dry_run=True)
    assert planned == Collected(deleted=[version.id], uploads=[OLD.format(1)], records=[OLD.format(2)])
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert eager.collect_garbage("demand") == planned


@pytest.mark.parametrize("steps", range(3))
def test_deletion_that_was_killed_is_finished_by_another_process(
    registry: Registry, eager: Registry, root: Path, make_bundle: MakeBundle, steps: int
) -> None:
    class Killed(BaseException):
        pass

    class DyingStore(LocalStore):
        left = steps

        def step(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Killed

        def remove(self, path: str) -> None:
            self.step()
            super().remove(path)

        def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
            self.step()
            super().compare_and_swap(path, data, expected)

    first = registry.publish("demand", make_bundle("b0"), {})
    second = registry.publish("demand", make_bundle("b1"), {})
    registry.delete("demand", first.id)
    with pytest.raises(Killed):
        Registry(DyingStore(root), delete_grace=timedelta(0)).collect_garbage("demand")
    assert registry.verify("demand").faults == []
    assert eager.collect_garbage("demand") == Collected(deleted=[first.id], uploads=[], records=[])
    assert registry.versions("demand") == [second]
    assert [folder.name for folder in (root / "demand" / "versions").iterdir()] == [second.id]
