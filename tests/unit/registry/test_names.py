from datetime import UTC, datetime

import pytest

from kubecast.errors import InvalidName
from kubecast.registry import VERSION_PATTERN, check_alias, check_name
from kubecast.registry.names import (
    check_version,
    is_version,
    may_hold,
    new_version,
    path_fault,
    split_reference,
    version_time,
)


@pytest.mark.parametrize("name", ["demand", "a", "Demand-2.half_hourly", "0", "a" * 128, "a..b"])
def test_plain_name_is_returned(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["../../x", "/abs", "a//b", "a/b", "a\0b", "a\r\nb", "a\n", "a" * 129, ".", "..", "", " a", "a b", "é",
     "a@b", "-a", "_a", "a\\b", "%2e%2e"],
)  # fmt: skip
def test_name_outside_the_pattern_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(InvalidName, match="allowed: 1 to 128") as caught:
        check_name(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("alias", ["champion", "challenger", "v2", "20261123", "prod.eu-1"])
def test_plain_alias_is_returned(alias: str) -> None:
    assert check_alias(alias) == alias


@pytest.mark.parametrize("alias", ["latest", "Latest", "20261123T181500123456Z-0f3c9a1b", "../x", "a b", ""])
def test_reserved_or_version_shaped_alias_is_refused(alias: str) -> None:
    with pytest.raises(InvalidName, match="alias"):
        check_alias(alias)


def test_new_version_matches_the_pattern_and_gives_back_its_time() -> None:
    time = datetime(2026, 11, 23, 18, 15, 0, 123456, tzinfo=UTC)
    version = new_version(time, "ab12" + "0" * 60)
    assert VERSION_PATTERN.fullmatch(version)
    assert version.startswith("20261123T181500123456Z-ab12")
    assert version_time(version) == time
    assert may_hold(version, "ab12" + "f" * 60)
    assert not may_hold(version, "ab13" + "f" * 60)


@pytest.mark.parametrize(
    "text", ["champion", "20261399T181500123456Z-0f3c9a1b", "20261123T181500123456Z-0F3C9A1B"]
)
def test_text_that_is_no_version(text: str) -> None:
    assert not is_version(text)


def test_version_id_is_returned_and_other_text_refused() -> None:
    assert check_version("20261123T181500123456Z-0f3c9a1b") == "20261123T181500123456Z-0f3c9a1b"
    with pytest.raises(InvalidName, match="version 'champion'; allowed: a version id"):
        check_version("champion")


@pytest.mark.parametrize(
    ("reference", "parts"),
    [("demand", ("demand", None)), ("demand@", ("demand", "")), ("demand@a@b", ("demand", "a@b"))],
)
def test_reference_is_taken_apart(reference: str, parts: tuple[str, str | None]) -> None:
    assert split_reference(reference) == parts


@pytest.mark.parametrize(
    "path", ["report.html", "evaluated/lstm/model.keras", "a b/ü.json", "x..y", ".hidden"]
)
def test_plain_relative_path_has_no_fault(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("../x", "relative"),
        ("a/../x", "relative"),
        ("/etc/passwd", "relative"),
        ("a//b", "relative"),
        ("a/", "relative"),
        (".", "relative"),
        ("", "relative"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\\b", "backslash"),
        ("a#1", "#"),
        ("a\udcffb", "control"),
        ("a" * 513, "512 bytes"),
        ("evaluated/model.pkl", "run code"),
        ("evaluated/model.PKL.gz", "run code"),
        ("m.pickle", "run code"),
        ("m.joblib", "run code"),
        ("model.weights.h5", "run code"),
    ],
)
def test_unsafe_path_has_a_fault(path: str, fault: str) -> None:
    assert fault in (path_fault(path) or "")
