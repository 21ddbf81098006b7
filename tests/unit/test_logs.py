import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubecast import logs
from kubecast.errors import ConfigError
from kubecast.logs import bind, configure, step
from kubecast.steps.outputs import log_progress

LOG = logging.getLogger("kubecast.somewhere")
POD = {"KUBECAST_RUN_ID": "6c1d", "KUBECAST_TASK": "train-lstm", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}

Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in a pod, nor with a format that is set."""
    for name in (*POD, "KUBECAST_LOG_FORMAT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Logged:
    """The lines that were logged in a task's pod."""
    for name, value in POD.items():
        monkeypatch.setenv(name, value)
    configure()
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_line_has_time_in_utc_level_logger_message_run_and_task(logged: Logged) -> None:
    LOG.warning("%s: new to the model", "s1")
    [line] = logged()
    time = datetime.fromisoformat(line.pop("time"))
    assert time.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=5)
    assert line == {
        "level": "WARNING",
        "logger": "kubecast.somewhere",
        "message": "s1: new to the model",
        "run": "6c1d",
        "task": "train-lstm",
    }


def test_fields_of_a_line_go_before_those_of_its_step_and_others_are_left_out(logged: Logged) -> None:
    @step
    def train() -> None:
        bind(model="lstm")
        LOG.info("one")
        LOG.info("two", extra={"model": "arima", "series": "s1", "colour": "red"})

    train()
    LOG.info("three")
    one, two, three = logged()
    assert (one["model"], two["model"], two["series"]) == ("lstm", "arima", "s1")
    assert "series" not in one
    assert "colour" not in two
    assert "model" not in three


