"""A run as a notebook shows it: the verdict, and the report in a frame of its own."""

from markupsafe import Markup, escape

from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.verdict import verdict

MOST_BYTES = 2_000_000  # of a cell's output: a notebook keeps it

_VERDICT = Markup("<p><strong>{title}.</strong> {reason}.</p>")
_FRAME = Markup(
    '<iframe title="Report" sandbox="allow-scripts" srcdoc="{page}"'
    ' style="width: 100%; height: 40rem; border: 0"></iframe>'
)
_TOO_LARGE = Markup("<p>The report is too large for a notebook: <code>model.report()</code> returns it.</p>")


def render_embedded(evaluation: Evaluation, page: str) -> str:
    """Render a fragment of HTML.

    Args:
        evaluation: The run's figures.
        page: The report, which is left out where it would make the notebook's file too large.
    """
    words, escaped = verdict(evaluation.decision), escape(page)
    text = _VERDICT.format(title=words.title, reason=words.reason.removesuffix("."))
    text += _FRAME.format(page=escaped) if len(escaped.encode()) <= MOST_BYTES else _TOO_LARGE
    return str(text)  # as Markup it would not be escaped by a notebook that frames it
