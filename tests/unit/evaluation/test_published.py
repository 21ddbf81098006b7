"""What two published versions differ in; figures are put side by side on the same rows alone."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from kubecast.errors import IntegrityError
from kubecast.evaluation.changes import Change
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.evaluation.published import VersionDiff, diff_versions, published_evaluation
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.registry import Registry, Version
from kubecast.steps.champion import forecast_champion
from tests.golden import write as golden
from tests.support.panels import hourly
from tests.support.runs import register, run, train

FORMER = golden.FOLDER / "former" / "leaderboard-4.json"
YESTERDAY = pd.Timestamp("2024-01-15T12:00")  # of the 400 hours from 2024-01-01, the last 47 come after it
DEEPER = CatBoostSettings(iterations=20, depth=4).model_dump_json()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Versions ``first``; ``deeper``, of other settings; ``newer``, of more rows, compared with the first."""
    folder = tmp_path_factory.mktemp("versions")
    rows, registry = hourly(), folder / "first" / "registry"
    first = run(rows[rows["ds"] <= YESTERDAY], folder / "first")
    store = Registry.open(str(registry))
    _, _, version = (first / "published").read_text().partition("@")
    store.set_alias("forecaster", "first", version, expected=None)
    deeper = train(rows[rows["ds"] <= YESTERDAY], folder / "deeper", parameters={"catboost_settings": DEEPER})
    _alias(store, register(deeper, registry=registry), "deeper")
    newer = train(rows, folder / "newer")
    forecast_champion(newer / "panel", version, str(registry), "", "", folder / "champion")
    _alias(store, register(newer, folder / "champion", registry), "newer")
    return store


def _alias(store: Registry, published: str, alias: str) -> None:
    store.set_alias("forecaster", alias, published.partition("@")[2], expected=None)


def diff(store: Registry, before: str, after: str) -> VersionDiff:
    return diff_versions(store, store.resolve(f"forecaster@{before}"), store.resolve(f"forecaster@{after}"))


def figures(found: VersionDiff) -> dict[str, tuple[float | None, float | None]]:
    return {pair.name: (pair.before, pair.after) for pair in found.figures}


@pytest.mark.slow
def test_versions_of_the_same_rows_are_compared_by_every_figure(store: Registry) -> None:
    found = diff(store, "first", "deeper")
    assert found.settings == [Change(name="catboost.depth", before="3", after="4")]
    assert (found.data, found.code) == ([], [])
    boards = [
        published_evaluation(store, store.resolve(f"forecaster@{each}")) for each in ("first", "deeper")
    ]
    scores = [board.row("ensemble", "test") for board in boards if board]
    assert figures(found)["mase"] == (scores[0].mase, scores[1].mase)
    assert figures(found)["coverage_80"] == (scores[0].coverage["80"], scores[1].coverage["80"])
    assert scores[0].mase != scores[1].mase
    assert found.rows.startswith("the test split of both, 2024-01-")


@pytest.mark.slow
@pytest.mark.parametrize("order", [["first", "newer"], ["newer", "first"]])
def test_versions_that_the_gate_compared_have_its_figures(store: Registry, order: list[str]) -> None:
    found = diff(store, *order)
    comparison = store.resolve("forecaster@newer").metadata["decision"]["comparison"]
    pair = comparison["champion_mase"], comparison["mase"]
    assert figures(found)["mase"] == (pair if order[0] == "first" else pair[::-1])
    assert ", which neither was fitted on" in found.rows
    changed = {change.name for change in found.data}
    assert {"digest", "rows", "data_to", "test_from", "test_to"} <= changed
    assert "data_from" not in changed


@pytest.mark.slow
def test_figures_of_other_rows_are_not_put_side_by_side(store: Registry) -> None:
    found = diff(store, "deeper", "newer")
    assert found.figures == []
    assert found.rows.startswith("not comparable: forecaster@")
    assert found.rows.count("was scored on 2024-01-") == 2


@pytest.mark.slow
def test_weights_and_fits_that_differ_stand_by_model(store: Registry, tmp_path: Path) -> None:
    first = store.resolve("forecaster@first")
    board = json.loads(store.read_file(first, LEADERBOARD))
    for member, weight in zip(board["ensemble"]["members"], (0.75, 0.25), strict=True):
        member["weight"] = weight
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "model.json").write_text("{}")
    (tmp_path / LEADERBOARD).write_text(json.dumps(board))
    failed = {"catboost": {"state": "failed", "reason": "out of memory"}}
    another = store.publish("forecaster", tmp_path, first.metadata | {"final_fit": failed})
    assert diff_versions(store, first, another).models == [
        Change(name="catboost.final_fit", before="ok", after="out of memory"),
        Change(name="catboost.weight", before="1", after="0.75"),
        Change(name="seasonal_naive_24.weight", before="0", after="0.25"),
    ]


