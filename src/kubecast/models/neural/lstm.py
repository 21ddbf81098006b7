"""LSTM: recurrent layers over the window, then every step of the horizon at once."""

from typing import Any

from kubecast.models.neural.backend import layers
from kubecast.models.neural.forecaster import NeuralForecaster
from kubecast.models.neural.settings import LstmSettings
from kubecast.models.neural.trainer import NeuralTrainer


class LstmForecaster(NeuralForecaster):
    """A fitted LSTM."""


class LstmTrainer(NeuralTrainer[LstmSettings]):
    """Stacked LSTM layers, each followed by dropout.

    Source: Hochreiter & Schmidhuber (1997), "Long short-term memory".
    """

    forecaster = LstmForecaster

    def body(self, tokens: Any) -> Any:
        """See ``NeuralTrainer.body``."""
        *lower, last = self.settings.hidden_units
        # XLA cannot compile the kernel of cuDNN.
        kernel = {"use_cudnn": False if self.settings.jit_compile is True else "auto"}
        x = tokens
        for units in lower:
            x = layers.LSTM(units, return_sequences=True, **kernel)(x)
            x = layers.Dropout(self.settings.dropout_rate)(x)
        return layers.Dropout(self.settings.dropout_rate)(layers.LSTM(last, **kernel)(x))
