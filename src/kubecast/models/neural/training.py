"""What LSTM and Transformer share: the network around their bodies, the training loop, forecasting and files.

Keras' own ``fit`` is not used: its callbacks forget their state on a resume, and a step for each batch of
fixed shape is as fast.
"""

import hashlib
import json
import logging
import os
import sys
import time
import warnings
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from kubecast.data.panel import Cutoffs, Panel
from kubecast.environment import ACCELERATORS_VARIABLE
from kubecast.errors import IntegrityError, ModelError
from kubecast.models.base import FitLog, FitPlan
from kubecast.models.neural.keras_file import check_archive
from kubecast.models.neural.settings import NeuralSettings
from kubecast.models.neural.windows import Floats, Inputs, Rows, Windows, WindowSpec, fit_spec, window_origins
from kubecast.models.seasonal_naive import forecast_frame, seasonal_naive

# Read once, when they are imported below. oneDNN takes the kernels of this processor: another kind may round
# otherwise. With 0 all round alike, and updates take up to twice as long.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

STANDARD_ERROR = 2  # of the process: C++ does not know Python's


@contextmanager
def _silenced() -> Iterator[None]:
    """TensorFlow tells on standard error that it uses oneDNN, at any log level; what goes wrong it raises."""
    sys.stderr.flush()
    kept = os.dup(STANDARD_ERROR)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STANDARD_ERROR)
    try:
        yield
    finally:
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)
        os.close(nowhere)


with _silenced():
    import keras as keras  # for the networks' modules too, which must not import it before the lines above
    import tensorflow as tf

tf.get_logger().setLevel("ERROR")  # it warns of graphs traced again, once for each fit

layers = keras.layers

_LOG = logging.getLogger(__name__)

CHUNK = 256  # windows that are forecast at once
SAMPLE = 20_000  # windows that the linear skip is fitted to, at most
PENALTIES = tuple(10.0**power for power in range(-5, 3))  # of the linear skip, for each window fitted to
BLOCKS = 5  # of the cross-validation that chooses the penalty
COMPLETE = 100  # windows without a gap that suffice to choose it; then one decomposition serves every step
SAVING = 1.0  # seconds kept for saving before a deadline

S = TypeVar("S", bound=NeuralSettings)


# --- forecasting --------------------------------------------------------------------------------------


class _NetworkFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    spec: WindowSpec


@dataclass(frozen=True)
class NeuralForecaster:
    """A fitted network.

    Attributes:
        name: Column of the forecasts.
        spec: How rows become windows.
        network: A Keras model from ``Inputs`` to outputs of shape (windows, horizon).
    """

    name: str
    spec: WindowSpec
    network: Any

    def forecast(self, panel: Panel, origins: Cutoffs) -> pd.DataFrame:
        """See ``Forecaster.forecast``; an origin with too short a history gets the seasonal naive forecast.

        Raises:
            DataError: The panel's horizon, frequency or covariates are not those of the fit, or a
                known-future covariate is missing.
        """
        windows = Windows(panel, self.spec)
        rows = panel.rows_of(origins)
        ahead = panel.future(origins)
        values = seasonal_naive(panel, origins, self.spec.season_lengths[0])
        usable = np.flatnonzero(windows.history(rows) >= self.spec.history)
        for chunk in _chunks(usable):
            steps = chunk[:, None] * self.spec.horizon + np.arange(self.spec.horizon)
            batch = windows.batch(rows[chunk], ahead.iloc[steps.ravel()])
            found = batch.forecasts(self.outputs(list(batch.inputs)).numpy())
            values[chunk] = np.where(np.isfinite(found).all(axis=1, keepdims=True), found, values[chunk])
        return forecast_frame(panel, origins, values, self.name)

    @cached_property
    def outputs(self) -> Any:
        """The network as one graph for any number of windows; op by op, an LSTM takes ten times as long."""
        signature = [tf.TensorSpec([None, *shape], tf.float32) for shape in self.spec.shapes]
        return tf.function(lambda inputs: self.network(inputs, training=False), input_signature=[signature])

    def save(self, directory: Path) -> None:
        """Write ``network.keras`` and ``network.json``."""
        directory.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            # Keras 3.15 reads its own variables in a way that NumPy 2 deprecates.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            self.network.save(directory / "network.keras")
        text = _NetworkFile(name=self.name, spec=self.spec).model_dump_json()
        (directory / "network.json").write_text(text)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read what ``save`` wrote.

        Raises:
            IntegrityError: A file is missing, altered, or holds what kubecast does not save.
        """
        path = directory / "network.keras"
        check_archive(path)
        try:
            file = _NetworkFile.model_validate_json((directory / "network.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise IntegrityError(
                f"{directory / 'network.json'}: {' '.join(str(error).split())[:200]}"
            ) from error
        try:
            network = keras.saving.load_model(path, compile=False, safe_mode=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from error
        if [tuple(shape[1:]) for shape in network.input_shape] != list(file.spec.shapes):
            raise IntegrityError(f"{path}: its inputs are not those of network.json")
        return cls(file.name, file.spec, network)


def _chunks(rows: Rows) -> list[Rows]:
    return np.split(rows, range(CHUNK, len(rows), CHUNK)) if len(rows) else []


# --- fitting ------------------------------------------------------------------------------------------


class Replay(BaseModel):
    """What repeats a fit: so many updates at each learning rate, and the linear skip's penalty."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    updates_per_epoch: int
    learning_rates: list[float]
    penalty: float | None = None


