"""How large a report is and how soon it shows its first chart, by number of series: `make page-times`.

In the dashboard's frame, on pages with random walks of 24 steps ahead and five times as many before.
Seconds are the median of several tries.
"""

import statistics
import tempfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from playwright.sync_api import Browser

from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.paths import SeriesPath
from kubecast.evaluation.series_facts import SeriesFacts, worst_and_largest
from kubecast.reports import render_report
from tests.browser.chromium import PANEL, chromium, opened
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render

SERIES = (1, 300, 1_000, 10_000)
HORIZON = 24
LEVELS = [round(0.1 * at, 1) for at in range(1, 10)]
BEGINS = datetime(2026, 1, 1)
TRIES = 7
# Runs in the page before its own scripts: notes when the browser has shown the first fan chart.
WATCHED = """new MutationObserver((_, observer) => {
  if (!document.querySelector("[data-fan] svg")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => {
    window.charted = performance.timeOrigin + performance.now();
  }));
}).observe(document, {childList: true, subtree: true});"""


def page_of(evaluation: Evaluation, series: int) -> str:
    """The page of a version of so many series."""
    random = np.random.default_rng(0)
    names = [f"region-{at % 6}/store-{at:05d}" for at in range(series)]
    facts = [
        SeriesFacts(
            unique_id=name, size=random.lognormal(), mase=random.lognormal(), naive_mase=1.0, bias=0.1
        )
        for name in names
    ]
    walks = {name: 100 + random.normal(size=7 * HORIZON).cumsum() for name in worst_and_largest(facts)}
    paths = [
        SeriesPath(
            unique_id=name,
            begins=BEGINS,
            y=walk[: 5 * HORIZON].tolist(),
            at=4 * HORIZON,
            forecast=walk[4 * HORIZON - 1 : 5 * HORIZON - 1].tolist(),
            level="80",
            low=(walk[4 * HORIZON : 5 * HORIZON] - 2).tolist(),
            high=(walk[4 * HORIZON : 5 * HORIZON] + 2).tolist(),
        )
        for name, walk in walks.items()
    ]
    times = pd.date_range(BEGINS, periods=6 * HORIZON, freq="h")[5 * HORIZON :]
    rows = [
        pd.DataFrame({"unique_id": name, "ds": times, "yhat": walk[5 * HORIZON : 6 * HORIZON]})
        for name, walk in walks.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    spread = random.lognormal(size=len(table))
    table = table.assign(**{f"q{level}": table["yhat"] + (level - 0.5) * spread for level in LEVELS})
    changes = {"paths": paths, "series": facts}
    return render_report(evaluation.model_copy(update=changes), table)


def seconds_to_chart(browser: Browser, page: Path) -> float:
    """From the moment that the frame is filled until the first fan chart is on the screen."""
    with opened(browser, page, "dashboard", width=PANEL, drawn=False, watched=WATCHED) as shown:
        shown.frame.wait_for_function("() => window.charted")
        charted = shown.frame.evaluate("() => window.charted")
        return (charted - shown.tab.evaluate("() => window.filled")) / 1000


def main() -> None:
    """Print a table in Markdown."""
    _, evaluation = render(forecasts(NOISE, origins=10))
    print("| series | of them in the page | kB | to the first chart, s |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        for series in SERIES:
            path = Path(folder) / f"{series}.html"
            path.write_text(page_of(evaluation, series))
            seconds_to_chart(browser, path)  # warms the browser up
            middle = statistics.median(seconds_to_chart(browser, path) for _ in range(TRIES))
            with opened(browser, path) as shown:
                text = shown.frame.locator(".turn [role=status]").text_content() or ""
            inside = text.rpartition(" ")[2]
            print(f"| {series:,} | {inside} | {path.stat().st_size / 1e3:,.0f} | {middle:.2f} |")


if __name__ == "__main__":
    main()
