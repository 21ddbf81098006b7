"""Progress lines, ``progress <step> <done>/<total>``, which the parent process turns into a bar."""

import logging
from collections.abc import Callable

_LOG = logging.getLogger(__name__)


def tell_progress(step: str, done: int, total: int) -> None:
    """Tell how far a step is."""
    _LOG.info("progress %s %d/%d", step, done, total, extra={"done": done, "total": total})


def reporter(step: str, total: int) -> Callable[[int, float], None]:
    """Make a ``FitPlan.report`` that tells at most about 50 lines."""
    every = max(1, total // 50)

    def report(done: int, loss: float) -> None:
        if done % every == 0 or done >= total:
            tell_progress(step, done, total)

    return report
