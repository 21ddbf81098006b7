import pandas as pd
import pytest

import kubecast
from kubecast import Model
from tests.support.panels import QUICK_FIT, hourly


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """Two series under names of their own."""
    return hourly(series=2).rename(columns={"unique_id": "store", "ds": "hour", "y": "sales"})


@pytest.fixture(scope="session")
def model(rows: pd.DataFrame) -> Model:
    """One fit for all tests; a minute is far more than it takes."""
    return kubecast.fit(
        rows,
        6,
        freq="h",
        season_length=[24],
        models=["catboost"],
        overrides=QUICK_FIT,
        id_col="store",
        time_col="hour",
        target_col="sales",
        time_limit=60,
    )
