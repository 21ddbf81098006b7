"""Progress lines, ``progress <step> <done>/<total>``, which the parent process turns into a bar."""

from collections.abc import Callable


def reporter(step: str, total: int) -> Callable[[int, float], None]:
    """Make a ``FitPlan.report`` that prints at most about 50 lines."""
    every = max(1, total // 50)

    def report(done: int, loss: float) -> None:
        if done % every == 0 or done >= total:
            print(f"progress {step} {done}/{total}", flush=True)

    return report