def _warn_without_gpu() -> None:
    """Say so where the pod asked for a GPU and TensorFlow sees none: it would just be slow."""
    asked = os.environ.get(ACCELERATORS_VARIABLE, "0")
    if asked not in ("", "0") and not tf.config.list_physical_devices("GPU"):
        _LOG.warning(
            "the pod asked for a GPU (%s) and TensorFlow sees none: training on processors; either the image"
            " (%s) is not kubecast-tensorflow-gpu, or the node's driver is missing or too old for it",
            asked,
            os.environ.get("KUBECAST_IMAGE", "unknown"),
        )


@dataclass(frozen=True)
class NeuralTrainer(ABC, Generic[S]):
    """Fits a network of which a subclass gives the body.

    Attributes:
        settings: Of the network, its windows and its training.
        name: Column of the forecasts.
        forecaster: What ``fit`` returns.
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
        count = spec.sequence_length // settings.patch_length
        steps = layers.Concatenate()([layers.Reshape((spec.sequence_length, 1))(inputs.target), inputs.extra])
        patches = layers.Reshape((count, settings.patch_length * steps.shape[2]))(steps)
        tokens = layers.Concatenate()([patches, layers.RepeatVector(count)(inputs.context)])
        with _computing_in(precision):
            features = self.body(tokens)
        features = layers.Concatenate()([features, inputs.context, inputs.ahead])
        outputs = layers.Dense(spec.horizon, kernel_initializer="zeros")(features)
        if settings.linear_skip:
            whole = layers.Concatenate()([inputs.target, inputs.context, inputs.ahead])
            skip = layers.Dense(spec.horizon, kernel_initializer="zeros", trainable=False, name="linear_skip")
            outputs = layers.Add()([outputs, skip(whole)])
        return keras.Model(list(inputs), outputs)

    def fit(self, panel: Panel, until: Cutoffs, plan: FitPlan) -> tuple[NeuralForecaster, FitLog]:
        """See ``Trainer.fit``.

        Raises:
            ModelError: No series has a window, or the targets or the loss are not finite.
        """
        started = time.monotonic()
        _warn_without_gpu()
        keras.utils.set_random_seed(plan.seed)
        replayed = Replay.model_validate(plan.replay) if plan.replay is not None else None
        spec = fit_spec(panel, until, self.settings)
        origins = window_origins(panel, until, spec, hold_out=replayed is None)
        spec = spec.model_copy(update={"target_scale": _target_scale(Windows(panel, spec), origins.train)})
        windows = Windows(panel, spec)
        # A tail without an observed target cannot stop the fit.
        validation = origins.validation if len(origins.validation) else origins.train
        forecaster = self.forecaster(self.name, spec, self.build(spec))
        penalty = replayed.penalty if replayed is not None else None
        if self.settings.linear_skip:
            penalty = _fit_skip(forecaster.network, windows, origins.train, penalty)
        precision = self.settings.precision
        training = _Training(
            forecaster=forecaster,
            network=forecaster.network if precision == "float32" else self.build(spec, precision),
            windows=windows,
            train=origins.train,
            validation=validation,
            settings=self.settings,
            plan=plan,
            replay=replayed,
            penalty=penalty,
            deadline=float("inf") if plan.deadline is None else plan.deadline,
        )
        stopped = training.run()
        log = FitLog(
            stopped=stopped,
            replay=training.replay_of_best().model_dump(),
            curves=training.curves,
            best=training.best,
            seconds=time.monotonic() - started,
            fallbacks=origins.short,
        )
        return forecaster, log


@contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Layers made inside compute in this precision; Keras has but a setting of the whole process."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _sample(rows: Rows, most: int) -> Rows:
    """At most so many rows, evenly spread."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]


