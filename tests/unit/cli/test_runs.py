"""Outcome of a run, as `kubecast run` prints it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from kubecast.cli.files import read_rows
from kubecast.cli.runs import finding_lines, print_leaderboard, resolve, why_not_promoted
from kubecast.config.training import DataSettings
from kubecast.registry import Registry


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


def test_findings_that_decide_what_is_forecast_are_named_and_many_of_a_kind_counted() -> None:
    left_out = [{"what": "left_out", "series": f"s{number}", "detail": "too gappy"} for number in range(5)]
    stale = {"what": "stale", "series": "", "detail": "a, b: the last target is older"}
    assert list(finding_lines([*left_out, {"what": "sorted", "series": "", "detail": "rows"}, stale])) == [
        "ended      a, b: the last target is older",
        "left out   s0: too gappy",
        "left out   s1: too gappy",
        "left out   s2: too gappy",
        "left out   2 more series: leaderboard.json names them",
    ]


def test_columns_that_options_name_may_have_blanks_around_them(tmp_path: Path) -> None:
    path = tmp_path / "sales.csv"
    path.write_text("day, units ,item\n2026-01-01,1,a\n")
    trained = DataSettings.model_validate({"columns": {"y": "sales"}})
    bundle = SimpleNamespace(contract=SimpleNamespace(training=SimpleNamespace(data=trained)))
    options = {"columns.unique_id": " item", "columns.ds": "day ", "columns.y": "units "}
    assert list(read_rows(str(path), bundle, options).columns) == ["ds", "sales", "unique_id"]


def test_newest_version_of_a_model_without_a_champion_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bundle" / "production").mkdir(parents=True)
    (tmp_path / "bundle" / "production" / "model.json").write_text("{}")
    registry = Registry.open(str(tmp_path / "registry"))
    version = registry.publish("demand", tmp_path / "bundle", {})
    assert resolve(registry, "demand").id == version.id
    assert (
        capsys.readouterr().err == f"version    {version.id}: the newest of demand, which has no champion\n"
    )
    resolve(registry, f"demand@{version.id}")  # as asked for
    registry.promote(f"demand@{version.id}")
    resolve(registry, "demand")
    assert not capsys.readouterr().err
