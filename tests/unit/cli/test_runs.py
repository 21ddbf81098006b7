"""Outcome of a run, as `kubecast run` prints it."""

import pytest

from kubecast.cli.runs import print_leaderboard, why_not_promoted


@pytest.mark.parametrize("width", ["70", "60", "40"])
def test_names_and_figures_are_never_folded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: str
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": width}.items():
        monkeypatch.setenv(name, value)
    metrics = dict.fromkeys(["mase", "skill", "mse", "mae", "r2"], 0.1234)
    row = {"model": "seasonal_naive_336", "split": "test", **metrics}
    print_leaderboard({"season_length": 48, "scoring": ["mse", "mae", "r2"], "leaderboard": [row]})
    printed = capsys.readouterr().out
    assert printed.count("0.1234") == 4
    assert "12.3 %" in printed
    assert "seasonal_naive_336" in printed


@pytest.mark.parametrize(
    ("promote", "message"),
    [
        (False, "no: skill is -1; coverage is 0"),
        (True, "no: the champion was made from the same data and settings"),
    ],
)
def test_version_that_is_not_champion_says_why(promote: bool, message: str) -> None:
    decision = {"promote": promote, "reasons": ["skill is -1", "coverage is 0"]}
    assert why_not_promoted(decision).startswith(message)
