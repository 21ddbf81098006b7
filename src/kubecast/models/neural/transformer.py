"""Transformer: attention over the patches of the window, then every step of the horizon at once."""

from typing import Any

import numpy as np

from kubecast.models.neural.backend import keras, layers
from kubecast.models.neural.forecaster import NeuralForecaster
from kubecast.models.neural.settings import TransformerSettings
from kubecast.models.neural.trainer import NeuralTrainer


@keras.saving.register_keras_serializable("kubecast")
class PositionalEncoding(layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Adds sines and cosines of each token's position.

    Source: Vaswani et al. (2017), "Attention is all you need", section 3.5.

    Input shape: ``(batch_size, tokens, width)``. Output shape: the same.
    """

    def build(self, input_shape: tuple[int | None, int, int]) -> None:
        """Compute the table; it holds no weights."""
        _, tokens, width = input_shape
        column = np.arange(width)
        angle = np.arange(tokens)[:, None] / 10_000.0 ** (2 * (column // 2) / width)
        self.table = np.where(column % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """Add the table."""
        return inputs + keras.ops.cast(self.table, inputs.dtype)


class TransformerForecaster(NeuralForecaster):
    """A fitted Transformer."""


class TransformerTrainer(NeuralTrainer[TransformerSettings]):
    """An encoder over patches, normalised before each sublayer, which trains without a warm-up.

    Source: Nie et al. (2023), "A time series is worth 64 words"; Xiong et al. (2020), "On layer normalization
    in the Transformer architecture".
    """

    forecaster = TransformerForecaster

    def body(self, tokens: Any) -> Any:
        """See ``NeuralTrainer.body``."""
        x = PositionalEncoding()(layers.Dense(self.settings.d_model)(tokens))
        x = layers.Dropout(self.settings.dropout_rate)(x)
        for _ in range(self.settings.num_layers):
            x = self._block(x)
        return self._pool(layers.LayerNormalization(epsilon=1e-6)(x))

    def _block(self, x: Any) -> Any:
        settings = self.settings
        normed = layers.LayerNormalization(epsilon=1e-6)(x)
        attention = layers.MultiHeadAttention(
            settings.num_heads, settings.d_model // settings.num_heads, dropout=settings.dropout_rate
        )
        x = layers.Add()([x, layers.Dropout(settings.dropout_rate)(attention(normed, normed))])
        inner = layers.Dense(settings.dff, activation="relu")(layers.LayerNormalization(epsilon=1e-6)(x))
        outer = layers.Dense(settings.d_model)(inner)
        return layers.Add()([x, layers.Dropout(settings.dropout_rate)(outer)])

    def _pool(self, x: Any) -> Any:
        if self.settings.pooling == "average":
            return layers.GlobalAveragePooling1D()(x)
        if self.settings.pooling == "last":
            x = layers.Cropping1D((x.shape[1] - 1, 0))(x)
        return layers.Flatten()(x)
