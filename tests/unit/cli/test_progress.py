import re
from pathlib import Path

import pytest
import typer

from kubecast.cli.progress import RunProgress, duration, progress, rounded
from kubecast.cli.runs import interruptible
from kubecast.logs import configure
from kubecast.pipelines.running.local_events import TaskEvent

TASKS = ("prepare-data", "train-lstm", "stack-ensemble", "final-lstm", "register-model")
PLANNED = TaskEvent("", "planned", tasks=TASKS)
RUN = [
    PLANNED,
    TaskEvent("prepare-data", "cached"),
    TaskEvent("train-lstm", "started"),
    TaskEvent("train_lstm", "running", 3, 20),
    TaskEvent("train-lstm", "finished"),
    TaskEvent("stack-ensemble", "started"),
    TaskEvent("stack-ensemble", "failed"),
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


def plain_lines(text: str) -> list[str]:
    """What a terminal was sent, without colours and movements."""
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


class Clock:
    """Stands still but for what tasks take."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("kubecast.cli.progress.time", clock)
    return clock


@pytest.mark.usefixtures("log", "clock")
def test_log_gets_one_plain_line_as_a_task_begins_and_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as view:
        for event in RUN:
            view(event)
    found = capsys.readouterr()
    assert found.err.splitlines() == [
        "[1/5] prepare-data  kept from an earlier run",
        "[2/5] train-lstm",
        "[2/5] train-lstm  0 s",
        "[3/5] stack-ensemble",
        "[3/5] stack-ensemble  failed after 0 s",
        "[4/5] final-lstm",
    ]
    assert found.out == ""
    assert list(view.state.ended) == ["prepare-data", "train-lstm"]


def take(state: RunProgress, clock: Clock, task: str, seconds: float) -> str:
    state.read(TaskEvent(task, "started"))
    clock.now += seconds
    return state.read(TaskEvent(task, "finished"))


def test_time_left_follows_from_what_the_tasks_took_so_far(clock: Clock) -> None:
    kinds = ("arima", "lstm", "catboost")
    tasks = ("prepare-data", *(f"train-{kind}" for kind in kinds), *(f"final-{kind}" for kind in kinds))
    state = RunProgress()
    state.read(TaskEvent("", "planned", tasks=tasks))
    assert take(state, clock, "prepare-data", 20) == "[1/7] prepare-data  20 s"
    assert take(state, clock, "train-arima", 150) == "[2/7] train-arima  2 min 30 s"
    # Ten times as slow as a small run: 150 s, a final fit like it, and two thirds of those that have ended.
    assert take(state, clock, "train-lstm", 150) == "[3/7] train-lstm  2 min 30 s, about 5 min left"
    assert take(state, clock, "train-catboost", 0.6) == "[4/7] train-catboost  1 s, about 2 min left"
    for kind in kinds[:2]:
        take(state, clock, f"final-{kind}", 50)
    assert take(state, clock, "final-catboost", 1) == "[7/7] final-catboost  1 s"


def test_what_was_cached_tells_nothing_about_time(clock: Clock) -> None:
    state = RunProgress()
    state.read(TaskEvent("", "planned", tasks=("resolve-inputs", *TASKS)))
    take(state, clock, "resolve-inputs", 2)
    state.read(TaskEvent("prepare-data", "cached"))
    assert take(state, clock, "train-lstm", 30) == "[3/6] train-lstm  30 s"


@pytest.mark.parametrize(
    ("seconds", "exact", "about"),
    [
        (0.4, "0 s", "10 s"),
        (44, "44 s", "40 s"),
        (59.7, "1 min 0 s", "1 min"),
        (125, "2 min 5 s", "2 min"),
        (3599, "59 min 59 s", "1 h"),
        (4800, "1 h 20 min", "1 h 15 min"),
    ],
)
def test_durations_are_read_at_sight(seconds: float, exact: str, about: str) -> None:
    assert (duration(seconds), rounded(seconds)) == (exact, about)


@pytest.mark.usefixtures("log")
def test_name_of_a_task_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as view:
        view(TaskEvent("[bold]x[/bold]", "started"))
    assert capsys.readouterr().err == "[1/1] [bold]x[/bold]\n"


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize(
    ("events", "message"),
    [
        (RUN, "interrupted after 2 of 5 tasks, kept in out; the same command with --resume goes on\n"),
        ([PLANNED], "interrupted before any task had ended\n"),
    ],
)
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(
    events: list[TaskEvent], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress() as view:
        for event in events:
            view(event)
    capsys.readouterr()
    with pytest.raises(typer.Exit) as stopped, interruptible(view, Path("out")):
        raise KeyboardInterrupt
    assert stopped.value.exit_code == 130
    assert capsys.readouterr().err == message


@pytest.mark.usefixtures("terminal")
def test_terminal_keeps_a_line_of_what_ended_and_shows_how_far_the_running_task_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as view:
        for event in RUN:
            view(event)
        assert view._bars is not None
        view._bars.refresh()
        drawn = capsys.readouterr()
    *lines, running = plain_lines(drawn.err)
    assert "[3/5] stack-ensemble  failed after 0 s" in lines
    assert re.search(r"\[4/5\] final-lstm .* 7/20 ", running)
    assert len(running) <= 80
    assert drawn.out == ""


@pytest.mark.usefixtures("terminal")
def test_terminal_takes_progress_before_any_task_and_a_task_that_ends_without_a_beginning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with progress() as view:
        view(TaskEvent("train_lstm", "running", 1, 2))
        view(TaskEvent("prepare-data", "finished"))
    assert "[1/1] prepare-data  0 s" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["log", "terminal"])
@pytest.mark.parametrize("quiet", [False, True])
def test_warning_of_a_task_is_shown_once_with_its_name_even_if_quiet(
    kind: str, quiet: bool, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    request.getfixturevalue(kind)
    configure()
    with progress(quiet=quiet) as view:
        view(TaskEvent("train-lstm", "started"))
        view(TaskEvent("train-lstm", "warning", message="[bold]s1[/bold]: new to the model"))
        view(TaskEvent("train-lstm", "finished"))
    found = capsys.readouterr()
    assert found.err.count("warning: train-lstm: [bold]s1[/bold]: new to the model") == 1
    assert found.out == ""


@pytest.mark.parametrize("kind", ["log", "terminal"])
def test_quiet_shows_nothing(
    kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    request.getfixturevalue(kind)
    with progress(quiet=True) as view:
        for event in RUN:
            view(event)
    assert re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\s", "", capsys.readouterr().err) == ""
