"""The Transformer's body: its size, its positions and its poolings."""

import keras
import numpy as np
import pytest

from kubecast.models.neural.settings import TransformerSettings
from kubecast.models.neural.spec import WindowSpec
from kubecast.models.neural.transformer import PositionalEncoding, TransformerTrainer


def spec(settings: TransformerSettings) -> WindowSpec:
    return WindowSpec(
        sequence_length=settings.sequence_length,
        horizon=1,
        frequency="h",
        season_lengths=[24],
        normalization=settings.normalization,
        residual=settings.residual,
    )


@pytest.mark.slow
def test_default_settings_give_nineteen_million_weights() -> None:
    settings = TransformerSettings()
    count = TransformerTrainer(settings, "t").build(spec(settings)).count_params()
    assert 18.9e6 < count < 18.95e6


@pytest.mark.parametrize(("pooling", "width"), [("average", 8), ("last", 8), ("flatten", 32)])
def test_pooling_decides_what_the_head_sees(pooling: str, width: int) -> None:
    settings = TransformerSettings(
        sequence_length=8, patch_length=2, d_model=8, num_heads=2, num_layers=1, dff=8, pooling=pooling
    )
    assert TransformerTrainer(settings, "t").body(keras.Input((4, 5))).shape == (None, width)


@pytest.mark.parametrize("pooling", ["average", "last"])
def test_order_of_the_tokens_matters(pooling: str) -> None:
    settings = TransformerSettings(d_model=8, num_heads=2, num_layers=1, dff=8, pooling=pooling)
    inputs = keras.Input((6, 3))
    network = keras.Model(inputs, TransformerTrainer(settings, "t").body(inputs))
    tokens = np.random.default_rng(0).normal(size=(1, 6, 3)).astype(np.float32)
    swapped = tokens[:, [1, 0, 2, 3, 4, 5]]
    assert not np.allclose(network(tokens), network(swapped), atol=1e-4)


def test_positional_encoding_is_that_of_the_source() -> None:
    table = PositionalEncoding()(np.zeros((1, 5, 4), dtype=np.float32)).numpy()[0]
    np.testing.assert_allclose(table[3], [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)], rtol=1e-5)
