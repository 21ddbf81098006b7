import re

import pytest

from kubecast.cli.progress import progress
from kubecast.logs import configure
from kubecast.pipelines.running.local_events import TaskEvent

RUN = [
    TaskEvent("train-lstm", "started"),
    TaskEvent("train_lstm", "running", 3, 20),
    TaskEvent("train-lstm", "finished"),
    TaskEvent("final-lstm", "started"),
    TaskEvent("final_lstm", "running", 7, 20),
]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")


def last_frame(text: str) -> list[str]:
    """The lines of a terminal after the last time that the bars were drawn."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]
    return lines[-2:]


@pytest.mark.usefixtures("log")
def test_log_gets_one_plain_line_as_a_task_begins_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as on_progress:
        for event in RUN:
            on_progress(event)
    found = capsys.readouterr()
    assert found.err.splitlines() == [
        "started   train-lstm",
        "finished  train-lstm",
        "started   final-lstm",
    ]
    assert found.out == ""


@pytest.mark.usefixtures("log")
def test_name_of_a_task_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as on_progress:
        on_progress(TaskEvent("[bold]x[/bold]", "started"))
    assert capsys.readouterr().err == "started   [bold]x[/bold]\n"


@pytest.mark.usefixtures("terminal")
def test_terminal_shows_how_far_the_running_task_is(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as on_progress:
        for event in RUN:
            on_progress(event)
    found = capsys.readouterr()
    done, running = last_frame(found.err)
    assert re.search(r"train-lstm .* done ", done)
    assert re.search(r"final-lstm .* 7/20 ", running)
    assert found.out == ""


@pytest.mark.usefixtures("terminal")
def test_terminal_takes_progress_before_any_task_and_a_task_that_ends_without_a_beginning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as on_progress:
        on_progress(TaskEvent("train_lstm", "running", 1, 2))
        on_progress(TaskEvent("prepare-data", "finished"))
    line = last_frame(capsys.readouterr().err)[-1]
    assert re.search(r"prepare-data .* done ", line)


@pytest.mark.parametrize("kind", ["log", "terminal"])
@pytest.mark.parametrize("quiet", [False, True])
def test_warning_of_a_task_is_shown_once_with_its_name_even_if_quiet(
    kind: str, quiet: bool, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    request.getfixturevalue(kind)
    configure()
    with progress(quiet=quiet) as on_progress:
        on_progress(TaskEvent("train-lstm", "started"))
        on_progress(TaskEvent("train-lstm", "warning", message="[bold]s1[/bold]: new to the model"))
        on_progress(TaskEvent("train-lstm", "finished"))
    found = capsys.readouterr()
    assert found.err.count("warning: train-lstm: [bold]s1[/bold]: new to the model") == 1
    assert found.out == ""


@pytest.mark.parametrize("kind", ["log", "terminal"])
def test_quiet_shows_nothing(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    request.getfixturevalue(kind)
    with progress(quiet=True) as on_progress:
        for event in RUN:
            on_progress(event)
    assert re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\s", "", capsys.readouterr().err) == ""
