"""Debian's Chromium, and pages opened in it as their readers open them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Frame, Page, sync_playwright

How = Literal["dashboard", "file"]
PHONE, PANEL, TABLET, WIDE, WIDEST = WIDTHS = (
    390,
    500,
    800,
    1440,
    1680,
)  # pixels; the dashboard's panel is 500
_FLAGS = [
    # Chromium's own look-ups, which are not the page's.
    *("--disable-background-networking", "--disable-component-update", "--disable-quic", "--disable-sync"),
    # A sandboxed frame stays in its tab's process: in one of its own, its first requests pass unseen.
    "--disable-features=IsolateSandboxedIframes",
]
# The frame of Kubeflow Pipelines' HTMLViewer, which is filled by script.
_DASHBOARD = """<!DOCTYPE html><html lang="en"><title>dashboard</title><body style="margin: 0">
<iframe title="artifact" sandbox="allow-scripts" src="javascript:void(0);"
  style="box-sizing: border-box; width: 100%; height: 600px; border: 1px solid #e0e0e0"></iframe>"""
_FILL = """html => new Promise(loaded => {
  const frame = document.querySelector("iframe");
  frame.onload = loaded;
  window.filled = performance.timeOrigin + performance.now();
  frame.srcdoc = html;
})"""


@dataclass(frozen=True)
class Opened:
    """A page in a tab of its own.

    Attributes:
        tab: Has the keyboard, the width and the medium.
        frame: Of the page itself.
        noticed: Warnings and errors of the console, errors that no script caught, dialogs.
        requests: URLs.
    """

    tab: Page
    frame: Frame
    noticed: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def unfold(self) -> None:
        """Show what a reader can show."""
        self.frame.evaluate("() => document.querySelectorAll('details').forEach(each => each.open = true)")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    path: Path,
    how: How = "file",
    width: int = WIDE,
    height: int = 800,
    *,
    drawn: bool = True,
    watched: str = "",
) -> Iterator[Opened]:
    """Open a page in a sandboxed frame as the dashboard does, or as a file.

    Args:
        browser: From ``chromium``.
        path: Of the page.
        how: Which of the two.
        width: Of the tab, in pixels.
        height: Of the tab, in pixels.
        drawn: Whether to wait until its charts are drawn.
        watched: A script that runs in it before its own.
    """
    with browser.new_context(viewport={"width": width, "height": height}) as context:
        tab = context.new_page()
        tab.add_init_script(watched)
        page = Opened(tab, tab.main_frame)
        context.on("request", lambda request: page.requests.append(request.url))
        context.on("weberror", lambda error: page.noticed.append(str(error.error)))
        context.on(
            "console", lambda line: line.type in {"warning", "error"} and page.noticed.append(line.text)
        )
        tab.on("dialog", lambda dialog: (page.noticed.append(dialog.message), dialog.dismiss()))
        if how == "file":
            tab.goto(path.as_uri())
        else:
            tab.set_content(_DASHBOARD)
            tab.evaluate(_FILL, path.read_text())
            page = Opened(tab, tab.frames[1], page.noticed, page.requests)
        if drawn:
            page.frame.wait_for_selector("html[data-drawn]", state="attached")
        yield page
