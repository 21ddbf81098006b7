import json
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kubecast.errors import InputError, IntegrityError, RegistryError
from kubecast.registry.manifest import Manifest, Refs, check_metadata, decode, idempotency_key, scan
from kubecast.registry.publishing import read_bundled
from kubecast.storage.checksums import FileEntry, verified
from tests.support.bundles import MakeBundle

SHA = "0" * 64


def manifest_json(**changes: Any) -> bytes:
    content = {
        "schema_version": 1,
        "version": "20261123T181500123456Z-0f3c9a1b",
        "created": "2026-11-23T18:15:00.123456Z",
        "nonce": "n",
        "idempotency_key": SHA,
        "files": {"evaluated/model.json": {"size": 3, "sha256": SHA}},
        "metadata": {"horizon": 48},
        **changes,
    }
    return json.dumps(content).encode()


def test_manifest_survives_encoding() -> None:
    manifest = decode(Manifest, manifest_json(), "here")
    assert manifest.created == datetime(2026, 11, 23, 18, 15, 0, 123456, tzinfo=UTC)
    assert decode(Manifest, manifest.encode(), "here") == manifest


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xfe",
        b"{",
        b"[]",
        b"[" * 100_000,
        manifest_json(files={"../outside.json": {"size": 3, "sha256": SHA}}),
        manifest_json(files={"/etc/passwd": {"size": 3, "sha256": SHA}}),
        manifest_json(files={"evaluated/model.pkl": {"size": 3, "sha256": SHA}}),
        manifest_json(files={"a": {"size": -1, "sha256": SHA}}),
        manifest_json(files={"a": {"size": 1, "sha256": SHA + "\n"}}),
        manifest_json(created="2026-11-23T18:15:00"),
        manifest_json(schema_version=0),
        manifest_json(surprise=1),
        manifest_json(metadata={"mase": math.nan}),
        manifest_json(metadata={"mase": 1}).replace(b": 1}", b": 1e999}"),
    ],
)
def test_damaged_manifest_is_an_integrity_error_in_one_line(damaged: bytes) -> None:
    with pytest.raises(IntegrityError, match="here: damaged manifest") as caught:
        decode(Manifest, damaged, "here")
    assert "\n" not in str(caught.value)


def test_manifest_of_a_newer_schema_asks_for_an_upgrade() -> None:
    with pytest.raises(RegistryError, match="schema 2 is newer than 1; upgrade kubecast") as caught:
        decode(Manifest, manifest_json(schema_version=2, unheard_of=True), "here")
    assert not isinstance(caught.value, IntegrityError)


def test_damaged_refs_are_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="damaged refs: generation"):
        decode(Refs, b'{"generation": -1}', "here")


def test_refs_name_versions_alone() -> None:
    with pytest.raises(IntegrityError, match=r"damaged refs: aliases\.champion"):
        decode(Refs, b'{"aliases": {"champion": "../../x"}}', "here")


def test_scan_lists_sizes_and_hashes_by_path(make_bundle: MakeBundle) -> None:
    files = scan(make_bundle())
    assert list(files) == sorted(files)
    assert files["evaluated/members/arima/state.npz"].size == 1000
    assert files["report.html"].sha256.startswith("b633a587")


def test_scan_refuses_an_empty_or_missing_bundle(tmp_path: Path) -> None:
    (tmp_path / "empty" / "evaluated").mkdir(parents=True)
    with pytest.raises(InputError, match="holds no file"):
        scan(tmp_path / "empty")
    with pytest.raises(InputError, match=r"gone: No such file"):
        scan(tmp_path / "gone")


@pytest.mark.parametrize("name", ["model.pkl", "model.joblib", "weights.H5", "a\nb", "x#1"])
def test_scan_refuses_an_unsafe_file_by_name(make_bundle: MakeBundle, name: str) -> None:
    with pytest.raises(InputError, match="'evaluated/") as caught:
        scan(make_bundle(**{f"evaluated/{name}": b"x"}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["report.html", "evaluated", "nowhere"])
def test_scan_refuses_a_symlink_to_anything(make_bundle: MakeBundle, target: str) -> None:
    bundle = make_bundle()
    (bundle / "evaluated" / "link").symlink_to(bundle / target)
    with pytest.raises(InputError, match=r"'evaluated/link' is a link"):
        scan(bundle)


def test_scan_refuses_a_named_pipe(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    os.mkfifo(bundle / "pipe")
    with pytest.raises(InputError, match="'pipe' is a link or a special file"):
        scan(bundle)


def test_file_that_changes_while_it_is_published_is_found_out(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    entry = scan(bundle)["report.html"]
    (bundle / "report.html").write_bytes(b"<html>later</html>")
    with pytest.raises(IntegrityError, match=r"report\.html"):
        list(read_bundled(bundle / "report.html", entry))
    (bundle / "report.html").unlink()
    with pytest.raises(InputError, match=r"report\.html: No such file"):
        list(read_bundled(bundle / "report.html", entry))


def test_verified_passes_the_right_bytes_and_refuses_others() -> None:
    entry = FileEntry(size=2, sha256="fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603")
    assert b"".join(verified([b"a", b"b"], entry, "x")) == b"ab"
    for wrong in ([b"a"], [b"ab", b"c"], [b"aB"], []):
        with pytest.raises(IntegrityError, match=r"x: .* its manifest says 2 bytes"):
            list(verified(wrong, entry, "x"))


def test_idempotency_key_depends_on_paths_and_contents_not_on_order() -> None:
    one, two = FileEntry(size=1, sha256="1" * 64), FileEntry(size=1, sha256="2" * 64)
    key = idempotency_key({"evaluated/m": one, "production/m": two})
    assert key == idempotency_key({"production/m": two, "evaluated/m": one})
    assert key != idempotency_key({"evaluated/m": two, "production/m": one})


def test_metadata_comes_back_as_it_was() -> None:
    metadata = {"horizon": 48, "mase": 0.1 + 0.2, "models": ["arima", None, True], "né": {"a": "\ud800"}}
    assert check_metadata(metadata) == metadata  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, [math.nan], {1: "a"}, (1, 2), {1, 2}, b"a", object(), Path("x")],
    ids=lambda value: type(value).__name__,
)
def test_metadata_that_is_not_json_is_refused_by_key(value: Any) -> None:
    with pytest.raises(InputError, match="metadata key 'score'"):
        check_metadata({"fine": 1, "score": value})


def test_metadata_nested_too_deep_is_refused() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InputError, match="metadata key 'deep'"):
        check_metadata({"deep": deep})


def test_metadata_over_the_cap_is_refused() -> None:
    with pytest.raises(InputError, match="allowed: 1048576"):
        check_metadata({"a": "x" * 600_000, "b": "x" * 600_000})
