"""Every page in a real browser, as its readers open it: `make test-browser`, as root.

Not of the suite that `make test` runs: it needs Debian's Chromium and axe-core, which `prepare.sh` installs.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import PHONE, WIDE, How, Opened, chromium, opened
from tests.browser.rendered import DRAWN, HOSTILE, OF_A_RUN, OF_HOSTILE_DATA, draw, run

AXE = Path(__file__).with_name("node_modules") / "axe-core" / "axe.min.js"
PAPER = 718  # pixels between the margins of an upright A4 sheet, which is the narrower one
CUT_OFF = """() => [...document.body.querySelectorAll("*")].filter(each =>
  each.clientWidth > 1 && getComputedStyle(each).overflowX != "visible" && !each.closest("svg")
  && (each.scrollWidth > each.clientWidth || each.scrollHeight > each.clientHeight)
).map(each => each.getAttribute("aria-label") || each.outerHTML.slice(0, 80))"""
BEYOND = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOCUSED = """() => {
  const at = document.activeElement;
  if (at == document.body || "reached" in at.dataset) return null;
  at.dataset.reached = "";
  return at.localName;
}"""
NOT_REACHED = """() => [...document.body.querySelectorAll("*")].filter(each =>
  !("reached" in each.dataset) && each.checkVisibility() && (
    each.matches("a[href], button:enabled, input:enabled, select:enabled, summary, [tabindex='0']")
    || /auto|scroll/.test(getComputedStyle(each).overflowX) && each.scrollWidth > each.clientWidth)
).map(each => each.outerHTML.slice(0, 80))"""

pages = pytest.mark.parametrize("name", [*OF_A_RUN, *DRAWN])
ways = pytest.mark.parametrize("how", get_args(How))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every page as a file; those of a run as the command wrote them."""
    folder = tmp_path_factory.mktemp("pages")
    draw(folder)
    for page in run(tmp_path_factory.mktemp("run")).glob("*.html"):
        page.rename(folder / page.name)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def violations(page: Opened) -> list[str]:
    """What axe-core calls serious or critical, with where it is."""
    found = page.frame.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [
        f"{each['id']} at {node['target']}: {node['failureSummary']}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]


def test_every_page_of_a_run_is_opened_here(folder: Path) -> None:
    assert {page.stem for page in folder.glob("*.html")} == {*OF_A_RUN, *DRAWN}


@pytest.mark.parametrize("how", get_args(How))
def test_misbehaviour_is_noticed(browser: Browser, tmp_path: Path, how: How) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        "<img src='http://127.0.0.1:9/image.png'>"
        "<script>console.warn('a warning'); alert('a dialog'); throw Error('an error')</script>"
    )
    with opened(browser, page, how) as shown:
        shown.tab.wait_for_load_state("networkidle")
        text = "\n".join(shown.noticed)
        dialog = "a dialog" if how == "file" else "Ignored call to 'alert()'"
        assert all(what in text for what in ("a warning", dialog, "an error"))
        assert "http://127.0.0.1:9/image.png" in shown.requests
        shown.frame.evaluate(AXE.read_text() + "; 0")
        assert any("image-alt" in found for found in violations(shown))


@pages
def test_page_is_light(folder: Path, name: str) -> None:
    assert (folder / f"{name}.html").stat().st_size < 1_000_000


@pages
@ways
def test_page_is_silent_and_fetches_nothing(browser: Browser, folder: Path, name: str, how: How) -> None:
    path = folder / f"{name}.html"
    with opened(browser, path, how) as page:
        page.unfold()
        page.tab.wait_for_load_state("networkidle")
        assert page.noticed == []
        assert page.requests == ([path.as_uri()] if how == "file" else [])


@pytest.mark.parametrize("name", OF_HOSTILE_DATA)
@ways
def test_hostile_names_show_as_text(browser: Browser, folder: Path, name: str, how: How) -> None:
    with opened(browser, folder / f"{name}.html", how) as page:
        page.unfold()
        shown = " ".join(page.frame.locator("body").inner_text().split())
        assert [each for each in HOSTILE if " ".join(each.split()) not in shown] == []
        assert page.noticed == []


