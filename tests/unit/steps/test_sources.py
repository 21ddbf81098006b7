"""Every kind of source through the steps, the command and a notebook."""

from collections.abc import Callable
from pathlib import Path

import deltalake
import duckdb
import pandas as pd
import pyarrow as pa
import pytest

import kubecast
from kubecast.data.panel import Panel
from kubecast.errors import DataError
from kubecast.steps.prepare import prepare_data
from tests.support.batches import batch_forecast
from tests.support.commands import kubecast_here
from tests.support.panels import hourly
from tests.support.runs import resolved_inputs, run
from tests.support.sources import long_rows, write_folder


def delta(folder: Path, rows: pd.DataFrame) -> str:
    deltalake.write_deltalake(str(folder), pa.Table.from_pandas(rows, preserve_index=False))
    return str(folder)


def duck(folder: Path, rows: pd.DataFrame) -> str:
    with duckdb.connect(f"{folder}.duckdb") as connection:
        connection.register("rows", rows)
        connection.execute("CREATE TABLE sales AS SELECT * FROM rows")
    return f"{folder}.duckdb"


def files(folder: Path, rows: pd.DataFrame) -> str:
    return write_folder(folder, rows, "csv.gz", 3, ["unique_id"])


Make = Callable[[Path, pd.DataFrame], str]
KINDS = pytest.mark.parametrize("make", [delta, duck, files])


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("as_of", ["", "2024-01-12T05:00"])
def test_source_is_resolved_and_prepared(tmp_path: Path, make: Make, as_of: str) -> None:
    data = make(tmp_path / "data", long_rows())
    resolved = resolved_inputs(tmp_path, as_of, source=data)
    arguments = resolved.digest, resolved.as_of, resolved.settings
    panel = prepare_data(data, *arguments, tmp_path / "panel")
    assert panel.spec.digest == resolved.digest
    long_rows().drop(columns="tags").to_csv(tmp_path / "data.csv", index=False)
    plain = resolved_inputs(tmp_path, as_of)
    assert plain.as_of == resolved.as_of
    expected = prepare_data(
        str(tmp_path / "data.csv"), plain.digest, plain.as_of, plain.settings, tmp_path / "plain"
    )
    pd.testing.assert_frame_equal(panel.frame, expected.frame)
    with pytest.raises(DataError, match="changed since it was first read"):
        prepare_data(data, "0" * 64, *arguments[1:], tmp_path / "other")


@pytest.mark.slow
@KINDS
def test_later_targets_of_a_source_are_not_seen(tmp_path: Path, make: Make) -> None:
    rows, moment = long_rows(), "2024-01-12T05:00"
    panels = []
    for name, factor in (("one", 1.0), ("other", 7.0)):
        altered = rows.assign(y=rows["y"].where(rows["ds"] <= moment, rows["y"] * factor))
        data = make(tmp_path / name, altered)
        resolved = resolved_inputs(tmp_path, moment, source=data)
        prepare_data(data, resolved.digest, resolved.as_of, resolved.settings, tmp_path / f"{name}-panel")
        panels.append(Panel.load(tmp_path / f"{name}-panel"))
    pd.testing.assert_frame_equal(panels[0].frame, panels[1].frame)


@KINDS
def test_source_is_validated(tmp_path: Path, make: Make) -> None:
    renamed = {"unique_id": "shop", "ds": "day", "y": "sales"}
    data = (
        make(tmp_path / "data", long_rows())
        if make is files
        else make(tmp_path / "data", long_rows().rename(columns=renamed))
    )
    names = [] if make is files else ["--id", "shop", "--time", "day", "--target", "sales"]
    query = ["--query", "SELECT * FROM sales WHERE shop = 's0'"] if make is duck else []
    words = ["validate", "--data", data, "--horizon", "6", "--set", "training.data.min_samples=100", "--json"]
    answer = kubecast_here(*words, *names, *query)
    assert answer.returncode == 0, answer.stderr
    assert f'"series": {1 if make is duck else 3}' in answer.stdout


def test_folder_of_partitions_takes_the_names_of_options(tmp_path: Path) -> None:
    rows = long_rows().rename(columns={"unique_id": "shop"})
    data = write_folder(tmp_path / "data", rows, "parquet", 1, ["shop"])
    answer = kubecast_here(
        "validate", "--data", data, "--id", "shop", "--horizon", "6",
        "--set", "training.data.min_samples=100", "--json",
    )  # fmt: skip
    assert '"series": 3' in answer.stdout, answer.stderr


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(hourly(), tmp_path_factory.mktemp("sources") / "run")


@pytest.mark.slow
@KINDS
def test_new_data_is_forecast_from_any_source(published: Path, tmp_path: Path, make: Make) -> None:
    registry, copy = str(published / "registry"), tmp_path / "copy.parquet"
    tables = []
    for data in (str(published / "data.csv"), make(tmp_path / "data", long_rows())):
        batch_forecast(data, registry, "forecaster", str(tmp_path / "out"), 0, "", "", copy)
        tables.append(pd.read_parquet(copy))
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.slow
def test_command_forecasts_and_backtests_data_under_other_names(published: Path, tmp_path: Path) -> None:
    names = {"unique_id": "shop", "ds": "day", "y": "sales"}
    data = duck(tmp_path / "data", hourly().rename(columns=names).assign(ds="x"))
    words = ["--registry", str(published / "registry"), "--model", "forecaster"]
    options = ["--id", "shop", "--time", "day", "--target", "sales", "--query", "SELECT * FROM sales"]
    outputs = {}
    for name, more in {"own": [], "other": options}.items():
        outputs[name] = tmp_path / f"{name}.csv", tmp_path / f"{name}-backtest.csv"
        source = ["--data", data if more else str(published / "data.csv"), *more]
        for command, output in zip((["forecast"], ["backtest", "--stride", "6"]), outputs[name], strict=True):
            answer = kubecast_here(*command, *words, *source, "--output", str(output))
            assert answer.returncode == 0, answer.stderr
    for one, other in zip(outputs["own"], outputs["other"], strict=True):
        assert one.read_text() == other.read_text()
    refused = kubecast_here(
        "forecast", *words, *source[:2], "--query", "x", "--output", "f.csv", *["--data", "a.csv"]
    )
    assert "training.data.query is set; allowed: with a database alone" in refused.stderr


@pytest.mark.slow
def test_notebook_takes_a_location(tmp_path: Path) -> None:
    rows = hourly(series=1, rows=200).rename(columns={"ds": "day", "y": "sales"})[["day", "sales"]]
    rows.to_csv(tmp_path / "data.csv", index=False)
    settings = ["training.data.min_samples=1", "training.validation.max_origins=8", "catboost.iterations=5"]
    fitted = kubecast.fit(tmp_path / "data.csv", 6, season_length=24, models=["catboost"], overrides=settings)
    forecasts = fitted.forecast(str(tmp_path / "data.csv"))
    pd.testing.assert_frame_equal(forecasts, fitted.forecast(rows))
    assert forecasts["day"].min() > rows["day"].max()
