"""The command's own work: options, tables, one-line errors. What it starts is tested in tests/e2e."""

import io
import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from kubecast.cli import app, console
from kubecast.errors import ConfigError, KubecastError, NotFound
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.registry import Registry
from kubecast.reports import render_report
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render
from tests.support.panels import hourly

SMALL = ["--set", "training.data.min_samples=10", "--horizon", "6", "--season-length", "24"]


def invoke(*words: str, **options: Any) -> Result:
    return CliRunner().invoke(app.app, list(words), **options)


def raise_from(result: Result) -> None:
    if result.exception:
        raise result.exception


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
        ["clean"],
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


def test_validate_begins_with_a_verdict(data: str) -> None:
    found = invoke("validate", "--data", data, *SMALL)
    assert found.exit_code == 0
    verdict, models, *_ = found.stdout.splitlines()
    assert re.fullmatch(r"ready: 4 models, \d+ \+ \d+ origins", verdict)
    assert models == "models     arima, lstm, transformer, catboost"
    assert invoke("validate", *SMALL).stdout.startswith("settings are valid: 4 models, horizon 6\n")


def test_data_may_come_from_standard_input(data: str) -> None:
    words = ("validate", "--data", "-", *SMALL)
    assert (
        invoke(*words, input=Path(data).read_bytes()).stdout
        == invoke("validate", "--data", data, *SMALL).stdout
    )
    with pytest.raises(ConfigError, match="a run reads its data more than once"):
        raise_from(invoke("run", "--data", "-", "--output", "x", *SMALL))


def test_validate_shows_what_was_found_in_the_data(tmp_path: Path) -> None:
    rows = hourly(series=1)
    rows["unique_id"] = "<script>[bold]"
    path = tmp_path / "gap.csv"
    rows.drop(index=[50]).to_csv(path, index=False)
    found = invoke("validate", "--data", str(path), *SMALL)
    assert "missing" in found.stdout
    assert "<script>" in found.stdout


@pytest.mark.slow
def test_compile_tells_the_size(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.yaml"
    found = json.loads(invoke("compile", "--output", str(path), "--json").stdout)
    assert found == {"pipeline": str(path), "bytes": path.stat().st_size}
    assert str(path.stat().st_size) in invoke("compile", "--output", str(path)).stdout


def test_sample_is_the_demand_series(tmp_path: Path) -> None:
    path = tmp_path / "demand.csv"
    assert "4032 rows" in invoke("sample", "--output", str(path)).stdout
    lines = path.read_text().splitlines()
    assert invoke("sample", "--output", "-").stdout == path.read_text()
    assert lines[:2] == ["unique_id,ds,y", "demand,2000-06-05 00:00:00,22262.0"]
    assert len(lines) == 4033


@pytest.mark.parametrize("command", ["list", "verify", "gc"])
def test_registry_that_is_not_there_is_an_error(command: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"none: nothing is published there; allowed: where a run published"):
        raise_from(invoke("models", command, "--registry", str(tmp_path / "none"), "--json"))


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    for word, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, f"{name} {word}")
        else:
            yield f"{name} {word}", each


EVERY_COMMAND = dict(commands(typer.main.get_command(app.app), "kubecast"))


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_examples_of_a_command_are_ones_that_it_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command, (_, *lines) = EVERY_COMMAND[name], EVERY_COMMAND[name].epilog.split("\n\n")
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" | ")[0])
        start = words.index("kubecast")
        for variable in words[:start]:
            monkeypatch.setenv(*variable.split("="))
        assert " ".join(words[start:]).startswith(f"{name} ")
        command.make_context(name, words[start + len(name.split()) :])


