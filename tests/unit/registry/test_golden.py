"""A version that was published before: what reads it gives the forecasts of then."""

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kubecast import load
from kubecast.ensemble.bundle import Bundle
from kubecast.ensemble.forecaster import Ensemble
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.evaluation.verdict import verdict, verdict_of
from kubecast.models.arima.forecaster import ArimaForecaster
from kubecast.registry import CHAMPION, Registry, Version
from kubecast.reports.page import render_report
from tests.golden import write as golden
from tests.support.pages import read_payload

FORMER = golden.FOLDER / "former"
TOLERANCE = 1e-6  # networks compute in float32, and another processor may round otherwise


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.open(str(golden.REGISTRY))


@pytest.fixture(scope="module")
def version(registry: Registry) -> Version:
    return registry.resolve(f"{golden.MODEL}@{CHAMPION}")


def test_files_are_those_that_were_published(registry: Registry, version: Version) -> None:
    assert registry.verify(version.name).faults == []


@pytest.mark.slow
@pytest.mark.parametrize("part", golden.PARTS)
def test_forecasts_are_those_of_when_it_was_published(
    registry: Registry, version: Version, part: str, tmp_path: Path
) -> None:
    check_forecasts(registry.fetch(version, part, tmp_path / part), part)


@pytest.mark.slow
def test_forecasts_are_the_same_where_documents_have_the_names_of_before(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    folder = registry.fetch(version, "production", tmp_path / "production")
    for name in ("bundle.json", "ensemble.json"):
        shutil.copy(FORMER / name, folder / name)
    check_forecasts(folder, "production")


@pytest.mark.slow
def test_leaderboard_with_the_names_of_before_is_rendered() -> None:
    evaluation = Evaluation.read(FORMER / LEADERBOARD)
    assert (evaluation.schema_version, len(evaluation.by_fold), len(evaluation.examples)) == (2, 36, 2)
    assert evaluation.naives == ["seasonal_naive_24"]
    for split, skill in evaluation.skill.items():
        assert skill.naive == "seasonal_naive_24"
        assert skill.value == evaluation.row("ensemble", split).skill
    decided = verdict(evaluation.decision)
    assert (decided.title, decided.tone) == ("Champion, from before intervals were kept", "unsure")
    assert "chosen on the validation split" in decided.reason
    page = render_report(evaluation)
    assert "Error by fold" in page
    assert [len(series["evaluated"]["mid"]) > 0 for series in read_payload(page)["explorer"]["series"]] == [
        True
    ] * 2


@pytest.mark.slow
@pytest.mark.parametrize("schema", [4, 5])
def test_leaderboard_with_rows_of_each_series_is_rendered(schema: int) -> None:
    evaluation = Evaluation.read(FORMER / f"leaderboard-{schema}.json")
    found = evaluation.schema_version, len(evaluation.by_series), len(evaluation.series)
    assert found == (schema, 20, 2)
    assert len(read_payload(render_report(evaluation))["explorer"]["series"]) == 2


@pytest.mark.slow
def test_it_is_a_model_in_a_notebook() -> None:
    model = load(golden.REGISTRY)
    assert {*model.leaderboard["model"]} >= {*golden.SETTINGS, "ensemble"}
    rows = pd.read_csv(golden.DATA, parse_dates=["ds"])
    expected = pd.read_csv(golden.FORECASTS, parse_dates=["ds"])
    expected = expected[expected["part"] == "production"].drop(columns="part").reset_index(drop=True)
    pd.testing.assert_frame_equal(model.forecast(rows), expected, rtol=TOLERANCE, atol=0)


def test_leaderboard_that_was_published_is_read(registry: Registry, version: Version) -> None:
    evaluation = Evaluation.parse(registry.read_file(version, LEADERBOARD), LEADERBOARD)
    assert evaluation.skill["test"].naive == "seasonal_naive_24"
    published = verdict_of(version.metadata)
    assert published is not None
    assert published == verdict(evaluation.decision)


def check_forecasts(folder: Path, part: str) -> None:
    rows = pd.read_csv(golden.DATA, parse_dates=["ds"])
    expected = pd.read_csv(golden.FORECASTS, parse_dates=["ds"])
    expected = expected[expected["part"] == part].drop(columns="part").reset_index(drop=True)
    pd.testing.assert_frame_equal(Bundle.load(folder).forecast(rows), expected, rtol=TOLERANCE, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("part", golden.PARTS)
def test_documents_are_written_again_byte_for_byte(
    registry: Registry, version: Version, part: str, tmp_path: Path
) -> None:
    published = registry.fetch(version, part, tmp_path / part)
    ensemble, again = Ensemble.load(published), tmp_path / "again"
    ensemble.save(again)
    assert (again / "ensemble.json").read_text() == ensemble.recipe.model_dump_json(indent=1)
    documents = {path.relative_to(published) for path in published.glob("members/*/*.json")}
    assert len(documents) > len(golden.SETTINGS)
    for path in documents - {Path("members/arima/arima.json")}:  # whose series lie in a table by now
        assert (again / path).read_bytes() == (published / path).read_bytes(), path


def test_arimas_of_one_document_and_those_of_a_table_are_the_same(
    registry: Registry, version: Version, tmp_path: Path
) -> None:
    document = registry.fetch(version, "production", tmp_path / "production") / "members" / "arima"
    assert [path.name for path in document.iterdir()] == ["arima.json"]
    former, table = (ArimaForecaster.load(folder) for folder in (document, golden.FOLDER / "arima"))
    assert replace(table, models=dict(table.models)) == former
    assert len(former.models) == 2


def test_every_kind_is_a_member(version: Version) -> None:
    members = {path.split("/")[2] for path in version.files if path.startswith("production/members/")}
    assert members >= set(golden.SETTINGS)
