"""From published to promoted, rolled back, retired, deleted and exported."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import (
    Conflict,
    InputError,
    IntegrityError,
    InvalidName,
    NotFound,
    RegistryError,
    StoreTimeout,
)
from kubecast.registry import Collected, Registry, clock
from kubecast.registry.manifest import MAX_HISTORY
from kubecast.storage.folder import LocalStore
from tests.support.bundles import MakeBundle

ABSENT = "20260101T000000000000Z-00000000"


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    return lambda time: monkeypatch.setattr(clock, "now", lambda: time)


def publish(registry: Registry, make_bundle: MakeBundle, *labels: str, **options: Any) -> list[str]:
    return [registry.publish("demand", make_bundle(label), {}, **options).id for label in labels]


def champion(registry: Registry) -> str | None:
    return registry.aliases("demand").get("champion")


def test_promote_takes_any_reference(registry: Registry, make_bundle: MakeBundle) -> None:
    first, second = publish(registry, make_bundle, "b0", "b1")
    assert registry.promote("demand").id == second
    assert registry.promote(f"demand@{first}").aliases == ("champion",)
    registry.promote("demand@latest", "challenger")
    assert registry.aliases("demand") == {"champion": first, "challenger": second}
    assert registry.promote("demand@challenger").aliases == ("challenger", "champion")


def test_promote_that_expects_another_version_changes_nothing(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    first, second = publish(registry, make_bundle, "b0", "b1")
    with pytest.raises(Conflict, match=f"points at None, not at {first}"):
        registry.promote(f"demand@{second}", expect=first)
    registry.promote(f"demand@{first}")
    with pytest.raises(Conflict):
        registry.promote(f"demand@{second}", expect=second)
    with pytest.raises(InvalidName):
        registry.promote(f"demand@{second}", expect="champion")
    with pytest.raises(InvalidName):
        registry.promote(f"demand@{second}", "latest")
    assert registry.aliases("demand") == {"champion": first}
    registry.promote(f"demand@{second}", expect=first)
    assert champion(registry) == second


def test_rollback_goes_back_step_by_step(registry: Registry, make_bundle: MakeBundle) -> None:
    first, second, third = publish(registry, make_bundle, "b0", "b1", "b2")
    with pytest.raises(NotFound, match="no alias demand@champion"):
        registry.rollback("demand")
    for version in (first, second, first, first, third):
        registry.promote(f"demand@{version}")
    assert [registry.rollback("demand").id for _ in range(3)] == [first, second, first]
    with pytest.raises(NotFound, match=f"no earlier version to go back to; it stays at {first}"):
        registry.rollback("demand")
    assert champion(registry) == first


def test_rollback_passes_over_versions_that_are_gone(registry: Registry, make_bundle: MakeBundle) -> None:
    versions = publish(registry, make_bundle, "b0", "b1", "b2", "b3")
    for version in versions:
        registry.promote(f"demand@{version}")
    for version in versions[1:3]:
        registry.delete("demand", version)
    assert registry.rollback("demand").id == versions[0]


def test_rollback_that_another_promotion_overtakes_changes_nothing(
    registry: Registry, root: Path, make_bundle: MakeBundle
) -> None:
    class RacingStore(LocalStore):
        def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
            registry.promote(f"demand@{third}")
            super().compare_and_swap(path, data, expected)

    first, second, third = publish(registry, make_bundle, "b0", "b1", "b2")
    registry.promote(f"demand@{first}")
    registry.promote(f"demand@{second}")
    with pytest.raises(Conflict, match=f"points at {third}, not at {second}"):
        Registry(RacingStore(root)).rollback("demand")
    assert champion(registry) == third


def test_history_is_bounded(registry: Registry, root: Path, make_bundle: MakeBundle) -> None:
    first, second = publish(registry, make_bundle, "b0", "b1")
    for _ in range(MAX_HISTORY):
        registry.promote(f"demand@{first}")
        registry.promote(f"demand@{second}")
    refs = json.loads((root / "demand" / "refs.json").read_bytes())
    assert len(refs["history"]["champion"]) == MAX_HISTORY
    assert refs["history"]["champion"][-1] == first


def test_retention_keeps_what_the_champion_would_roll_back_to(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    first, second = publish(registry, make_bundle, "b0", "b1")
    registry.promote(f"demand@{first}")
    registry.promote(f"demand@{second}")
    publish(registry, make_bundle, "b2", "b3", "b4", max_versions=1)
    assert registry.rollback("demand").id == first


def test_retention_keeps_the_rollback_that_is_left_when_a_nearer_one_is_deleted(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    first, second, third = publish(registry, make_bundle, "b0", "b1", "b2")
    for version in (first, second, third):
        registry.promote(f"demand@{version}")
    registry.delete("demand", second)
    publish(registry, make_bundle, "b3", "b4", max_versions=1)
    assert registry.rollback("demand").id == first


def test_rollback_never_goes_back_to_where_it_is(registry: Registry, make_bundle: MakeBundle) -> None:
    first, second = publish(registry, make_bundle, "b0", "b1")
    for version in (first, second, first):
        registry.promote(f"demand@{version}")
    registry.delete("demand", second)
    with pytest.raises(NotFound, match=f"no earlier version to go back to; it stays at {first}"):
        registry.rollback("demand")


def test_retention_never_takes_the_newest_version(
    registry: Registry, make_bundle: MakeBundle, root: Path
) -> None:
    """A slow upload with an earlier id is published after a later one."""

    class SlowStore(LocalStore):
        def write(self, path: str, chunks: Any) -> None:
            if not registry.models():
                newer.append(registry.publish("demand", make_bundle("newer"), {}, max_versions=1).id)
            super().write(path, chunks)

    newer: list[str] = []
    older = Registry(SlowStore(root)).publish("demand", make_bundle("older"), {}, max_versions=1).id
    assert older < newer[0]
    assert registry.resolve("demand@latest").id == newer[0]


def test_deleted_version_is_found_no_more_and_its_files_go_after_the_grace(
    registry: Registry, root: Path, make_bundle: MakeBundle, set_clock: Callable[[datetime], None]
) -> None:
    first, second = publish(registry, make_bundle, "b0", "b1")
    after = registry.delete("demand", second)
    assert registry.delete("demand", second) == after
    assert registry.resolve("demand@latest").id == first
    assert [entry.deleting is None for entry in registry.entries("demand")] == [False, True]
    with pytest.raises(NotFound, match="is being deleted"):
        registry.resolve(f"demand@{second}")
    assert registry.collect_garbage("demand").deleted == []
    set_clock(after)
    assert registry.collect_garbage("demand").deleted == [second]
    assert [folder.name for folder in (root / "demand" / "versions").iterdir()] == [first]
    assert [entry.id for entry in registry.entries("demand")] == [first]


def test_version_with_an_alias_is_not_deleted(registry: Registry, make_bundle: MakeBundle) -> None:
    (version,) = publish(registry, make_bundle, "b0")
    registry.promote("demand")
    registry.promote("demand", "challenger")
    with pytest.raises(InputError, match="is challenger, champion; move that alias first"):
        registry.delete("demand", version)
    assert registry.resolve("demand@latest").id == version


def test_version_that_is_not_there_is_not_deleted(registry: Registry, make_bundle: MakeBundle) -> None:
    publish(registry, make_bundle, "b0")
    with pytest.raises(NotFound, match=f"no version demand@{ABSENT}"):
        registry.delete("demand", ABSENT)
    with pytest.raises(InvalidName, match="allowed: a version id"):
        registry.delete("demand", "latest")


def test_damaged_version_can_be_deleted(registry: Registry, root: Path, make_bundle: MakeBundle) -> None:
    first, second = publish(registry, make_bundle, "b0", "b1")
    (root / "demand" / "commits" / f"{second}.json").write_text("{")
    registry.delete("demand", second)
    assert [version.id for version in registry.versions("demand")] == [first]


def test_model_whose_versions_are_all_deleted_is_no_model(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    (version,) = publish(registry, make_bundle, "b0")
    registry.delete("demand", version)
    assert registry.models() == []
    assert registry.names() == ["demand"]
    with pytest.raises(NotFound, match="no version of model"):
        registry.resolve("demand")


def test_refs_of_a_newer_schema_ask_for_an_upgrade(
    registry: Registry, root: Path, make_bundle: MakeBundle
) -> None:
    publish(registry, make_bundle, "b0")
    (root / "demand" / "refs.json").write_text('{"schema_version": 2, "surprise": 1}')
    with pytest.raises(RegistryError, match=r"demand/refs\.json: schema 2 is newer than 1; upgrade kubecast"):
        registry.resolve("demand")


def test_export_is_the_bundle_that_was_published(
    registry: Registry, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle()
    version = registry.publish("demand", bundle, {})
    target = registry.export(version, tmp_path / "new" / "copy")
    files = {file.relative_to(bundle): file.read_bytes() for file in bundle.rglob("*.*")}
    assert {file.relative_to(target): file.read_bytes() for file in target.rglob("*.*")} == files
    assert [entry.name for entry in target.parent.iterdir()] == ["copy"]
    with pytest.raises(InputError, match="copy exists already"):
        registry.export(version, target)


def test_export_of_a_damaged_version_leaves_nothing(
    registry: Registry, root: Path, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    version = registry.publish("demand", make_bundle(), {})
    (root / "demand" / "versions" / version.id / "report.html").write_text("other")
    with pytest.raises(IntegrityError, match=r"report\.html"):
        registry.export(version, tmp_path / "new" / "copy")
    assert list((tmp_path / "new").iterdir()) == []


def test_upload_that_takes_over_half_its_grace_is_not_published(root: Path, make_bundle: MakeBundle) -> None:
    registry = Registry.open(str(root), upload_grace=timedelta(0))
    with pytest.raises(StoreTimeout, match=r"took over 0:00:00, half its grace; nothing was published"):
        registry.publish("demand", make_bundle(), {})
    assert registry.entries("demand") == []
    assert list((root / "demand" / "versions").iterdir()) == []


def test_upload_while_the_machine_slept_is_not_published(
    root: Path, make_bundle: MakeBundle, set_clock: Callable[[datetime], None]
) -> None:
    class SleepingStore(LocalStore):
        def write(self, path: str, chunks: Any) -> None:
            super().write(path, chunks)
            set_clock(datetime.now(UTC) + timedelta(hours=12))

    with pytest.raises(StoreTimeout, match="took over 12:00:00"):
        Registry(SleepingStore(root)).publish("demand", make_bundle(), {})


@pytest.mark.parametrize("collected", [True, False])
def test_writer_frozen_just_before_its_commit_publishes_all_or_nothing(
    root: Path, make_bundle: MakeBundle, set_clock: Callable[[datetime], None], collected: bool
) -> None:
    """Frozen for days: long enough for garbage collection to forget that it gave the upload up."""

    class FreezingStore(LocalStore):
        def compare_and_swap(self, path: str, data: bytes, expected: str | None) -> None:
            if "/commits/" in path:
                set_clock(datetime.now(UTC) + timedelta(days=3))
                for _ in range(2 if collected else 0):
                    runs.append(Registry.open(str(root)).collect_garbage("demand"))
            super().compare_and_swap(path, data, expected)

    runs: list[Any] = []
    registry = Registry(FreezingStore(root))
    if collected:
        with pytest.raises(StoreTimeout, match="nothing was published"):
            registry.publish("demand", make_bundle(), {})
        assert len(runs[0].uploads) == len(runs[1].records) == 1
        assert registry.entries("demand") == []
    else:
        version = registry.publish("demand", make_bundle(), {})
        assert registry.verify("demand", version.id).faults == []


@pytest.mark.slow
def test_whole_life_in_a_bucket(s3_url: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    registry = Registry.open(s3_url, delete_grace=timedelta(0))
    first, second, third = publish(registry, make_bundle, "b0", "b1", "b2")
    for version in (first, second):
        registry.promote(f"demand@{version}")
    assert registry.rollback("demand").id == first
    registry.delete("demand", third)
    assert registry.resolve("demand@latest").id == second
    assert registry.collect_garbage("demand").deleted == [third]
    assert registry.collect_garbage("demand") == Collected(deleted=[], uploads=[], records=[])
    registry.export(registry.resolve("demand"), tmp_path / "copy")
    assert (tmp_path / "copy" / "evaluated" / "model.json").read_text() == "evaluated b0"
    result = registry.verify("demand")
    assert (result.versions, result.files, result.faults) == (2, 8, [])
    assert [entry.id for entry in registry.entries("demand")] == [second, first]
    assert registry.models() == registry.names() == ["demand"]
