"""The training loop that LSTM and Transformer share, seen through small networks."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kubecast.data.panel import Panel
from kubecast.errors import ModelError
from kubecast.models.base import FitPlan
from kubecast.models.neural.lstm import LstmTrainer
from kubecast.models.neural.settings import EarlyStopping
from kubecast.models.neural.transformer import TransformerTrainer
from tests.unit.models.neural.support import TINY, KilledError, fit, kill_after, values

pytestmark = pytest.mark.slow


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "plateau", "linear_skip": True},
        # Too large a rate, so that the best epoch comes before the kill and patience ends the run after it.
        {"learning_rate": 0.3, "epochs": 9, "early_stopping": EarlyStopping(patience=3)},
    ],
)
def test_resumed_fit_ends_as_one_that_was_not_killed(
    panel: Panel, tmp_path: Path, changes: dict[str, object]
) -> None:
    whole, expected = fit(panel, **changes)
    plan = FitPlan(seed=5, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(KilledError):
        fit(panel, replace(plan, on_step=kill_after(2)), **changes)
    resumed, log = fit(panel, plan, **changes)
    assert (log.stopped, log.best, log.curves, log.fixed_fit) == (
        expected.stopped,
        expected.best,
        expected.curves,
        expected.fixed_fit,
    )
    np.testing.assert_array_equal(values(resumed, panel), values(whole, panel))


@pytest.mark.long
def test_checkpoint_of_another_fit_or_a_damaged_one_is_not_resumed(panel: Panel, tmp_path: Path) -> None:
    plan = FitPlan(seed=5, checkpoint=tmp_path / "checkpoint")
    _, expected = fit(panel, plan)
    _, other = fit(panel, replace(plan, seed=6))
    assert other.curves != expected.curves
    path = tmp_path / "checkpoint"
    for damaged in (path.read_bytes()[:1000], b""):
        path.write_bytes(damaged)
        _, again = fit(panel, plan)
        assert again.curves == expected.curves
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.long
def test_replay_resumes_too(panel: Panel, tmp_path: Path) -> None:
    replay = {"updates_per_epoch": 3, "learning_rates": [1e-3, 5e-4], "penalty": 0.01}
    whole, log = fit(panel, FitPlan(seed=5, fixed_fit=replay), panel.ends, linear_skip=True)
    assert (log.stopped, log.fixed_fit) == ("replayed", replay)
    plan = FitPlan(seed=5, fixed_fit=replay, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(KilledError):
        fit(panel, replace(plan, on_step=kill_after(1)), panel.ends, linear_skip=True)
    resumed, _ = fit(panel, plan, panel.ends, linear_skip=True)
    np.testing.assert_array_equal(values(resumed, panel), values(whole, panel))


def test_weights_of_the_best_epoch_are_kept(panel: Panel) -> None:
    changes = {"learning_rate": 0.1, "epochs": 8, "early_stopping": EarlyStopping(patience=2)}
    stopped, log = fit(panel, **changes)
    assert log.stopped == "early_stopping"
    assert log.best is not None
    assert len(log.curves["validation"]) == log.best + 3
    assert len(log.fixed_fit["learning_rates"]) == log.best
    short, _ = fit(panel, **{**changes, "epochs": log.best})
    np.testing.assert_array_equal(values(stopped, panel), values(short, panel))


def test_replay_repeats_updates_and_learning_rates_on_all_rows(panel: Panel) -> None:
    _, log = fit(panel, schedule="cosine", windows_per_epoch=256)
    assert log.stopped == "max_iterations"
    assert log.fixed_fit["updates_per_epoch"] == 2
    rates = log.fixed_fit["learning_rates"]
    np.testing.assert_allclose(rates, [1e-3, 0.75e-3, 0.25e-3][: len(rates)])
    reported: list[int] = []
    plan = FitPlan(seed=5, fixed_fit=log.fixed_fit, on_step=lambda epoch, loss: reported.append(epoch))
    _, replayed = fit(panel, plan, panel.ends, schedule="cosine")
    assert replayed.fixed_fit == log.fixed_fit
    assert set(replayed.curves) == {"train"}
    assert reported == list(range(1, len(rates) + 1))


def test_plateau_halves_the_rate_when_the_loss_does_not_fall(panel: Panel, tmp_path: Path) -> None:
    _, log = fit(
        panel,
        FitPlan(seed=5, checkpoint=tmp_path / "checkpoint"),
        schedule="plateau",
        learning_rate=2.0**-100,  # changes no weight, so that no epoch is better
        early_stopping=EarlyStopping(patience=5),
        epochs=9,
    )
    assert (log.stopped, log.best) == ("early_stopping", 0)
    with np.load(tmp_path / "checkpoint") as checkpoint:
        rates = json.loads(str(checkpoint["state"]))["rates"]
    assert rates == [2.0**-power for power in (100, 100, 101, 101, 102)]


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_every_loss_falls(panel: Panel, loss: str) -> None:
    _, log = fit(panel, loss=loss, learning_rate=0.01, hidden_units=[4, 3])
    assert min(log.curves["validation"]) < log.curves["validation"][0]
    assert log.curves["validation"][log.best or 0] == min(log.curves["validation"])


@pytest.mark.long
def test_scale_of_the_loss_survives_a_resume(panel: Panel, tmp_path: Path) -> None:
    changes = {"precision": "mixed_float16", "linear_skip": True}
    whole, expected = fit(panel, **changes)
    plan = FitPlan(seed=5, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(KilledError):
        fit(panel, replace(plan, on_step=kill_after(2)), **changes)
    resumed, log = fit(panel, plan, **changes)
    assert log.curves == expected.curves
    np.testing.assert_array_equal(values(resumed, panel), values(whole, panel))


@pytest.mark.long
@pytest.mark.parametrize("trainer", [LstmTrainer, TransformerTrainer], ids=["lstm", "transformer"])
def test_updates_compiled_by_xla_are_the_same_but_for_rounding(panel: Panel, trainer: type[Any]) -> None:
    curves = []
    for jit in (False, True):
        settings = TINY[trainer].model_copy(update={"jit_compile": jit, "dropout_rate": 0.0})
        curves.append(trainer(settings, "m").fit(panel, panel.train_end, FitPlan(seed=5))[1].curves)
    np.testing.assert_allclose(curves[1]["validation"], curves[0]["validation"], rtol=1e-3)


def test_loss_that_is_not_finite_is_an_error(panel: Panel) -> None:
    with pytest.raises(ModelError, match=r"the loss became .* learning_rate below 1e\+30"):
        fit(panel, learning_rate=1e30, clip_norm=None)
