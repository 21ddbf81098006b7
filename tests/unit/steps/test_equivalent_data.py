"""Data that says the same is the same: in any order, of any types, on any clock, forecasts are equal."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubecast.data.files import read_data
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from kubecast.ensemble.bundle import Bundle
from kubecast.registry import Registry
from tests.support.panels import SMALL, WITH_COVARIATES, hourly, small_settings
from tests.support.runs import run

BERLIN = "Europe/Berlin"
DATA: dict[str, Any] = {**SMALL["data"], **WITH_COVARIATES, "timezone": BERLIN}

shared_folder = settings(
    deadline=None,
    max_examples=25,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

CLOCKS: dict[str, Callable[["pd.Series[Any]"], "pd.Series[Any]"]] = {
    "local": lambda ds: ds.dt.tz_localize(None),
    "zone": lambda ds: ds,
    "another zone": lambda ds: ds.dt.tz_convert("America/New_York"),
    "offsets": lambda ds: ds.map(pd.Timestamp.isoformat),
    "utc": lambda ds: ds.dt.tz_convert("UTC").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "microseconds": lambda ds: ds.dt.as_unit("us"),
}
IDS: dict[str, Callable[[int], object]] = {
    "int": int,
    "float": float,
    "text": str,
    "decimal text": "{}.0".format,
    "decimal": lambda number: Decimal(f"{number}.00"),
}


def rows() -> pd.DataFrame:
    """Hourly rows of three series, 1 to 3, in summer time of Berlin, with a covariate of each kind."""
    table = hourly(covariates=True)
    numbers = table["unique_id"].str.removeprefix("s").astype(int) + 1
    ds = (table["ds"] + pd.Timedelta(days=120)).dt.tz_localize(BERLIN)
    return table.assign(unique_id=numbers, ds=ds)


@st.composite
def writings(draw: st.DrawFn) -> Callable[[pd.DataFrame, Path], Path]:
    """One way to write rows to a file."""
    ids, clock = draw(st.sampled_from(sorted(IDS))), draw(st.sampled_from(sorted(CLOCKS)))
    suffix, seed = draw(st.sampled_from(["csv", "parquet"])), draw(st.integers(0, 2**31))
    order = draw(st.sampled_from(["as it is", "newest first", "shuffled"]))

    def write(table: pd.DataFrame, folder: Path) -> Path:
        random, path = np.random.default_rng(seed), folder / f"data.{suffix}"
        places = {"as it is": np.arange(len(table)), "newest first": np.arange(len(table))[::-1]}
        table = table.iloc[places.get(order, random.permutation(len(table)))]
        table = table[random.permutation(table.columns)]
        table = table.assign(unique_id=table["unique_id"].map(IDS[ids]), ds=CLOCKS[clock](table["ds"]))
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path, index=False)
        return path

    return write


def panel_of(path: Path) -> Panel:
    return build_panel(read_data(str(path)).rows, small_settings(data=DATA))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    path = tmp_path_factory.mktemp("reference") / "data.parquet"
    rows().to_parquet(path, index=False)
    return panel_of(path)


@pytest.mark.slow
@given(write=writings())
@shared_folder
def test_panels_are_equal(
    reference: Panel, tmp_path: Path, write: Callable[[pd.DataFrame, Path], Path]
) -> None:
    panel = panel_of(write(rows(), tmp_path))
    pd.testing.assert_frame_equal(panel.frame, reference.frame, check_exact=True)
    pd.testing.assert_frame_equal(panel.static, reference.static, check_exact=True)
    pd.testing.assert_frame_equal(panel.series, reference.series, check_exact=True)
    pd.testing.assert_frame_equal(panel.origins, reference.origins, check_exact=True)
    assert panel.spec == reference.spec


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("equivalent")
    done = run(rows(), folder / "run", data={**DATA, "covariates": {}})
    registry = Registry.open(str(done / "registry"))
    return Bundle.load(registry.fetch(registry.resolve("forecaster"), "production", folder / "fetched"))


@pytest.mark.slow
@given(write=writings())
@shared_folder
def test_forecasts_are_equal(
    bundle: Bundle, tmp_path: Path, write: Callable[[pd.DataFrame, Path], Path]
) -> None:
    expected = bundle.forecast(rows())
    table = bundle.forecast(read_data(str(write(rows(), tmp_path))).rows)
    pd.testing.assert_frame_equal(
        table, expected.assign(ds=expected["ds"].dt.tz_convert(table["ds"].dt.tz)), rtol=1e-9
    )


@pytest.mark.slow
@given(hours=st.integers(1, 150), noise=st.floats(-1e6, 1e6))
@shared_folder
def test_forecasts_of_a_prefix_are_those_of_that_time(bundle: Bundle, hours: int, noise: float) -> None:
    table = rows()
    moment = table["ds"].max() - pd.Timedelta(hours=hours)
    prefix = bundle.forecast(table[table["ds"] <= moment])
    altered = table.assign(y=table["y"].where(table["ds"] <= moment, noise))
    as_of = moment.tz_convert("UTC").tz_localize(None)
    pd.testing.assert_frame_equal(bundle.forecast(altered, as_of=as_of), prefix, check_exact=True)
