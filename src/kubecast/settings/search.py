"""``search/``: what tuning may try, by kind."""

from pydantic import Field

from kubecast.config.base import Settings
from kubecast.config.search import CategoricalParameter, FloatParameter, IntParameter, Space, Value


def _log(low: float, high: float) -> FloatParameter:
    return FloatParameter(type="float", low=low, high=high, log=True)


def _int(low: int, high: int) -> IntParameter:
    return IntParameter(type="int", low=low, high=high)


def _float(low: float, high: float) -> FloatParameter:
    return FloatParameter(type="float", low=low, high=high)


def _one_of(*choices: Value) -> CategoricalParameter:
    return CategoricalParameter(type="categorical", choices=list(choices))


class SearchSettings(Settings):
    """``search/``: the space of each model and of the ensemble."""

    arima: Space = Field(
        default={
            "max_order_1": _int(1, 5),
            "max_order_3": _int(1, 5),
            "information_criterion": _one_of("aic", "aicc", "bic"),
            "deseasonalize": _one_of("auto", "profile", "fourier", "none"),
        }
    )
    lstm: Space = Field(
        default={
            "hidden_units_1": _int(32, 256),
            "hidden_units_2": _int(16, 128),
            "dropout_rate": _float(0.1, 0.5),
            "learning_rate": _log(1e-4, 1e-2),
        }
    )
    transformer: Space = Field(
        default={
            "d_model": _one_of(64, 128, 256, 512),
            "num_heads": _one_of(2, 4, 8),
            "num_layers": _int(1, 6),
            "dff": _one_of(128, 256, 512, 1024, 2048),
            "dropout_rate": _float(0.0, 0.4),
            "learning_rate": _log(1e-4, 5e-3),
        }
    )
    catboost: Space = Field(
        default={
            "learning_rate": _log(0.01, 0.3),
            "depth": _int(4, 10),
            "l2_leaf_reg": _log(1.0, 30.0),
            "bagging_temperature": _float(0.0, 2.0),
            "loss_function": _one_of("RMSE", "MAE"),
        }
    )
    ensemble: Space = Field(
        default={
            "method": _one_of("greedy", "nnls", "equal"),
            "greedy_rounds": _int(10, 100),
        }
    )

    def of(self, kind: str) -> Space:
        """The space of a model, or of the ensemble."""
        space: Space = getattr(self, kind)
        return space
