"""A run as a notebook shows it: the verdict, the leaderboard, and the report in a frame."""

from html import escape

from kubecast.evaluation.leaderboard import Evaluation
from kubecast.reports.page import template
from kubecast.scoring.metrics import ENSEMBLE

MOST_BYTES = 2_000_000  # of a cell's output


def render_embedded(evaluation: Evaluation, page: str) -> str:
    """Render a fragment of HTML.

    Args:
        evaluation: The run's figures.
        page: The report, which is left out where it would make a notebook's file too large.
    """
    return template("embedded.html").render(
        evaluation=evaluation,
        ensemble=evaluation.row(ENSEMBLE, "test"),
        rows=[row for row in evaluation.leaderboard if row.split == "test"],
        page=page if len(escape(page).encode()) <= MOST_BYTES else "",
    )
