"""The page on a fit."""

import re
from collections.abc import Callable

import pandas as pd
import pytest

from kubecast.data.panel import Panel
from kubecast.models.artifact import Status
from kubecast.models.base import FitLog
from kubecast.reports.html import SCRIPTS
from kubecast.reports.training import (
    OWN,
    REFUSED,
    REPEATED,
    SHUFFLED,
    UNSCORED,
    Fitted,
    render_training,
)
from kubecast.resources import Usage
from tests.support.pages import HOSTILE, LOG, MODEL, USED, PageChecker, fitted, read_payload
from tests.support.panels import hourly

pytestmark = pytest.mark.slow


@pytest.fixture
def panel(make_panel: Callable[..., Panel]) -> Panel:
    return make_panel(hourly().replace({"unique_id": {"s0": HOSTILE}}))


def checked(page: str) -> PageChecker:
    checker = PageChecker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    assert len(set(checker.ids)) == len(checker.ids)
    return checker


def test_page_shows_every_part_and_names_as_text(panel: Panel) -> None:
    page = render_training("train-lstm", Status(), fitted(panel), USED, panel)
    checker = checked(page)
    text = "".join(checker.text)
    assert checker.tags.count("script") == len(SCRIPTS) + 2  # the page's own, and its payloads
    assert HOSTILE in [series["id"] for series in read_payload(page)["explorer"]["series"]]
    assert "Over-fitting: after step 1 the validation loss rose by 16 %" in text
    for title in ("Loss", "Learning rate", "What the forecasts rest on", "GPU memory", "Skill"):
        assert title in text
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", page)
    charts = read_payload(page)["charts"]
    assert len(charts) == 2 + 1 + 4
    assert sorted(re.findall(r'data-chart="([^"]+)"', page)) == sorted(charts)


def test_same_input_gives_the_same_page(panel: Panel) -> None:
    once, again = (render_training("t", Status(), fitted(panel), USED, panel) for _ in range(2))
    assert once == again


def test_evaluated_model_that_is_kept_says_why(panel: Panel) -> None:
    status, each = Status(state="evaluated", reason="final fit refused: loss is NaN"), fitted(panel)
    page = render_training(
        "final-lstm",
        status,
        Fitted.production(MODEL, LOG, each.forecasts, each.changes, refused=True),
        USED,
        panel,
    )
    text = "".join(checked(page).text)
    assert "final fit refused: loss is NaN; these are the files of the model as it was evaluated" in text
    assert REFUSED in text
    assert REPEATED not in text


def test_fit_on_all_rows_repeats_the_evaluated_one(panel: Panel) -> None:
    each = fitted(panel)
    final = Fitted.production(MODEL, LOG, each.forecasts, each.changes)
    text = "".join(checked(render_training("final-lstm", Status(), final, USED, panel)).text)
    assert REPEATED in text
    assert REFUSED not in text


def test_peaks_are_those_of_the_samples_that_there_are(panel: Panel) -> None:
    used = USED.model_copy(update={"gpu": [None, 0.8], "gpu_memory": [None, None]})
    page = render_training("t", Status(), fitted(panel), used, panel)
    checked(page)
    charts = read_payload(page)["charts"]
    assert charts["usage-GPU, share"]["lines"][0]["values"] == [None, 0.8]
    assert "usage-GPU memory, GiB" not in charts


def test_fit_without_steps_and_scores_still_renders(panel: Panel) -> None:
    flat = panel.series.assign(scale=float("nan"))
    bare = Panel(panel.frame, panel.static, panel.spec, flat, panel.origins)
    page = render_training("t", Status(), fitted(bare, log=FitLog(stopped="converged")), Usage(), bare)
    text = "".join(checked(page).text)
    assert "This model is not fitted step by step." in text
    assert "No series of the test split could be scored." in text


@pytest.mark.parametrize("folds", [0, 1, 3])
def test_page_says_how_importance_was_measured(panel: Panel, folds: int) -> None:
    validation = panel.origins["split"] == "validation"
    kept = panel.origins[~validation | (panel.origins["fold"] < folds)]
    few = Panel(panel.frame, panel.static, panel.spec, panel.series, kept)
    each = fitted(panel)
    explained = Fitted.evaluated(MODEL, LOG, few, 1, each.forecasts, each.changes)
    page = render_training("t", Status(), explained, USED, few)
    text = "".join(checked(page).text)
    notes = {title: title in text for title in (OWN, SHUFFLED, UNSCORED, REPEATED)}
    assert notes == {OWN: False, SHUFFLED: folds > 0, UNSCORED: folds == 0, REPEATED: False}


def test_page_of_a_thousand_series_is_under_a_megabyte(make_panel: Callable[..., Panel]) -> None:
    one = hourly(series=1, rows=200)
    many = make_panel(pd.concat([one.assign(unique_id=f"s{number}") for number in range(1000)]))
    page = render_training("t", Status(), fitted(many), USED, many)
    assert len(page.encode()) < 1_000_000
