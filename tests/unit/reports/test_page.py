import base64
import hashlib
import re
from datetime import UTC, datetime
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from kubecast.data.findings import Finding
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.evaluation.history import EarlierVersion
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.words import percent
from kubecast.models.base import FitLog
from kubecast.reports import render_report
from kubecast.reports.html import SCRIPTS
from kubecast.scoring.metrics import ENSEMBLE, METRICS, Metric
from tests.support.forecasts import START, champion_of, forecasts
from tests.support.pages import HOSTILE, PageChecker, read_payload, render
from tests.unit.evaluation.test_leaderboard import NOISE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page() -> str:
    finding = Finding(what="left_out", series=HOSTILE, count=7, detail="no <b>value</b>")
    table = forecasts(NOISE, series=4, origins=10)
    return render(table, rename={"s2": HOSTILE}, missing={"arima": "no <i>fit</i>"}, findings=[finding])[0]


@pytest.fixture(scope="module")
def rendered() -> tuple[str, Evaluation]:
    return render(forecasts(NOISE, origins=10))


@pytest.fixture(scope="module")
def checked(page: str) -> PageChecker:
    checker = PageChecker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    return checker


def test_names_from_the_data_show_as_text(page: str, checked: PageChecker) -> None:
    assert checked.tags.count("script") == len(SCRIPTS) + 2  # the page's own, and its payloads
    assert "<b>value</b>" not in page
    assert "<i>fit</i>" not in page
    text = "".join(checked.text)
    assert HOSTILE in text
    assert "no <b>value</b>" in text
    assert "arima" in text


def test_page_fetches_nothing(page: str) -> None:
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", page)
    assert "@import" not in page
    assert "default-src 'none'" in page


