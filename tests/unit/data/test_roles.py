"""Files whose columns have names of their own."""

import shlex
from pathlib import Path

import pandas as pd
import pytest

from kubecast.data.findings import Notes
from kubecast.data.preparation import build_panel
from kubecast.data.roles import rename_columns, with_two_columns
from tests.support.commands import kubecast_here
from tests.support.panels import hourly, small_settings
from tests.support.sources import panel_of


def one_series(time: str = "date", target: str = "sales") -> pd.DataFrame:
    rows = hourly(series=1, rows=200)
    return rows.rename(columns={"ds": time, "y": target})[[time, target]]


@pytest.mark.parametrize(("time", "target"), [("date", "sales"), ("ds", "sales"), ("Datum", "y")])
@pytest.mark.parametrize("reverse", [False, True])
def test_only_column_of_dates_and_only_one_of_numbers_are_understood(
    tmp_path: Path, time: str, target: str, reverse: bool
) -> None:
    rows = one_series(time, target)
    rows[[target, time] if reverse else [time, target]].to_csv(tmp_path / "data.csv", index=False)
    panel = panel_of(str(tmp_path / "data.csv"))
    expected = build_panel(one_series("ds", "y"), small_settings())
    pd.testing.assert_frame_equal(panel.frame, expected.frame)
    assert panel.spec.columns == {"unique_id": "unique_id", "ds": time, "y": target}
    (finding,) = (each for each in panel.report.findings if each.what == "columns")
    assert finding.detail.startswith(f"the time is read from {time} and the target from {target}")


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"year": ["2024", "2025"], "sales": [1, 2]}),
        pd.DataFrame({"date": ["2024-01-01", "2024-01-02"], "paid": ["2024-01-01", "2024-01-02"]}),
        pd.DataFrame({"date": ["2024-01-01", "2024-01-02"], "shop": ["a", "b"]}),
        pd.DataFrame({"date": ["2024-01-01", "2024-01-02"], "sales": [1, 2], "shop": ["a", "b"]}),
        pd.DataFrame({"unique_id": ["2024-01-01", "2024-01-02"], "sales": [1, 2]}),
    ],
)
def test_nothing_is_guessed(rows: pd.DataFrame) -> None:
    settings, notes = small_settings(), Notes()
    assert with_two_columns(rows, settings, notes) is settings
    assert not notes.findings


def test_name_that_is_given_is_never_replaced() -> None:
    settings = small_settings(data={"min_samples": 1, "columns": {"ds": "day"}})
    assert with_two_columns(one_series(), settings, Notes()) is settings


@pytest.mark.parametrize(
    "columns",
    [
        {"date": "ds", "sales": "y", "weather": "y"},
        {"sold on": "ds", "units": "y", "note": ""},
        {"Timestamp": "ds", "Value": "y", "price": "y"},
    ],
)
def test_remedy_in_the_message_works(tmp_path: Path, columns: dict[str, str]) -> None:
    rows = hourly(series=1, rows=200)
    table = pd.DataFrame({name: rows[role] if role else "text" for name, role in columns.items()})
    table.to_csv(tmp_path / "data.csv", index=False)
    words = ["validate", "--data", str(tmp_path / "data.csv"), "--horizon", "6", "--freq", "h"]
    words += ["--set", "training.data.min_samples=100"]
    refused = kubecast_here(*words)
    assert refused.returncode == 2
    remedy = shlex.split(refused.stderr.rpartition("e.g. ")[2])
    assert remedy[::2] == ["--time", "--target"]
    accepted = kubecast_here(*words, *remedy)
    assert accepted.returncode == 0, accepted.stderr


def test_columns_are_renamed_and_take_the_place_of_others() -> None:
    rows = pd.DataFrame({"ds": [1], "date": [2], "y": [3]})
    rows.attrs["names"] = ["ds", "date", "y", "tags"]
    renamed = rename_columns(rows, {"date": "ds", "y": "y"})
    assert renamed.to_dict("list") == {"ds": [2], "y": [3]}
    assert renamed.attrs["names"] == ["ds", "y", "tags"]
