"""The file of the ARIMAs of many series."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet
import pytest

from kubecast.models.arima import stored
from kubecast.models.arima.filter import Arima
from kubecast.models.arima.recipe import Recipe, SeriesModel
from kubecast.models.arima.stored import StoredModels, join_models, write_models

SMALLEST = 5e-324


def model(number: int) -> list[SeriesModel]:
    arima = Arima([0.1 * number, 1 / 3, SMALLEST], [1.0], (1, 0), 1)
    return [SeriesModel(Recipe((1, 1, 0), seasons=((24, 0.3),)), arima, [0, 2], [-0.0, 1e308], "2020-01-01")]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[SeriesModel]]:
    monkeypatch.setattr(stored, "GROUP", 3)
    return {f"s{number}": model(number) for number in range(8)}


def test_every_series_is_read_in_any_order(models: dict[str, list[SeriesModel]], tmp_path: Path) -> None:
    write_models(dict(reversed(models.items())), tmp_path / "models")
    read = StoredModels.open(tmp_path / "models")
    assert list(read) == sorted(models)
    assert len(read) == len(models)
    for name in ["s7", "s0", "s4", "s3", "s2", "s1", "s6", "s5"]:
        assert read[name] == models[name]


@pytest.mark.parametrize("name", ["", "s", "s00", "s9", "t"])
def test_a_series_without_models_is_not_found(
    models: dict[str, list[SeriesModel]], tmp_path: Path, name: str
) -> None:
    write_models(models, tmp_path / "models")
    read = StoredModels.open(tmp_path / "models")
    assert read.get(name) is None
    assert name not in read


def test_a_file_without_series_has_none(tmp_path: Path) -> None:
    write_models({}, tmp_path / "models")
    read = StoredModels.open(tmp_path / "models")
    assert (len(read), list(read), read.get("s0")) == (0, [], None)


def test_files_are_joined_whatever_their_groups(models: dict[str, list[SeriesModel]], tmp_path: Path) -> None:
    names = sorted(models)
    for number, own in enumerate((names[:1], [], names[1:6], names[6:])):
        write_models({name: models[name] for name in own}, tmp_path / f"{number}")
    join_models([tmp_path / f"{number}" for number in range(4)], tmp_path / "joined")
    assert dict(StoredModels.open(tmp_path / "joined")) == models


def test_several_threads_read_what_one_reads(models: dict[str, list[SeriesModel]], tmp_path: Path) -> None:
    write_models(models, tmp_path / "models")
    read = StoredModels.open(tmp_path / "models")
    names = [f"s{number * step % 8}" for step in (1, 3, 5, 7) for number in range(2_000)]
    with ThreadPoolExecutor(4) as threads:
        for name, read_models in zip(names, threads.map(read.__getitem__, names), strict=True):
            assert read_models == models[name]


def test_some_series_are_in_memory_at_a_time(models: dict[str, list[SeriesModel]], tmp_path: Path) -> None:
    write_models(models, tmp_path / "models")
    assert pyarrow.parquet.ParquetFile(tmp_path / "models").num_row_groups == 3
