"""Lines can be told apart by readers who see few colours, and from the page."""

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from kubecast.reports.charts import STYLES

TEMPLATES = files("kubecast.reports") / "templates"
# Machado, Oliveira and Fernandes (2009), severity 1; of linear RGB.
SIGHT = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "all colours": np.eye(3).tolist(),
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)
WHITE = XYZ @ np.ones(3)
# In one chart: any lines, and those of the fan chart.
TOGETHER = [*combinations(STYLES, 2), ("own", "ink"), ("own", "quiet"), ("ink", "naive"), ("ink", "quiet")]

Floats = NDArray[np.float64]


def palettes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", (TEMPLATES / "style.css").read_text("utf-8"), re.DOTALL)
    return {
        name: dict(re.findall(r"--(\w+): (#\w+);", text)) for name, text in (("light", light), ("dark", dark))
    }


def linear(colour: str) -> Floats:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    values = np.array([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour: Floats) -> Floats:
    ratio = (XYZ @ colour.clip(0, 1)) / WHITE
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_lines_of_a_chart_differ_to_every_eye(scheme: str, sight: str) -> None:
    palette, matrix = palettes()[scheme], np.array(SIGHT[sight])
    seen = {
        name: lab(matrix @ linear(palette[name])) for name in {each for pair in TOGETHER for each in pair}
    }
    apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in TOGETHER}
    assert min(apart.values()) >= 15, apart


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_stand_out_from_the_page(scheme: str) -> None:
    palette = palettes()[scheme]
    luminance = {name: float((XYZ @ linear(colour))[1]) for name, colour in palette.items()}
    for name in ("own", "naive", "third", "fourth", "quiet", "ink"):
        low, high = sorted((luminance[name], luminance["card"]))
        assert (high + 0.05) / (low + 0.05) >= 3, name


def test_every_line_has_dashes_of_its_own() -> None:
    styles = re.findall(
        r'colour: "var\(--(\w+)\)", dash: "([^"]*)"', (TEMPLATES / "charts.js").read_text("utf-8")
    )
    dashes = {name: dash for name, dash in styles if name != "ink"}  # ink is the actuals, beside forecasts
    assert len(dashes) == 5
    assert all(one != other for one, other in combinations(dashes.values(), 2))
