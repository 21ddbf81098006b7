import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from rich.console import Console

from kubecast.api.progress import stages
from kubecast.logs import FORMAT_VARIABLE, configure
from kubecast.steps.outputs import log_progress


@contextmanager
def nobody_set_up_logging() -> Iterator[None]:
    """As in a notebook, without pytest's own handlers, which come to the root anew for each test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])
        yield


def run(terminal: bool) -> str:
    console = Console(file=StringIO(), force_terminal=terminal, width=100, color_system=None)
    with stages(2, console) as begin:
        begin("prepare data")
        begin("train catboost")
        log_progress("train_catboost", 20, 1000)
        logging.getLogger("kubecast.steps").info("catboost: ok")
        logging.getLogger("kubecast.steps").warning("series [s1]: all zero")
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


def test_bars_show_the_stage_its_place_and_its_progress(logger: logging.Logger) -> None:
    before = configure()
    with nobody_set_up_logging():
        text = run(terminal=True)
    assert "[1/2] prepare data" in text
    assert "[2/2] train catboost" in text
    assert "20/1000" in text
    assert "warning: series [s1]: all zero" in text
    assert "catboost: ok" not in text
    assert "progress train_catboost" not in text
    assert logger.handlers == [before]


def test_lines_go_to_the_log_where_nobody_looks_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    with nobody_set_up_logging():
        assert run(terminal=False) == ""
    assert "progress train_catboost 20/1000" in capsys.readouterr().err


def test_an_application_that_set_up_logging_gets_the_lines(caplog: pytest.LogCaptureFixture) -> None:
    assert run(terminal=True) == ""
    assert "progress train_catboost 20/1000" in caplog.text


def test_lines_that_are_asked_for_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORMAT_VARIABLE, "json")
    with nobody_set_up_logging():
        assert run(terminal=True) == ""
