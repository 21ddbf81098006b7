"""Fitted CatBoost models: their average and their files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kubecast.data.panel import Panel
from kubecast.errors import IntegrityError
from kubecast.models.base import FitPlan
from kubecast.models.catboost.forecaster import CatBoostForecaster
from tests.support.panels import hourly
from tests.unit.models.catboost.support import trainer


@pytest.fixture(scope="module")
def fitted(panel: Panel) -> CatBoostForecaster:
    return trainer().fit(panel, panel.train_end, FitPlan())[0]


def test_only_its_own_two_files_are_written(fitted: CatBoostForecaster, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["catboost-1.cbm", "catboost.json"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "missing", "spec", "not JSON", "large"])
def test_damaged_files_are_refused(
    fitted: CatBoostForecaster, tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted.save(tmp_path)
    model, spec = tmp_path / "catboost-1.cbm", tmp_path / "catboost.json"
    content = json.loads(spec.read_text())
    if damage in ("truncated", "empty", "foreign"):
        whole = model.read_bytes()
        model.write_bytes(
            {"truncated": whole[: len(whole) // 2], "empty": b"", "foreign": b"x" * 100}[damage]
        )
    elif damage == "missing":
        model.unlink()
    elif damage == "large":
        monkeypatch.setattr("kubecast.models.catboost.forecaster.LARGEST_FILE", 10)
    else:
        spec.write_text("{" if damage == "not JSON" else json.dumps({**content, "more": 1}))
    with pytest.raises(IntegrityError):
        CatBoostForecaster.load(tmp_path)


@pytest.mark.slow
def test_a_short_series_is_forecast_by_the_models_that_can(make_panel: Callable[..., Panel]) -> None:
    rows = hourly(series=2, rows=400)
    rows = rows[(rows["unique_id"] != "s1") | (rows.groupby("unique_id").cumcount() >= 330)]
    panel = make_panel(rows)
    members = [{"iterations": 5, "differences": lags, "weight": 0.5} for lags in ([1], [24, 24])]
    forecaster, log = trainer().fit(panel, panel.ends, FitPlan(fixed_fit={"members": members}))
    assert not log.fallbacks
    first = forecaster.members[0].forecast(panel, panel.ends)
    forecasts = forecaster.forecast(panel, panel.ends)["catboost"].to_numpy().reshape(first.shape)
    np.testing.assert_allclose(forecasts[1], first[1])
    assert not np.allclose(forecasts[0], first[0])
