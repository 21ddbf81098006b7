"""The explorer of series in a real browser: `make test-browser`, as root."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from playwright.sync_api import Browser, Locator

from tests.browser.chromium import PANEL, WIDTHS, How, Opened, opened
from tests.support.pages import read_payload

ways = pytest.mark.parametrize("how", get_args(How))


def series_of(page: Opened) -> Locator:
    """The names in the list of series."""
    return page.frame.get_by_role("region", name="Series").locator("tbody button")


def chart_of(page: Opened) -> Locator:
    """The fan chart of the chosen series."""
    return page.frame.get_by_role("img", name="Line chart of the actuals and forecasts")


@ways
@pytest.mark.parametrize("width", WIDTHS)
def test_any_series_is_found_and_its_chart_drawn(
    browser: Browser, folder: Path, how: How, width: int
) -> None:
    with opened(browser, folder / "many-series.html", how, width=width) as page:
        status = page.frame.locator(".turn [role=status]")
        assert status.inner_text() == "1 to 50 of 1000"
        page.frame.get_by_role("button", name="Next").click()
        assert status.inner_text() == "51 to 100 of 1000"
        page.frame.get_by_label("Find a series or a flag").fill("s77")
        assert status.inner_text() == "1 to 11 of 11"
        for at in (0, 10):
            name = series_of(page).nth(at).inner_text()
            series_of(page).nth(at).click()
            assert page.frame.locator("[data-fan] h3").inner_text() == name
            assert chart_of(page).get_attribute("aria-label").endswith(f"series {name}")
            # Two bands and three lines: actuals, the evaluated forecast, the one beyond the data.
            assert chart_of(page).locator("g[aria-label=line] path").count() == 3
            assert chart_of(page).locator("g[aria-label=area] path").count() == 3
        page.frame.get_by_label("Find a series or a flag").fill("no such series")
        assert status.inner_text() == "none"
        assert page.noticed == []


@ways
def test_figures_of_a_point_are_shown_beside_it(browser: Browser, folder: Path, how: How) -> None:
    with opened(browser, folder / "many-series.html", how) as page:
        chart_of(page).hover()
        tip = chart_of(page).locator("g[aria-label=tip] text")
        tip.wait_for()
        assert "actual" in tip.text_content()
        assert page.noticed == []


@ways
def test_series_are_put_in_order(browser: Browser, folder: Path, how: How) -> None:
    with opened(browser, folder / "many-series.html", how) as page:
        order = page.frame.get_by_label("Order")
        order.select_option("largest error")
        rows = page.frame.get_by_role("region", name="Series").locator("tbody tr")
        errors = [float(text) for text in rows.locator("td:nth-child(2)").all_inner_texts()]
        assert errors == sorted(errors, reverse=True)
        order.select_option("largest series")
        assert all(int(name[1:]) > 980 for name in series_of(page).all_inner_texts()[:3])
        order.select_option("name")
        assert series_of(page).all_inner_texts()[:3] == ["s1", "s2", "s3"]
        labels = order.locator("option").all_inner_texts()
        assert labels == [
            "what to look at",
            "largest error",
            "lost most to naive",
            "largest bias",
            "largest series",
            "name",
        ]


# Of a series in the payload; the largest first.
BY: dict[str, Callable[[dict[str, Any]], float]] = {
    "what to look at": lambda series: 1e12 * bool(series["flags"]) + series["mase"],
    "largest error": lambda series: series["mase"],
    "lost most to naive": lambda series: series["mase"] - series["naive"],
    "largest bias": lambda series: abs(series["bias"]),
    "largest series": lambda series: series["size"],
}


@pytest.mark.parametrize("label", BY)
def test_order_is_that_of_its_figure(browser: Browser, folder: Path, label: str) -> None:
    path = folder / "many-series.html"
    known = read_payload(path.read_text())["explorer"]["series"]
    expected = sorted(known, key=lambda series: (-BY[label](series), int(series["id"][1:])))
    with opened(browser, path) as page:
        page.frame.get_by_label("Order").select_option(label)
        assert series_of(page).all_inner_texts() == [series["id"] for series in expected[:50]]


@ways
def test_dotted_line_parts_the_data_from_what_is_beyond(browser: Browser, folder: Path, how: How) -> None:
    with opened(browser, folder / "many-series.html", how) as page:
        rule = chart_of(page).locator("g[aria-label=rule] line")
        assert rule.count() == 1
        assert rule.locator("..").get_attribute("stroke-dasharray") == "1 3"
        at = float(rule.get_attribute("x1") or "nan")
        lines = (
            chart_of(page)
            .locator("g[aria-label=line] path")
            .evaluate_all("paths => paths.map(each => each.getBBox()).map(box => [box.x, box.x + box.width])")
        )
        assert lines[0][1] == pytest.approx(at, abs=1)  # the actuals end there
        assert lines[2][0] > at  # and the forecast beyond them begins


@ways
def test_keys_go_through_the_series(browser: Browser, folder: Path, how: How) -> None:
    with opened(browser, folder / "many-series.html", how, width=PANEL) as page:
        page.frame.get_by_label("Order").select_option("name")
        series_of(page).first.focus()
        for key, name in (
            ("ArrowDown", "s2"),
            ("ArrowDown", "s3"),
            ("ArrowUp", "s2"),
            ("End", "s50"),
            ("Home", "s1"),
        ):
            page.tab.keyboard.press(key)
            assert page.frame.evaluate("document.activeElement.textContent") == name
            assert page.frame.locator("[data-fan] h3").inner_text() == name
        assert page.frame.locator("[data-list] button[tabindex='0']").count() == 1


def test_page_prints_the_chosen_chart(browser: Browser, folder: Path) -> None:
    with opened(browser, folder / "many-series.html") as page:
        page.tab.emulate_media(media="print")
        assert not page.frame.locator("[data-list]").is_visible()
        assert chart_of(page).is_visible()
        assert page.tab.pdf(format="A4").startswith(b"%PDF")
