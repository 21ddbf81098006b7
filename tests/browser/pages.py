"""Every page in a real browser, as its readers open it: `make test-browser`, as root.

Not of the suite that `make test` runs: it needs Debian's Chromium and axe-core, which `prepare.sh` installs.
"""

import re
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import Browser, FrameLocator, Page

from tests.browser.chromium import PANEL, PHONE, WIDE, WIDTHS, How, Opened, opened
from tests.browser.notebooks import NOTEBOOKS, notebook_output
from tests.browser.rendered import DRAWN, HOSTILE, OF_A_RUN, OF_HOSTILE_DATA

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
      && !each.matches("[tabindex='-1']")
    || /auto|scroll/.test(getComputedStyle(each).overflowX) && each.scrollWidth > each.clientWidth)
).map(each => each.outerHTML.slice(0, 80))"""

DRAWN_TO_WIDTH = """() => [...document.querySelectorAll(".drawing")].every(each => {
  const svg = each.querySelector("svg");
  return !each.clientWidth || svg && Math.abs(svg.width.baseVal.value - each.clientWidth) < 3;
})"""
TABULATED = (
    """() => [...document.querySelectorAll(".tabulated")].every(each => each.querySelector("tbody tr"))"""
)
COLOURS = """() => [
  getComputedStyle(document.documentElement).backgroundColor,
  getComputedStyle(document.querySelector("section")).backgroundColor,
  getComputedStyle(document.querySelector("[data-fan] svg text")).fill,
  getComputedStyle(document.querySelector("[data-fan] svg g[aria-label=line]")).stroke,
]"""

FOREIGN = """() => {
  document.body.insertAdjacentHTML("beforeend", "<b data-foreign style='color: rgb(1, 2, 3)'>x</b>");
  const [style, script] = ["style", "script"].map((tag) => document.createElement(tag));
  style.textContent = "[data-foreign] { color: rgb(1, 2, 3) }";
  script.textContent = "window.foreign = true";
  document.body.append(style, script);
}"""

pages = pytest.mark.parametrize("name", [*OF_A_RUN, *DRAWN])
ways = pytest.mark.parametrize("how", get_args(How))


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
    with opened(browser, page, how, drawn=False) as shown:
        shown.tab.wait_for_load_state("networkidle")
        text = "\n".join(shown.noticed)
        dialog = "a dialog" if how == "file" else "Ignored call to 'alert()'"
        assert all(what in text for what in ("a warning", dialog, "an error"))
        assert "http://127.0.0.1:9/image.png" in shown.requests
        shown.frame.evaluate(AXE.read_text() + "; 0")
        assert any("image-alt" in found for found in violations(shown))


@pages
def test_page_is_light(folder: Path, name: str) -> None:
    assert (folder / f"{name}.html").stat().st_size < 2_000_000


@pages
@ways
def test_page_is_silent_and_fetches_nothing(browser: Browser, folder: Path, name: str, how: How) -> None:
    path = folder / f"{name}.html"
    with opened(browser, path, how) as page:
        page.unfold()
        page.tab.wait_for_load_state("networkidle")
        assert page.noticed == []
        assert page.requests == ([path.as_uri()] if how == "file" else [])


@ways
def test_styles_and_scripts_of_others_are_refused(browser: Browser, folder: Path, how: How) -> None:
    with opened(browser, folder / "many-series.html", how) as page:
        page.frame.evaluate(FOREIGN)
        colour = "getComputedStyle(document.querySelector('[data-foreign]')).color"
        assert page.frame.evaluate(colour) != "rgb(1, 2, 3)"
        assert not page.frame.evaluate("window.foreign")
        assert len(page.noticed) == 3
        assert all("Content Security Policy" in text for text in page.noticed)


@pytest.mark.parametrize("name", OF_HOSTILE_DATA)
@ways
def test_hostile_names_show_as_text(browser: Browser, folder: Path, name: str, how: How) -> None:
    with opened(browser, folder / f"{name}.html", how) as page:
        page.unfold()
        shown = " ".join(page.frame.locator("body").inner_text().split())
        assert [each for each in HOSTILE if " ".join(each.split()) not in shown] == []
        assert page.noticed == []


@pytest.mark.parametrize("kind", NOTEBOOKS)
def test_hostile_names_are_text_in_a_notebook(
    browser: Browser, folder: Path, tmp_path: Path, kind: str
) -> None:
    own = (folder / "hostile.html").read_text()
    notebook = tmp_path / "notebook.html"
    output = notebook_output(own)
    assert len(output.encode()) < 1.2 * len(own.encode())
    notebook.write_text(NOTEBOOKS[kind](output))
    with opened(browser, notebook, drawn=False) as page:
        outer: Page | FrameLocator = page.tab
        if kind == "framed":
            outer = page.tab.frame_locator("iframe[title=output]")
        frame = outer.frame_locator("iframe[title=Report]")
        frame.locator("html[data-drawn]").wait_for(state="attached")
        assert outer.locator("iframe[title=Report]").evaluate("frame => frame.srcdoc") == own
        verdict = outer.locator("body > p").first.inner_text()
        assert [each for each in HOSTILE if " ".join(each.split()) not in " ".join(verdict.split())] == []
        frame.get_by_label("Order").select_option("name")
        names = frame.get_by_role("region", name="Series").locator("tbody button").all_text_contents()
        assert sorted(names) == sorted(HOSTILE)
        for at in range(len(names)):
            button = frame.get_by_role("region", name="Series").locator("tbody button").nth(at)
            button.click()
            assert frame.locator("[data-fan] h3").text_content() == names[at]
        assert page.noticed == []
        assert page.requests == [notebook.as_uri()]


@pages
@ways
def test_axe_finds_nothing_serious(browser: Browser, folder: Path, name: str, how: How) -> None:
    found = {}
    with opened(browser, folder / f"{name}.html", how) as page:
        page.unfold()
        page.frame.evaluate(AXE.read_text() + "; 0")
        for scheme in ("light", "dark"):
            for width in (WIDE, PANEL):
                page.tab.emulate_media(color_scheme=scheme)
                page.tab.set_viewport_size({"width": width, "height": 800})
                found[scheme, width] = violations(page)
    assert not any(found.values()), found


@pages
@ways
@pytest.mark.parametrize("width", WIDTHS)
def test_page_does_not_scroll_sideways(
    browser: Browser, folder: Path, name: str, how: How, width: int
) -> None:
    with opened(browser, folder / f"{name}.html", how, width=width) as page:
        assert page.frame.evaluate(BEYOND) == 0
        page.unfold()
        assert page.frame.evaluate(BEYOND) == 0


@pages
@pytest.mark.parametrize("width", WIDTHS)
def test_charts_are_as_wide_as_their_place(browser: Browser, folder: Path, name: str, width: int) -> None:
    with opened(browser, folder / f"{name}.html", width=WIDE) as page:
        page.unfold()
        page.tab.set_viewport_size({"width": width, "height": 800})
        page.tab.wait_for_function(DRAWN_TO_WIDTH)


@ways
def test_click_on_a_head_sorts_by_it_and_again_turns_the_order_round(
    browser: Browser, folder: Path, how: How
) -> None:
    with opened(browser, folder / "many-series.html", how) as page:
        page.unfold()
        board = page.frame.get_by_role("region", name="All metrics, test split")
        head = board.get_by_role("columnheader", name="WAPE")
        for order, step in (("ascending", 1), ("descending", -1)):
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") == order
            shares = [float(text.rstrip(" %")) for text in board.locator("td:nth-child(4)").all_inner_texts()]
            assert len(shares) == 5
            assert shares == sorted(shares)[::step]
        board.get_by_role("button", name="model").click()
        assert head.get_attribute("aria-sort") is None
        models = board.locator("td:first-child").all_inner_texts()
        assert models == sorted(models)


@ways
def test_buttons_lead_to_the_parts_of_the_page(browser: Browser, folder: Path, how: How) -> None:
    with opened(browser, folder / "many-series.html", how) as page:
        page.frame.get_by_role("navigation").get_by_role("button", name="Data").click()
        assert page.frame.evaluate("document.activeElement.textContent") == "Data"
        top = page.frame.evaluate("document.activeElement.getBoundingClientRect().top")
        assert 0 <= top < 800
        assert page.frame.locator("a[href]").count() == 0


@ways
def test_dark_page_is_dark_and_its_charts_follow(browser: Browser, folder: Path, how: How) -> None:
    with opened(browser, folder / "report.html", how) as page:
        colours = {}
        for scheme in ("light", "dark"):
            page.tab.emulate_media(color_scheme=scheme)
            colours[scheme] = page.frame.evaluate(COLOURS)
        assert all(one != other for one, other in zip(*colours.values(), strict=True)), colours


@pages
def test_every_chart_has_a_name_a_table_and_every_header_a_scope(
    browser: Browser, folder: Path, name: str
) -> None:
    with opened(browser, folder / f"{name}.html") as page:
        page.unfold()
        named = page.frame.get_by_role("img", name=re.compile(r"\S"))
        assert named.count() == page.frame.locator(".drawing").count()
        page.tab.wait_for_function(TABULATED)
        assert page.frame.locator("svg:not([aria-hidden=true])").count() == 0
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
