"""A page that could not be rendered: what it is on is not lost with it."""

import logging
from collections.abc import Callable

from kubecast.reports.html import render

_LOG = logging.getLogger(__name__)


def page_or_reason(title: str, make: Callable[[], str], stands: str) -> str:
    """Make a page; where that fails, one that says why.

    Args:
        title: Of the page in its place.
        make: Renders the page, and computes what it needs.
        stands: A sentence on what is not affected.
    """
    try:
        return make()
    except Exception as error:  # whatever it is, it costs the page alone
        reason = f"{type(error).__name__}: {error}"
        _LOG.warning("no page on %s: %s", title, reason)
        return render("unexplained.html", title=title, reason=reason, stands=stands)
