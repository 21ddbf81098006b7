from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.support.commands import SETTINGS
from tests.support.panels import hourly


def unruly(rows: int = 400) -> pd.DataFrame:
    """Several series with gaps, duplicates and rows in no order."""
    clean = hourly(rows=rows)
    random = np.random.default_rng(5)
    kept = clean.drop(index=random.choice(np.arange(20, len(clean) - 20), 15, replace=False))
    return pd.concat([kept, kept.sample(10, random_state=1)]).sample(frac=1, random_state=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    (folder / "configs").mkdir()
    for name, section in SETTINGS.items():
        (folder / "configs" / f"{name}.yaml").write_text(yaml.safe_dump({name: section}))
    unruly().to_csv(folder / "data.csv", index=False)
    return folder
