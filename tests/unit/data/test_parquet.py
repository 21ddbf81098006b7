from pathlib import Path

import pandas as pd
import pytest

from kubecast.data.parquet import read_parquet


@pytest.fixture
def file(tmp_path: Path) -> Path:
    pd.DataFrame({"y": [1.0, 2.0]}).to_parquet(tmp_path / "a.parquet")
    return tmp_path / "a.parquet"


def test_python_opens_no_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow's threads would let go of it as the process ends, and abort."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("pandas.io.parquet.get_handle", refused)
    with pytest.raises(AssertionError, match="opened"):
        pd.read_parquet(file)
    assert read_parquet(file)["y"].tolist() == [1.0, 2.0]


def test_bytes_of_a_file_are_read_as_the_file(file: Path) -> None:
    pd.testing.assert_frame_equal(read_parquet(file.read_bytes()), pd.read_parquet(file))
