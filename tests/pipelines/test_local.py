"""Running a compiled pipeline: the parent's side, and the child's in this process."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from kubecast.components import images
from kubecast.errors import ConfigError, DataError, KubecastError, NotFound
from kubecast.pipelines.running import local
from kubecast.pipelines.running.local import collect_results, run_compiled, run_locally
from kubecast.pipelines.running.local_events import EventReader, Record, TaskEvent
from kubecast.pipelines.running.local_runner import main
from kubecast.registry import Registry
from kubecast.settings.loading import AllSettings, load_settings
from tests.support.panels import hourly

pytestmark = pytest.mark.slow

SETTINGS = [
    "training.horizon=6",
    "training.season_lengths=[24]",
    "training.data.min_samples=10",
    "training.validation.cv_folds=2",
    "training.validation.max_origins=4",
    "catboost.iterations=5",
    "pipeline.models=[catboost]",
    "pipeline.final_fit=false",
]


@dsl.component(base_image=images.BASE, install_kfp_package=False)  # its source, which is in no image
def work(word: str, page: dsl.Output[dsl.HTML]) -> str:
    """Do what the word says."""
    import logging
    from pathlib import Path

    from kubecast.errors import DataError
    from kubecast.logs import step

    @step
    def do() -> None:
        if word == "wrong":
            raise DataError("data.csv: line 3: y holds 'x'; allowed: numbers")
        if word == "broken":
            raise RuntimeError("out of luck")
        if word == "secret":
            print("read postgresql://u:SECRETPW@127.0.0.1:1/db and https://host/a.csv?token=SECRETPW now")
        if word == "warned":
            logging.getLogger("kubecast.work").warning("no notice was sent: allowed: https://…")
        logging.getLogger("kubecast.work").info("progress 1/2", extra={"done": 1, "total": 2})

    do()
    Path(page.path).write_text(word)
    return word.upper()


@dsl.pipeline(name="inner")
def inner(word: str) -> str:
    """Work."""
    return work(word=word).outputs["Output"]


@dsl.pipeline(name="small")
def small(word: str) -> str:
    """Work inside a graph of its own."""
    return inner(word=word).outputs["Output"]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / "small.yaml"
    compiler.Compiler().compile(small, str(path))
    return path


def line(message: str, level: str = "INFO", logger: str = "kubecast.steps.train", **fields: Any) -> str:
    return "    " + json.dumps({"level": level, "logger": logger, "message": message, **fields}) + "\n"


def events(*lines: str) -> list[TaskEvent]:
    reader, records = EventReader(), (Record.parse(each) for each in lines)
    return [event for record in records if record for event in reader.events(record)]


def test_records_become_events_of_the_task_that_started_last() -> None:
    assert events(
        line("started train-lstm", logger="kubecast.local"),
        line("progress train_lstm 3/20", done=3, total=20),
        line("a figure"),
        line("finished train-lstm", logger="kubecast.local"),
    ) == [
        TaskEvent("train-lstm", "started"),
        TaskEvent("train-lstm", "running", 3, 20),
        TaskEvent("train-lstm", "finished"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "12:00:00.000 - INFO - Executing task 'train-lstm'\n",
        "    progress train_lstm 3/20\n",
        "    warning: no\n",
        "    /a/module.py:3: UserWarning: no\n",
        "kubecast.errors.DataError: wrong\n",
        "    {\n",
        "    {'level': 'INFO'}\n",
        '    {"level": "INFO", "message": "of another logger"}\n',
        "\n",
    ],
)
def test_lines_of_others_are_no_records(text: str) -> None:
    assert Record.parse(text) is None


def test_same_warning_of_a_task_is_one_event() -> None:
    lines = [
        line("started train-lstm", logger="kubecast.local"),
        line("no checkpoints are kept", "WARNING"),
        *[line("too  short", "WARNING")] * 2,
        line("started train-arima", logger="kubecast.local"),
        line("too short", "WARNING"),
    ]
    warnings = [(event.task, event.message) for event in events(*lines) if event.state == "warning"]
    assert warnings == [
        ("train-lstm", "no checkpoints are kept"),
        ("train-lstm", "too short"),
        ("train-arima", "too short"),
    ]


def test_error_of_a_step_keeps_its_kind_and_text() -> None:
    record = Record.parse(
        line("DataError: a.csv: line 3: wrong", "ERROR", "kubecast.logs", exception="Traceback")
    )
    assert record
    assert type(record.error) is DataError
    assert str(record.error) == "a.csv: line 3: wrong"
    assert record.text == "    error: DataError: a.csv: line 3: wrong\n"  # Python prints the trace


@pytest.mark.parametrize(
    ("message", "level", "logger"),
    [
        ("ValueError: x", "ERROR", "kubecast.logs"),
        ("Any: x", "ERROR", "kubecast.logs"),
        ("DataError: x", "ERROR", "kubecast.steps.train"),
        ("DataError: x", "WARNING", "kubecast.logs"),
    ],
)
def test_other_records_are_no_error_of_kubecast(message: str, level: str, logger: str) -> None:
    record = Record.parse(line(message, level, logger))
    assert record
    assert record.error is None


def test_record_is_a_plain_line_of_the_log_with_its_trace() -> None:
    record = Record.parse(line("two\nlines", "WARNING", exception="Traceback\n  ValueError"))
    assert record
    assert record.text == "    warning: two lines\n    Traceback\n      ValueError\n"


def test_run_returns_outputs_of_tasks_and_reports_progress(compiled: Path, tmp_path: Path) -> None:
    reported: list[TaskEvent] = []
    outputs = run_compiled(compiled, {"word": "fine"}, tmp_path, resume=False, on_progress=reported.append)
    assert outputs["work"]["Output"] == "FINE"
    assert Path(outputs["work"]["page"]).read_text() == "fine"
    assert reported == [
        TaskEvent("", "planned", tasks=("work",)),
        TaskEvent("work", "started"),
        TaskEvent("work", "running", 1, 2),
        TaskEvent("work", "finished"),
    ]
    log = (tmp_path / "run.log").read_text("utf-8")
    assert "Executing task 'work'" in log
    assert "    progress 1/2\n" in log


def test_log_holds_no_secret_of_a_url(compiled: Path, tmp_path: Path) -> None:
    run_compiled(compiled, {"word": "secret"}, tmp_path, resume=False, on_progress=lambda event: None)
    log = (tmp_path / "run.log").read_text("utf-8")
    assert "read postgresql://***@127.0.0.1:1/db and https://host/a.csv?*** now" in log
    assert "SECRETPW" not in log


@pytest.mark.parametrize(
    "data",
    [
        "postgresql://u:SECRETPW@127.0.0.1:1/db",
        "https://host/a.csv?token=SECRETPW",
        "s3://bucket/a.csv?token=SECRETPW",
        "s3://u:SECRETPW@bucket/a.csv",
    ],
)
def test_url_with_a_secret_is_refused_before_anything_runs(data: str, tmp_path: Path) -> None:
    settings, output = load_settings(None, SETTINGS), tmp_path / "output"
    with pytest.raises(KubecastError, match="allowed: ") as caught:
        run_locally(settings, data, output, "", "", "train", resume=False, on_progress=lambda _: None)
    assert "SECRETPW" not in str(caught.value)
    assert not output.exists()


@pytest.mark.parametrize("log_format", ["json", "plain"])
def test_warning_of_a_step_reaches_who_runs_it_once_under_the_tasks_name(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBECAST_LOG_FORMAT", log_format)
    reported: list[TaskEvent] = []
    run_compiled(compiled, {"word": "warned"}, tmp_path, resume=False, on_progress=reported.append)
    message = "no notice was sent: allowed: https://…"
    assert [event for event in reported if event.state == "warning"] == [
        TaskEvent("work", "warning", message=message)
    ]
    assert (tmp_path / "run.log").read_text("utf-8").count(f"warning: {message}\n") == 1


def test_error_of_a_task_is_raised_as_it_was(compiled: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^data\.csv: line 3: y holds 'x'; allowed: numbers$"):
        run_compiled(compiled, {"word": "wrong"}, tmp_path, resume=False, on_progress=lambda event: None)


def test_any_other_failure_names_the_task_and_the_log(compiled: Path, tmp_path: Path) -> None:
    with pytest.raises(KubecastError, match=r"the run failed in task work; its log is .*run\.log") as caught:
        run_compiled(compiled, {"word": "broken"}, tmp_path, resume=False, on_progress=lambda event: None)
    assert type(caught.value) is KubecastError
    assert "out of luck" in (tmp_path / "run.log").read_text()


@pytest.mark.slow
def test_run_that_resumes_takes_what_had_ended_and_one_that_does_not_starts_again(
    compiled: Path, tmp_path: Path
) -> None:
    reported: list[TaskEvent] = []

    def run(word: str, resume: bool) -> Any:
        return run_compiled(compiled, {"word": word}, tmp_path, resume=resume, on_progress=reported.append)

    first = run("fine", resume=False)
    with pytest.raises(DataError):
        run("wrong", resume=True)
    assert run("fine", resume=True) == first
    assert run("fine", resume=False) != first
    whole = ["planned", "started", "running", "finished"]
    states = [*whole, "planned", "started", "failed", "planned", "cached", *whole]
    assert [event.state for event in reported] == states


def test_resumed_run_whose_version_is_gone_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def every_task_is_cached(*_: Any, **__: Any) -> Any:
        return {"register-model": {"Output": "forecaster@20260101T000000000000Z-00000000"}}

    monkeypatch.setattr(local, "run_compiled", every_task_is_cached)
    settings = load_settings(None, SETTINGS)
    with pytest.raises(NotFound, match=r"^no version forecaster@.*; without --resume it is made again$"):
        run_locally(settings, "d.csv", tmp_path, "", "", "train", resume=True, on_progress=lambda _: None)


def test_task_whose_model_could_not_be_fitted_is_told_as_failed() -> None:
    ended = [
        event.state
        for event in events(
            line("started train-arima", logger="kubecast.local"),
            line("arima: failed: no series is long enough", level="WARNING", state="failed"),
            line("finished train-arima", logger="kubecast.local"),
            line("started train-lstm", logger="kubecast.local"),
            line("lstm: ok", state="ok"),
            line("finished train-lstm", logger="kubecast.local"),
        )
    ]
    assert ended == ["started", "warning", "failed", "started", "finished"]


def test_run_is_stopped_when_its_listener_fails(compiled: Path, tmp_path: Path) -> None:
    def fail(event: TaskEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_compiled(compiled, {"word": "fine"}, tmp_path, resume=False, on_progress=fail)
    assert not (tmp_path / "outputs.json").exists()


def test_outputs_of_an_earlier_run_are_not_taken_for_new_ones(compiled: Path, tmp_path: Path) -> None:
    (tmp_path / "outputs.json").write_text('{"Output": "OLD"}')
    with pytest.raises(DataError):
        run_compiled(compiled, {"word": "wrong"}, tmp_path, resume=False, on_progress=lambda event: None)
    assert not (tmp_path / "outputs.json").exists()


def test_child_writes_parameters_as_they_are(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "print", print)  # KFP's runner replaces it
    job = {"compiled": str(compiled), "arguments": {"word": "a"}, "root": str(tmp_path)}
    main([json.dumps(job), str(tmp_path / "outputs.json")])
    assert json.loads((tmp_path / "outputs.json").read_text())["work"]["Output"] == "A"


def test_what_was_made_takes_the_place_of_an_earlier_runs_results(tmp_path: Path) -> None:
    made, output = tmp_path / "made", tmp_path / "output"
    made.mkdir()
    output.mkdir()
    (made / "page").write_text("new")
    for name in ("report.html", "training-lstm.html", "mine"):
        (output / name).write_text("old")
    registered = {"forecast": str(made / "none"), "report": str(made / "page")}
    collect_results(
        {"evaluate-models": {"evaluation": str(made / "none")}, "register-model": registered}, output
    )
    assert {path.name: path.read_text() for path in output.iterdir()} == {"report.html": "new", "mine": "old"}


@pytest.mark.slow
def test_run_that_fails_leaves_an_earlier_runs_results_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("old")
    settings = load_settings(None, SETTINGS)
    with pytest.raises(DataError, match=r"nowhere\.csv"):
        run_locally(
            settings,
            str(tmp_path / "nowhere.csv"),
            tmp_path,
            "",
            "",
            "train",
            resume=False,
            on_progress=lambda _: None,
        )
    assert (tmp_path / "report.html").read_text() == "old"


@pytest.mark.long
def test_training_pipeline_publishes_and_puts_its_results_on_top(tmp_path: Path) -> None:
    hourly(series=1).to_csv(tmp_path / "data.csv", index=False)
    reported: list[TaskEvent] = []
    output = tmp_path / "out"
    found = run_locally(
        load_settings(None, SETTINGS),
        str(tmp_path / "data.csv"),
        output,
        "",
        "2024-01-15",
        "train",
        resume=False,
        on_progress=reported.append,
    )
    version = Registry.open(str(output / "registry")).resolve(found.version)
    assert found.registry == str(output / "registry")
    assert found.version == f"forecaster@{version.id}"
    assert found.aliases == version.aliases
    top = {
        "leaderboard.json",
        "by_series.parquet",
        "series.parquet",
        "report.html",
        "forecasts.parquet",
        "backtest.parquet",
        "pipeline.yaml",
    }
    top |= {"training-catboost.html", "ensemble.html"}
    assert top <= {path.name for path in output.iterdir()}
    finished = [event.task for event in reported if event.state == "finished"]
    assert finished[:2] == ["resolve-inputs", "prepare-data"]
    # What depends on neither of the two may run in any order.
    assert finished.index("train-catboost") < finished.index("stack-ensemble")
    assert finished.index("forecast-champion") < finished.index("evaluate-models")
    assert finished[-1] == "register-model"


@pytest.mark.parametrize(
    ("settings", "registry", "message"),
    [
        (AllSettings(), "", "training.horizon is not set"),
        (load_settings(None, SETTINGS), "ftp://host/models", "registry ftp://"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(
    settings: AllSettings, registry: str, message: str, tmp_path: Path
) -> None:
    reported: list[Any] = []
    with pytest.raises(ConfigError, match=message):
        run_locally(
            settings, "d.csv", tmp_path, registry, "", "train", resume=False, on_progress=reported.append
        )
    assert reported == []
