"""The network around the bodies of LSTM and Transformer, and what its fit returns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.data.preparation import build_panel
from kubecast.errors import ModelError
from kubecast.models.base import FitPlan
from kubecast.models.neural.backend import keras
from kubecast.models.neural.lstm import LstmTrainer
from kubecast.models.neural.transformer import TransformerTrainer
from kubecast.models.seasonal_naive import SeasonalNaive
from tests.support.panels import hourly, small_settings
from tests.unit.models.neural.support import PRECISIONS, SETTINGS, TINY, fit, spec_of, values

pytestmark = pytest.mark.slow


@pytest.mark.long
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("trainer", [LstmTrainer, TransformerTrainer], ids=["lstm", "transformer"])
def test_mixed_precision_learns_and_leaves_a_float32_network(
    panel: Panel, tmp_path: Path, precision: str, trainer: type[Any]
) -> None:
    settings = TINY[trainer].model_copy(update={"precision": precision, "linear_skip": True})
    assert keras.config.dtype_policy().name == "float32"
    forecaster, log = trainer(settings, "m").fit(panel, panel.train_end, FitPlan(seed=5))
    assert keras.config.dtype_policy().name == "float32"
    assert log.curves["train"][-1] < log.curves["train"][0]
    assert {layer.compute_dtype for layer in forecaster.network.layers} == {"float32"}
    forecaster.save(tmp_path)
    for table in (forecaster, type(forecaster).load(tmp_path)):
        forecasts = table.forecast(panel, panel.split("test"))["m"].to_numpy()
        assert np.isfinite(forecasts).all()
    np.testing.assert_array_equal(forecasts, forecaster.forecast(panel, panel.split("test"))["m"].to_numpy())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_mixed_precision_computes_the_body_in_it_and_the_rest_in_float32(
    panel: Panel, precision: str
) -> None:
    spec = spec_of(panel)
    settings = SETTINGS.model_copy(update={"linear_skip": True})
    network = LstmTrainer(settings, "lstm").build(spec, precision)
    computed = {layer.name.rstrip("_0123456789"): layer.compute_dtype for layer in network.layers}
    low = precision.removeprefix("mixed_")
    assert (computed["lstm"], computed["dropout"]) == (low, low)
    assert {computed[name] for name in ("dense", "linear_skip", "add", "concatenate")} == {"float32"}
    assert {str(variable.dtype) for variable in network.trainable_variables} == {"float32"}


def test_untrained_network_is_its_residual(panel: Panel) -> None:
    forecaster, log = fit(panel, residual="season", time_limit=1e-3)
    assert (log.stopped, log.best) == ("time_limit", 0)
    expected = SeasonalNaive(24, "lstm").forecast(panel, panel.split("test"))["lstm"]
    np.testing.assert_allclose(values(forecaster, panel), expected, rtol=1e-6)


def test_a_window_that_patches_do_not_divide_is_read_as_one(panel: Panel) -> None:
    spec = spec_of(panel).model_copy(update={"sequence_length": 15})
    network = LstmTrainer(SETTINGS.model_copy(update={"patch_length": 8}), "lstm").build(spec)
    (tokens,) = (layer.n for layer in network.layers if layer.name.startswith("repeat_vector"))
    assert tokens == 1


def test_short_history_is_read_in_one_patch_that_is_shorter_than_the_settings() -> None:
    rows = hourly().groupby("unique_id").head(60)
    short = build_panel(rows, small_settings())
    assert short.spec.splits.train == 48
    evaluated, log = fit(short, sequence_length=96, patch_length=48)
    assert evaluated.spec.sequence_length == 36
    production, _ = fit(
        short, FitPlan(seed=5, fixed_fit=log.fixed_fit), short.ends, sequence_length=96, patch_length=48
    )
    assert production.spec.sequence_length == 36
    assert np.isfinite(values(evaluated, short)).all()


def test_short_series_is_named_and_still_forecast(panel: Panel) -> None:
    until = Cutoffs.from_frame(panel.frame.iloc[panel.indptr[:-1] + np.array([300, 300, 20])], "ds")
    forecaster, log = fit(panel, until=until)
    assert log.fallbacks == {"s2": "21 rows up to the cut-off, 36 needed to fit to it"}
    assert np.isfinite(values(forecaster, panel)).all()


def test_tail_without_observed_targets_does_not_stop_the_fit(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=1)
    panel = make_panel(rows.drop(index=range(180, 210)))
    until = Cutoffs(pd.DataFrame({"unique_id": ["s0"], "cutoff": [rows["ds"][205]]}))
    forecaster, log = fit(panel, until=until)
    assert np.isfinite(log.curves["validation"]).all()
    assert np.isfinite(values(forecaster, panel)).all()


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_values_too_large_without_normalization_are_an_error(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1).assign(y=lambda rows: rows["y"] * 1e97))
    with pytest.raises(ModelError, match="overflow 32-bit numbers with normalization none"):
        fit(panel, normalization="none")