def test_every_command_that_prints_a_table_has_it_as_json() -> None:
    plain = {
        name
        for name, command in EVERY_COMMAND.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    files, switches = ("forecast", "sample", "trial"), ("pause", "resume", "delete")
    assert plain == {f"kubecast {each}" for each in files} | {
        f"kubecast schedule {each}" for each in switches
    }


def test_versions_are_told_with_those_of_python_and_kfp() -> None:
    assert re.fullmatch(r"kubecast \S+, Python 3\.1\d\.\d+, kfp 2\.\S+\n", invoke("--version").stdout)


def test_completion_is_there_for_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    script = CliRunner().invoke(app.app, ["--show-completion", "bash"], prog_name="kubecast").stdout
    assert "_KUBECAST_COMPLETE=complete_bash" in script


@pytest.mark.parametrize("words", [["-q", "init", "new"], ["init", "new", "-q"], ["init", "--quiet", "new"]])
def test_quiet_is_taken_anywhere_and_leaves_notes_out(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke("init", "noted").stderr == "next       kubecast validate --config noted --data FILE\n"
    found = invoke(*words)
    assert (found.exit_code, found.stderr) == (0, "")
    assert "new/training.yaml" in found.stdout


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["validate", "--horizon", "0"], 2, "training.horizon: Input should be greater than 0, found 0"),
        (["validate"], 2, "training.horizon is not set"),
        (["validate", "--config", "x"], 2, "x: no such configuration folder; kubecast init x writes one"),
        (["validate", "--config", "configs/quick"], 2, "did you mean --preset quick?"),
        (["validate", "--config", "x", "--preset", "quick"], 2, "allowed: one of them"),
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
        (["run", "--output", "o"], 2, "Missing option '--data'; kubecast run --help has what is allowed"),
        (["run", "--data", "x", "--output", "o", "--models", "arimaa"], 2, "did you mean arima?"),
        (["train"], 2, "No such command 'train'"),
        (["validate", "--horizon", "two"], 2, "Invalid value for '--horizon'"),
        (
            ["sample", "--output", "/dev/null/demand.csv"],
            2,
            "/dev/null: a file is in the way; allowed: a folder",
        ),
        (["sample", "--output", "folder.csv"], 2, "folder.csv: a folder; allowed: a file in one"),
        (
            ["compile", "--output", "afile/deep/p.yaml"],
            2,
            "afile/deep: a file is in the way; allowed: a folder",
        ),
        (["run", "--data", "x.csv", "--output", "afile", "--horizon", "6"], 2, "afile: a file is in the way"),
        (["validate", "--config", "afile"], 2, "afile: a file; allowed: a folder of settings files"),
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
    (tmp_path / "afile").touch()
    (tmp_path / "folder.csv").mkdir()
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


@pytest.mark.parametrize("flag", [0, 2, 4])
def test_verbose_adds_the_trace_wherever_it_stands(
    flag: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["models", "list", "--registry", "file://me:s3cret@host/x"]
    words.insert(flag, "-v")
    monkeypatch.setattr(sys, "argv", ["kubecast", *words])
    with pytest.raises(SystemExit):
        app.main()
    errors = capsys.readouterr().err
    assert "Traceback" in errors
    assert errors.count("file://***@host/x") == 2
    assert "s3cret" not in errors


@pytest.mark.slow
def test_report_is_rendered_again_from_a_folder_and_from_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    (folder / "evaluated").mkdir(parents=True)
    (folder / "evaluated" / "file").write_text("a version has a part")
    render(forecasts(NOISE, origins=10))[1].write(folder / "leaderboard.json")
    found = Evaluation.read(folder / "leaderboard.json")
    assert invoke("report", str(folder)).exit_code == 0
    assert (folder / "report.html").read_text("utf-8") == render_report(found)
    version = Registry.open(str(tmp_path / "registry")).publish("demand", folder, {})
    output = tmp_path / "again.html"
    words = ["--registry", str(tmp_path / "registry"), "--output", str(output)]
    assert invoke("report", f"demand@{version.id}", *words).exit_code == 0
    assert output.read_text("utf-8") == render_report(found, None, f"demand@{version.id}")
    assert not list(tmp_path.glob(".*partial"))
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: bool(opened.append(url)))
    monkeypatch.setenv("KUBECAST_REGISTRY", str(tmp_path / "registry"))
    found = invoke("report", str(folder), "--open", "--json")
    assert json.loads(found.stdout) == {"report": str(folder / "report.html")}
    assert opened == [(folder / "report.html").as_uri()]
    assert found.stderr == "no browser was found; open the file by hand\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no leaderboard.json; allowed: the output folder of a run"),
        ("{", "leaderboard.json: not a leaderboard of this version (Invalid JSON"),
        (
            '{"schema_version": 1}',
            "leaderboard.json: not a leaderboard of this version (schema_version: Input should be 2, 3, 4",
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


def test_minus_sign_is_a_hyphen_where_the_encoding_has_none() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    console.write_any_text(stream)
    print(console.percent(-0.159), "☃", file=stream, flush=True)
    stream.seek(0)
    assert stream.read() == "-15.9 % ?\n"