def _target_scale(windows: Windows, rows: Rows) -> float:
    """Root mean square of the outputs wanted, so that losses mean the same for any residual.

    Raises:
        ModelError: The outputs overflow.
    """
    total, count = 0.0, 0.0
    for chunk in _chunks(_sample(rows, SAMPLE)):
        targets, weights = windows.targets(chunk, windows.batch(chunk))
        total, count = total + float(np.sum(targets.astype(np.float64) ** 2)), count + float(np.sum(weights))
    if not np.isfinite(total):
        raise ModelError(
            f"targets overflow 32-bit numbers with normalization {windows.spec.normalization}; allowed:"
            " instance or series"
        )
    return float(np.sqrt(total / count)) if total > 0 else 1.0


# --- the linear skip ----------------------------------------------------------------------------------


def _fit_skip(network: Any, windows: Windows, train: Rows, penalty: float | None) -> float:
    """Set the linear skip to a ridge regression of the targets on the window, the context and what is ahead.

    A window that shows how a horizon's length moved over the longest season needs no calendar phase, and is
    regressed on without it.

    Args:
        network: Holds the layer ``linear_skip``.
        windows: Reads the windows.
        train: Their origins.
        penalty: For each window fitted to; None: the best of ``PENALTIES`` in a cross-validation over blocks
            of neighbouring windows.

    Returns:
        The penalty.

    Source: Toner & Darlow (2024), "An analysis of linear time series forecasting models".
    """
    x, y, weights = _regression(windows, _sample(train, SAMPLE))
    columns = _skip_columns(windows.spec, x.shape[1])
    coefficients = np.zeros((x.shape[1], y.shape[1]), dtype=np.float32)
    x = x[:, columns]
    if penalty is None:
        penalty = _best_penalty(x, y, weights, gap=windows.spec.horizon)
    (coefficients[columns],) = _ridge(x, y, weights, (penalty,))
    network.get_layer("linear_skip").set_weights([coefficients[:-1], coefficients[-1]])
    return penalty


def _skip_columns(spec: WindowSpec, count: int) -> NDArray[np.int64]:
    """Positions of the columns that the linear skip is fitted to."""
    kept = np.ones(count, dtype=bool)
    if spec.sequence_length + spec.difference >= max(spec.season_lengths) + spec.horizon:
        kept[spec.sequence_length : spec.sequence_length + spec.phase_columns] = False
    return np.flatnonzero(kept)


def _best_penalty(x: Floats, y: Floats, weights: Floats, gap: int) -> float:
    complete = weights.all(axis=1)
    if complete.sum() >= COMPLETE:
        x, y, weights = x[complete], y[complete], weights[complete]
    errors = np.zeros(len(PENALTIES))
    for block in np.array_split(np.arange(len(x)), BLOCKS):
        # Windows nearer than a horizon share targets with the block.
        kept = np.r_[0 : max(block[0] - gap, 0), block[-1] + 1 + gap : len(x)] if len(block) else block
        maps = _ridge(x[kept], y[kept], weights[kept], PENALTIES)
        errors += [np.sum(weights[block] * np.abs(x[block] @ found - y[block])) for found in maps]
    return PENALTIES[int(np.argmin(errors))]


def _regression(windows: Windows, rows: Rows) -> tuple[Floats, Floats, Floats]:
    parts = []
    for chunk in _chunks(rows):
        batch = windows.batch(chunk)
        inputs = batch.inputs
        ones = np.ones((len(chunk), 1), dtype=np.float32)
        x = np.concatenate([inputs.target, inputs.context, inputs.ahead, ones], axis=1)
        parts.append((x, *windows.targets(chunk, batch)))
    x, y, weights = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return x, y, weights


def _ridge(x: Floats, y: Floats, weights: Floats, penalties: tuple[float, ...]) -> list[Floats]:
    """Regress each column of ``y`` on ``x`` over the rows where it is observed.

    Returns:
        For each penalty, coefficients of shape (columns of x, columns of y).
    """
    maps = [np.zeros((x.shape[1], y.shape[1]), dtype=np.float32) for _ in penalties]
    patterns, member = np.unique(weights > 0, axis=1, return_inverse=True)
    for number, rows in enumerate(patterns.T):
        columns = np.flatnonzero(member == number)
        kept = x[rows]
        values, vectors = np.linalg.eigh((kept.T @ kept).astype(np.float64))
        projected = vectors.T @ (kept.T @ y[np.ix_(rows, columns)])
        for coefficients, penalty in zip(maps, penalties, strict=True):
            shrunk = projected / (values.clip(0) + penalty * max(len(kept), 1))[:, None]
            coefficients[:, columns] = vectors @ shrunk
    return maps


