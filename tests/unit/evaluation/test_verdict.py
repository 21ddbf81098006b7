"""A page words the one verdict, which is over the strongest naive of the rows that are evaluated."""

import pandas as pd
import pytest

from kubecast.evaluation.verdict import verdict
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render

pytestmark = pytest.mark.slow


def equal_to_another_naive(table: pd.DataFrame) -> pd.DataFrame:
    """A board on which a naive that was worse on validation is as good as the ensemble on the test split."""
    test = table["split"] == "test"
    as_good = table["y"] + 0.88 * (table["good"] - table["y"])
    return table.assign(naive_5=table["naive_5"].where(~test, as_good))


def test_version_that_another_naive_equals_is_not_shown_to_beat_it() -> None:
    table = equal_to_another_naive(forecasts({**NOISE, "bad": 9.0}, series=30, origins=10))
    page, evaluation = render(table)
    assert evaluation.skill["test"].naive == "naive_5"
    assert evaluation.skill["validation"].naive == "naive_9"
    assert not evaluation.skill["test"].is_shown
    result = verdict(evaluation.decision)
    assert result.tone != "good"
    assert "not shown to beat naive 5" in result.title or "not better than naive 5" in result.title
    assert result.title in page
    assert f'class="verdict {result.tone}"' in page
