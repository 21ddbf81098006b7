"""What charts show, whatever is drawn."""

import re

import pytest

from kubecast.evaluation.importance import Importance
from kubecast.reports import charts, drawing
from kubecast.resources import Usage


def texts(chart: str) -> list[str]:
    return re.findall(r">([^<>]+)</text>", chart)


def test_importance_of_inputs_with_unruly_names_is_drawn_for_each() -> None:
    names = ["a\nb\r\tc", "x" * 2000, "x" * 1999 + "y", "销售", "$x$"]
    chart = charts.importance_chart([Importance(feature=name, value=1.0) for name in names], "i")
    short = "x" * (charts.LABEL - 1) + "…"
    assert [text for text in texts(chart) if not re.match(r"\d|importance", text)] == [
        *("$x$", "销售", short, short, "a b c"),
    ]


def test_text_that_looks_like_markup_is_drawn_as_it_is() -> None:
    name = 'id="a" url(#b) xlink:href="#c"'
    chart = charts.importance_chart([Importance(feature=each, value=1.0) for each in (name, "#010203")], "i")
    assert {name, "#010203"} < set(texts(chart))
    assert "#010203" not in "".join(re.findall(r"<[^>]+>", chart))


def test_band_of_each_lag_is_drawn_for_one_lag_and_for_many() -> None:
    plain = charts.correlation_chart([0.1, 0.2], [0.0, 0.0], "c")
    for bands in ([0.3], [0.3, 0.5]):
        assert charts.correlation_chart([0.1, 0.2][: len(bands)], bands, "c") != plain
    assert charts.correlation_chart([0.1, 0.2], [0.3, 0.5], "c") != charts.correlation_chart(
        [0.1, 0.2], [0.3, 0.3], "c"
    )


def test_sample_that_a_gpu_did_not_give_is_a_gap_in_its_chart() -> None:
    used = Usage(seconds=[1, 2, 3, 4, 5], gpu=[0.1, 0.2, None, 0.9, 0.8], gpu_memory=[None] * 5)
    drawn = charts.usage_charts(used)
    assert list(drawn) == ["GPU"]
    assert "at most 0.9" in drawn["GPU"]
    line = re.findall(rf'<path d="([^"]*)"[^>]*stroke: {drawing.ACCENT}', drawn["GPU"])
    assert [path.count("M") for path in line] == [2]


def test_loss_charts_are_named_by_their_models() -> None:
    labels = [
        re.findall('aria-label="([^"]*)"', charts.curve_chart({"train": [2.0, 1.0]}, None, model, model))
        for model in ("lstm", "transformer")
    ]
    assert labels == [[f"Line chart of the loss of {model}"] for model in ("lstm", "transformer")]


@pytest.mark.parametrize("steps", [1, 2, 3, 40])
def test_steps_have_whole_numbers(steps: int) -> None:
    drawn = texts(charts.rate_chart([0.1] * steps, "rates"))
    assert all(label.isdigit() for label in drawn[: drawn.index("epoch")])
