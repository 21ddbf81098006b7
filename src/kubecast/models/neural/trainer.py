"""The trainer that LSTM and Transformer share: the network around their bodies, and its fit."""

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import ModelError
from kubecast.models.base import FitLog, FitPlan
from kubecast.models.neural.backend import computing_in, keras, layers, warn_without_gpu
from kubecast.models.neural.forecaster import NeuralForecaster
from kubecast.models.neural.linear_skip import LAYER, fit_linear_skip
from kubecast.models.neural.origins import window_origins
from kubecast.models.neural.settings import NeuralSettings
from kubecast.models.neural.spec import Inputs, Rows, WindowSpec, fit_spec
from kubecast.models.neural.training import FixedFit, Training
from kubecast.models.neural.windows import Windows, chunks, spread_sample

SAMPLE = 20_000  # windows that the scale of the targets is taken from, at most

S = TypeVar("S", bound=NeuralSettings)


@dataclass(frozen=True)
class NeuralTrainer(ABC, Generic[S]):
    """Fits a network of which a subclass gives the body.

    Attributes:
        settings: Of the network, its windows and its training.
        name: Column of the forecasts.
        forecaster: Class of what ``fit`` returns.
    """

    settings: S
    name: str
    forecaster: ClassVar[type[NeuralForecaster]]

    @abstractmethod
    def body(self, tokens: Any) -> Any:
        """Map tokens of shape (windows, tokens, width) to features of shape (windows, width)."""

    def build(self, spec: WindowSpec, precision: str = "float32") -> Any:
        """Build the network; its output layer is zero, so that it begins as its residual and linear skip.

        Args:
            spec: Of the windows.
            precision: That the body computes in; what is added up to a forecast is float32 always.
        """
        settings = self.settings
        inputs = Inputs(*(keras.Input(shape) for shape in spec.shapes))
        is_divided = spec.sequence_length % settings.patch_length == 0  # not always of a short history
        patch = settings.patch_length if is_divided else spec.sequence_length
        count = spec.sequence_length // patch
        steps = layers.Concatenate()([layers.Reshape((spec.sequence_length, 1))(inputs.target), inputs.extra])
        patches = layers.Reshape((count, patch * steps.shape[2]))(steps)
        tokens = layers.Concatenate()([patches, layers.RepeatVector(count)(inputs.context)])
        with computing_in(precision):
            features = self.body(tokens)
        features = layers.Concatenate()([features, inputs.context, inputs.future])
        outputs = layers.Dense(spec.horizon, kernel_initializer="zeros")(features)
        if settings.linear_skip:
            whole = layers.Concatenate()([inputs.target, inputs.context, inputs.future])
            skip = layers.Dense(spec.horizon, kernel_initializer="zeros", trainable=False, name=LAYER)
            outputs = layers.Add()([outputs, skip(whole)])
        return keras.Model(list(inputs), outputs)

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple[NeuralForecaster, FitLog]:
        """See ``Trainer.fit``.

        Raises:
            ModelError: No series has a window, or the targets or the loss are not finite.
        """
        started = time.monotonic()
        warn_without_gpu()
        keras.utils.set_random_seed(plan.seed)
        fixed_fit = FixedFit.model_validate(plan.fixed_fit) if plan.fixed_fit is not None else None
        spec = fit_spec(panel, until, self.settings)
        origins = window_origins(panel, until, spec, hold_out=fixed_fit is None)
        spec = spec.model_copy(update={"target_scale": _target_scale(Windows(panel, spec), origins.train)})
        windows = Windows(panel, spec)
        if not len(origins.validation):  # a tail without an observed target cannot stop the fit
            origins = replace(origins, validation=origins.train)
        forecaster = self.forecaster(self.name, spec, self.build(spec))
        penalty = fixed_fit.penalty if fixed_fit is not None else None
        if self.settings.linear_skip:
            penalty = fit_linear_skip(forecaster.network, windows, origins.train, penalty)
        precision = self.settings.precision
        training = Training(
            forecaster=forecaster,
            network=forecaster.network if precision == "float32" else self.build(spec, precision),
            windows=windows,
            origins=origins,
            settings=self.settings,
            plan=plan,
            fixed_fit=fixed_fit,
            penalty=penalty,
        )
        stopped = training.run()
        log = FitLog(
            stopped=stopped,
            fixed_fit=training.best_fit().model_dump(),
            curves=training.curves,
            best=training.best,
            seconds=time.monotonic() - started,
            fallbacks=origins.short,
        )
        return forecaster, log


def _target_scale(windows: Windows, rows: Rows) -> float:
    """Root mean square of a perfect network's outputs, so that losses mean the same for any residual.

    Raises:
        ModelError: The outputs overflow.
    """
    total, count = 0.0, 0.0
    for chunk in chunks(spread_sample(rows, SAMPLE)):
        targets, weights = windows.targets(chunk, windows.batch(chunk))
        total, count = total + float(np.sum(targets.astype(np.float64) ** 2)), count + float(np.sum(weights))
    if not np.isfinite(total):
        raise ModelError(
            f"targets overflow 32-bit numbers with normalization {windows.spec.normalization}; allowed:"
            " instance or series"
        )
    return float(np.sqrt(total / count)) if total > 0 else 1.0