@pages
@ways
def test_axe_finds_nothing_serious(browser: Browser, folder: Path, name: str, how: How) -> None:
    found = {}
    with opened(browser, folder / f"{name}.html", how) as page:
        page.unfold()
        page.frame.evaluate(AXE.read_text() + "; 0")
        for scheme in ("light", "dark"):
            for width in (WIDE, PHONE):
                page.tab.emulate_media(color_scheme=scheme)
                page.tab.set_viewport_size({"width": width, "height": 800})
                found[scheme, width] = violations(page)
    assert not any(found.values()), found


@pages
@ways
def test_page_does_not_scroll_sideways_on_a_phone(
    browser: Browser, folder: Path, name: str, how: How
) -> None:
    with opened(browser, folder / f"{name}.html", how, width=PHONE) as page:
        assert page.frame.evaluate(BEYOND) == 0
        page.unfold()
        assert page.frame.evaluate(BEYOND) == 0


@ways
def test_click_on_a_head_sorts_by_it_and_again_turns_the_order_round(
    browser: Browser, folder: Path, how: How
) -> None:
    with opened(browser, folder / "many-series.html", how) as page:
        board = page.frame.get_by_role("region", name="Leaderboard, test split")
        head = board.get_by_role("columnheader", name="WAPE")
        for order, step in (("ascending", 1), ("descending", -1)):
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") == order
            shares = [float(text.rstrip(" %")) for text in board.locator("td:nth-child(5)").all_inner_texts()]
            assert len(shares) == 5
            assert shares == sorted(shares)[::step]
        board.get_by_role("button", name="model").click()
        assert head.get_attribute("aria-sort") is None
        models = board.locator("td:first-child").all_inner_texts()
        assert models == sorted(models)


@ways
def test_long_table_is_searched_and_read_page_by_page(browser: Browser, folder: Path, how: How) -> None:
    with opened(browser, folder / "many-series.html", how) as page:
        rows = page.frame.get_by_role("region", name="Every series").locator("tbody tr:visible")
        bar = page.frame.locator(".pages:has(+ [aria-label='Every series'])")
        worst = rows.locator("td:first-child").all_inner_texts()
        assert (len(worst), bar.get_by_role("status").inner_text()) == (20, "1 to 20 of 1000")
        assert bar.get_by_role("button", name="Previous").is_disabled()
        bar.get_by_role("button", name="Next").click()
        assert bar.get_by_role("status").inner_text() == "21 to 40 of 1000"
        assert not set(worst) & set(rows.locator("td:first-child").all_inner_texts())
        bar.get_by_label("Find").fill("s77")
        assert bar.get_by_role("status").inner_text() == "1 to 11 of 11"
        assert rows.count() == 11
        page.frame.get_by_role("region", name="Every series").get_by_role("button", name="series").click()
        assert rows.first.locator("td").first.inner_text() == "s77"


@pages
def test_every_chart_has_a_name_and_every_header_a_scope(browser: Browser, folder: Path, name: str) -> None:
    with opened(browser, folder / f"{name}.html") as page:
        page.unfold()
        named = page.frame.get_by_role("img", name=re.compile(r"\S"))
        assert named.count() == page.frame.locator("svg:not([aria-hidden=true])").count()
        assert page.frame.locator("th:not([scope=col], [scope=row])").count() == 0
        assert page.frame.locator("table:not(:has(th))").count() == 0


@pages
@ways
def test_keyboard_reaches_and_unfolds_everything(browser: Browser, folder: Path, name: str, how: How) -> None:
    with opened(browser, folder / f"{name}.html", how, width=PHONE) as page:
        keyboard = page.tab.keyboard
        keyboard.press("Tab")
        while (element := page.frame.evaluate(FOCUSED)) is not None:
            if element == "summary":
                for key, unfolded in (("Enter", True), ("Space", False), ("Enter", True)):
                    keyboard.press(key)
                    assert page.frame.evaluate("document.activeElement.parentElement.open") is unfolded
            keyboard.press("Tab")
        assert page.frame.evaluate(NOT_REACHED) == []


@pages
def test_paper_cuts_nothing_off(browser: Browser, folder: Path, name: str) -> None:
    with opened(browser, folder / f"{name}.html", width=PAPER) as page:
        page.unfold()
        page.tab.emulate_media(media="print")
        assert page.frame.evaluate(CUT_OFF) == []
        assert page.frame.evaluate(BEYOND) == 0
