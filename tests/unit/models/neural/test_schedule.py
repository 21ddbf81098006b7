"""Learning rates, from the settings and the epochs so far."""

import pytest

from kubecast.models.neural.schedule import next_learning_rate
from kubecast.models.neural.settings import EarlyStopping, LstmSettings


def rates(epochs: int, best: int = 0, **settings: object) -> list[float]:
    every = LstmSettings.model_validate({"learning_rate": 1.0, "epochs": 4, **settings})
    made: list[float] = []
    for _ in range(epochs):
        made.append(next_learning_rate(every, made, min(best, len(made))))
    return made


def test_constant() -> None:
    assert rates(3, schedule="constant") == [1.0, 1.0, 1.0]


def test_cosine_falls_to_zero_after_the_last_epoch() -> None:
    assert rates(5, schedule="cosine") == pytest.approx([1, 0.8535534, 0.5, 0.1464466, 0], abs=1e-7)


def test_plateau_halves_after_half_the_patience_without_a_better_epoch() -> None:
    patience = EarlyStopping(patience=5)
    assert rates(6, schedule="plateau", early_stopping=patience) == [1, 1, 0.5, 0.5, 0.25, 0.25]
    assert rates(6, best=6, schedule="plateau", early_stopping=patience) == [1.0] * 6
