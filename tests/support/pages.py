"""Pages to look at: documents to render them from, and a reader that insists on well-formed HTML."""

import base64
import gzip
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

import pandas as pd

from kubecast.data.findings import DataReport, Finding
from kubecast.data.levels import LevelChanges
from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.evaluation.comparison import Champion
from kubecast.evaluation.history import EarlierVersion
from kubecast.evaluation.importance import Importance
from kubecast.evaluation.leaderboard import Evaluation, evaluate
from kubecast.models.base import FitLog
from kubecast.models.seasonal_naive import SeasonalNaive
from kubecast.reports import render_report
from kubecast.reports.training import SHUFFLED, Fitted
from kubecast.resources import Usage
from tests.support.forecasts import KINDS, SETTINGS, in_one_block, panel_of, stack_whole

HOSTILE = '<script>alert("1")</script> $x$ \\1'
LOGS = {
    "good": FitLog(
        stopped="early_stopping",
        curves={"train": [3.0, 2.0, 1.0], "validation": [3.0, 2.5, 2.6]},
        best=1,
        seconds=12.3,
        fallbacks={HOSTILE: "shorter than a season & a half"},
    ),
    "bad": FitLog(stopped="converged", curves={"train": []}),
}
LOG = FitLog(
    stopped="early_stopping",
    curves={"train": [3.0, 2.0, 1.0, 0.9], "validation": [3.0, 2.5, 2.6, 2.9]},
    fixed_fit={"learning_rates": [0.01, 0.005]},
    best=1,
    seconds=12.3,
)
INPUTS = [
    Importance(feature=HOSTILE, value=0.5, spread=0.1),
    Importance(feature="older", value=-0.01, spread=0.02),
]
MODEL = SeasonalNaive(24, "naive")
USED = Usage(seconds=[1, 2], cpu=[1.5, 2.0], memory=[0.5, 0.7], gpu=[0.9, 0.8], gpu_memory=[10.0, 11.0])


class PageChecker(HTMLParser):
    """Collects ids and tags, and insists that every element is closed in order."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read_payload(page: str) -> Any:
    """What the page's script draws from: ``charts`` and, where there is one, ``explorer``."""
    packed = re.findall(r'<script [^>]*data-payload="(\w+)">(.*?)</script>', page, re.DOTALL)
    return {name: unpack(text) for name, text in packed}


def unpack(packed: str) -> Any:
    """The inverse of ``kubecast.reports.html.pack``."""
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def render(
    table: pd.DataFrame,
    *,
    rename: dict[str, str] | None = None,
    missing: dict[str, str] | None = None,
    settings: EnsembleSettings = SETTINGS,
    findings: list[Finding] | None = None,
    logs: dict[str, FitLog] | None = None,
    champion: Champion | None = None,
    earlier: Sequence[EarlierVersion] = (),
    forecast: pd.DataFrame | None = None,
) -> tuple[str, Evaluation]:
    """The page of a version whose forecasts these are, and the evaluation that it shows."""
    panel = panel_of(table)
    report = DataReport(rows=len(table), series=table["unique_id"].nunique(), findings=findings or [])
    panel = Panel(
        panel.frame.replace({"unique_id": rename or {}}),
        panel.static,
        panel.spec,
        panel.series.replace({"unique_id": rename or {}}),
        panel.origins,
        report=report,
    )
    table = table.replace({"unique_id": rename or {}})
    recipe, stacked = stack_whole(table, panel.series, settings, KINDS, missing or {}, 24)
    evaluation = evaluate(
        in_one_block(stacked),
        PanelBlocks.of(panel),
        recipe,
        champion=champion,
        fits=LOGS if logs is None else logs,
        earlier=earlier,
    )
    return render_report(evaluation, forecast), evaluation


def fitted(panel: Panel, **changes: Any) -> Fitted:
    """A seasonal naive model on the panel, for the page on its training."""
    origins = panel.origins
    seen = LevelChanges.find(panel, Cutoffs.from_frame(origins))
    table = MODEL.forecast(panel, seen.origins).merge(origins, on=["unique_id", "cutoff"])
    arguments = {"name": "naive", "log": LOG, "importance": INPUTS, "about_importance": SHUFFLED}
    return Fitted(**{**arguments, "forecasts": table, "changes": seen, **changes})  # type: ignore[arg-type]
