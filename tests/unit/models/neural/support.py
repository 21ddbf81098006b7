"""Small networks that are fitted in a moment, and what to do with them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kubecast.data.panel import Cutoffs, Panel
from kubecast.models.base import FitLog, FitPlan, deadline_after
from kubecast.models.neural.lstm import LstmForecaster, LstmTrainer
from kubecast.models.neural.settings import LstmSettings, TransformerSettings
from kubecast.models.neural.spec import WindowSpec, fit_spec
from kubecast.models.neural.transformer import TransformerTrainer

SETTINGS = LstmSettings(
    sequence_length=24, patch_length=6, hidden_units=[4], dropout_rate=0.3, epochs=3, batch_size=128
)


WINDOWS = LstmSettings(sequence_length=48, residual="season")

TINY: dict[Any, Any] = {
    LstmTrainer: SETTINGS,
    TransformerTrainer: TransformerSettings(
        sequence_length=24,
        patch_length=6,
        d_model=4,
        num_heads=2,
        num_layers=1,
        dff=4,
        epochs=3,
        batch_size=128,
    ),
}


PRECISIONS = ["mixed_bfloat16", "mixed_float16"]


def fit(
    panel: Panel, plan: FitPlan | None = None, until: Cutoffs | None = None, **changes: object
) -> tuple[LstmForecaster, FitLog]:
    settings = SETTINGS.model_copy(update=changes)
    plan = plan or FitPlan(seed=5, deadline=deadline_after(settings.time_limit))
    return LstmTrainer(settings, "lstm").fit(panel, until or panel.train_end, plan)  # type: ignore[return-value]


def values(forecaster: LstmForecaster, panel: Panel) -> np.ndarray:
    return forecaster.forecast(panel, panel.split("test"))["lstm"].to_numpy()


def spec_of(panel: Panel, until: Cutoffs | None = None, **changes: object) -> WindowSpec:
    return fit_spec(panel, until or panel.ends, WINDOWS.model_copy(update=changes))


class KilledError(Exception):
    pass


def kill_after(epochs: int) -> Callable[[int, float], None]:
    def report(epoch: int, loss: float) -> None:
        if epoch == epochs:
            raise KilledError

    return report
