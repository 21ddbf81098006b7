"""Running a compiled pipeline: the parent's side, and the child's in this process."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from components import images
from kubecast.errors import ConfigError, DataError, KubecastError, NotFound
from kubecast.registry import Registry
from kubecast.settings.loading import AllSettings, load_settings
from pipelines.running.local import Progress, _collect, _error, _Reader, main, run_compiled, run_locally
from tests.conftest import hourly

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
    from pathlib import Path

    from kubecast.errors import DataError

    if word == "wrong":
        raise DataError("data.csv: line 3: y holds 'x'; allowed: numbers")
    if word == "broken":
        raise RuntimeError("out of luck")
    if word == "warned":
        from kubecast.steps.notify import notify_failure

        notify_failure("FAILED", "", "nightly", "", "webhook")
    print("progress steps 1/2", flush=True)
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


def test_lines_of_the_log_become_events_and_others_do_not() -> None:
    lines = {
        "12:00:00.000 - INFO - Executing task 'train-lstm'\n": [Progress("train-lstm", "started")],
        "12:00:00.000 - INFO - Task 'train-lstm' finished with status SUCCESS\n": [
            Progress("train-lstm", "finished")
        ],
        "    progress train_lstm 3/20\n": [Progress("train_lstm", "running", 3, 20)],
        "    no progress train_lstm 3/20\n": [],
        "    progress train_lstm 3 of 20\n": [],
        "    /a/module.py:3: UserWarning: no\n": [],
        "\n": [],
    }
    assert {line: list(_Reader().events(line)) for line in lines} == lines


def test_warning_is_the_running_tasks_and_is_told_once() -> None:
    reader = _Reader()
    begun = "12:00:00.000 - INFO - Executing task '{}'\n"
    lines = [
        *(begun.format("train-lstm"), "    warning: no checkpoints are kept\n", "    warning: too short\n"),
        *("    warning: too short\n", begun.format("train-arima"), "    warning: too short\n"),
    ]
    events = [event for line in lines for event in reader.events(line)]
    assert [(event.task, event.message) for event in events if event.state == "warning"] == [
        ("train-lstm", "no checkpoints are kept"),
        ("train-lstm", "too short"),
        ("train-arima", "too short"),
    ]


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("    kubecast.errors.DataError: a.csv: line 3: wrong\n", DataError, "a.csv: line 3: wrong"),
        ("ConfigError: training.horizon: wrong\n", ConfigError, "training.horizon: wrong"),
        ("kubecast.errors.NotFound: no model\n", NotFound, "no model"),
    ],
)
def test_error_of_kubecast_in_the_log_keeps_its_kind(
    line: str, kind: type[KubecastError], message: str
) -> None:
    found = _error(line)
    assert type(found) is kind
    assert str(found) == message


@pytest.mark.parametrize(
    "line", ["ValueError: x\n", "Any: x\n", "warning: DataError: x\n", "DataError\n", ""]
)
def test_other_lines_are_no_error_of_kubecast(line: str) -> None:
    assert _error(line) is None


def test_run_returns_what_tasks_made_and_tells_of_them(compiled: Path, tmp_path: Path) -> None:
    told: list[Progress] = []
    found = run_compiled(compiled, {"word": "fine"}, tmp_path, caching=False, tell=told.append)
    assert found["work"]["Output"] == "FINE"
    assert Path(found["work"]["page"]).read_text() == "fine"
    assert told == [
        Progress("work", "started"),
        Progress("steps", "running", 1, 2),
        Progress("work", "finished"),
    ]
    assert "Executing task" in (tmp_path / "run.log").read_text()


def test_outputs_of_tasks_that_were_run_before_are_found_again(compiled: Path, tmp_path: Path) -> None:
    runs = [
        run_compiled(compiled, {"word": "fine"}, tmp_path, caching=True, tell=lambda event: None)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(list((tmp_path / "artifacts").glob("small-*/work"))) == 1


@pytest.mark.parametrize("asked", ["json", "plain"])
def test_warning_of_a_step_reaches_who_runs_it_once_under_the_tasks_name(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBECAST_LOG_FORMAT", asked)
    monkeypatch.delenv("KUBECAST_NOTICE_URL", raising=False)
    told: list[Progress] = []
    run_compiled(compiled, {"word": "warned"}, tmp_path, caching=False, tell=told.append)
    message = "no notice was sent: KUBECAST_NOTICE_URL holds no URL; allowed: https://…"
    assert [event for event in told if event.state == "warning"] == [
        Progress("work", "warning", message=message)
    ]
    assert (tmp_path / "run.log").read_text().count(message) == 1


def test_error_of_a_task_is_raised_as_it_was(compiled: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^data\.csv: line 3: y holds 'x'; allowed: numbers$"):
        run_compiled(compiled, {"word": "wrong"}, tmp_path, caching=False, tell=lambda event: None)


def test_any_other_failure_names_the_log(compiled: Path, tmp_path: Path) -> None:
    with pytest.raises(KubecastError, match=r"the run failed with status 1; its log is .*run\.log") as caught:
        run_compiled(compiled, {"word": "broken"}, tmp_path, caching=False, tell=lambda event: None)
    assert type(caught.value) is KubecastError
    assert "out of luck" in (tmp_path / "run.log").read_text()


def test_run_is_stopped_when_its_listener_fails(compiled: Path, tmp_path: Path) -> None:
    def fail(event: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_compiled(compiled, {"word": "fine"}, tmp_path, caching=False, tell=fail)
    assert not (tmp_path / "outputs.json").exists()


def test_outputs_of_an_earlier_run_are_not_taken_for_new_ones(compiled: Path, tmp_path: Path) -> None:
    (tmp_path / "outputs.json").write_text('{"Output": "OLD"}')
    with pytest.raises(DataError):
        run_compiled(compiled, {"word": "wrong"}, tmp_path, caching=False, tell=lambda event: None)
    assert not (tmp_path / "outputs.json").exists()


def test_child_writes_parameters_as_they_are(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "print", print)  # KFP's runner replaces it
    job = {"compiled": str(compiled), "arguments": {"word": "a"}, "root": str(tmp_path), "caching": False}
    main([json.dumps(job), str(tmp_path / "outputs.json")])
    assert json.loads((tmp_path / "outputs.json").read_text())["work"]["Output"] == "A"


def test_only_what_was_made_is_copied(tmp_path: Path) -> None:
    made, output = tmp_path / "made", tmp_path / "output"
    made.mkdir()
    output.mkdir()
    (made / "page").write_text("new")
    evaluated = {"evaluation": str(made / "none"), "report": str(made / "page")}
    _collect({"evaluate-models": evaluated, "register-model": {"forecast": str(made / "none")}}, output)
    assert {path.name: path.read_text() for path in output.iterdir()} == {"report.html": "new"}


def test_run_that_fails_leaves_none_of_an_earlier_runs_results(tmp_path: Path) -> None:
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
            caching=False,
            tell=lambda _: None,
        )
    assert not (tmp_path / "report.html").exists()


def test_training_pipeline_publishes_and_puts_its_results_on_top(tmp_path: Path) -> None:
    hourly(series=1).to_csv(tmp_path / "data.csv", index=False)
    told: list[Progress] = []
    output = tmp_path / "out"
    found = run_locally(
        load_settings(None, SETTINGS),
        str(tmp_path / "data.csv"),
        output,
        "",
        "2024-01-15",
        "train",
        caching=False,
        tell=told.append,
    )
    version = Registry.open(str(output / "registry")).resolve(found.version)
    assert found.registry == str(output / "registry")
    assert found.version == f"forecaster@{version.id}"
    assert found.aliases == version.aliases
    top = {"leaderboard.json", "report.html", "forecasts.parquet", "backtest.parquet", "pipeline.yaml"}
    top |= {"training-catboost.html", "ensemble.html"}
    assert top <= {path.name for path in output.iterdir()}
    finished = [event.task for event in told if event.state == "finished"]
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
    told: list[Any] = []
    with pytest.raises(ConfigError, match=message):
        run_locally(settings, "d.csv", tmp_path, registry, "", "train", caching=False, tell=told.append)
    assert told == []
