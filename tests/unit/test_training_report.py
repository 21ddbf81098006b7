"""The page on a fit."""

import re
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from kubecast.importance import Importance
from kubecast.models.artifact import Status
from kubecast.models.base import FitLog
from kubecast.models.seasonal_naive import SeasonalNaive
from kubecast.panel import Cutoffs, Panel
from kubecast.reports.training import OWN, REPEATED, SHUFFLED, UNSCORED, Fitted, render_training
from kubecast.usage import Usage
from tests.conftest import hourly
from tests.unit.test_reports import HOSTILE, _Checker

LOG = FitLog(
    stopped="early_stopping",
    curves={"train": [3.0, 2.0, 1.0, 0.9], "validation": [3.0, 2.5, 2.6, 2.9]},
    replay={"learning_rates": [0.01, 0.005]},
    best=1,
    seconds=12.3,
)
INPUTS = [
    Importance(feature=HOSTILE, value=0.5, spread=0.1),
    Importance(feature="older", value=-0.01, spread=0.02),
]
USED = Usage(seconds=[1, 2], cpu=[1.5, 2.0], memory=[0.5, 0.7], gpu=[0.9, 0.8], gpu_memory=[10.0, 11.0])


@pytest.fixture
def panel(make_panel: Callable[..., Panel]) -> Panel:
    return make_panel(hourly().replace({"unique_id": {"s0": HOSTILE}}))


def fitted(panel: Panel, **changes: Any) -> Fitted:
    model = SeasonalNaive(24, "naive")
    origins = panel.origins
    table = model.forecast(panel, Cutoffs.of(origins)).merge(origins, on=["unique_id", "cutoff"])
    told = {"name": "naive", "log": LOG, "importance": INPUTS, "about_importance": SHUFFLED}
    return Fitted(**{**told, "forecasts": table, **changes})  # type: ignore[arg-type]


def checked(page: str) -> _Checker:
    checker = _Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    assert len(set(checker.ids)) == len(checker.ids)
    return checker


def test_page_shows_every_part_and_names_as_text(panel: Panel) -> None:
    page = render_training("train-lstm", Status(), fitted(panel), USED, panel)
    found = checked(page)
    text = "".join(found.text)
    assert found.tags.count("script") == 1  # the page's own
    assert HOSTILE in text
    assert "Over-fitting: after step 1 the validation loss rose by 16 %" in text
    for title in ("Loss", "Learning rate", "What the forecasts rest on", "GPU memory", "Worst:"):
        assert title in text
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", page)
    charts = re.findall(r"<svg ([^>]*)>", page)
    assert len(charts) == 2 + 1 + 4 + 3
    assert all('role="img"' in chart and "aria-label=" in chart for chart in charts)


def test_same_input_gives_the_same_page(panel: Panel) -> None:
    once, again = (render_training("t", Status(), fitted(panel), USED, panel) for _ in range(2))
    assert once == again


def test_judged_model_that_is_kept_says_why(panel: Panel) -> None:
    status = Status(state="judged", reason="final fit refused: loss is NaN")
    page = render_training(
        "final-lstm", status, fitted(panel, importance=[], about_importance=REPEATED), USED, panel
    )
    text = "".join(checked(page).text)
    assert "final fit refused: loss is NaN; these are the files of the model as it was judged" in text


def test_fit_without_steps_and_scores_still_renders(panel: Panel) -> None:
    flat = panel.series.assign(scale=float("nan"))
    bare = Panel(panel.frame, panel.static, panel.spec, flat, panel.origins)
    page = render_training("t", Status(), fitted(bare, log=FitLog(stopped="converged")), Usage(), bare)
    text = "".join(checked(page).text)
    assert "This model is not fitted step by step." in text
    assert "No series of the test part could be scored." in text


@pytest.mark.parametrize("blocks", [0, 1, 3])
def test_page_says_how_importance_was_measured(panel: Panel, blocks: int) -> None:
    validation = panel.origins["part"] == "validation"
    kept = panel.origins[~validation | (panel.origins["block"] < blocks)]
    few = Panel(panel.frame, panel.static, panel.spec, panel.series, kept)
    model = SeasonalNaive(24, "naive")
    table = fitted(panel).forecasts
    page = render_training("t", Status(), Fitted.judged(model, LOG, few, 1, table), USED, few)
    text = "".join(checked(page).text)
    told = {title: title in text for title in (OWN, SHUFFLED, UNSCORED, REPEATED)}
    assert told == {OWN: False, SHUFFLED: blocks > 0, UNSCORED: blocks == 0, REPEATED: False}


def test_page_of_a_thousand_series_is_under_a_megabyte(make_panel: Callable[..., Panel]) -> None:
    one = hourly(series=1, rows=200)
    many = make_panel(pd.concat([one.assign(unique_id=f"s{number}") for number in range(1000)]))
    page = render_training("t", Status(), fitted(many), USED, many)
    assert len(page.encode()) < 1_000_000