def test_steps_side_by_side_do_not_share_fields(logged: Logged) -> None:
    bound = threading.Barrier(2)

    @step
    def train(kind: str) -> None:
        bind(model=kind)
        bound.wait()
        LOG.info(kind)

    threads = [threading.Thread(target=train, args=[kind]) for kind in ("lstm", "arima")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = logged()
    assert [line["model"] for line in lines] == [line["message"] for line in lines]


def test_progress_is_a_line_with_figures(logged: Logged) -> None:
    log_progress("train_lstm", 0, 20)
    [line] = logged()
    assert (line["message"], line["done"], line["total"]) == ("progress train_lstm 0/20", 0, 20)


@pytest.mark.parametrize(
    "text",
    ["Zürich ☃ 東京", "a\nb\r\nc\u2028d\x85e", 'quote " and \\', "\x1b[31m"],
    ids=["letters", "lines", "quotes", "escape"],
)
def test_any_text_is_one_line_of_ascii_that_is_read_back_as_it_was(
    logged: Logged, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    LOG.info("%s", text, extra={"series": text})
    [raw] = capsys.readouterr().err.splitlines()
    assert raw.isascii()
    line = json.loads(raw)
    assert (line["message"], line["series"]) == (text, text)


def test_half_a_surrogate_pair_is_told_as_it_was(logged: Logged) -> None:
    # Formatted here: what is logged while a test runs must be writable for its report.
    record = logging.makeLogRecord({"msg": "\ud800", "name": LOG.name, "levelname": "INFO"})
    line = configure().format(record)
    assert line.isascii()
    assert json.loads(line)["message"] == "\ud800"


def test_trace_is_in_the_line_of_its_error(logged: Logged) -> None:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        LOG.exception("it failed")
    [line] = logged()
    assert line["level"] == "ERROR"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ZeroDivisionError: division by zero")


def test_line_that_cannot_be_made_is_told_on_the_side_and_stops_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure().handle(LOG.makeRecord(LOG.name, logging.INFO, __file__, 1, "%d epochs", ("three",), None))
    assert "--- Logging error ---" in capsys.readouterr().err


def test_value_that_is_no_json_is_told_as_text(logged: Logged) -> None:
    LOG.info("x", extra={"series": datetime(2026, 1, 1, tzinfo=UTC)})
    assert logged()[0]["series"] == "2026-01-01 00:00:00+00:00"


@pytest.mark.parametrize("log_format", ["json", "plain"])
def test_step_that_fails_tells_its_error_with_its_fields_in_json_alone(
    logged: Logged, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    monkeypatch.setenv("KUBECAST_LOG_FORMAT", log_format)

    @step
    def fails() -> None:
        bind(model="lstm")
        raise ConfigError("training.horizon: wrong")

    with pytest.raises(ConfigError, match="wrong"):
        fails()
    if log_format == "plain":
        assert capsys.readouterr().err == ""
        return
    [line] = logged()
    assert (line["level"], line["message"]) == ("ERROR", "ConfigError: training.horizon: wrong")
    assert (line["model"], line["task"]) == ("lstm", "train-lstm")
    assert "ConfigError: training.horizon: wrong" in line["exception"]


def test_plain_lines_are_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    LOG.debug("not shown")
    LOG.info("lstm: ok")
    LOG.warning("s1:\n new to the model", extra={"series": "s1"})
    LOG.error("out of luck")
    log_progress("train_lstm", 3, 20)
    assert capsys.readouterr().err.splitlines() == [
        "lstm: ok",
        "warning: s1: new to the model",
        "error: out of luck",
        "progress train_lstm 3/20",
    ]


def test_trace_stands_under_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        LOG.exception("it failed")
    first, second, *_, last = capsys.readouterr().err.splitlines()
    assert (first, second) == ("error: it failed", "Traceback (most recent call last):")
    assert last == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("log_format", ["json", "plain"])
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://kube:s3cret@db:5432/trials", "postgresql://***@db:5432/trials"),
        ("https://s3cret@host", "https://***@host"),
        ("https://kube:s3c@s3cret@host/a", "https://***@host/a"),
        ("mysql://kube:s3cret/s3cret@db/trials", "mysql://***@db/trials"),
        ("https://host/a.csv?X-Amz-Signature=s3cret&x=1", "https://host/a.csv?***"),
        ("https://host?token=s3cret", "https://host?***"),
        ("https://host?token=s3'cret", "https://host?***"),
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
    ],
)
def test_secrets_in_urls_are_masked_in_messages_and_traces(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log_format: str, url: str, shown: str
) -> None:
    monkeypatch.setenv("KUBECAST_LOG_FORMAT", log_format)
    configure()
    try:
        raise OSError(f"cannot reach '{url}'")
    except OSError as error:
        LOG.exception("%s; %s", error, url)
    output = capsys.readouterr().err
    assert "s3cret" not in output
    assert output.count(shown) == 3


@pytest.mark.parametrize(
    ("variables", "typed", "expected"),
    [
        ({}, False, "plain"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False, "json"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True, "plain"),  # a notebook's server is a pod
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBECAST_LOG_FORMAT": "plain"}, False, "plain"),
        ({"KUBECAST_LOG_FORMAT": "json"}, True, "json"),
        ({"KUBECAST_LOG_FORMAT": ""}, False, "plain"),
    ],
)
def test_format_is_json_in_a_pod_that_nobody_types_in_or_what_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    typed: bool,
    expected: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if typed:
        monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    configure()
    LOG.info("x")
    assert capsys.readouterr().err.startswith({"json": '{"time": ', "plain": "x"}[expected])


def test_other_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECAST_LOG_FORMAT", "xml")
    with pytest.raises(ConfigError, match=r"^KUBECAST_LOG_FORMAT 'xml'; allowed: json, plain$"):
        configure()


def test_configuring_again_tells_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    configure()
    LOG.warning("x")
    assert capsys.readouterr().err == "warning: x\n"


def test_applications_handler_on_our_logger_stays() -> None:
    root, ours = logging.getLogger(), logging.getLogger("kubecast")
    kept, root.handlers = root.handlers, []  # as in a program that has set up nothing else
    own = logging.NullHandler()
    ours.handlers[:] = [own]
    try:
        step(lambda: None)()
        assert ours.handlers == [own]
    finally:
        ours.handlers.clear()
        root.handlers = kept


@pytest.mark.slow
def test_long_line_is_told() -> None:
    fields = {"msg": "x://a:b" * 20_000 + "@", "name": LOG.name, "levelname": "INFO", "levelno": logging.INFO}
    line = configure().format(logging.makeLogRecord(fields))
    assert line.startswith("x://a:b")
    assert line.endswith("://***@")


def test_application_that_has_set_up_logging_keeps_its_own(caplog: pytest.LogCaptureFixture) -> None:
    @step
    def logs_a_line() -> None:
        LOG.info("x")

    logs_a_line()
    assert caplog.messages == ["x"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, "warning: x\n"), ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, '{"time": ')],
)
def test_step_of_a_program_that_has_set_up_nothing_is_heard(variables: dict[str, str], expected: str) -> None:
    code = (
        "import logging; from kubecast.logs import step;"
        " step(lambda: logging.getLogger('kubecast.x').warning('x'))()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | variables
    )
    assert done.stderr.startswith(expected)


def test_a_task_ends_without_a_last_collection_of_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[object] = []
    monkeypatch.setattr(logs, "_left_to_us", lambda: False)
    monkeypatch.setattr(logs.atexit, "register", registered.append)
    for by_executor in (False, True):
        monkeypatch.setattr(logs, "_by_executor", lambda here=by_executor: here)
        logs.step(lambda: None)()
    assert registered == [logs.gc.freeze]
