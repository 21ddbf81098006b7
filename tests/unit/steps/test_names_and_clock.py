"""Forecasts come out on the clock and under the column names of the data, however these were given."""

from pathlib import Path

import pandas as pd
import pytest

from kubecast.config.training import Columns
from kubecast.ensemble.bundle import Bundle, mase
from kubecast.registry import Registry
from tests.support.batches import batch_forecast
from tests.support.panels import SMALL, hourly
from tests.support.runs import run

pytestmark = pytest.mark.slow

BERLIN = "Europe/Berlin"
NAMES = {"unique_id": "shop", "ds": "time", "y": "sales"}
COLUMNS = Columns(**NAMES)
END = pd.Timestamp("2024-03-31 04:00", tz=BERLIN)  # just after the clock went forward


def rows(how: str = "clock") -> pd.DataFrame:
    """Hourly rows of Berlin up to ``END``, as text on the local clock, with offsets or in UTC."""
    table = hourly()
    times = table["ds"] + (END.tz_convert("UTC").tz_localize(None) - table["ds"].max())
    local = times.dt.tz_localize("UTC").dt.tz_convert(BERLIN)
    text = {
        "clock": local.dt.strftime("%Y-%m-%d %H:%M"),
        "offsets": local.map(pd.Timestamp.isoformat),
        "utc": times.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "zone": local,
    }[how]
    return table.assign(ds=text).rename(columns=NAMES)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = SMALL["data"] | {"timezone": BERLIN, "columns": NAMES}
    return run(rows(), tmp_path_factory.mktemp("clock") / "run", data=data)


def bundle(finished: Path, part: str, folder: Path) -> Bundle:
    registry = Registry.open(str(finished / "registry"))
    return Bundle.load(registry.fetch(registry.resolve("forecaster"), part, folder / "fetched"))


def test_the_forecast_of_a_run(finished: Path) -> None:
    table = pd.read_parquet(finished / "forecast.parquet")
    assert list(table.columns[:3]) == ["shop", "time", "yhat"]
    assert str(table["time"].dt.tz) == BERLIN
    assert table["time"].max() == END + pd.Timedelta(hours=6)


@pytest.mark.parametrize("how", ["clock", "offsets", "utc", "zone"])
def test_forecasts_of_data_however_its_clock_is_written(finished: Path, tmp_path: Path, how: str) -> None:
    table = bundle(finished, "production", tmp_path).forecast(rows(how))
    pd.testing.assert_frame_equal(table, pd.read_parquet(finished / "forecast.parquet"), rtol=1e-6)
    table.to_csv(tmp_path / "table.csv", index=False)
    assert pd.read_csv(tmp_path / "table.csv")["time"].iloc[0] == "2024-03-31 05:00:00+02:00"


def test_backtests(finished: Path, tmp_path: Path) -> None:
    table = bundle(finished, "evaluated", tmp_path).backtest(rows(), stride=6)
    assert list(table.columns[:6]) == ["shop", "cutoff", "time", "sales", "observed", "scale"]
    assert str(table["cutoff"].dt.tz) == str(table["time"].dt.tz) == BERLIN
    assert 0 < mase(table, COLUMNS) < 2


def test_batches_say_in_utc_where_they_begin(finished: Path, tmp_path: Path) -> None:
    rows().to_csv(tmp_path / "new.csv", index=False)
    data, registry, copy = str(tmp_path / "new.csv"), str(finished / "registry"), tmp_path / "copy.parquet"
    batch = batch_forecast(data, registry, "forecaster", str(tmp_path / "batches"), 0, "", "", copy)
    pd.testing.assert_frame_equal(
        pd.read_parquet(copy), pd.read_parquet(finished / "forecast.parquet"), rtol=1e-6
    )
    assert batch.last.isoformat() == "2024-03-31T08:00:00"
    assert batch.batch.startswith("20240331T030000Z")
