"""A fitted network: its forecasts and its files, the same for every kind of network."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from kubecast.data.panel import Cutoffs, Panel
from kubecast.documents import Document
from kubecast.errors import IntegrityError, one_line
from kubecast.models.neural.backend import keras, tf
from kubecast.models.neural.keras_file import check_archive
from kubecast.models.neural.spec import WindowSpec
from kubecast.models.neural.windows import Windows, chunks
from kubecast.models.seasonal_naive import forecast_frame, seasonal_naive


class _NetworkFile(Document):
    document_name: ClassVar[str] = "the windows of a network"

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
        rows = panel.row_index(origins)
        future = panel.future(origins)
        values = seasonal_naive(panel, origins, self.spec.season_lengths[0])
        usable = np.flatnonzero(windows.history(rows) >= self.spec.history)
        for chunk in chunks(usable):
            steps = chunk[:, None] * self.spec.horizon + np.arange(self.spec.horizon)
            batch = windows.batch(rows[chunk], future.iloc[steps.ravel()])
            forecasts = batch.forecasts(self.outputs(list(batch.inputs)).numpy())
            finite = np.isfinite(forecasts).all(axis=1, keepdims=True)
            values[chunk] = np.where(finite, forecasts, values[chunk])
        return forecast_frame(panel, origins, values, self.name)

    @cached_property
    def outputs(self) -> Any:
        """The network as one graph for any number of windows; op by op, an LSTM takes ten times as long."""
        signature = [tf.TensorSpec([None, *shape], tf.float32) for shape in self.spec.shapes]
        return tf.function(
            lambda inputs: self.network(inputs, training=False), input_signature=[signature], autograph=False
        )

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
        file = _NetworkFile.read(directory / "network.json")
        try:
            network = keras.saving.load_model(path, compile=False, safe_mode=True)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"{path}: cannot be read ({one_line(error)})") from error
        if [tuple(shape[1:]) for shape in network.input_shape] != list(file.spec.shapes):
            raise IntegrityError(f"{path}: its inputs are not those of network.json")
        return cls(file.name, file.spec, network)
