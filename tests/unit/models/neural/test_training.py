"""The training loop that LSTM and Transformer share, seen through small LSTMs."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Cutoffs, Panel
from kubecast.errors import DataError, IntegrityError, ModelError
from kubecast.models.base import FitLog, FitPlan, deadline_after
from kubecast.models.neural import training
from kubecast.models.neural.lstm import LstmForecaster, LstmTrainer
from kubecast.models.neural.settings import EarlyStopping, LstmSettings, TransformerSettings
from kubecast.models.neural.training import _ridge, keras
from kubecast.models.neural.transformer import TransformerTrainer
from kubecast.models.seasonal_naive import SeasonalNaive
from tests.conftest import hourly

SETTINGS = LstmSettings(
    sequence_length=24, patch_length=6, hidden_units=[4], dropout_rate=0.3, epochs=3, batch_size=128
)


TINY: dict[Any, Any] = {
    LstmTrainer: SETTINGS,
    TransformerTrainer: TransformerSettings(
        sequence_length=24,
        patch_length=6,
        d_model=4,
        num_heads=2,
        num_layers=1,
        dff=4,
        epochs=3,
        batch_size=128,
    ),
}


def fit(
    panel: Panel, plan: FitPlan | None = None, until: Cutoffs | None = None, **changes: object
) -> tuple[LstmForecaster, FitLog]:
    settings = SETTINGS.model_copy(update=changes)
    plan = plan or FitPlan(seed=5, deadline=deadline_after(settings.time_limit))
    return LstmTrainer(settings, "lstm").fit(panel, until or panel.train_end, plan)  # type: ignore[return-value]


def values(forecaster: LstmForecaster, panel: Panel) -> np.ndarray:
    return forecaster.forecast(panel, panel.part("test"))["lstm"].to_numpy()


class KilledError(Exception):
    pass


def kill_after(epochs: int) -> Callable[[int, float], None]:
    def report(epoch: int, loss: float) -> None:
        if epoch == epochs:
            raise KilledError

    return report


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "plateau", "linear_skip": True},
        # Too large a rate, so that the best epoch comes before the kill and patience ends the run after it.
        {"learning_rate": 0.3, "epochs": 9, "early_stopping": EarlyStopping(patience=3)},
    ],
)
def test_resumed_fit_ends_as_one_that_was_not_killed(
    panel: Panel, tmp_path: Path, changes: dict[str, object]
) -> None:
    whole, expected = fit(panel, **changes)
    plan = FitPlan(seed=5, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(KilledError):
        fit(panel, replace(plan, report=kill_after(2)), **changes)
    resumed, log = fit(panel, plan, **changes)
    assert (log.stopped, log.best, log.curves, log.replay) == (
        expected.stopped,
        expected.best,
        expected.curves,
        expected.replay,
    )
    np.testing.assert_array_equal(values(resumed, panel), values(whole, panel))


def test_checkpoint_of_another_fit_or_a_damaged_one_is_not_resumed(panel: Panel, tmp_path: Path) -> None:
    plan = FitPlan(seed=5, checkpoint=tmp_path / "checkpoint")
    _, expected = fit(panel, plan)
    _, other = fit(panel, replace(plan, seed=6))
    assert other.curves != expected.curves
    path = tmp_path / "checkpoint"
    for damaged in (path.read_bytes()[:1000], b""):
        path.write_bytes(damaged)
        _, again = fit(panel, plan)
        assert again.curves == expected.curves
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


def test_replay_resumes_too(panel: Panel, tmp_path: Path) -> None:
    replay = {"updates_per_epoch": 3, "learning_rates": [1e-3, 5e-4], "penalty": 0.01}
    whole, log = fit(panel, FitPlan(seed=5, replay=replay), panel.ends, linear_skip=True)
    assert (log.stopped, log.replay) == ("replayed", replay)
    plan = FitPlan(seed=5, replay=replay, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(KilledError):
        fit(panel, replace(plan, report=kill_after(1)), panel.ends, linear_skip=True)
    resumed, _ = fit(panel, plan, panel.ends, linear_skip=True)
    np.testing.assert_array_equal(values(resumed, panel), values(whole, panel))


def test_weights_of_the_best_epoch_are_kept(panel: Panel) -> None:
    changes = {"learning_rate": 0.1, "epochs": 8, "early_stopping": EarlyStopping(patience=2)}
    stopped, log = fit(panel, **changes)
    assert log.stopped == "early_stopping"
    assert log.best is not None
    assert len(log.curves["validation"]) == log.best + 3
    assert len(log.replay["learning_rates"]) == log.best
    short, _ = fit(panel, **{**changes, "epochs": log.best})
    np.testing.assert_array_equal(values(stopped, panel), values(short, panel))


def test_replay_repeats_updates_and_learning_rates_on_all_rows(panel: Panel) -> None:
    _, log = fit(panel, schedule="cosine", windows_per_epoch=256)
    assert log.stopped == "max_iterations"
    assert log.replay["updates_per_epoch"] == 2
    rates = log.replay["learning_rates"]
    np.testing.assert_allclose(rates, [1e-3, 0.75e-3, 0.25e-3][: len(rates)])
    reported: list[int] = []
    plan = FitPlan(seed=5, replay=log.replay, report=lambda epoch, loss: reported.append(epoch))
    _, replayed = fit(panel, plan, panel.ends, schedule="cosine")
    assert replayed.replay == log.replay
    assert set(replayed.curves) == {"train"}
    assert reported == list(range(1, len(rates) + 1))


def test_plateau_halves_the_rate_when_the_loss_does_not_fall(panel: Panel, tmp_path: Path) -> None:
    _, log = fit(
        panel,
        FitPlan(seed=5, checkpoint=tmp_path / "checkpoint"),
        schedule="plateau",
        learning_rate=2.0**-100,  # changes no weight, so that no epoch is better
        early_stopping=EarlyStopping(patience=5),
        epochs=9,
    )
    assert (log.stopped, log.best) == ("early_stopping", 0)
    with np.load(tmp_path / "checkpoint") as checkpoint:
        rates = json.loads(str(checkpoint["state"]))["rates"]
    assert rates == [2.0**-power for power in (100, 100, 101, 101, 102)]


@pytest.mark.parametrize("loss", ["mae", "huber"])
def test_every_loss_falls(panel: Panel, loss: str) -> None:
    _, log = fit(panel, loss=loss, learning_rate=0.01, hidden_units=[4, 3])
    assert min(log.curves["validation"]) < log.curves["validation"][0]
    assert log.curves["validation"][log.best or 0] == min(log.curves["validation"])


PRECISIONS = ["mixed_bfloat16", "mixed_float16"]


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
        found = table.forecast(panel, panel.part("test"))["m"].to_numpy()
        assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, forecaster.forecast(panel, panel.part("test"))["m"].to_numpy())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_mixed_precision_computes_the_body_in_it_and_the_rest_in_float32(
    panel: Panel, precision: str
) -> None:
    spec = fit(panel, epochs=1)[0].spec
    settings = SETTINGS.model_copy(update={"linear_skip": True})
    network = LstmTrainer(settings, "lstm").build(spec, precision)
    computed = {layer.name.rstrip("_0123456789"): layer.compute_dtype for layer in network.layers}
    low = precision.removeprefix("mixed_")
    assert (computed["lstm"], computed["dropout"]) == (low, low)
    assert {computed[name] for name in ("dense", "linear_skip", "add", "concatenate")} == {"float32"}
    assert {str(variable.dtype) for variable in network.trainable_variables} == {"float32"}


def test_scale_of_the_loss_survives_a_resume(panel: Panel, tmp_path: Path) -> None:
    changes = {"precision": "mixed_float16", "linear_skip": True}
    whole, expected = fit(panel, **changes)
    plan = FitPlan(seed=5, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(KilledError):
        fit(panel, replace(plan, report=kill_after(2)), **changes)
    resumed, log = fit(panel, plan, **changes)
    assert log.curves == expected.curves
    np.testing.assert_array_equal(values(resumed, panel), values(whole, panel))


@pytest.mark.parametrize("trainer", [LstmTrainer, TransformerTrainer], ids=["lstm", "transformer"])
def test_updates_compiled_by_xla_are_the_same_but_for_rounding(panel: Panel, trainer: type[Any]) -> None:
    curves = []
    for jit in (False, True):
        settings = TINY[trainer].model_copy(update={"jit_compile": jit, "dropout_rate": 0.0})
        curves.append(trainer(settings, "m").fit(panel, panel.train_end, FitPlan(seed=5))[1].curves)
    np.testing.assert_allclose(curves[1]["validation"], curves[0]["validation"], rtol=1e-3)


@pytest.mark.parametrize(
    ("gpus", "jit", "compiled"),
    [
        ([], "auto", (False, False)),
        (["gpu"], "auto", (False, True)),
        ([], True, (True, True)),
        (["gpu"], False, (False, False)),
    ],
)
def test_xla_is_used_on_gpus_by_networks_without_a_kernel_of_cudnn(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, gpus: list[str], jit: Any, compiled: tuple[bool, bool]
) -> None:
    spec = fit(panel, epochs=1)[0].spec
    for name in ("list_physical_devices", "list_logical_devices"):  # ours, and what Keras asks
        monkeypatch.setattr(training.tf.config, name, lambda kind: gpus)
    found = []
    for trainer, tiny in TINY.items():
        settings = tiny.model_copy(update={"jit_compile": jit})
        found.append(training._uses_xla(trainer(settings, "m").build(spec), settings))
    assert tuple(found) == compiled


def test_loss_that_is_not_finite_is_an_error(panel: Panel) -> None:
    with pytest.raises(ModelError, match=r"the loss became .* learning_rate below 1e\+30"):
        fit(panel, learning_rate=1e30, clip_norm=None)


def test_untrained_network_is_its_residual(panel: Panel) -> None:
    forecaster, log = fit(panel, residual="season", time_limit=1e-3)
    assert (log.stopped, log.best) == ("time_limit", 0)
    expected = SeasonalNaive(24, "lstm").forecast(panel, panel.part("test"))["lstm"]
    np.testing.assert_allclose(values(forecaster, panel), expected, rtol=1e-6)


def test_linear_skip_alone_continues_a_linear_recurrence(make_panel: Callable[..., Panel]) -> None:
    steps = np.arange(400)
    y = 50 + np.sin(2 * np.pi * steps / 24) + np.cos(2 * np.pi * steps / 17)
    ds = pd.date_range("2024-01-01", periods=400, freq="h")
    panel = make_panel(pd.DataFrame({"unique_id": "a", "ds": ds, "y": y}))
    forecaster, log = fit(panel, linear_skip=True, time_limit=1e-3)
    found = forecaster.forecast(panel, panel.part("test"))
    joined = found.merge(panel.frame, on=["unique_id", "ds"])
    np.testing.assert_allclose(joined["lstm"], joined["y"], atol=0.05)
    assert log.replay["penalty"] == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({}, True),
        ({"sequence_length": 24 + 5, "patch_length": 1}, True),
        ({"sequence_length": 24 + 6, "patch_length": 1}, False),
        ({"difference": 6}, False),
    ],
)
def test_linear_skip_sees_phases_where_the_window_does_not_show_a_horizon_of_them(
    covariate_panel: Panel, changes: dict[str, Any], needed: bool
) -> None:
    assert (max(covariate_panel.spec.season_lengths), covariate_panel.spec.horizon) == (24, 6)
    forecaster, _ = fit(covariate_panel, linear_skip=True, time_limit=1e-3, **changes)
    weights, bias = forecaster.network.get_layer("linear_skip").get_weights()
    first = forecaster.spec.sequence_length
    after = first + forecaster.spec.phase_columns
    assert weights[:first].any()
    assert weights[first:after].any() == needed
    assert weights[after:].any(axis=1).all()
    assert bias.any()


def test_ridge_of_each_step_uses_the_rows_where_it_is_observed() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 3)).astype(np.float32)
    y = (x @ random.normal(size=(3, 2))).astype(np.float32)
    weights = np.ones_like(y)
    y[:50, 1], weights[:50, 1] = 1e6, 0
    (found,) = _ridge(x, y, weights, (1e-9,))
    np.testing.assert_allclose(found[:, 0], np.linalg.lstsq(x, y[:, 0], rcond=None)[0], rtol=1e-3)
    np.testing.assert_allclose(found[:, 1], np.linalg.lstsq(x[50:], y[50:, 1], rcond=None)[0], rtol=1e-3)


def test_short_series_is_named_and_still_forecast(panel: Panel) -> None:
    until = Cutoffs.of(panel.frame.iloc[panel.starts[:-1] + np.array([300, 300, 20])], "ds")
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


def test_values_near_the_largest_allowed_are_forecast(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=2).assign(y=lambda rows: rows["y"] * 1e97))
    forecaster, _ = fit(panel)
    assert np.isfinite(values(forecaster, panel)).all()


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_values_too_large_without_normalization_are_an_error(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=1).assign(y=lambda rows: rows["y"] * 1e97))
    with pytest.raises(ModelError, match="overflow 32-bit numbers with normalization none"):
        fit(panel, normalization="none")


def test_gaps_leave_the_linear_skip_accurate(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=1)
    whole, gappy = make_panel(rows), make_panel(rows.drop(index=range(30, 250, 11)))
    for panel in (whole, gappy):
        forecaster, _ = fit(panel, linear_skip=True, time_limit=1e-3)
        found = forecaster.forecast(panel, panel.part("test")).merge(panel.frame, on=["unique_id", "ds"])
        naive = SeasonalNaive(24, "naive").forecast(panel, panel.part("test")).merge(panel.frame)
        error = (found["lstm"] - found["y"]).abs().mean()
        assert error < (naive["naive"] - naive["y"]).abs().mean()


def test_forecast_needs_the_horizon_of_the_fit(panel: Panel, make_panel: Callable[..., Panel]) -> None:
    forecaster, _ = fit(panel, time_limit=1e-3)
    other = make_panel(hourly(), horizon=7)
    with pytest.raises(DataError, match="the panel's horizon: 7; allowed: 6"):
        forecaster.forecast(other, other.ends)


def test_altered_files_are_refused(panel: Panel, tmp_path: Path) -> None:
    forecaster, _ = fit(panel, time_limit=1e-3)
    forecaster.save(tmp_path)
    path, network = tmp_path / "network.json", tmp_path / "network.keras"
    text, content = path.read_text(), network.read_bytes()
    changed = json.loads(text)
    changed["spec"]["sequence_length"] = 30
    for bad, match in (
        ("{}", "Field required"),
        (json.dumps(changed), "inputs are not those"),
        ("\x80", "JSON"),
    ):
        path.write_text(bad)
        with pytest.raises(IntegrityError, match=match):
            LstmForecaster.load(tmp_path)
    path.write_text(text)
    at = content.index(b"\x89HDF")
    network.write_bytes(content[: at + 8] + b"\xff" * 40 + content[at + 48 :])
    with pytest.raises(IntegrityError, match=r"model\.weights\.h5 is damaged"):
        LstmForecaster.load(tmp_path)
    with zipfile.ZipFile(network, "w") as archive, zipfile.ZipFile(io.BytesIO(content)) as source:
        for name in source.namelist():
            archive.writestr(name, b"no weights" if name.endswith("h5") else source.read(name))
    with pytest.raises(IntegrityError, match="cannot be read"):
        LstmForecaster.load(tmp_path)
    path.unlink()
    network.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"network\.json"):
        LstmForecaster.load(tmp_path)


@pytest.mark.parametrize("cuda", [True, False], ids=["built-for-gpus", "built-for-processors"])
@pytest.mark.parametrize(("asked", "warned"), [("1", 1), ("0", 0), ("", 0), (None, 0)])
def test_pod_that_asked_for_a_gpu_and_sees_none_says_so_whatever_its_build(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    cuda: bool,
    asked: str | None,
    warned: int,
) -> None:
    monkeypatch.setattr("tensorflow.sysconfig.get_build_info", lambda: {"is_cuda_build": cuda})
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    monkeypatch.setenv("KUBECAST_IMAGE", "kubecast-tensorflow:1")
    monkeypatch.delenv("KUBECAST_ACCELERATORS", raising=False)
    if asked is not None:
        monkeypatch.setenv("KUBECAST_ACCELERATORS", asked)
    training._warn_without_gpu()
    found = [record.message for record in caplog.records if "sees none" in record.message]
    assert len(found) == warned
    assert all("image (kubecast-tensorflow:1)" in text and "driver" in text for text in found)


def test_pod_that_asked_for_a_gpu_and_sees_one_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: ["gpu"])
    monkeypatch.setenv("KUBECAST_ACCELERATORS", "1")
    training._warn_without_gpu()
    assert not caplog.records


def test_every_fit_asks_whether_its_gpu_is_there(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind: [])
    monkeypatch.setenv("KUBECAST_ACCELERATORS", "1")
    fit(panel, epochs=1)
    assert [record.levelname for record in caplog.records if "sees none" in record.message] == ["WARNING"]