@pytest.mark.slow
def test_a_version_is_no_different_from_itself(store: Registry) -> None:
    found = diff(store, "first", "first")
    assert (found.settings, found.data, found.code, found.models) == ([], [], [], [])
    assert all(pair.before == pair.after for pair in found.figures)


@pytest.mark.slow
def test_version_published_by_hand_has_no_figures(store: Registry, tmp_path: Path) -> None:
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / "model.json").write_text("{}")
    by_hand = store.publish("another", tmp_path, {"packages": {"kubecast": "0.0.1"}})
    found = diff_versions(store, by_hand, store.resolve("forecaster@first"))
    assert found.rows.startswith(
        f"not comparable: another@{by_hand.id} was scored on rows that are not known"
    )
    assert Change(name="kubecast", before="0.0.1", after="0.1.0") in found.code


@pytest.fixture
def former() -> dict[str, Any]:
    """A leaderboard of schema 4, whose figures are not rounded."""
    return dict(json.loads(FORMER.read_text()))


class Shelf:
    """A registry of versions that have a leaderboard, perhaps, and no model."""

    def __init__(self, folder: Path) -> None:
        self._bundle = folder / "bundle"
        self.root = folder / "registry"
        self.store = Registry.open(str(self.root))
        (self._bundle / "production").mkdir(parents=True)
        (self._bundle / "production" / "model.json").write_text("{}")

    def publish(self, board: dict[str, Any] | None, **metadata: Any) -> Version:
        path = self._bundle / LEADERBOARD
        path.unlink(missing_ok=True)
        if board is not None:
            path.write_text(json.dumps(board))
        return self.store.publish("demand", self._bundle, metadata)

    def diff(self, old: dict[str, Any] | None, new: dict[str, Any] | None) -> VersionDiff:
        return diff_versions(self.store, self.publish(old), self.publish(new))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_board_of_before_and_its_rewrite_are_of_the_same_rows(
    shelf: Shelf, former: dict[str, Any], tmp_path: Path
) -> None:
    Evaluation.read(FORMER).write(tmp_path / LEADERBOARD)
    found = shelf.diff(former, json.loads((tmp_path / LEADERBOARD).read_text()))
    assert found.rows.startswith("the test split of both, 2025-01-01")
    assert {"mase", "skill", "coverage_80"} <= set(figures(found))
    assert (found.data, found.models) == ([], [])


def test_skill_over_another_naive_is_left_out(shelf: Shelf, former: dict[str, Any]) -> None:
    other = former["skill"]["test"] | {"naive": "naive_5"}
    found = shelf.diff(former, former | {"skill": former["skill"] | {"test": other}})
    assert "skill" not in figures(found)
    assert "mase" in figures(found)


def test_version_without_known_times_is_compared_with_itself(shelf: Shelf, former: dict[str, Any]) -> None:
    version = shelf.publish({key: value for key, value in former.items() if key != "period"})
    found = diff_versions(shelf.store, version, version)
    assert found.rows == "those of one version"
    assert figures(found)["mase"][0] is not None


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [("scored", 7, "naive_5 has 20 and 7 targets"), ("mase", 9.0, "naive_5 has MASE ")],
)
def test_splits_of_the_same_times_say_what_differs(
    shelf: Shelf, former: dict[str, Any], key: str, value: float, reason: str
) -> None:
    board = [
        row | ({key: value} if (row["model"], row["split"]) == ("naive_5", "test") else {})
        for row in former["leaderboard"]
    ]
    found = shelf.diff(former, former | {"leaderboard": board})
    assert found.figures == []
    assert f", but {reason}" in found.rows
    assert found.rows.count("2025-01-01 08:00:00") == 1


def test_what_is_known_of_one_alone_is_no_difference(shelf: Shelf, former: dict[str, Any]) -> None:
    found = shelf.diff(None, former)
    assert (found.data, found.models) == ([], [])
    no_test = former["period"] | {"test_from": None, "test_to": None}
    found = shelf.diff(former | {"period": no_test}, former)
    assert [change.name for change in found.data] == ["test_from", "test_to"]
    assert found.data[0].before == "none"


def test_an_altered_leaderboard_is_an_error(shelf: Shelf, former: dict[str, Any]) -> None:
    version = shelf.publish(former)
    [path] = shelf.root.rglob(LEADERBOARD)
    path.write_text(path.read_text().replace("naive_9", "naive_8"))
    with pytest.raises(IntegrityError, match="SHA-256"):
        published_evaluation(shelf.store, version)


def test_a_leaderboard_of_a_newer_kubecast_is_none(shelf: Shelf, former: dict[str, Any]) -> None:
    assert published_evaluation(shelf.store, shelf.publish(former | {"schema_version": 99})) is None
