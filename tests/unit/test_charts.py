"""What charts show, whatever is drawn."""

import re

import pytest

from kubecast.importance import Importance
from kubecast.reports import charts


def texts(chart: str) -> list[str]:
    return re.findall(r">([^<>]+)</text>", chart)


def test_importance_of_inputs_with_unruly_names_is_drawn_for_each() -> None:
    names = ["a\nb\r\tc", "x" * 2000, "x" * 1999 + "y", "销售", "$x$"]
    chart = charts.importance_chart([Importance(feature=name, value=1.0) for name in names], "i")
    short = "x" * (charts.LABEL - 1) + "…"
    assert [text for text in texts(chart) if not re.match(r"\d|importance", text)] == [
        *("$x$", "销售", short, short, "a b c"),
    ]


@pytest.mark.parametrize("steps", [1, 2, 3, 40])
def test_steps_have_whole_numbers(steps: int) -> None:
    found = texts(charts.rate_chart([0.1] * steps, "rates"))
    assert all(label.isdigit() for label in found[: found.index("epoch")])
