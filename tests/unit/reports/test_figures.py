"""Every figure of the report's tables is one of leaderboard.json."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from kubecast.evaluation.history import EarlierVersion
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.words import plain
from kubecast.scoring.metrics import ENSEMBLE
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import LOGS, read_payload, render

pytestmark = pytest.mark.slow

MINUS = "\N{MINUS SIGN}"
Rows = list[list[str]]


class _Tables(HTMLParser):
    """The text of every cell of each table's body, by the label of the region around it."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, Rows] = {}
        self._label, self._cell, self._body = "", False, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._label = str(given.get("aria-label")) if given.get("role") == "region" else self._label
        if tag == "tbody":
            self._body = True
            self.tables[self._label] = []
        elif tag == "tr" and self._body:
            self.tables[self._label].append([])
        elif tag == "td" and self._body:
            self._cell = True
            self.tables[self._label][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag != "td"
        self._body = self._body and tag != "tbody"

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.tables[self._label][-1][-1] += data


def figure(value: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return text.replace("-", MINUS)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %".replace("-", MINUS)


@pytest.fixture(scope="module")
def report() -> tuple[str, Evaluation]:
    earlier = EarlierVersion(
        version="one", created=datetime(2025, 1, 1, tzinfo=UTC), champion=True, mase=0.9, coverage={"80": 0.7}
    )
    return render(forecasts(NOISE, series=5, origins=10), earlier=[earlier])


@pytest.fixture(scope="module")
def page(report: tuple[str, Evaluation]) -> str:
    return report[0]


@pytest.fixture(scope="module")
def shown(report: tuple[str, Evaluation]) -> tuple[dict[str, Rows], dict[str, Any]]:
    """The report's tables, and the JSON that it was rendered from."""
    page, evaluation = report
    parser = _Tables()
    parser.feed(page)
    return parser.tables, json.loads(evaluation.model_dump_json())


def row_index(board: dict[str, Any], key: str, split: str, model: str) -> list[dict[str, Any]]:
    rows = pd.DataFrame(board[key]).to_dict("records")  # of rows or of columns
    return [row for row in rows if (row["split"], row["model"]) == (split, model)]


LEADERBOARD: list[tuple[str, Callable[[Any], str]]] = [
    ("model", plain), ("mase", figure), ("rmsse", figure), ("wape", percent),
    ("smape", percent), ("wql", figure), ("mae", figure), ("rmse", figure), ("mse", figure), ("r2", figure),
    ("mase_median", figure), ("mase_worst_five", percent), ("scored", figure), ("skipped", figure),
]  # fmt: skip


@pytest.mark.parametrize("split", ["test", "validation"])
def test_leaderboard(shown: tuple[dict[str, Rows], dict[str, Any]], split: str) -> None:
    tables, board = shown
    expected = [
        [text(row[key]) for key, text in LEADERBOARD] for row in board["leaderboard"] if row["split"] == split
    ]
    assert len(expected) == 5
    assert tables[f"All metrics, {split} split"] == expected


def test_weights(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    keys = "weight", "mase", "mase_without"
    expected = [
        [plain(row["model"]), plain(row["kind"]), *(figure(row[key]) for key in keys)]
        for row in board["ensemble"]["members"]
    ]
    assert len(expected) == 4
    assert tables["Weights of the ensemble"] == expected


def test_skill_of_each_model_is_over_the_strongest_naive_of_the_test_split(
    shown: tuple[dict[str, Rows], dict[str, Any]],
) -> None:
    tables, board = shown
    rows = [row for row in board["leaderboard"] if row["split"] == "test"]
    naive = min(row["mase"] for row in rows if row["model"] in board["naives"])
    weights = {member["model"]: member["weight"] for member in board["ensemble"]["members"]}
    assert tables["Leaderboard, test split"] == [
        [
            plain(row["model"]),
            figure(row["mase"]),
            percent(1 - row["mase"] / naive),
            percent(weights[row["model"]]) if row["model"] in weights else "",
        ]
        for row in rows
    ]


def test_blocks(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    models = [row["model"] for row in board["leaderboard"] if row["split"] == "test"]
    for model, row in zip(models, tables["MASE by fold"], strict=True):
        mase = [
            fold["mase"]
            for split in ("validation", "test")
            for fold in row_index(board, "by_fold", split, model)
        ]
        assert [row[0], *row[3:]] == [plain(model), *map(figure, mase)]


def test_charts_by_lead_time_and_origin_are_those_of_the_evaluation(
    page: str, shown: tuple[dict[str, Rows], dict[str, Any]]
) -> None:
    board, drawn = shown[1], read_payload(page)["charts"]
    for name, key in (("lead", "by_lead_time"), ("origins", "by_origin")):
        for line in drawn[name]["lines"]:
            expected = [row["mase"] for row in row_index(board, key, "test", line["name"].replace(" ", "_"))]
            assert line["values"] == pytest.approx(expected, rel=1e-4)
    covered = [row["coverage"]["80"] for row in row_index(board, "by_lead_time", "test", ENSEMBLE)]
    assert drawn["coverage-lead"]["lines"][0]["values"] == pytest.approx(covered, rel=1e-4)


def test_coverage(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    test, validation = (
        row_index(board, "leaderboard", split, ENSEMBLE)[0] for split in ("test", "validation")
    )
    levels = list(test["coverage"])
    assert tables["Coverage"] == [
        [f"{level} %", percent(test["coverage"][level]), percent(validation["coverage"][level])]
        for level in levels
    ]


def test_errors(page: str, shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    residuals, drawn = shown[1]["residuals"], read_payload(page)["charts"]
    assert drawn["errors"]["counts"] == residuals["counts"]
    values = [line["values"] for line in drawn["quantiles"]["lines"]]
    assert values[0] == pytest.approx(residuals["observed"], rel=1e-4)
    assert values[1] == pytest.approx(residuals["normal"], rel=1e-4)
    assert drawn["correlation"]["lines"][0]["values"] == pytest.approx(residuals["autocorrelation"], rel=1e-4)


def test_versions_and_fits(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    own = row_index(board, "leaderboard", "test", ENSEMBLE)[0]
    assert tables["Versions"] == [
        ["one", "0.9", "-", "70.0 %", "champion"],
        ["this version", figure(own["mase"]), percent(own["skill"]), percent(own["coverage"]["80"]), ""],
    ]
    assert [row[0] for row in tables["Fits"]] == sorted(LOGS)
    for row in tables["Fits"]:
        assert row[3] == figure(board["fits"][row[0]]["seconds"])
