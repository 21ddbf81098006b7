"""One test for each kind of bad input, its number first; each goes in where the user's input does.

Rows 30, 33, 34 and those from 40 on concern models, the registry and its store, and are tested there.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.files import read_data
from kubecast.data.history import history_panel
from kubecast.data.panel import Panel
from kubecast.data.preparation import build_panel
from kubecast.errors import ConfigError, DataError, InputError, InvalidName
from kubecast.names import check_name
from kubecast.settings.loading import AllSettings, load_settings
from tests.support.panels import WITH_COVARIATES, hourly, small_settings

Change = Callable[[pd.DataFrame], pd.DataFrame]


def panel_of(folder: Path, given: bytes | pd.DataFrame, **changes: object) -> Panel:
    """Read a CSV file and build a panel, as a run does."""
    path = folder / "data.csv"
    if isinstance(given, bytes):
        path.write_bytes(given)
    else:
        given.to_csv(path, index=False)
    return build_panel(read_data(str(path)).rows, small_settings(**changes))


def kinds(panel: Panel) -> set[str]:
    return {finding.what for finding in panel.report.findings}


CSV = hourly(series=1).to_csv(index=False).encode()


def with_line(number: int, text: bytes) -> bytes:
    """The file with one line replaced; the header is line 1."""
    lines = CSV.splitlines(keepends=True)
    lines[number - 1] = text + b"\n"
    return b"".join(lines)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "the file is empty", id="1-empty"),
        pytest.param(b"unique_id,ds,y\n", "a header and no rows", id="1-header-alone"),
        pytest.param(CSV[: CSV.rindex(b",")], "line 401: 2 columns; allowed: 3", id="2-last-row-truncated"),
        pytest.param(CSV[: CSV.rindex(b",") - 2], "line 401: 2 columns", id="2-last-timestamp-truncated"),
        pytest.param(with_line(7, b"s0,2024-01-01 05:00:00,1,2"), "line 7: 4 columns", id="3-too-many"),
        pytest.param(with_line(7, b"s0,2024-01-01 05:00:00"), "line 7: 2 columns", id="3-too-few"),
        pytest.param(with_line(9, b"s0,2024-01-01 07:00:00,\0"), "line 9: a NUL byte", id="4-nul"),
        pytest.param(bytes(range(1, 256)) * 8, "allowed", id="4-binary"),
        pytest.param(CSV.decode().encode("utf-16"), "UTF-16 text", id="5-utf-16"),
        pytest.param(with_line(4, b"s\xe4,2024-01-01 02:00:00,1"), "line 4: not UTF-8", id="5-latin-1"),
        pytest.param(CSV.replace(b",y\n", b",z\n"), "column y is missing; found: unique_id, ds, z", id="7"),
        pytest.param(CSV.replace(b",ds,", b",y,"), "column 'y' appears more than once", id="8"),
        pytest.param(with_line(5, b"s0,2024-01-01 03:00:00,high"), "line 5: y holds 'high'", id="9"),
        pytest.param(
            with_line(5, b's0,2024-01-01 03:00:00,"1,5"'),
            r"line 5: y holds '1,5' \(a decimal comma\?\)",
            id="10",
        ),
        pytest.param(with_line(5, b"s0,2024-01-01 03:00:00,inf"), "line 5: y is inf", id="12"),
        pytest.param(with_line(5, b"s0,2024-01-01 03:00:00,1e308"), r"line 5: y is 1e\+308", id="15"),
        pytest.param(with_line(5, b"s0,2024-01-01 02:00:00,7"), "line 4, 5: .* two different rows", id="18"),
        pytest.param(with_line(5, b"s0,2024-01-01 03:00:01,7"), "03:00:01 is off the grid of h", id="21"),
        pytest.param(
            with_line(5, b"s0,2024-01-01 03:00:00Z,7"), "has no time zone and other rows", id="22-naive"
        ),
        pytest.param(
            with_line(5, b"s0,01/02/2024 03:00,7"), "line 5: .* set training.data.timestamp_format", id="24"
        ),
        pytest.param(with_line(5, b"s0,0024-01-01,7"), "line 5: .* from 1678 to 2262", id="25-out-of-range"),
        pytest.param(b"\x80\x05" + pickle.dumps(1), "never opened", id="40-pickle"),
    ],
)
def test_file_that_is_refused(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        panel_of(tmp_path, data)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


def test_5_byte_order_mark_is_fine(tmp_path: Path) -> None:
    assert len(panel_of(tmp_path, b"\xef\xbb\xbf" + CSV).frame) == 400


def test_6_file_over_the_size_cap_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as stream:
        stream.truncate(3 << 30)  # takes no space
    with pytest.raises(DataError, match=r"3221225472 bytes; allowed: training.data.max_bytes = 2147483648"):
        read_data(str(path))


def test_40_pickle_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="never opened"):
        read_data(str(tmp_path / "data.pkl"))


def replaced(column: str, value: object, rows: slice) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table.index[rows], column] = value
        return table

    return change


def in_future(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(ds=table["ds"] + pd.Timedelta(days=365 * 100))


def two_zones(table: pd.DataFrame) -> pd.DataFrame:
    winter = table["ds"].astype(str) + "+01:00"
    summer = (table["ds"] + pd.Timedelta(hours=1)).astype(str) + "+02:00"
    return table.assign(ds=np.where(np.arange(len(table)) < 200, winter, summer))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(replaced("y", np.nan, slice(30, 40)), "missing", id="11"),
        pytest.param(replaced("y", 5.0, slice(None, 400)), "constant", id="14"),
        pytest.param(
            lambda table: table[~table["unique_id"].eq("s2") | (table.index > 1085)], "short", id="16"
        ),
        pytest.param(lambda table: pd.concat([table, table[50:60]]), "deduplicated", id="17"),
        pytest.param(lambda table: table.sample(frac=1, random_state=0), "sorted", id="19"),
        pytest.param(in_future, "future_dates", id="25"),
        pytest.param(replaced("y", 0.0, slice(30, 40)), "zeros", id="29"),
    ],
)
def test_data_that_is_repaired_and_reported(change: Change, kind: str, tmp_path: Path) -> None:
    panel = panel_of(tmp_path, change(hourly()))
    assert kind in kinds(panel)
    assert "NaN" not in panel.report.model_dump_json()


def test_11_too_many_missing_targets_are_refused(tmp_path: Path) -> None:
    rows = hourly()
    rows.loc[np.arange(len(rows)) % 3 > 0, "y"] = np.nan
    with pytest.raises(DataError, match=r"series s0: 266 of 400 .* training.data.max_missing = 0.3"):
        panel_of(tmp_path, rows)


@pytest.mark.parametrize("column", ["y", "promotion", "region"])
def test_13_column_without_a_value_is_refused(column: str, tmp_path: Path) -> None:
    rows = hourly(covariates=True).assign(**{column: np.nan})
    with pytest.raises(DataError, match=f"column {column} holds no value"):
        panel_of(tmp_path, rows, data=WITH_COVARIATES)


def test_14_constant_series_has_a_scale_that_nothing_divides_by_zero(tmp_path: Path) -> None:
    panel = panel_of(tmp_path, replaced("y", 5.0, slice(None, 400))(hourly()))
    assert (panel.series["scale"] > 0).all()


def test_16_series_that_are_all_too_short_are_refused_with_the_minimum(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="no series has the 14 training rows that a fit needs, the most is 13"
    ):
        panel_of(tmp_path, hourly(series=1, rows=13), horizon=10, season_lengths=None)
    assert panel_of(tmp_path, hourly(series=1, rows=14), horizon=10, season_lengths=None)


def test_20_series_with_a_huge_gap_is_left_out_and_named(tmp_path: Path) -> None:
    rows = hourly(series=2, covariates=True).drop(index=range(100, 190))
    panel = panel_of(tmp_path, rows, data=WITH_COVARIATES)
    assert panel.ids.tolist() == ["s1"]
    assert panel.static["unique_id"].tolist() == panel.series["unique_id"].tolist() == ["s1"]
    (finding,) = (each for each in panel.report.findings if each.what == "left_out")
    assert finding.series == "s0"
    assert "90 of them in one gap; allowed: training.data.max_gap = 72, or" in finding.detail
    assert len(panel_of(tmp_path, rows, data={**WITH_COVARIATES, "max_gap": 90}).ids) == 2


def test_20_data_of_which_every_series_has_a_huge_gap_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"series s0: .* 90 of them in one gap; allowed: training.data.max_gap = 72"
    ):
        panel_of(tmp_path, hourly(series=1).drop(index=range(100, 190)))


def test_20_wrong_year_is_refused(tmp_path: Path) -> None:
    rows = hourly(series=1)
    rows.loc[0, "ds"] = pd.Timestamp("1970-01-01")
    with pytest.raises(DataError, match=r"series s0: .* in one gap"):
        panel_of(tmp_path, rows)


@pytest.mark.parametrize("how", ["mean", "sum", "last"])
def test_21_irregular_rows_are_resampled_on_request(how: str, tmp_path: Path) -> None:
    rows = hourly()
    rows["ds"] += pd.to_timedelta(np.random.default_rng(0).integers(0, 3600, len(rows)), "s")
    panel = panel_of(tmp_path, rows, data={"min_samples": 1, "resample": how})
    assert "resampled" in kinds(panel)
    assert len(panel.frame) == len(rows)


def test_22_mixed_offsets_are_brought_to_utc(tmp_path: Path) -> None:
    panel = panel_of(tmp_path, two_zones(hourly(series=1)))
    assert len(panel.frame) == 400
    assert panel.frame["ds"][0] == pd.Timestamp("2023-12-31T23:00")


@pytest.mark.parametrize("start", ["2024-03-25", "2024-10-21"], ids=["missing-hour", "doubled-hour"])
def test_23_nothing_is_lost_at_a_clock_change(start: str, tmp_path: Path) -> None:
    rows = hourly(series=3)
    local = pd.date_range(start, periods=400, freq="h", tz="Europe/Berlin").tz_localize(None)
    rows["ds"] = np.concatenate([local, local[30:], local[60:]])
    panel = panel_of(tmp_path, rows, data={"min_samples": 1, "timezone": "Europe/Berlin"})
    assert len(panel.frame) == len(rows)
    assert panel.frame["observed"].all()
    assert (panel.spec.timezone, kinds(panel)) == ("Europe/Berlin", set())
    np.testing.assert_allclose(panel.frame["y"], rows["y"])


def test_24_day_and_month_are_as_the_format_says(tmp_path: Path) -> None:
    rows = hourly(series=1)
    rows["ds"] = rows["ds"].dt.strftime("%d/%m/%Y %H:%M")
    panel = panel_of(tmp_path, rows, data={"min_samples": 1, "timestamp_format": "%d/%m/%Y %H:%M"})
    assert panel.frame["ds"].iloc[-1] == pd.Timestamp("2024-01-17T15:00")


def test_26_future_covariate_missing_inside_the_horizon_is_refused(tmp_path: Path) -> None:
    rows = hourly(series=2, covariates=True)
    late = rows.index[rows["ds"] > rows["ds"].max() - pd.Timedelta(hours=6)]
    rows.loc[late, ["y", "visitors"]] = np.nan
    rows.loc[late[-2], "promotion"] = np.nan
    panel = panel_of(tmp_path, rows, data=WITH_COVARIATES)
    with pytest.raises(DataError, match=r"series s1: .* promotion has no value at 2024-01-17 14:00:00"):
        panel.future(panel.ends)


@pytest.mark.parametrize("column", ["promotion", "visitors", "region"])
def test_27_covariate_that_the_model_was_trained_with_must_be_there(
    column: str, covariate_panel: Panel, tmp_path: Path
) -> None:
    hourly(covariates=True).drop(columns=column).to_csv(tmp_path / "new.csv")
    rows = read_data(str(tmp_path / "new.csv")).rows
    with pytest.raises(DataError, match=f"column {column} is missing; found: "):
        history_panel(rows, small_settings(data=WITH_COVARIATES), covariate_panel.spec)


@pytest.mark.parametrize("factor", [0.0, 2.0, 1e90], ids=["constant", "multiple", "huge-multiple"])
def test_28_collinear_covariates_are_reported(factor: float, tmp_path: Path) -> None:
    rows = hourly(covariates=True)
    rows["copy"] = factor * rows["visitors"] + 1
    data = {"min_samples": 1, "covariates": {"past": ["visitors", "copy"]}}
    assert "collinear" in kinds(panel_of(tmp_path, rows, data=data))
    rows["copy"] = np.random.default_rng(1).normal(size=len(rows))
    assert "collinear" not in kinds(panel_of(tmp_path, rows, data=data))


@pytest.mark.parametrize("horizon", [0, -3, 1.5, True])
def test_31_horizon_that_is_no_number_of_steps_is_refused(horizon: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"training.horizon: .*, found"):
        load_settings(None, [f"training.horizon={str(horizon).lower()}"])


def test_31_horizon_longer_than_the_series_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no series has the 504 training rows that a fit needs, the most is"):
        panel_of(tmp_path, hourly(), horizon=500)


@pytest.mark.parametrize(
    "name",
    ["../../x", "/abs", "a//b", "a\0b", "a\r\nb", "a" * 129, ".", "..", "ä"],
    ids=[f"32-{what}" for what in ("up", "abs", "empty", "nul", "crlf", "long", "dot", "dots", "non-ascii")],
)
def test_model_name_that_is_refused(name: str) -> None:
    with pytest.raises(InvalidName):
        check_name(name)


BOMB = "lstm:\n  a: &a [1, 1]\n" + "".join(
    f"  {b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(BOMB, r"line 3: alias \*a; allowed: no aliases", id="35-alias-bomb"),
        pytest.param("lstm: " + "[" * 5000, "nested deeper than 12 levels", id="35-deep"),
        pytest.param("lstm: {} #" + "x" * (1 << 20), "allowed: 1048576", id="35-large"),
        pytest.param("lstm:\n  epochs: 5\n  epochs: 6\n", "line 3: duplicate key epochs", id="36"),
        pytest.param("lstm: {epochs: yes}", "lstm.epochs: .* found 'yes'", id="37-yes-integer"),
        pytest.param(
            "lstm: {linear_skip: yes}", "lstm.linear_skip: .* boolean, found 'yes'", id="37-yes-boolean"
        ),
        pytest.param("lstm: {epochs: 010}", "lstm.epochs: .* found '010'", id="37-octal"),
        pytest.param("lstm: {epochs: 1e3}", "lstm.epochs: .* found 1000.0", id="37-exponent"),
        pytest.param("lstm: {epochs: '5'}", "lstm.epochs: .* found '5'", id="37-quoted"),
        pytest.param("lstm: {epoch: 5}", r"unknown key lstm.epoch; did you mean epochs\?", id="38"),
        pytest.param("lstm: {early_stopping: {patient: 5}}", r"did you mean patience\?", id="38-nested"),
        pytest.param("lstm: !!python/object:os.system {}", "tag .*python/object:os.system", id="39"),
        pytest.param(
            "lstm: {epochs: !!python/object/apply:os.system ['x']}", "allowed: no tags", id="39-apply"
        ),
    ],
)
def test_settings_file_that_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "lstm.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_settings(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "lstm.yaml") in str(caught.value)
    assert isinstance(caught.value, InputError)


def test_37_exponent_is_a_number_where_one_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "lstm.yaml").write_text("lstm: {learning_rate: 1e-3}")
    assert load_settings(tmp_path) == AllSettings()
