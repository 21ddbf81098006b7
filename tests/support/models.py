"""Settings with which every kind of model is fitted in a second: its defaults, or those below."""

from kubecast.config.model import ModelSettings
from kubecast.models import KINDS
from kubecast.models.arima.settings import ArimaSettings
from kubecast.models.catboost.settings import CatBoostSettings
from kubecast.models.neural.settings import LstmSettings, TransformerSettings

SETTINGS: dict[str, ModelSettings] = {name: kind.load_settings()() for name, kind in KINDS.items()}
SETTINGS |= {
    "arima": ArimaSettings(max_order=[1, 1, 1]),
    "lstm": LstmSettings(sequence_length=48, patch_length=4, hidden_units=[8], epochs=2, batch_size=64),
    "transformer": TransformerSettings(
        sequence_length=48,
        patch_length=4,
        d_model=8,
        num_heads=2,
        num_layers=1,
        dff=16,
        epochs=2,
        batch_size=64,
        difference="season",
        linear_skip=True,
    ),
    "catboost": CatBoostSettings(iterations=20, depth=3, n_models=2),
}
