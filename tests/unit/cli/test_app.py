"""The command's own work: options, tables, one-line errors. What it starts is tested in tests/e2e."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kubecast.cli import app
from kubecast.errors import KubecastError
from kubecast.registry import Registry
from kubecast.reports import render_report
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render
from tests.support.panels import hourly

SMALL = ["--set", "training.data.min_samples=10", "--horizon", "6", "--season-length", "24"]


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app.app, list(words))


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "data.csv"
    hourly().to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["run"],
        ["forecast"],
        ["backtest"],
        ["compile"],
        ["validate"],
        ["sample"],
        ["report"],
        ["models"],
        ["models", "list"],
        ["models", "show"],
    ],
)
def test_every_command_has_help(words: list[str]) -> None:
    found = invoke(*words, "--help")
    assert found.exit_code == 0
    assert "Usage:" in found.stdout


def test_validate_without_data_tells_the_ladder() -> None:
    found = json.loads(invoke("validate", *SMALL, "--json").stdout)
    assert found["median_series_for_full"] == 69  # two days in 70 % of the rows
    assert found["median_series_for_short_leads"] == 2 * 24 + 3 + 6
    assert found["median_series_for_no_test"] == 6 + 4


def test_validate_with_data_tells_parts_and_origins(data: str) -> None:
    found = json.loads(invoke("validate", "--data", data, *SMALL, "--json").stdout)
    assert found["series"] == 3
    assert found["train_steps"] + found["validation_steps"] + found["test_steps"] == found["median_length"]
    assert found["validation_origins"] > found["test_origins"] > 0


def test_validate_prints_a_table(data: str) -> None:
    found = invoke("validate", "--data", data, *SMALL)
    assert found.exit_code == 0
    assert "validation_origins" in found.stdout


def test_validate_shows_what_was_found_in_the_data(tmp_path: Path) -> None:
    rows = hourly(series=1)
    rows["unique_id"] = "<script>[bold]"
    path = tmp_path / "gap.csv"
    rows.drop(index=[50]).to_csv(path, index=False)
    found = invoke("validate", "--data", str(path), *SMALL)
    assert "missing" in found.stdout
    assert "<script>" in found.stdout


def test_compile_tells_the_size(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    found = json.loads(invoke("compile", "--output", str(path), "--json").stdout)
    assert found == {"pipeline": str(path), "bytes": path.stat().st_size}
    assert str(path.stat().st_size) in invoke("compile", "--output", str(path)).stdout


def test_sample_is_the_demand_series(tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    assert "4032 rows" in invoke("sample", "--output", str(path)).stdout
    lines = path.read_text().splitlines()
    assert lines[:2] == ["unique_id,ds,y", "demand,2000-06-05 00:00:00,22262.0"]
    assert len(lines) == 4033


def test_listing_a_registry_that_is_not_there_lists_nothing(tmp_path: Path) -> None:
    found = invoke("models", "list", "--registry", str(tmp_path / "none"), "--json")
    assert (found.exit_code, json.loads(found.stdout)) == (0, [])
    assert invoke("models", "list", "--registry", str(tmp_path / "none")).exit_code == 0


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["validate", "--horizon", "0"], 2, "training.horizon: Input should be greater than 0, found 0"),
        (["validate"], 2, "training.horizon is not set"),
        (["compile", "--output", "pipeline.txt"], 2, "allowed: .yaml"),
        (["models", "show", "--registry", "none", "a/../b"], 2, "is not allowed"),
        (["models", "show", "--registry", "none", "forecaster"], 2, "forecaster"),
        (
            ["forecast", "--registry", "r", "--model", "m", "--data", "d.csv", "--output", "f.txt"],
            2,
            "allowed: .csv or .parquet",
        ),
        (
            ["forecast", "--registry", "none", "--model", "m", "--data", "d.csv", "--output", "f.csv"],
            2,
            "m",
        ),
        (["run", "--data", "x.csv", "--output", "o"], 2, "training.horizon is not set"),
        (["run", "--output", "o"], 2, "Missing option '--data'"),
        (["train"], 2, "No such command 'train'"),
        (["validate", "--horizon", "two"], 2, "Invalid value for '--horizon'"),
        (["sample", "--output", "/dev/null/demand.csv"], 1, "/dev/null"),
    ],
)
def test_error_is_one_line_and_its_status(
    words: list[str],
    status: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kubecast", *words])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    errors = capsys.readouterr().err.splitlines()
    assert stopped.value.code == status
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert message in errors[0]


def test_without_arguments_the_help_is_shown_and_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kubecast"])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    found = capsys.readouterr()
    assert (stopped.value.code, found.err) == (2, "")
    assert "Usage:" in found.out


def test_verbose_adds_the_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["models", "list", "--registry", "file://me:s3cret@host/x"]
    monkeypatch.setattr(sys, "argv", ["kubecast", "--verbose", *words])
    with pytest.raises(SystemExit):
        app.main()
    errors = capsys.readouterr().err
    assert "Traceback" in errors
    assert errors.count("file://***@host/x") == 2
    assert "s3cret" not in errors


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.no_cover
def test_report_is_rendered_again_from_a_folder_and_from_a_version(tmp_path: Path) -> None:
    page, found = render(forecasts(NOISE, origins=10))
    folder = tmp_path / "run"
    (folder / "evaluated").mkdir(parents=True)
    (folder / "evaluated" / "file").write_text("a version has a part")
    found.write(folder / "leaderboard.json")
    assert invoke("report", str(folder)).exit_code == 0
    assert (folder / "report.html").read_text("utf-8") == page
    version = Registry.open(str(tmp_path / "registry")).publish("demand", folder, {})
    output = tmp_path / "again.html"
    words = ["--registry", str(tmp_path / "registry"), "--output", str(output)]
    assert invoke("report", f"demand@{version.id}", *words).exit_code == 0
    assert output.read_text("utf-8") == render_report(found, None, f"demand@{version.id}")
    assert not list(tmp_path.glob(".*partial"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no leaderboard.json; allowed: the output folder of a run"),
        ("{", "leaderboard.json: not a leaderboard of this version (Invalid JSON"),
        (
            '{"schema_version": 1}',
            "leaderboard.json: not a leaderboard of this version (schema_version: Input should be 2, 3 or 4)",
        ),
    ],
)
def test_report_of_what_is_no_run_names_the_file(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "leaderboard.json").write_text(content)
    error = invoke("report", str(tmp_path)).exception
    assert isinstance(error, KubecastError)
    assert str(error).startswith(str(tmp_path))
    assert message in str(error)
    assert not (tmp_path / "report.html").exists()
