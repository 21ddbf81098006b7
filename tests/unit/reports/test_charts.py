"""What charts show, whatever is drawn."""

import re

import optuna
import pytest

from kubecast.evaluation.importance import Importance
from kubecast.reports import charts
from kubecast.resources import Usage


def texts(chart: str) -> list[str]:
    return re.findall(r">([^<>]+)</text>", chart)


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("ground", ["#ffffff", "#12161d"])
@pytest.mark.parametrize("colour", [charts.ACCENT, *charts.PALETTE])
def test_lines_stand_out_from_the_light_and_the_dark_page(colour: str, ground: str) -> None:
    darker, lighter = sorted((luminance(colour), luminance(ground)))
    assert (lighter + 0.05) / (darker + 0.05) >= 3  # of WCAG 2.2, 1.4.11


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
    found = charts.usage_charts(used)
    assert list(found) == ["GPU"]
    assert "at most 0.9" in found["GPU"]
    line = re.findall(rf'<path d="([^"]*)"[^>]*stroke: {charts.ACCENT}', found["GPU"])
    assert [path.count("M") for path in line] == [2]


def test_loss_charts_are_named_by_their_models() -> None:
    labels = [
        re.findall('aria-label="([^"]*)"', charts.curve_chart({"train": [2.0, 1.0]}, None, model, model))
        for model in ("lstm", "transformer")
    ]
    assert labels == [[f"Line chart of the loss of {model}"] for model in ("lstm", "transformer")]


@pytest.mark.parametrize("steps", [1, 2, 3, 40])
def test_steps_have_whole_numbers(steps: int) -> None:
    found = texts(charts.rate_chart([0.1] * steps, "rates"))
    assert all(label.isdigit() for label in found[: found.index("epoch")])


def test_plots_of_a_study_have_plain_text_and_room_for_it() -> None:
    space = {name: optuna.distributions.FloatDistribution(1e-4, 1.0, log=True) for name in "abcdefg"}
    study = optuna.create_study()
    for at in range(1, 5):
        params = dict.fromkeys(space, 0.1**at * 2)
        study.add_trial(optuna.create_trial(value=at, params=params, distributions=space))
    found = charts.study_charts(study)
    assert not [text for chart in found.values() for text in texts(chart) if "$" in text]
    assert 'style="min-width: ' in found["Slices"]
    assert 'style="min-width: ' not in found["History"]
