"""Earlier versions beside a new one."""

from pathlib import Path
from typing import Any

import pytest

from kubecast.data.panel import PanelSpec
from kubecast.evaluation.history import MOST, earlier_versions
from kubecast.evaluation.promotion import TEST, Check, Decision
from kubecast.registry import Registry

SPEC = PanelSpec(frequency="h", horizon=6, season_lengths=[24, 168])
TASK = {"frequency": "h", "horizon": 6, "season_lengths": [24]}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.open(str(tmp_path / "registry"))


def publish(registry: Registry, folder: Path, number: int, **metadata: Any) -> str:
    (folder / "evaluated").mkdir(parents=True)
    (folder / "evaluated" / "number").write_text(str(number))
    return registry.publish("demand", folder, {**TASK, **metadata}, max_versions=100).id


def test_versions_are_oldest_first_with_what_they_scored(registry: Registry, tmp_path: Path) -> None:
    test = {"mase": 0.5, "skill": 0.1, "coverage_80": 0.78, "mae": 3.0}
    ids = [publish(registry, tmp_path / str(n), n, test=test | {"mase": n / 10}) for n in range(3)]
    registry.promote(f"demand@{ids[2]}")  # since the new version was judged against another
    earlier = earlier_versions(registry, "demand", SPEC, ids[1], "")
    assert [each.version for each in earlier] == ids
    assert [each.mase for each in earlier] == [0.0, 0.1, 0.2]
    assert [each.champion for each in earlier] == [False, True, False]
    assert earlier[0].coverage == {"80": 0.78}


@pytest.mark.parametrize(
    "changed", [{"horizon": 7}, {"frequency": "D"}, {"season_lengths": [168]}, {"season_lengths": []}]
)
def test_version_of_another_task_is_left_out(
    registry: Registry, tmp_path: Path, changed: dict[str, Any]
) -> None:
    publish(registry, tmp_path / "b", 1, **changed)
    assert earlier_versions(registry, "demand", SPEC, "", "") == []


def test_what_the_run_published_itself_is_left_out(registry: Registry, tmp_path: Path) -> None:
    first = publish(registry, tmp_path / "first", 1, inputs_digest="a")
    publish(registry, tmp_path / "own", 2, inputs_digest="b")
    assert [each.version for each in earlier_versions(registry, "demand", SPEC, "", "b")] == [first]


def test_version_that_was_never_scored_has_no_figures(registry: Registry, tmp_path: Path) -> None:
    publish(registry, tmp_path / "b", 1)
    (earlier,) = earlier_versions(registry, "demand", SPEC, "", "")
    assert (earlier.mase, earlier.skill, earlier.coverage) == (None, None, {})


@pytest.mark.parametrize(("passed", "expected"), [(False, "digest"), (True, "")])
def test_paired_test_that_a_version_failed_is_remembered(
    registry: Registry, tmp_path: Path, passed: bool, expected: str
) -> None:
    check = Check(name=TEST, value=0.2, allowed="below 0.05", passed=passed)
    decision = Decision(promote=passed, compared="", reasons=[], checks=[check], tested="digest")
    publish(registry, tmp_path / "b", 1, decision=decision.model_dump(mode="json"))
    (earlier,) = earlier_versions(registry, "demand", SPEC, "", "")
    assert earlier.failed_test == expected


def test_deleted_and_damaged_versions_are_passed_over(registry: Registry, tmp_path: Path) -> None:
    ids = [publish(registry, tmp_path / str(n), n) for n in range(3)]
    registry.delete("demand", ids[0])
    (tmp_path / "registry" / "demand" / "commits" / f"{ids[1]}.json").write_text("{")
    assert [each.version for each in earlier_versions(registry, "demand", SPEC, "", "")] == [ids[2]]


def test_only_the_newest_are_taken(registry: Registry, tmp_path: Path) -> None:
    ids = [publish(registry, tmp_path / str(n), n) for n in range(MOST + 2)]
    assert [each.version for each in earlier_versions(registry, "demand", SPEC, "", "")] == ids[2:]


def test_no_model_has_no_versions(registry: Registry) -> None:
    assert earlier_versions(registry, "demand", SPEC, "", "") == []
