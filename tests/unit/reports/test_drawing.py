"""The ink of charts."""

import pytest

from kubecast.reports.drawing import ACCENT, PALETTE


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("ground", ["#ffffff", "#12161d"])
@pytest.mark.parametrize("colour", [ACCENT, *PALETTE])
def test_lines_stand_out_from_the_light_and_the_dark_page(colour: str, ground: str) -> None:
    darker, lighter = sorted((luminance(colour), luminance(ground)))
    assert (lighter + 0.05) / (darker + 0.05) >= 3  # of WCAG 2.2, 1.4.11
