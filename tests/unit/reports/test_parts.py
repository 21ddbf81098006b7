"""What stands on each page, and in which order: what a reader asks first comes first."""

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from kubecast.data.panel import Panel, PanelSpec
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.preparation import build_panel
from kubecast.data.series_table import facts_of_rows
from kubecast.evaluation.batch_review import EarlierBatch, review_batch
from kubecast.evaluation.changes import Change
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.words import percent, plain
from kubecast.models.artifact import Status
from kubecast.reports import render_report
from kubecast.reports.score import Kept, render_score
from kubecast.reports.training import render_training
from kubecast.scoring.metrics import ENSEMBLE
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import USED, fitted, read_payload, render
from tests.support.panels import hourly, small_settings

TRAIN = [
    *("Forecasts", "Leaderboard", "Why this decision", "Where the errors are", "Are the intervals right?"),
    *("Against the champion", "Data", "Run it again", "More"),
]
FIT = ["Forecasts against actuals", "Loss", "What the forecasts rest on", "What the task used"]
SCORE = ["Forecasts", "All series", "How earlier batches went", "Data", "Get it"]


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    names = {f"s{at}": f"{'north' if at % 2 else 'south'}/s{at}" for at in range(1, 7)}
    return render(forecasts(NOISE, series=6, origins=10), rename=names)[1]


@pytest.fixture(scope="module")
def charts(evaluation: Evaluation) -> Mapping[str, Any]:
    drawn: Mapping[str, Any] = read_payload(render_report(evaluation))["charts"]
    return drawn


def parts(page: str) -> list[str]:
    """The headings of the sections."""
    return re.findall(r'<h2 tabindex="-1">(.*?)</h2>', page)


def tiles(page: str) -> list[str]:
    """The labels of the tiles."""
    [block] = re.findall(r'<dl class="tiles">(.*?)</dl>', page, re.DOTALL)
    return re.findall(r"<dt>(.*?)</dt>", block)


def words(page: str) -> str:
    """The text of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", page, flags=re.DOTALL))


def test_report_begins_with_the_verdict_and_four_figures(evaluation: Evaluation) -> None:
    page = render_report(evaluation)
    naive = evaluation.skill["test"].label
    assert tiles(page) == [
        f"Skill over {naive}", "MASE on the test split", "The 80 % interval holds", "Series to look at",
    ]  # fmt: skip
    verdict, figures = page.index('class="verdict'), page.index('class="tiles"')
    assert verdict < figures < page.index('<h2 tabindex="-1">Forecasts')
    assert parts(page) == TRAIN


def test_whiskers_are_differences_to_the_ensemble(evaluation: Evaluation, charts: Mapping[str, Any]) -> None:
    rows = [row for row in evaluation.board("test") if row.model != ENSEMBLE]
    [group] = charts["whiskers"]["groups"]
    assert charts["whiskers"]["names"] == [plain(row.model) for row in rows]
    assert group["values"] == pytest.approx([row.difference for row in rows], rel=1e-4)
    low = [row.difference_interval.low for row in rows if row.difference_interval]
    assert group["low"] == pytest.approx(low, rel=1e-4)


def test_errors_stand_by_segment_and_by_origin_with_dates(
    evaluation: Evaluation, charts: Mapping[str, Any]
) -> None:
    own, naive = charts["segments"]["groups"]
    assert charts["segments"]["names"] == [f"{row.segment} (3)" for row in evaluation.by_segment]
    for group, model in ((own, ENSEMBLE), (naive, evaluation.skill["test"].naive or "")):
        expected = [row.mase[model] for row in evaluation.by_segment]
        assert group["values"] == pytest.approx(expected, rel=1e-4)
    assert charts["origins"]["x_type"] == "utc"
    cutoffs = [row.cutoff for row in evaluation.by_origin if row.model == ENSEMBLE]
    assert charts["origins"]["x"] == [pd.Timestamp(each).timestamp() for each in cutoffs]


def test_intervals_are_held_to_what_they_promise(evaluation: Evaluation, charts: Mapping[str, Any]) -> None:
    observed, right = charts["calibration"]["lines"]
    assert charts["calibration"]["x"] == right["values"] == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert observed["values"] == pytest.approx([*evaluation.calibration.values()], rel=1e-4)
    assert charts["coverage-lead"]["rules"] == [0.8]


def test_changes_since_the_champion_are_named(evaluation: Evaluation) -> None:
    changed = [
        Change(name="lstm.units", before="32", after="64"), Change(name="data rows", before="9", after="10")
    ]  # fmt: skip
    text = words(render_report(evaluation.model_copy(update={"changed": changed})))
    assert "setting or data champion this version lstm.units 32 64 data rows 9 10" in text


def test_run_can_be_repeated_from_the_page(evaluation: Evaluation) -> None:
    spec = evaluation.spec.model_copy(update={"digest": "f" * 64})
    made = {"model": "demand", "kubecast": "1.2.3", "seed": "7"}
    text = words(render_report(evaluation.model_copy(update={"spec": spec, "made_with": made})))
    assert f"data, SHA-256 {'f' * 64} model demand kubecast 1.2.3 seed 7" in text


@pytest.mark.slow
def test_fit_shows_error_skill_and_advice_first_and_resources_last() -> None:
    panel = build_panel(hourly(), small_settings())
    page = render_training("train-lstm", Status(), fitted(panel), USED, panel)
    assert tiles(page)[:2] == ["MASE on the test split", "Skill"]
    advice = page.index("Over-fitting</strong>")
    assert page.index('class="tiles"') < advice < page.index('<h2 tabindex="-1">')
    assert parts(page) == FIT


def test_score_page_shows_what_changed_what_is_missing_and_how_earlier_batches_went() -> None:
    spec = PanelSpec.model_validate({"frequency": "h", "horizon": 6, "season_lengths": [24]})
    hours = pd.date_range("2024-01-01", periods=48, freq="h")
    frame = pd.concat(
        pd.DataFrame({"unique_id": name, "ds": hours, "y": 10.0, "observed": True})
        for name in ("same", "new", "up")
    ).reset_index(drop=True)
    none = pd.DataFrame({"unique_id": []})
    panel = Panel(frame, none, spec, facts_of_rows(frame), none, none)
    ahead = pd.date_range(hours[-1], periods=7, freq="h")[1:]
    table = pd.concat(
        pd.DataFrame({"unique_id": name, "ds": ahead, "yhat": value})
        for name, value in (("same", 10.0), ("new", 10.0), ("up", 13.0))
    )
    review = review_batch(PanelBlocks.of(panel), table, ["same", "up", "gone"], None)
    review = review.model_copy(update={"fallback": ["same"], "stale": ["same"]})
    earlier = EarlierBatch(batch="b1", model="m", targets=12, series=2, mase=0.5, level="80", coverage=0.75)
    kept = Kept(url="s3://bucket/b.parquet", new=True, latest=True, columns=["yhat"])
    page = render_score({"made by": "demand@v"}, review, [earlier], kept, table, spec)
    assert tiles(page) == [
        "Forecasts written",
        "Total of the next 6 steps",
        "Changed by more than 25 %",
        "Forecast by a fallback",
    ]
    assert parts(page) == SCORE
    text = words(page)
    assert "198 " + percent(0.1) + " on the steps 24 before" in text
    assert "1 change by more than a quarter" in text
    for part in ("New to the model: 1 series new", "Gone since training: 1 series gone"):
        assert part in text
    assert "Forecast by a fallback: 1 series same" in text
    assert "Ended before the others: 1 series same" in text
    assert "b1 12 0.5 75.0 %" in text
    assert "s3://bucket/b.parquet" in text