# --- the training loop --------------------------------------------------------------------------------


def _uses_xla(network: Any, settings: NeuralSettings) -> bool:
    """Whether updates are compiled; layers that run a kernel of cuDNN say that they do not allow it."""
    if settings.jit_compile != "auto":
        return settings.jit_compile
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return on_gpu and all(layer.supports_jit for layer in network.layers)


def _copy_weights(source: Any, target: Any) -> None:
    if source is not target:
        target.set_weights(source.get_weights())


class _State(BaseModel):
    """How far the training is. Both curves begin with the loss before the first update."""

    rates: list[float] = []
    train: list[float] = []
    validation: list[float] = []


@dataclass
class _Training:
    """One run of the loop; leaves the network with the weights of its best epoch.

    An epoch is a fixed number of full batches, drawn from one shuffled pass over the windows after the
    other, so that a replay on more windows repeats the same number of updates. Order and learning rate follow
    from the seed, the epoch and the curves, so that a resumed run goes on as if it had never stopped.

    The forecaster's network is float32. In another precision a network beside it is updated, whose weights it
    takes over before each evaluation: what is judged is what is published.
    """

    forecaster: NeuralForecaster
    network: Any
    windows: Windows
    train: Rows
    validation: Rows
    settings: NeuralSettings
    plan: FitPlan
    replay: Replay | None
    penalty: float | None
    deadline: float
    state: _State = field(default_factory=_State)
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
        self.step = tf.function(self._step, jit_compile=_uses_xla(self.network, self.settings))
        _copy_weights(self.forecaster.network, self.network)

    @property
    def losses(self) -> list[float]:
        """The curve that is monitored."""
        use_train = self.replay is not None or self.settings.early_stopping.monitor == "loss"
        return self.state.train if use_train else self.state.validation

    @property
    def best(self) -> int:
        """Position in the curves of the epoch whose weights are kept; a replay keeps its last."""
        return len(self.losses) - 1 if self.replay is not None else int(np.argmin(self.losses))

    @property
    def updates_per_epoch(self) -> int:
        if self.replay is not None:
            return self.replay.updates_per_epoch
        count = min(len(self.train), self.settings.windows_per_epoch or len(self.train))
        return max(1, round(count / self.settings.batch_size))

    @property
    def curves(self) -> dict[str, list[float]]:
        """As in ``FitLog``."""
        if self.replay is not None:
            return {"train": self.state.train}
        return {"train": self.state.train, "validation": self.state.validation}

    def run(self) -> str:
        """Train, and tell why it stopped."""
        if not self._restore():
            self._record(self._loss(_sample(self.train, CHUNK)))
            self.plan.improved(self.forecaster)
        stopped = self._finished()
        while stopped is None:
            loss = self._epoch()
            if loss is None:
                stopped = "time_limit"
                break
            self._record(loss)
            self._save()
            if self.best == len(self.losses) - 1:
                self.plan.improved(self.forecaster)
            self.plan.report(len(self.state.rates), self.losses[-1])
            stopped = self._finished()
        self.forecaster.network.set_weights(self.best_weights)
        return stopped

    def replay_of_best(self) -> Replay:
        """What repeats the updates up to the best epoch."""
        return Replay(
            updates_per_epoch=self.updates_per_epoch,
            learning_rates=self.state.rates[: self.best],
            penalty=self.penalty,
        )

    def _finished(self) -> str | None:
        done = len(self.state.rates)
        if self.replay is not None:
            return "replayed" if done == len(self.replay.learning_rates) else None
        if len(self.losses) - 1 - self.best >= self.settings.early_stopping.patience:
            return "early_stopping"
        return "max_iterations" if done >= self.settings.epochs else None

    def _epoch(self) -> float | None:
        """Update the weights; None if the deadline came first."""
        rate = self._rate()
        self.optimizer.learning_rate.assign(rate)
        losses = []
        for rows in self._batches(len(self.state.rates)):
            if time.monotonic() + self.evaluation_seconds + SAVING > self.deadline:
                return None
            batch = self.windows.batch(rows)
            losses.append(self.step(list(batch.inputs), *self.windows.targets(rows, batch)))
        self.state.rates.append(rate)
        return float(np.mean([float(loss) for loss in losses]))

    def _batches(self, epoch: int) -> Iterator[Rows]:
        size, count = self.settings.batch_size, len(self.train)
        first = epoch * self.updates_per_epoch * size
        positions = np.arange(first, first + self.updates_per_epoch * size)
        passes = {
            number: np.random.default_rng([self.plan.seed, number]).permutation(self.train)
            for number in range(positions[0] // count, positions[-1] // count + 1)
        }
        for chunk in positions.reshape(-1, size):
            yield np.array([passes[position // count][position % count] for position in chunk])

    def _step(self, inputs: list[Any], targets: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self._mean_loss(self.network(inputs, training=True), targets, weights)
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self.network.trainable_variables)
        self.optimizer.apply(gradients, self.network.trainable_variables)
        return loss

    def _mean_loss(self, outputs: Any, targets: Any, weights: Any) -> Any:
        error = tf.abs(outputs - targets)
        if self.settings.loss == "mse":
            error = error**2
        elif self.settings.loss == "huber":
            error = tf.where(error < 1, error**2 / 2, error - 0.5)
        return tf.reduce_sum(weights * error) / tf.maximum(tf.reduce_sum(weights), 1.0)

    def _loss(self, rows: Rows) -> float:
        """Mean loss over the observed targets of windows."""
        total, count = 0.0, 0.0
        for chunk in _chunks(rows):
            batch = self.windows.batch(chunk)
            targets, weights = self.windows.targets(chunk, batch)
            observed = float(weights.sum())
            total += observed * float(
                self._mean_loss(self.forecaster.outputs(list(batch.inputs)), targets, weights)
            )
            count += observed
        return total / max(count, 1.0)

    def _rate(self) -> float:
        """The next epoch's learning rate."""
        epoch, rates = len(self.state.rates), self.state.rates
        if self.replay is not None:
            return self.replay.learning_rates[epoch]
        if self.settings.schedule == "cosine":
            return float(self.settings.learning_rate * (1 + np.cos(np.pi * epoch / self.settings.epochs)) / 2)
        if self.settings.schedule == "constant" or not rates:
            return self.settings.learning_rate
        wait = max(1, self.settings.early_stopping.patience // 2)
        at_this_rate = epoch - rates.index(rates[-1])
        return rates[-1] / 2 if min(epoch - self.best, at_this_rate) >= wait else rates[-1]

    def _record(self, train_loss: float) -> None:
        self.state.train.append(self._finite(train_loss))
        _copy_weights(self.network, self.forecaster.network)
        if self.replay is None:
            started = time.monotonic()
            self.state.validation.append(self._finite(self._loss(self.validation)))
            self.evaluation_seconds = time.monotonic() - started
        if self.best == len(self.losses) - 1:
            self.best_weights = self.network.get_weights()

    @property
    def _is_half(self) -> bool:
        return self.settings.precision == "mixed_float16" and self.settings.normalization == "none"

    def _finite(self, loss: float) -> float:
        if not np.isfinite(loss):
            raise ModelError(
                f"the loss became {loss} in epoch {len(self.state.rates)}; allowed: a finite loss, e.g. with"
                f" learning_rate below {self.settings.learning_rate:g} or a smaller clip_norm"
                + ", or precision mixed_bfloat16 for such inputs"
                * self._is_half
            )
        return loss

    @cached_property
    def _fit_digest(self) -> str:
        """Tells whether a checkpoint belongs to this fit."""
        told = [self.settings.model_dump(exclude={"time_limit"}), self.plan.seed, self.plan.replay]
        told.append(self.windows.spec.model_dump())
        text = json.dumps(told, sort_keys=True).encode()
        return hashlib.sha256(text + self.train.tobytes() + self.validation.tobytes()).hexdigest()

    @property
    def _variables(self) -> list[Any]:
        return [*self.network.variables, *self.optimizer.variables]

    def _save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if self.plan.checkpoint is None:
            return
        path = self.plan.checkpoint
        arrays: dict[str, Any] = {f"now{at}": variable.numpy() for at, variable in enumerate(self._variables)}
        arrays |= {f"best{at}": array for at, array in enumerate(self.best_weights)}
        with path.with_suffix(".part").open("wb") as file:
            np.savez(file, digest=self._fit_digest, state=self.state.model_dump_json(), **arrays)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".part").replace(path)

    def _restore(self) -> bool:
        """Go on from the checkpoint, if there is one of this very fit."""
        path = self.plan.checkpoint
        if path is None or not path.exists():
            return False
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                if str(found["digest"]) != self._fit_digest:
                    return False
                state = _State.model_validate_json(str(found["state"]))
                current = [found[f"now{at}"] for at in range(len(self._variables))]
                best = [found[f"best{at}"] for at in range(len(self.network.weights))]
        except (EOFError, OSError, ValueError, KeyError, zipfile.BadZipFile):
            return False
        for variable, array in zip(self._variables, current, strict=True):
            variable.assign(array)
        self.state, self.best_weights = state, best
        return True
