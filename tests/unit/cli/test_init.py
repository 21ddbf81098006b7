"""`kubecast init --from-data`: settings that follow from a file."""

import json
from pathlib import Path

import pytest

from kubecast.config.training import Columns
from kubecast.errors import ConfigError, DataError
from kubecast.settings.loading import load_settings
from tests.support.clusters import invoke
from tests.support.panels import hourly

NAMES = {"unique_id": "shop", "ds": "sold at", "y": "sales"}
OPTIONS = ["--id", "shop", "--time", "sold at", "--target", "sales"]


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Two shops by the hour, with a column that nobody reads."""
    path = tmp_path / "shops.csv"
    hourly(series=2).rename(columns=NAMES).assign(weather="fair").to_csv(path, index=False)
    return str(path)


def test_columns_and_frequency_become_settings(data: str, tmp_path: Path) -> None:
    folder = tmp_path / "shops"
    result = invoke("init", str(folder), "--from-data", data, *OPTIONS)
    assert result.stderr.splitlines() == [
        "columns    series shop, time sold at, target sales",
        "not read   weather: training.data.covariates takes covariates",
        "data       2 series, 770 rows, one every h",
        "horizon    24 steps; seasons of 24 steps",
        "           one season, as there is no --horizon; change it to what is acted on",
        f"next       kubecast validate --config {folder} --data {data}",
    ]
    training = load_settings(folder).training
    assert training.data.columns == Columns(**NAMES)
    assert (training.frequency, training.season_lengths, training.horizon) == ("h", None, 24)
    assert invoke("validate", "--config", str(folder), "--data", data).stdout.startswith("ready: ")


def test_what_is_given_is_kept_and_json_has_what_was_found(data: str, tmp_path: Path) -> None:
    words = ["--horizon", "6", "--season-length", "12", "--set", "training.data.covariates.past=[weather]"]
    with pytest.raises(
        DataError, match="weather"
    ):  # as run and validate refuse text that is no static covariate
        invoke("init", str(tmp_path / "refused"), "--from-data", data, *OPTIONS, *words)
    assert not (tmp_path / "refused").exists()
    result = invoke("init", str(tmp_path / "kept"), "--from-data", data, *OPTIONS, *words[:4], "--json")
    document = json.loads(result.stdout)
    assert (document["found"]["season_lengths"], document["found"]["horizon"]) == ([12], 6)
    assert (document["found"]["columns"], document["found"]["not_read"]) == (NAMES, ["weather"])
    assert load_settings(tmp_path / "kept").training.season_lengths == [12]


def test_season_that_the_data_does_not_show_yet_is_left_to_follow_from_it(tmp_path: Path) -> None:
    path, folder = tmp_path / "short.csv", tmp_path / "short"
    hourly(series=1, rows=40).to_csv(path, index=False)
    with pytest.raises(ConfigError, match=r"the data shows no season.*allowed: --horizon STEPS"):
        invoke("init", str(folder), "--from-data", str(path))
    invoke("init", str(folder), "--from-data", str(path), "--horizon", "3")
    assert load_settings(folder).training.season_lengths is None


@pytest.mark.long
def test_the_folder_runs_with_that_file(data: str, tmp_path: Path) -> None:
    quick = ["training.validation.max_origins=4", "catboost.iterations=5", "pipeline.models=[catboost]"]
    options = [word for text in quick for word in ("--set", text)]
    invoke("init", str(tmp_path / "shops"), "--from-data", data, *OPTIONS, "--horizon", "6", *options)
    words = ["--data", data, "--config", str(tmp_path / "shops"), "--output", str(tmp_path / "out"), "--json"]
    published = json.loads(invoke("run", *words).stdout)
    assert published["missing"] == {}
    assert (tmp_path / "out" / "report.html").exists()
