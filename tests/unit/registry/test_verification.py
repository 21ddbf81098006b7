import json
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import NotFound, StoreError
from kubecast.registry import Registry, Version
from kubecast.storage.folder import LocalStore
from tests.support.bundles import MakeBundle

ABSENT = "20260101T000000000000Z-00000000"


@pytest.fixture
def version(registry: Registry, make_bundle: MakeBundle) -> Version:
    return registry.publish("demand", make_bundle(), {})


@pytest.fixture
def files(root: Path, version: Version) -> Path:
    return root / "demand" / "versions" / version.id


def test_whole_model_has_no_fault(registry: Registry, version: Version, make_bundle: MakeBundle) -> None:
    other = registry.publish("demand", make_bundle("second"), {})
    registry.promote("demand")
    result = registry.verify("demand")
    size = sum(size for one in (version, other) for size, _ in one.files.values())
    assert result.to_json() == {"versions": 2, "files": 8, "bytes": size, "faults": []}
    assert registry.verify("demand", version.id).files == 4


def test_every_fault_is_told(
    registry: Registry, version: Version, files: Path, make_bundle: MakeBundle
) -> None:
    registry.publish("demand", make_bundle("whole"), {})
    (files / "report.html").unlink()
    (files / "production" / "model.json").write_text("altered")
    (files / "evaluated" / "extra.bin").write_text("x")
    stored = f"demand/versions/{version.id}"
    for faults in (registry.verify("demand").faults, registry.verify("demand", version.id).faults):
        assert len(faults) == 3
        assert f"{stored}/evaluated/extra.bin: is not in the version's manifest" in faults[0]
        assert f"{stored}/production/model.json: 7 bytes with SHA-256" in faults[1]
        assert f"{stored}/report.html: is missing, but its manifest names it" in faults[2]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"files": {"../x": {"size": 1, "sha256": "0" * 64}}}, "plain relative path"),
        ({"schema_version": 2}, "upgrade kubecast"),
        ({"version": ABSENT}, "is the manifest of"),
    ],
)
def test_manifest_that_cannot_be_used_is_a_fault_and_the_others_are_read(
    registry: Registry,
    root: Path,
    version: Version,
    make_bundle: MakeBundle,
    changes: dict[str, Any],
    fault: str,
) -> None:
    registry.publish("demand", make_bundle("whole"), {})
    file = root / "demand" / "commits" / f"{version.id}.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | changes))
    result = registry.verify("demand")
    assert (result.versions, result.files) == (2, 4)
    (message,) = result.faults
    assert f"commits/{version.id}.json" in message
    assert fault in message


def test_dangling_alias_and_foreign_files_are_faults(
    registry: Registry, root: Path, version: Version
) -> None:
    refs = root / "demand" / "refs.json"
    refs.write_text(json.dumps(json.loads(refs.read_bytes()) | {"aliases": {"champion": ABSENT}}))
    for path in ("notes.txt", "versions/x/y", "commits/z.json"):
        (root / "demand" / path).parent.mkdir(exist_ok=True)
        (root / "demand" / path).touch()
    faults = registry.verify("demand").faults
    assert faults[0] == f"demand@champion: points at {ABSENT}, which is no version"
    assert [fault.partition("registry/")[2] for fault in faults[1:]] == [
        f"demand/{path}: is no part of a model" for path in ("commits/z.json", "notes.txt", "versions/x/y")
    ]
    assert registry.verify("demand", version.id).faults == []


@pytest.mark.parametrize(
    ("refs", "fault"), [("{", "damaged refs: not JSON"), ('{"schema_version": 2}', "upgrade kubecast")]
)
def test_refs_that_cannot_be_read_are_a_fault_and_versions_are_read(
    registry: Registry, root: Path, version: Version, refs: str, fault: str
) -> None:
    (root / "demand" / "refs.json").write_text(refs)
    result = registry.verify("demand")
    assert (result.versions, result.files, len(result.faults)) == (1, 4, 1)
    assert fault in result.faults[0]


def test_upload_in_progress_and_given_up_upload_are_no_faults(
    registry: Registry, root: Path, version: Version
) -> None:
    (root / "demand" / "versions" / ABSENT).mkdir()
    (root / "demand" / "versions" / ABSENT / "split").touch()
    (root / "demand" / "commits" / f"{ABSENT}.json").touch()
    assert registry.verify("demand").faults == []


def test_version_that_is_deleted_while_it_is_read_is_no_fault(
    registry: Registry, root: Path, version: Version, make_bundle: MakeBundle
) -> None:
    class DeletingStore(LocalStore):
        def stream(self, path: str) -> Any:
            self.remove(f"demand/commits/{version.id}.json")
            self.remove(f"demand/versions/{version.id}")
            return super().stream(path)

    result = Registry(DeletingStore(root)).verify("demand")
    assert (result.versions, result.faults) == (0, [])


def test_version_that_is_not_there_is_not_found(registry: Registry, version: Version) -> None:
    with pytest.raises(NotFound, match=f"no version demand@{ABSENT}"):
        registry.verify("demand", ABSENT)
    with pytest.raises(NotFound, match=r"no model 'demnad': nothing is stored at file://"):
        registry.verify("demnad")


def test_store_that_fails_is_no_fault_of_the_version(root: Path, version: Version) -> None:
    class FailingStore(LocalStore):
        def read(self, path: str) -> tuple[bytes, str]:
            if "/commits/" in path:
                raise StoreError("down")
            return super().read(path)

    with pytest.raises(StoreError, match="down"):
        Registry(FailingStore(root)).verify("demand")
