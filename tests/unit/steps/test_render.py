"""The page of a run that is rendered again is the one of then."""

import json
from pathlib import Path

import pytest

from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.reports import render_report
from kubecast.steps.render import render_folder
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render

VERSION = "demand@20261123T181500123456Z-0f3c9a1b"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    path = tmp_path_factory.mktemp("evaluation") / LEADERBOARD
    render(forecasts(NOISE, series=1, origins=2))[1].write(path)
    return Evaluation.read(path)


@pytest.mark.slow
def test_page_of_a_run_names_the_version_that_it_published(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.write(tmp_path / LEADERBOARD)
    (tmp_path / "outputs.json").write_text(json.dumps({"register-model": {"Output": VERSION}}))
    page = render_folder(tmp_path)
    assert page == render_report(evaluation, version=VERSION)
    assert VERSION in page


@pytest.mark.parametrize(
    "outputs",
    [
        None,
        "{",
        "[]",
        "null",
        "{}",
        '{"register-model": {"Output": 1}}',
        '{"register-model": {"Output": "demand"}}',
        '{"register-model": {"Output": "demand@; rm"}}',
        '{"register-model": {"Output": "../demand@20261123T181500123456Z-0f3c9a1b"}}',
    ],
)
def test_outputs_that_name_no_version_leave_the_page_without_one(
    evaluation: Evaluation, tmp_path: Path, outputs: str | None
) -> None:
    evaluation.write(tmp_path / LEADERBOARD)
    if outputs is not None:
        (tmp_path / "outputs.json").write_text(outputs)
    assert render_folder(tmp_path) == render_report(evaluation)
