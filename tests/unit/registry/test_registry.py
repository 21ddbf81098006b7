import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import (
    ConfigError,
    Conflict,
    InputError,
    IntegrityError,
    InvalidName,
    KubecastError,
    NotFound,
    RegistryError,
)
from kubecast.registry import Registry, Version, clock, publishing
from kubecast.registry.garbage_collection import DELETE_GRACE
from tests.support.bundles import MakeBundle

ABSENT = "20260101T000000000000Z-00000000"


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    return lambda time: monkeypatch.setattr(clock, "now", lambda: time)


def ids(registry: Registry, name: str = "demand") -> list[str]:
    return [version.id for version in registry.versions(name)]


def publish_all(registry: Registry, make_bundle: MakeBundle, count: int, **options: Any) -> list[str]:
    return [registry.publish("demand", make_bundle(f"b{i}"), {"i": i}, **options).id for i in range(count)]


def manifest_file(root: Path, version: Version) -> Path:
    return root / version.name / "commits" / f"{version.id}.json"


def test_published_version_is_found_with_its_metadata_and_files(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    version = registry.publish("demand", make_bundle(), {"mase": 0.25, "models": ["arima"]})
    assert registry.models() == ["demand"]
    assert registry.versions("demand") == [version]
    assert registry.resolve(f"demand@{version.id}") == version
    assert version.metadata == {"mase": 0.25, "models": ["arima"]}
    assert version.files["evaluated/members/arima/state.npz"][0] == 1000
    assert version.created.tzinfo is not None
    assert hash(version) == hash(replace(version, metadata={}))


def test_parts_are_fetched_side_by_side_as_they_were(
    registry: Registry, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle()
    version = registry.publish("demand", bundle, {})
    evaluated = registry.fetch(version, "evaluated", tmp_path / "new" / "there")
    production = registry.fetch(version, "production", tmp_path / "new" / "there")
    assert evaluated == tmp_path / "new" / "there" / "evaluated"
    assert production == tmp_path / "new" / "there" / "production"
    for part in ("evaluated", "production"):
        for file in (bundle / part).rglob("*.*"):
            assert (tmp_path / "new" / "there" / file.relative_to(bundle)).read_bytes() == file.read_bytes()
    assert sorted(entry.name for entry in evaluated.parent.iterdir()) == ["evaluated", "production"]
    assert registry.read_file(version, "report.html") == b"<html></html>"


def test_fetch_never_writes_into_an_existing_folder(
    registry: Registry, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    version = registry.publish("demand", make_bundle(), {})
    registry.fetch(version, "evaluated", tmp_path / "to")
    with pytest.raises(InputError, match="evaluated exists already"):
        registry.fetch(version, "evaluated", tmp_path / "to")


def test_fetch_to_a_place_that_cannot_be_written_is_told(
    registry: Registry, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    version = registry.publish("demand", make_bundle(), {})
    (tmp_path / "file").touch()
    with pytest.raises(RegistryError, match=r"cannot write to .*file: Not a directory"):
        registry.fetch(version, "evaluated", tmp_path / "file")


def test_what_a_version_does_not_hold_is_not_found(
    registry: Registry, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = tmp_path / "report-only"
    bundle.mkdir()
    (bundle / "report.html").write_text("x")
    version = registry.publish("demand", bundle, {})
    with pytest.raises(NotFound, match="has no part 'production'"):
        registry.fetch(version, "production", tmp_path / "to")
    with pytest.raises(NotFound, match="has no file"):
        registry.read_file(version, "../../refs.json")
    with pytest.raises(ConfigError, match="allowed: evaluated, production"):
        registry.fetch(version, "..", tmp_path / "to")


def test_empty_place_is_an_empty_registry_and_stays_absent(registry: Registry, root: Path) -> None:
    assert registry.models() == []
    assert registry.versions("demand") == []
    assert registry.aliases("demand") == {}
    with pytest.raises(NotFound, match="no version of model 'demand' in file://"):
        registry.resolve("demand")
    assert not root.exists()


def test_folders_that_hold_no_version_are_no_models(
    registry: Registry, make_bundle: MakeBundle, root: Path
) -> None:
    registry.publish("demand", make_bundle(), {})
    for folder in (".hidden", "no name", "killed/versions/x"):
        (root / folder).mkdir(parents=True)
        (root / folder / "file").touch()
    assert registry.models() == ["demand"]


def test_reference_without_alias_is_the_champion_or_else_the_newest(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    first, second = publish_all(registry, make_bundle, 2)
    assert registry.resolve("demand").id == second
    registry.set_alias("demand", "champion", first, None)
    assert registry.resolve("demand").id == first
    assert registry.resolve("demand").aliases == ("champion",)
    assert registry.resolve("demand@champion").id == first
    assert registry.resolve("demand@latest").id == second


@pytest.mark.parametrize("reference", ["demand@", "a/b", "@x", "", "demand@a@b", "demand@../x", "demand\n"])
def test_malformed_reference_is_refused(registry: Registry, reference: str) -> None:
    with pytest.raises(InvalidName):
        registry.resolve(reference)


def test_beginning_of_a_version_is_enough_where_one_begins_so(
    registry: Registry, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for day in (7, 8, 8):
        monkeypatch.setattr(
            "kubecast.registry.clock.now", lambda day=day: datetime(2026, 1, day, len(ids), tzinfo=UTC)
        )
        ids.append(registry.publish("demand", make_bundle(f"b{len(ids)}"), {}).id)
    assert registry.resolve("demand@20260107").id == ids[0]
    assert registry.resolve("demand@20260108T02").id == ids[2]
    assert registry.complete("demand@20260108T01") == ("demand", ids[1])
    assert registry.complete("demand") == ("demand", None)
    with pytest.raises(
        NotFound, match=f"demand@20260108 is the beginning of several versions: {ids[2]}, {ids[1]}"
    ):
        registry.resolve("demand@20260108")
    registry.delete("demand", ids[2])
    assert registry.resolve("demand@20260108").id == ids[1]
    registry.set_alias("demand", "20260107", ids[1], None)  # an alias goes before
    assert registry.resolve("demand@20260107").id == ids[1]


def test_unknown_model_is_told_with_those_that_are_there(registry: Registry, make_bundle: MakeBundle) -> None:
    with pytest.raises(NotFound, match="its models: none"):
        registry.resolve("demand")
    registry.publish("demand", make_bundle(), {})
    for ask in (registry.resolve, registry.check_model, registry.rollback):
        with pytest.raises(NotFound, match="its models: demand"):
            ask("demnad")
    assert registry.check_model("demand") == "demand"


def test_unknown_alias_or_version_is_not_found(registry: Registry, make_bundle: MakeBundle) -> None:
    version = registry.publish("demand", make_bundle(), {})
    registry.set_alias("demand", "champion", version.id, None)
    with pytest.raises(NotFound, match=r"no alias demand@shadow .*; there are: latest, champion"):
        registry.resolve("demand@shadow")
    with pytest.raises(NotFound, match=f"no version demand@{ABSENT}"):
        registry.resolve(f"demand@{ABSENT}")


@pytest.mark.parametrize("name", ["../../x", "/abs", "a//b", "a\0b", "a\r\nb", "a" * 129, ".", ".."])
def test_bad_model_name_is_refused_everywhere(
    registry: Registry, make_bundle: MakeBundle, root: Path, name: str
) -> None:
    calls: list[Callable[[], object]] = [
        lambda: registry.publish(name, make_bundle(), {}),
        lambda: registry.versions(name),
        lambda: registry.aliases(name),
        lambda: registry.resolve(name),
        lambda: registry.set_alias(name, "champion", ABSENT, None),
        lambda: registry.entries(name),
        lambda: registry.promote(f"{name}@{ABSENT}"),
        lambda: registry.rollback(name),
        lambda: registry.delete(name, ABSENT),
        lambda: registry.collect_garbage(name),
        lambda: registry.verify(name),
    ]
    for call in calls:
        with pytest.raises(InvalidName):
            call()
    assert not root.exists()


@pytest.mark.parametrize("alias", ["latest", ABSENT, "a/b"])
def test_bad_alias_is_refused(registry: Registry, make_bundle: MakeBundle, alias: str) -> None:
    version = registry.publish("demand", make_bundle(), {})
    with pytest.raises(InvalidName):
        registry.set_alias("demand", alias, version.id, None)
    assert registry.aliases("demand") == {}


def test_alias_moves_only_from_where_it_was_expected(registry: Registry, make_bundle: MakeBundle) -> None:
    first, second = publish_all(registry, make_bundle, 2)
    with pytest.raises(Conflict, match="points at None, not at"):
        registry.set_alias("demand", "champion", first, first)
    registry.set_alias("demand", "champion", first, None)
    with pytest.raises(Conflict, match=f"points at {first}, not at None"):
        registry.set_alias("demand", "champion", second, None)
    with pytest.raises(Conflict):
        registry.set_alias("demand", "champion", second, second)
    assert registry.aliases("demand") == {"champion": first}
    registry.set_alias("demand", "champion", second, first)
    assert registry.aliases("demand") == {"champion": second}


def test_alias_of_a_version_that_is_not_there_is_refused(registry: Registry, make_bundle: MakeBundle) -> None:
    first, _ = publish_all(registry, make_bundle, 2, max_versions=1)
    with pytest.raises(NotFound, match="is being deleted"):
        registry.set_alias("demand", "champion", first, None)
    with pytest.raises(NotFound, match="no version"):
        registry.set_alias("demand", "champion", ABSENT, None)
    with pytest.raises(InvalidName, match="allowed: a version id"):
        registry.set_alias("demand", "champion", "../x", None)
    assert registry.aliases("demand") == {}


def test_same_bundle_is_published_once(registry: Registry, make_bundle: MakeBundle, root: Path) -> None:
    version = registry.publish("demand", make_bundle(), {"run": 1})
    before = sorted(path.stat().st_mtime_ns for path in root.rglob("*"))
    assert registry.publish("demand", make_bundle(), {"run": 2}) == version
    assert sorted(path.stat().st_mtime_ns for path in root.rglob("*")) == before
    assert registry.publish("other", make_bundle(), {}).id != version.id


def test_bundles_with_the_same_first_digits_of_their_keys_stay_apart(
    registry: Registry, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "may_hold", lambda version, key: True)
    first, second = publish_all(registry, make_bundle, 2)
    assert first != second
    assert publish_all(registry, make_bundle, 2) == [first, second]


def test_bundle_whose_version_is_being_deleted_is_published_anew(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    first, _ = publish_all(registry, make_bundle, 2, max_versions=1)
    again = registry.publish("demand", make_bundle("b0"), {})
    assert again.id != first
    assert ids(registry)[0] == again.id


def test_versions_come_newest_first(registry: Registry, make_bundle: MakeBundle) -> None:
    published = publish_all(registry, make_bundle, 4)
    assert ids(registry) == published[::-1]


def test_order_holds_when_the_clock_is_behind_the_newest_version(
    registry: Registry, make_bundle: MakeBundle, set_clock: Callable[[datetime], None]
) -> None:
    ahead = datetime(2040, 1, 1, tzinfo=UTC)
    set_clock(ahead)
    first = registry.publish("demand", make_bundle("b0"), {})
    set_clock(ahead - timedelta(days=3000))
    second = registry.publish("demand", make_bundle("b1"), {})
    third = registry.publish("demand", make_bundle("b2"), {})
    assert ids(registry) == [third.id, second.id, first.id]
    assert first.created < second.created < third.created
    assert registry.resolve("demand@latest") == third


def test_oldest_versions_are_retired_but_none_with_an_alias(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    champion = registry.publish("demand", make_bundle("champion"), {}).id
    registry.set_alias("demand", "champion", champion, None)
    published = publish_all(registry, make_bundle, 5, max_versions=3)
    assert ids(registry) == [published[4], published[3], champion]
    with pytest.raises(NotFound, match="is being deleted"):
        registry.resolve(f"demand@{published[0]}")


def test_aliased_versions_above_the_limit_stay_with_the_one_just_published(
    registry: Registry, make_bundle: MakeBundle
) -> None:
    first, second = publish_all(registry, make_bundle, 2)
    registry.set_alias("demand", "champion", first, None)
    registry.set_alias("demand", "challenger", second, None)
    third = registry.publish("demand", make_bundle("third"), {}, max_versions=1).id
    assert ids(registry) == [third, second, first]


def test_retired_version_stays_loadable_until_its_grace_is_over(
    registry: Registry,
    make_bundle: MakeBundle,
    root: Path,
    tmp_path: Path,
    set_clock: Callable[[datetime], None],
) -> None:
    start = datetime.now(UTC)
    old = registry.publish("demand", make_bundle("old"), {})
    publish_all(registry, make_bundle, 1, max_versions=1)
    assert registry.fetch(old, "evaluated", tmp_path / "in-time").is_dir()
    set_clock(start + DELETE_GRACE + timedelta(minutes=1))
    newest = registry.publish("demand", make_bundle("next"), {}, max_versions=2)
    assert not manifest_file(root, old).exists()
    assert not (root / "demand" / "versions" / old.id).exists()
    assert json.loads((root / "demand" / "refs.json").read_bytes())["deleting"] == {}
    assert newest.id in ids(registry)
    with pytest.raises(IntegrityError, match="is missing"):
        registry.fetch(old, "evaluated", tmp_path / "late")


def test_refs_that_name_a_folder_outside_delete_nothing(
    registry: Registry, make_bundle: MakeBundle, root: Path
) -> None:
    registry.publish("demand", make_bundle(), {})
    outside = root.parent / "outside"
    outside.mkdir()
    refs = {"deleting": {"../../../outside": "2020-01-01T00:00:00Z"}}
    (root / "demand" / "refs.json").write_text(json.dumps(refs))
    with pytest.raises(IntegrityError, match="damaged refs: deleting"):
        registry.publish("demand", make_bundle("second"), {})
    assert outside.is_dir()


@pytest.mark.parametrize("limit", [0, -1, True, False, 2.0, "3", None])
def test_max_versions_that_is_no_positive_number_is_refused(
    registry: Registry, make_bundle: MakeBundle, root: Path, limit: Any
) -> None:
    with pytest.raises(ConfigError, match=r"max_versions is .*; allowed: a whole number from 1"):
        registry.publish("demand", make_bundle(), {}, max_versions=limit)
    assert not root.exists()


@pytest.mark.parametrize("metadata", [{"a": float("nan")}, {"a": object()}, {"a": "x" * (1 << 20)}])
def test_bad_metadata_publishes_nothing(
    registry: Registry, make_bundle: MakeBundle, root: Path, metadata: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="metadata"):
        registry.publish("demand", make_bundle(), metadata)
    assert not root.exists()


def test_metadata_nested_deeply_is_refused_or_read_back(registry: Registry, make_bundle: MakeBundle) -> None:
    for depth in (50, 150, 200, 300, 700):
        deep: Any = 1
        for _ in range(depth):
            deep = [deep]
        try:
            version = registry.publish("demand", make_bundle(str(depth)), {"deep": deep})
        except InputError as error:
            assert "'deep'" in str(error)  # noqa: PT017
        else:
            assert registry.resolve(f"demand@{version.id}").metadata == {"deep": deep}


@pytest.mark.parametrize("name", ["model.pkl", "model.pickle", "model.joblib", "weights.h5"])
def test_pickles_are_never_published(
    registry: Registry, make_bundle: MakeBundle, root: Path, name: str
) -> None:
    with pytest.raises(InputError, match=name):
        registry.publish("demand", make_bundle(**{f"evaluated/{name}": b"\x80\x04."}), {})
    assert not root.exists()


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def lengthen(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0")


@pytest.mark.parametrize("harm", [flip, truncate, lengthen, Path.unlink])
def test_harmed_file_never_reaches_the_caller(
    registry: Registry, make_bundle: MakeBundle, root: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    version = registry.publish("demand", make_bundle(), {})
    harm(root / "demand" / "versions" / version.id / "evaluated" / "members" / "arima" / "state.npz")
    with pytest.raises(IntegrityError, match=r"evaluated/members/arima/state\.npz"):
        registry.fetch(version, "evaluated", tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
    with pytest.raises(IntegrityError):
        registry.read_file(version, "evaluated/members/arima/state.npz")
    assert registry.fetch(version, "production", tmp_path / "to").is_dir()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"files": {"../other/x": {"size": 1, "sha256": "0" * 64}}}, IntegrityError, "plain relative path"),
        ({"files": {"evaluated/m.pkl": {"size": 1, "sha256": "0" * 64}}}, IntegrityError, "run code"),
        ({"version": ABSENT}, IntegrityError, f"is the manifest of {ABSENT}"),
        ({"schema_version": 2}, RegistryError, "upgrade kubecast"),
    ],
)
def test_foreign_manifest_is_refused_by_name_and_stops_no_publish(
    registry: Registry,
    make_bundle: MakeBundle,
    root: Path,
    changes: dict[str, Any],
    error: type[KubecastError],
    message: str,
) -> None:
    bad = registry.publish("demand", make_bundle("bad"), {})
    file = manifest_file(root, bad)
    file.write_text(json.dumps(json.loads(file.read_bytes()) | changes))
    for call in (lambda: registry.resolve(f"demand@{bad.id}"), lambda: registry.versions("demand")):
        with pytest.raises(error, match=message) as caught:
            call()
        assert f"demand/commits/{bad.id}.json" in str(caught.value)
    good = registry.publish("demand", make_bundle("good"), {})
    assert registry.resolve("demand") == good


def test_aborted_upload_is_no_version_but_keeps_its_place_in_the_order(
    registry: Registry, make_bundle: MakeBundle, root: Path
) -> None:
    first = registry.publish("demand", make_bundle("b0"), {})
    aborted = "20400101T000000000000Z-00000000"
    manifest_file(root, replace(first, id=aborted)).touch()
    (root / "demand" / "commits" / "notes.txt").touch()
    assert registry.versions("demand") == [first]
    assert registry.resolve("demand@latest") == first
    with pytest.raises(NotFound):
        registry.resolve(f"demand@{aborted}")
    assert registry.publish("demand", make_bundle("b1"), {}).id > aborted
