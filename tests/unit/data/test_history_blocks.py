"""The history that a model forecasts from does not depend on how rows are cut."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.config.training import TrainingSettings
from kubecast.data import parquet, partition
from kubecast.data.files import open_data, read_data
from kubecast.data.history import history_blocks, history_panel
from kubecast.data.panel import PanelSpec
from kubecast.data.preparation import build_panel
from kubecast.data.row_blocks import in_folder, in_memory, one_block
from kubecast.errors import DataError
from tests.support.panels import WITH_COVARIATES, hourly, small_settings
from tests.unit.data.test_preparation_blocks import assert_equal, decades, faulty, quarters

SUMS = {"min_samples": 1, "resample": "sum"}
FUTURE = {"min_samples": 1, "covariates": {"future": ["promotion"]}}
LATE = pd.Timestamp("2024-01-15")


def covered() -> pd.DataFrame:
    """Rows with a covariate up to their own ends."""
    return hourly(covariates=True)


def ahead() -> pd.DataFrame:
    """Known-future covariates after the rows, of a series that they lack too, and of times that they have."""
    rows = covered()
    last = rows.groupby("unique_id")["ds"].max() - pd.Timedelta(hours=2)
    tables = [
        pd.DataFrame({"unique_id": name, "ds": pd.date_range(end, periods=10, freq="h"), "promotion": 7.0})
        for name, end in [*last.items(), ("another", LATE)]
    ]
    return pd.concat(tables).sample(frac=1, random_state=3)


Case = tuple[Callable[[], pd.DataFrame], TrainingSettings, pd.Timestamp | None, pd.DataFrame | None]
CASES: dict[str, Case] = {
    "plain": (hourly, small_settings(), None, None),
    "seen in part": (hourly, small_settings(), LATE, None),
    "faulty": (faulty, small_settings(data=WITH_COVARIATES), None, None),
    "covariates from a file": (covered, small_settings(data=FUTURE), None, ahead()),
    "covariates, seen in part": (covered, small_settings(data=FUTURE), LATE, ahead()),
    "resampled": (quarters, small_settings(data={**SUMS, "empty": "zero"}), None, None),
    "every 10D": (decades, small_settings(frequency="10D", season_lengths=[4], data=SUMS), None, None),
}


def spec_of(name: str) -> PanelSpec:
    rows, settings, *_ = CASES[name]
    return build_panel(rows(), settings).spec


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_history_is_that_of_all_rows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, settings, as_of, future = CASES[name]
    rows, spec = make(), spec_of(name)
    known = [*rows["unique_id"].unique()[:2]]
    rows.to_parquet(tmp_path / "data.parquet", row_group_size=500)
    location = str(tmp_path / "data.parquet")
    whole = read_data(location, settings.data).rows
    expected = history_panel(whole, settings, spec, future=future, as_of=as_of, known=known)
    monkeypatch.setattr(partition, "RANGE_ROWS", 150)
    monkeypatch.setattr(parquet, "BLOCK_ROWS", 50)
    source = open_data(location, settings.data, None, tmp_path).blocks
    (tmp_path / "kept").mkdir()
    panel = history_blocks(
        source, settings, spec, in_folder(tmp_path / "kept"), future=future, as_of=as_of, known=known
    )
    assert len(list(source())) > 1
    assert len(list(panel)) > 1
    assert panel.outline.frame.empty
    assert_equal(panel.whole(), expected)


def test_names_that_are_known_otherwise_keep_their_order(tmp_path: Path) -> None:
    """As a version of before has them: 1.0, which comes after 1-a, and not before as 1 does."""
    rows = hourly(series=2).replace({"unique_id": {"s0": "1", "s1": "1-a"}})
    first, second = (rows[rows["unique_id"] == name] for name in ("1", "1-a"))
    for table in (first, second):
        table.attrs |= {"unit": "row", "names": [*rows.columns], "ordered": False, "source": "data"}
    spec = build_panel(rows, small_settings()).spec

    panel = history_blocks(
        lambda: iter([first, second]), small_settings(), spec, in_folder(tmp_path), known=["1.0"]
    )
    assert panel.series["unique_id"].tolist() == ["1-a", "1.0"]
    assert panel.whole().ids.tolist() == ["1-a", "1.0"]


def test_numbers_that_the_model_knows_as_text_stay_as_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 150)
    rows, settings = hourly(covariates=True), small_settings(data=WITH_COVARIATES)
    spec = build_panel(rows, settings).spec
    assert spec.categories == ["region"]
    coded = rows.assign(region=rows["region"].str[1:].astype(int))
    coded.to_parquet(tmp_path / "data.parquet")
    source = open_data(str(tmp_path / "data.parquet"), settings.data, None, tmp_path, spec.categories)
    panel = history_blocks(source.blocks, settings, spec, in_memory)
    assert (
        panel.outline.static["region"].tolist()
        == history_panel(coded, settings, spec).static["region"].tolist()
    )
    assert not panel.outline.static["region"].str.contains(".", regex=False).any()


def test_faults_of_a_file_of_covariates_are_named_in_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "RANGE_ROWS", 150)
    rows, settings = covered(), small_settings(data=FUTURE)
    rows.to_parquet(tmp_path / "data.parquet")
    source = open_data(str(tmp_path / "data.parquet"), settings.data, None, tmp_path).blocks
    assert len(list(source())) > 1
    spec = build_panel(rows, settings).spec
    off = ahead()
    off["ds"] = off["ds"].mask(off["unique_id"] == "s1", off["ds"] + pd.Timedelta(minutes=30))
    with pytest.raises(DataError, match=r"the file of future covariates, series s1: .* between the steps"):
        history_blocks(source, settings, spec, in_memory, future=off)
    later = rows.assign(y=np.nan)
    with pytest.raises(DataError, match="column y holds no value"):
        history_blocks(one_block(later), settings, spec, in_memory)
