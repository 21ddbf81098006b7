"""How what the benchmarks measured becomes docs/benchmarks.md."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.report import Bar, Results, Table


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(report, "FOLDER", tmp_path)
    return tmp_path


def save(value: float) -> None:
    bar = Bar(what="times the speed", value=value, least=10)
    table = Table(title="Speed", rows=[{"rows": 5, "s": 0.123456}])
    Results.collect("arima", "ARIMA", [table], [bar], raw=[{"errors": [0.5]}]).save()


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (Bar(what="", value=1.0, most=1.0), True),
        (Bar(what="", value=1.1, most=1.0), False),
        (Bar(what="", value=0.9, least=1.0, most=2.0), False),
        (Bar(what="", value=None, least=1.0), False),
    ],
)
def test_a_bar_is_met_inside_its_limits_and_never_unmeasured(bar: Bar, met: bool) -> None:
    assert bar.met is met


def test_the_page_joins_what_was_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = folder / "benchmarks.md"
    save(12.0)
    monkeypatch.setattr(sys, "argv", ["report", "--output", str(page), "--check"])
    report.main()

    text = page.read_text()
    assert "## ARIMA" in text
    assert "| times the speed | at least 10 | 12 | yes |" in text
    assert "| 5 | 0.123 |" in text
    (part,) = json.loads((folder / "benchmarks.json").read_text())
    assert part["tables"][0]["rows"] == [{"rows": 5, "s": 0.123456}]
    assert part["raw"] == [{"errors": [0.5]}]


def test_a_bar_that_is_missed_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(9.0)
    monkeypatch.setattr(sys, "argv", ["report", "--output", str(folder / "page.md")])
    report.main()
    assert "1 bars not met" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--check"])
    with pytest.raises(SystemExit, match="not met: arima: times the speed"):
        report.main()


def test_nothing_measured_is_no_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["report", "--output", str(folder / "page.md")])
    with pytest.raises(SystemExit, match="run a target such as make bench-overhead first"):
        report.main()
    assert not (folder / "page.md").exists()
