"""Notebooks that show a model: its page is framed, inside of what the notebook makes of a cell's output."""

import json
from collections.abc import Callable

from markupsafe import escape

from kubecast.reports import render_embedded
from tests.browser.rendered import HOSTILE
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render

_HEAD = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>notebook</title><body>'


def notebook_output(page: str) -> str:
    """What a notebook shows of a model whose page this is, with hostile reasons of the decision."""
    _, evaluation = render(forecasts(NOISE))
    decision = evaluation.decision.model_copy(update={"promote": False, "reasons": [" ".join(HOSTILE)]})
    return render_embedded(evaluation.model_copy(update={"decision": decision}), page)


def _live(output: str) -> str:
    text = json.dumps(output).replace("</", "<\\/")
    return f"{_HEAD}<script>document.body.innerHTML = {text}</script>"


def _framed(output: str) -> str:
    return f'{_HEAD}<iframe title="output" sandbox="allow-scripts" srcdoc="{escape(output)}"></iframe>'


NOTEBOOKS: dict[str, Callable[[str], str]] = {
    "live": _live,
    "exported": lambda output: _HEAD + output,
    "framed": _framed,
}
"""A live notebook fills an element, an exported one is a file, and some frame and so escape each output."""