def sha256(text: str) -> str:
    """As a content policy names a text that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_only_the_pages_own_scripts_may_run(page: str) -> None:
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == len(SCRIPTS)
    assert f"script-src {' '.join(map(sha256, scripts))}; base-uri 'none'; form-action 'none'\">" in page
    assert not re.search(r"<[^>]+ on\w+=", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_only_the_pages_own_styles_and_those_of_its_charts_apply(page: str) -> None:
    [own] = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    script = (files("kubecast.reports") / "templates" / "plot.js").read_text("utf-8")
    [charts] = re.findall(r'"style"\)\.text\(`(:where\(\S+ \{\s+--plot-background.*?)`', script, re.DOTALL)
    [name] = re.findall(r'"(plot-[0-9a-f]{6})"', script)
    digests = [sha256(text) for text in (own, re.sub(r"\$\{\w+\}", name, charts))]
    assert f"style-src {' '.join(digests)};" in page
    assert "unsafe" not in page.partition("<title>")[0]


def test_no_element_leads_out_of_the_dashboards_frame(checked: PageChecker) -> None:
    assert not {"a", "form", "iframe", "link", "base"} & set(checked.tags)
    assert checked.ids == []


def test_every_chart_of_the_payload_has_its_place_and_a_label(page: str) -> None:
    charts = read_payload(page)["charts"]
    places = re.findall(r'data-chart="([^"]+)"', page)
    assert sorted(places) == sorted(charts)
    assert {"lead", "origins", "whiskers", "calibration", "coverage-lead", "members", "errors"} <= set(charts)
    assert all(chart["label"] for chart in charts.values())


def test_figures_are_those_of_the_evaluation(rendered: tuple[str, Evaluation]) -> None:
    page, evaluation = rendered
    row, skill = evaluation.row(ENSEMBLE, "test"), evaluation.skill["test"]
    assert row.mase is not None
    assert skill.value is not None
    assert skill.interval is not None
    assert f"<dd>{row.mase:.4g}</dd>" in page
    assert f"<dd>{percent(skill.value)}</dd>" in page
    ends = skill.interval.low, skill.interval.high
    assert f"95 %: {percent(ends[0])} to {percent(ends[1])}" in page
    assert "m = 24" in page


def test_champion_stands_beside_the_version_with_every_check() -> None:
    table = forecasts(NOISE, origins=10, stride=5)
    other = table.loc[table["split"] == "test", ["unique_id", "cutoff", "ds", "bad"]]
    other = other.assign(fitted_through=START, **{"q0.1": other["bad"] - 3, "q0.9": other["bad"] + 3})
    page = render(table, champion=champion_of("the-version", "", other.rename(columns={"bad": "yhat"})))[0]
    PageChecker().feed(page)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert re.search(r"MASE [0-9.]+ against [0-9.]+ of the champion the-version, from 90 origins", text)
    assert read_payload(page)["charts"]["champion"]["names"] == ["this version", "champion"]
    assert "One-sided p-value" in text
    assert "series that gained or lost most" in text
    for name in ("gain over the champion", "loss in the worst segment", "distance of the coverage from 80 %"):
        assert name in text


def test_champion_that_is_not_comparable_is_told_with_the_reason() -> None:
    champion = champion_of("the-version", HOSTILE, pd.DataFrame())
    page = render(forecasts(NOISE), champion=champion)[0]
    assert "not comparable with the champion the-version: &lt;script&gt;" in page
    assert "Not promoted: not comparable with the champion" in page


def test_same_input_gives_the_same_page(rendered: tuple[str, Evaluation]) -> None:
    assert render(forecasts(NOISE, origins=10))[0] == rendered[0]


def test_one_series_one_origin_and_no_interval() -> None:
    table = forecasts(NOISE, series=1, folds=1, origins=1, horizon=1)
    page, *_ = render(table, settings=EnsembleSettings(quantiles=[0.5]), logs={})
    assert [series["id"] for series in read_payload(page)["explorer"]["series"]] == ["s1"]
    assert "hold no interval" in page
    assert "nothing is held out" in page


def test_unscored_test_part_still_renders() -> None:
    table = forecasts(NOISE, origins=10)
    test = table["split"] == "test"
    page, *_ = render(table.assign(observed=~test))
    assert "Not promoted" in page
    assert "No target of the test split counts." in page


def test_gap_in_the_actuals_still_renders() -> None:
    table = forecasts(NOISE, origins=10)
    hidden = np.arange(len(table)) % 3 == 0
    page, *_ = render(table.assign(y=table["y"].where(~hidden), observed=~hidden))
    assert None in read_payload(page)["explorer"]["series"][0]["y"]


def test_long_tables_are_cut_and_say_so() -> None:
    findings = [Finding(what="missing", series=f"s{number}") for number in range(150)]
    log = FitLog(stopped="converged", fallbacks={f"s{number}": "short" for number in range(130)})
    page, *_ = render(forecasts(NOISE), findings=findings, logs={"good": log})
    assert "The first 100 of 150 findings." in page
    assert "The first 100 of 130." in page


def test_page_from_the_json_is_the_same(rendered: tuple[str, Evaluation]) -> None:
    page, evaluation = rendered
    assert render_report(read_again(evaluation)) == page


def read_again(evaluation: Evaluation) -> Evaluation:
    """From the JSON, with the tables that are not in it."""
    tables = {"by_series": evaluation.by_series, "series": evaluation.series}
    return Evaluation.model_validate_json(evaluation.model_dump_json()).model_copy(update=tables)


def test_earlier_versions_stand_beside_this_one() -> None:
    earlier = [
        EarlierVersion(
            version=f"2025010{day}T000000000000Z-0000000{day}",
            created=datetime(2025, 1, day, tzinfo=UTC),
            champion=day == 2,
            mase=0.5 + day,
            skill=0.25,
            coverage={"80": 0.79},
        )
        for day in (1, 2, 3)
    ]
    page, evaluation = render(forecasts(NOISE, origins=10), earlier=earlier)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    names = read_payload(page)["charts"]["versions"]["x"]
    assert names == ["2025-01-01 00:00", "2025-01-02 00:00", "2025-01-03 00:00", "this version"]
    assert evaluation.earlier == earlier
    assert "20250102T000000000000Z-00000002 2.5 25.0 % 79.0 % champion" in text
    assert "20250101T000000000000Z-00000001 1.5 25.0 % 79.0 % 20250102" in text


def test_first_version_has_none_before_it() -> None:
    assert "this version is the first" in render(forecasts(NOISE))[0]


def test_metric_of_one_more_entry_is_on_the_leaderboard_and_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    share = Metric("Share & more", lambda scored: scored.mae * 0 + 0.125, format="percent")
    monkeypatch.setitem(METRICS, "share", share)
    page, evaluation = render(forecasts(NOISE, series=2, origins=4))
    assert evaluation.row(ENSEMBLE, "test").metric("share") == 0.125
    assert {row.metric("share") for row in evaluation.by_lead_time} == {0.125}
    assert evaluation.summary()["share"] == 0.125
    assert read_again(evaluation) == evaluation
    assert page.count(">Share &amp; more</th>") == 2
    assert page.count("<td>12.5 %</td>") == 2 * len(evaluation.leaderboard) / 2


def test_leaderboard_of_before_a_metric_was_added_has_no_value_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = render(forecasts(NOISE, series=2, origins=4))
    monkeypatch.setitem(METRICS, "share", Metric("Share", lambda scored: scored.mae))
    again = Evaluation.model_validate_json(before.model_dump_json())
    assert again.row(ENSEMBLE, "test").metric("share") is None
    assert ">Share</th>" in render_report(again)
