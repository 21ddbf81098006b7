"""What loss curves say of a fit's end."""

import pytest

from kubecast.evaluation.convergence import convergence
from kubecast.models.base import FitLog

FALLING = [1.0, 0.8, 0.6, 0.5, 0.4]
FLAT = [1.0, 0.5, 0.4, 0.4, 0.4]
RISING = [1.0, 0.5, 0.4, 0.5, 0.6]


@pytest.mark.parametrize(
    ("stopped", "train", "validation", "best", "verdict"),
    [
        ("max_iterations", FALLING, FALLING, 4, "still improving"),
        ("max_iterations", FLAT, FLAT, 4, "converged"),
        ("max_iterations", FALLING, [], 4, "still improving"),
        ("early_stopping", FLAT, FLAT, 2, "stopped early"),
        ("early_stopping", FALLING, RISING, 2, "over-fitting"),
        ("early_stopping", RISING, RISING, 2, "stopped early"),  # both rose: the updates were too large
        ("time_limit", FALLING, RISING, 2, "time limit reached"),
        ("time_limit", [], [], None, "time limit reached"),
        ("replayed", FALLING, [], 4, "repeated"),
        ("converged", [], [], None, "converged"),
    ],
    ids=str,
)
def test_verdict(stopped: str, train: list[float], validation: list[float], best: int, verdict: str) -> None:
    curves = {"train": train, "validation": validation}
    assert convergence(FitLog(stopped=stopped, curves=curves, best=best)).verdict == verdict


@pytest.mark.parametrize("steps", [20, 1000])
@pytest.mark.parametrize(("fall", "verdict"), [(0.08, "still improving"), (0.004, "converged")])
def test_fall_is_judged_over_the_last_fifth_whatever_the_number_of_steps(
    steps: int, fall: float, verdict: str
) -> None:
    losses = [2.0] * (steps * 4 // 5) + [1 - fall * at / (steps // 5 - 1) for at in range(steps // 5)]
    result = convergence(FitLog(stopped="max_iterations", curves={"train": losses}))
    assert result.verdict == verdict
    assert result.slope == pytest.approx(-fall, rel=0.05)


def test_figures_are_shares_of_the_loss() -> None:
    curves = {"train": [2.0, 1.0, 0.8, 0.7], "validation": [3.0, 2.0, 1.5, 1.8]}
    result = convergence(FitLog(stopped="early_stopping", curves=curves, best=1))
    assert result.gap == 1.0
    assert result.rise == pytest.approx(-0.1)
    assert result.slope == pytest.approx(-0.2 / np_mean([2.0, 1.5, 1.8]))


def np_mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_losses_of_zero_and_short_curves_have_no_figures() -> None:
    result = convergence(
        FitLog(stopped="converged", curves={"train": [0.0, 0.0], "validation": [0.0, 0.0]}, best=1)
    )
    assert (result.slope, result.gap, result.rise) == (None, None, None)
