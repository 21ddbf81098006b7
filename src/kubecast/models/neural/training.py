"""The training loop that LSTM and Transformer share.

Keras' own ``fit`` is not used: its callbacks forget their state on a resume, and a step for each batch of
fixed shape is as fast.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from kubecast.errors import ModelError
from kubecast.models.base import FitPlan
from kubecast.models.neural.backend import keras, tf, uses_xla
from kubecast.models.neural.checkpoint import (
    Checkpoint,
    Progress,
    fit_digest,
    read_checkpoint,
    write_checkpoint,
)
from kubecast.models.neural.forecaster import NeuralForecaster
from kubecast.models.neural.losses import mean_loss
from kubecast.models.neural.origins import WindowOrigins
from kubecast.models.neural.schedule import next_learning_rate
from kubecast.models.neural.settings import NeuralSettings
from kubecast.models.neural.spec import Rows
from kubecast.models.neural.windows import CHUNK, Windows, chunks, spread_sample

SAVING = 1.0  # seconds kept for saving before a deadline


class FixedFit(BaseModel):
    """A fit that is repeated: so many updates at each learning rate, and the linear skip's penalty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    updates_per_epoch: int
    learning_rates: list[float]
    penalty: float | None = None


@dataclass
class Training:
    """One run of the loop; leaves the network with the weights of its best epoch.

    An epoch is a fixed number of full batches, drawn from one shuffled pass over the windows after the
    other, so that a fixed fit on more windows repeats the same number of updates. Order and learning rate
    follow from the seed, the epoch and the curves, so that a resumed run goes on as if it had never stopped.

    The forecaster's network is float32. In another precision a network beside it is updated, whose weights it
    takes over before each evaluation: what is evaluated is what is published.

    Attributes:
        forecaster: Fitted in place.
        network: Updated; the forecaster's own in float32.
        windows: Of the panel.
        origins: Of the windows of training and validation.
        settings: Of the network.
        plan: Of the fit.
        fixed_fit: None: stop early.
        penalty: Of the linear skip.
        progress: Of the training.
        best_weights: Of the best epoch so far.
        evaluation_seconds: Taken by the last evaluation.
    """

    forecaster: NeuralForecaster
    network: Any
    windows: Windows
    origins: WindowOrigins
    settings: NeuralSettings
    plan: FitPlan
    fixed_fit: FixedFit | None
    penalty: float | None
    progress: Progress = field(default_factory=Progress)
    best_weights: list[NDArray[Any]] = field(default_factory=list)
    evaluation_seconds: float = 0.0

    def __post_init__(self) -> None:
        optimizer = keras.optimizers.Adam(
            self.settings.learning_rate, global_clipnorm=self.settings.clip_norm
        )
        if self.settings.precision == "mixed_float16":  # its gradients would vanish
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        self.optimizer = optimizer
        self.optimizer.build(self.network.trainable_variables)
        self.step = tf.function(
            self._step, autograph=False, jit_compile=uses_xla(self.network, self.settings)
        )
        _copy_weights(self.forecaster.network, self.network)

    @property
    def losses(self) -> list[float]:
        """The curve that is monitored."""
        use_train = self.fixed_fit is not None or self.settings.early_stopping.monitor == "loss"
        return self.progress.train if use_train else self.progress.validation

    @property
    def best(self) -> int:
        """Position in the curves of the epoch whose weights are kept; a fixed fit keeps its last."""
        return len(self.losses) - 1 if self.fixed_fit is not None else int(np.argmin(self.losses))

    @property
    def updates_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        if self.fixed_fit is not None:
            return self.fixed_fit.updates_per_epoch
        windows = len(self.origins.train)
        count = min(windows, self.settings.windows_per_epoch or windows)
        return max(1, round(count / self.settings.batch_size))

    @property
    def curves(self) -> dict[str, list[float]]:
        """Curves as in ``FitLog``."""
        if self.fixed_fit is not None:
            return {"train": self.progress.train}
        return {"train": self.progress.train, "validation": self.progress.validation}

    def run(self) -> str:
        """Train, and return why it stopped, as in ``FitLog``."""
        if not self._restore():
            self._record(self._loss(spread_sample(self.origins.train, CHUNK)))
            self.plan.on_improvement(self.forecaster)
        stopped = self._stop_reason()
        while stopped is None:
            loss = self._epoch()
            if loss is None:
                stopped = "time_limit"
                break
            self._record(loss)
            self._save()
            if self.best == len(self.losses) - 1:
                self.plan.on_improvement(self.forecaster)
            self.plan.on_step(len(self.progress.rates), self.losses[-1])
            stopped = self._stop_reason()
        self.forecaster.network.set_weights(self.best_weights)
        return stopped

    def best_fit(self) -> FixedFit:
        """The fit up to the best epoch, to be repeated."""
        return FixedFit(
            updates_per_epoch=self.updates_per_epoch,
            learning_rates=self.progress.rates[: self.best],
            penalty=self.penalty,
        )

    def _stop_reason(self) -> str | None:
        """Why no further epoch is needed; None if one is."""
        done = len(self.progress.rates)
        if self.fixed_fit is not None:
            return "replayed" if done == len(self.fixed_fit.learning_rates) else None
        if len(self.losses) - 1 - self.best >= self.settings.early_stopping.patience:
            return "early_stopping"
        return "max_iterations" if done >= self.settings.epochs else None

    def _epoch(self) -> float | None:
        """Update the weights, and return the mean loss; None if the deadline came first."""
        rate = self._learning_rate()
        self.optimizer.learning_rate.assign(rate)
        losses = []
        for rows in self._batches(len(self.progress.rates)):
            if self._is_late():
                return None
            batch = self.windows.batch(rows)
            losses.append(self.step(list(batch.inputs), *self.windows.targets(rows, batch)))
        self.progress.rates.append(rate)
        return float(np.mean([float(loss) for loss in losses]))

    def _is_late(self) -> bool:
        """Whether a further update would leave no time to evaluate and save before the deadline."""
        if self.plan.deadline is None:
            return False
        return time.monotonic() + self.evaluation_seconds + SAVING > self.plan.deadline

    def _learning_rate(self) -> float:
        rates = self.progress.rates
        if self.fixed_fit is not None:
            return self.fixed_fit.learning_rates[len(rates)]
        return next_learning_rate(self.settings, rates, self.best)

    def _batches(self, epoch: int) -> Iterator[Rows]:
        size, count = self.settings.batch_size, len(self.origins.train)
        first = epoch * self.updates_per_epoch * size
        positions = np.arange(first, first + self.updates_per_epoch * size)
        passes = {
            number: np.random.default_rng([self.plan.seed, number]).permutation(self.origins.train)
            for number in range(positions[0] // count, positions[-1] // count + 1)
        }
        for chunk in positions.reshape(-1, size):
            yield np.array([passes[position // count][position % count] for position in chunk])

    def _step(self, inputs: list[Any], targets: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = self.network(inputs, training=True)
            loss = mean_loss(self.settings.loss, outputs, targets, weights)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.network.trainable_variables)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        return loss

    def _loss(self, rows: Rows) -> float:
        """Mean loss over the observed targets of the windows that end on rows."""
        total, count = 0.0, 0.0
        for chunk in chunks(rows):
            batch = self.windows.batch(chunk)
            targets, weights = self.windows.targets(chunk, batch)
            observed = float(weights.sum())
            outputs = self.forecaster.outputs(list(batch.inputs))
            total += observed * float(mean_loss(self.settings.loss, outputs, targets, weights))
            count += observed
        return total / max(count, 1.0)

    def _record(self, train_loss: float) -> None:
        self.progress.train.append(self._finite(train_loss))
        _copy_weights(self.network, self.forecaster.network)
        if self.fixed_fit is None:
            started = time.monotonic()
            self.progress.validation.append(self._finite(self._loss(self.origins.validation)))
            self.evaluation_seconds = time.monotonic() - started
        if self.best == len(self.losses) - 1:
            self.best_weights = self.network.get_weights()

    def _finite(self, loss: float) -> float:
        if not np.isfinite(loss):
            settings = self.settings
            may_overflow = settings.precision == "mixed_float16" and settings.normalization == "none"
            raise ModelError(
                f"the loss became {loss} in epoch {len(self.progress.rates)}; allowed: a finite loss, e.g."
                f" with learning_rate below {settings.learning_rate:g} or a smaller clip_norm"
                + ", or precision mixed_bfloat16 for such inputs"
                * may_overflow
            )
        return loss

    @cached_property
    def _digest(self) -> str:
        return fit_digest(self.settings, self.plan, self.windows.spec, self.origins)

    @property
    def _variables(self) -> list[Any]:
        return [*self.network.variables, *self.optimizer.variables]

    def _save(self) -> None:
        if self.plan.checkpoint is not None:
            current = [variable.numpy() for variable in self._variables]
            checkpoint = Checkpoint(self.progress, current, self.best_weights)
            write_checkpoint(self.plan.checkpoint, self._digest, checkpoint)

    def _restore(self) -> bool:
        """Go on from the checkpoint, if there is one of this very fit."""
        if self.plan.checkpoint is None:
            return False
        checkpoint = read_checkpoint(
            self.plan.checkpoint, self._digest, self._variables, self.network.weights
        )
        if checkpoint is None:
            return False
        for variable, array in zip(self._variables, checkpoint.current, strict=True):
            variable.assign(array)
        self.progress, self.best_weights = checkpoint.progress, checkpoint.best
        return True


def _copy_weights(source: Any, target: Any) -> None:
    if source is not target:
        target.set_weights(source.get_weights())
