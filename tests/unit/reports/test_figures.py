"""Every figure of the report's tables is one of leaderboard.json."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from kubecast.evaluation.history import EarlierVersion
from kubecast.scoring.metrics import ENSEMBLE
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import LOGS, render

pytestmark = pytest.mark.slow

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
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


@pytest.fixture(scope="module")
def shown() -> tuple[dict[str, Rows], dict[str, Any]]:
    """The report's tables, and the JSON that it was rendered from."""
    earlier = EarlierVersion(
        version="one", created=datetime(2025, 1, 1, tzinfo=UTC), champion=True, mase=0.9, coverage={"80": 0.7}
    )
    page, evaluation = render(forecasts(NOISE, series=5, origins=10), earlier=[earlier])
    parser = _Tables()
    parser.feed(page)
    return parser.tables, json.loads(evaluation.model_dump_json())


def row_index(board: dict[str, Any], key: str, split: str, model: str) -> list[dict[str, Any]]:
    return [row for row in board[key] if (row["split"], row["model"]) == (split, model)]


def interval(ends: dict[str, Any] | None) -> str:
    return f"{figure(ends['low'])} to {figure(ends['high'])}" if ends else "-"


LEADERBOARD: list[tuple[str, Callable[[Any], str]]] = [
    ("model", str), ("mase", figure), ("skill", percent), ("difference", figure),
    ("difference_interval", interval), ("rmsse", figure), ("wape", percent),
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
    assert tables[f"Leaderboard, {split} split"] == expected


def test_weights(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    keys = "weight", "mase", "mase_without"
    expected = [
        [row["model"], row["kind"], figure(row["weight"]), "", *(figure(row[key]) for key in keys[1:])]
        for row in board["ensemble"]["members"]
    ]
    assert len(expected) == 4
    assert tables["Weights of the ensemble"] == expected


def test_lead_times_and_blocks(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    models = [row["model"] for row in board["leaderboard"] if row["split"] == "test"]
    by_model = [[row["mase"] for row in row_index(board, "by_lead_time", "test", model)] for model in models]
    expected = [[str(at + 1), *map(figure, values)] for at, values in enumerate(zip(*by_model, strict=True))]
    assert len(expected) == 5
    assert tables["MASE by lead time"] == expected
    for model, row in zip(models, tables["MASE by fold"], strict=True):
        mase = [
            fold["mase"]
            for split in ("validation", "test")
            for fold in row_index(board, "by_fold", split, model)
        ]
        assert [row[0], *row[3:]] == [model, *map(figure, mase)]


def test_series(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    own = {row["unique_id"]: row for row in row_index(board, "by_series", "test", ENSEMBLE)}
    assert {row[0] for row in tables["Every series"]} == set(own)
    for name, mase, best, best_mase, wape, rmse, scored, skipped in tables["Every series"]:
        row = own[name]
        members = {
            each["model"]: each["mase"]
            for each in board["by_series"]
            if each["unique_id"] == name and each["split"] == "test" and each["model"] != ENSEMBLE
        }
        assert (mase, wape, rmse) == (figure(row["mase"]), percent(row["wape"]), figure(row["rmse"]))
        assert (scored, skipped) == (str(row["scored"]), str(row["skipped"]))
        assert members[best] == min(members.values())
        assert best_mase == figure(members[best])


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
    for label, key, step in (
        ("Coverage by lead time", "by_lead_time", "lead_time"),
        ("Coverage by season phase", "by_phase", "phase"),
    ):
        rows = row_index(board, key, "test", ENSEMBLE)
        expected = [[str(row[step]), *(percent(row["coverage"][level]) for level in levels)] for row in rows]
        assert len(expected) > 1
        assert tables[label] == expected


def test_errors(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    residuals = board["residuals"]
    assert tables["Autocorrelation"] == [
        [str(at), figure(value), figure(band)]
        for at, (value, band) in enumerate(
            zip(residuals["autocorrelation"], residuals["bands"], strict=True), 1
        )
    ]
    for share, observed, normal in tables["Quantiles of the errors"]:
        at = int(share.removesuffix(" %")) - 1
        assert (observed, normal) == (figure(residuals["observed"][at]), figure(residuals["normal"][at]))


def test_versions_fits_and_forecasts(shown: tuple[dict[str, Rows], dict[str, Any]]) -> None:
    tables, board = shown
    own = row_index(board, "leaderboard", "test", ENSEMBLE)[0]
    assert tables["Versions"] == [
        ["one", "0.9", "-", "70.0 %", "champion"],
        ["this version", figure(own["mase"]), percent(own["skill"]), percent(own["coverage"]["80"]), ""],
    ]
    assert [row[0] for row in tables["Fits"]] == sorted(LOGS)
    for row in tables["Fits"]:
        assert row[3] == figure(board["fits"][row[0]]["seconds"])
    assert len(board["examples"]) == 3
    for series in board["examples"]:
        low, high = next(iter(series["bands"].values()))
        columns = series["actual"], series["forecast"], low, high
        expected = [[figure(value) for value in values] for values in zip(*columns, strict=True)]
        assert [row[1:] for row in tables[f"Forecast of series {series['unique_id']}"]] == expected
