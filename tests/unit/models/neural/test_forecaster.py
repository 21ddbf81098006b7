"""A fitted network's forecasts and files."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data.panel import Panel
from kubecast.errors import DataError, IntegrityError
from kubecast.models.base import FitPlan
from kubecast.models.neural.lstm import LstmForecaster
from kubecast.models.neural.transformer import TransformerForecaster, TransformerTrainer
from tests.support.panels import hourly
from tests.unit.models.neural.support import TINY, fit, values

pytestmark = pytest.mark.slow


def test_values_near_the_largest_allowed_are_forecast(make_panel: Callable[..., Panel]) -> None:
    panel = make_panel(hourly(series=2).assign(y=lambda rows: rows["y"] * 1e97))
    forecaster, _ = fit(panel)
    assert np.isfinite(values(forecaster, panel)).all()


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


def test_network_saved_under_the_former_module_name_forecasts_the_same(panel: Panel, tmp_path: Path) -> None:
    forecaster, _ = TransformerTrainer(TINY[TransformerTrainer], "t").fit(
        panel, panel.train_end, FitPlan(seed=5)
    )
    forecaster.save(tmp_path)
    path = tmp_path / "network.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    former = b'"kubecast.models.transformer"'
    members["config.json"] = members["config.json"].replace(b'"kubecast.models.neural.transformer"', former)
    assert former in members["config.json"]
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    loaded = TransformerForecaster.load(tmp_path).forecast(panel, panel.split("test"))
    expected = forecaster.forecast(panel, panel.split("test"))
    pd.testing.assert_frame_equal(loaded, expected, check_exact=True)
