"""The commands that a report tells to type are ones that the command line takes."""

import html
import re
import shlex

import pytest
import typer

from kubecast.cli import app
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.reports import render_report
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return render(forecasts(NOISE, series=1, origins=2))[1]


def parse(words: list[str]) -> str:
    """Parse a command without running it, and give its name."""
    command, path = typer.main.get_command(app.app), list[str]()
    while hasattr(command, "commands"):
        path.append(words.pop(0))
        command = command.commands[path[-1]]
    command.make_context(path[-1], words)
    return " ".join(path)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["", "demand@20261129T120000000000Z-0123abcd"])
def test_every_command_of_the_report_is_one(evaluation: Evaluation, version: str) -> None:
    [block] = re.findall(r"<pre>(.*?)</pre>", render_report(evaluation, version=version), re.DOTALL)
    commands = [shlex.split(html.unescape(line)) for line in block.strip().splitlines()]
    assert all(words.pop(0) == "kubecast" for words in commands)
    assert [parse(words) for words in commands] == ["forecast", "models promote", "models rollback"]


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Exception, match="No such option: --model"):
        parse(["models", "promote", "--registry", "REGISTRY", "--model", "demand"])
