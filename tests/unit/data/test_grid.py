import numpy as np
import pandas as pd
import pytest

from kubecast.data.calendars import known_frequency, offset_of
from kubecast.data.findings import Notes
from kubecast.data.grid import complete_grids, find_frequency, season_lengths
from kubecast.errors import ConfigError, DataError
from tests.support.panels import small_settings


def series(**times: pd.DatetimeIndex) -> pd.DataFrame:
    """Typed rows, as ``read_blocks`` returns them; the target counts up."""
    tables = [
        pd.DataFrame({"unique_id": name, "ds": ds, "y": np.arange(len(ds), dtype=float)})
        for name, ds in times.items()
    ]
    frame = pd.concat(tables, ignore_index=True)
    return frame.assign(
        unique_id=frame["unique_id"].astype("category"), ds=frame["ds"].astype("datetime64[ns]")
    )


def completed(frame: pd.DataFrame, frequency: str, **data: object) -> pd.DataFrame:
    [grid] = complete_grids(lambda: iter([frame]), frequency, small_settings(data=data), Notes())
    return grid


@pytest.mark.parametrize(
    "frequency",
    [
        "s", "min", "15min", "90min", "h", "D", "7D", "10D", "14D", "28D", "91D", "B", "MS", "ME", "BMS",
        "BME", "2MS", "6ME", "SMS-15", "SME-15", "SMS-16", "SME-16", "QS-OCT", "QE-DEC",
        "QE-NOV", "BQE-DEC", "YS-JAN", "YE-DEC",
        "2YS-MAR", "C-MON-TUE-WED-THU-FRI-SAT", "C-MON-TUE-WED-THU-SUN", "C-SAT-SUN",
    ],
)  # fmt: skip
def test_frequency_is_found(frequency: str) -> None:
    frame = series(a=pd.date_range("2023-01-02", periods=40, freq=offset_of(frequency)))
    assert find_frequency(lambda: iter([frame]), small_settings(frequency=None)) == frequency


@pytest.mark.parametrize(
    "frequency", ["h", "D", "B", "MS", "ME", "28D", "BME", "SMS-15", "QE-OCT", "C-MON-TUE-WED-THU-FRI-SAT"]
)
def test_frequency_is_found_in_spite_of_holes_and_of_other_series(frequency: str) -> None:
    times = pd.date_range("2023-01-02", periods=60, freq=offset_of(frequency))
    frame = series(a=times.delete([5, 6, 20]), b=times[7:30:1], c=times[:1])
    assert find_frequency(lambda: iter([frame]), small_settings(frequency=None)) == frequency


def test_frequency_of_single_rows_is_not_known() -> None:
    with pytest.raises(DataError, match=r"no series has two rows.*set training.frequency"):
        find_frequency(
            lambda: iter([series(a=pd.DatetimeIndex(["2024-01-01"]))]), small_settings(frequency=None)
        )


@pytest.mark.parametrize(
    "times", [["2024-01-01", "2024-03-07"], ["2020-01-01", "2021-03-01", "2023-07-04", "2024-01-01"]]
)
def test_frequency_that_does_not_follow_is_asked_for(times: list[str]) -> None:
    with pytest.raises(DataError, match=r"does not follow from the data; allowed: set training.frequency"):
        find_frequency(lambda: iter([series(a=pd.DatetimeIndex(times))]), small_settings(frequency=None))


def test_old_spellings_of_a_frequency_are_understood() -> None:
    assert [known_frequency(text) for text in ("H", "T", "M", "W")] == ["h", "min", "ME", "W-SUN"]


@pytest.mark.parametrize("text", ["", "hourly", "-1h", "0D", "5"])
def test_what_is_no_frequency_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"training.frequency .*; allowed"):
        known_frequency(text)


@pytest.mark.parametrize(
    "frequency", ["30min", "h", "D", "28D", "W-MON", "B", "C-SUN-MON", "MS", "BME", "SMS", "QS", "2MS"]
)
def test_every_series_gets_each_step_between_its_first_and_last(frequency: str) -> None:
    times = pd.date_range("2023-01-01", periods=60, freq=offset_of(frequency))
    frame = series(a=times[[0, 1, 5, 9]], b=times[[3, 4]], c=times[[20]])
    grid = completed(frame, frequency)
    assert grid.groupby("unique_id", observed=True).size().tolist() == [10, 2, 1]
    assert list(grid["ds"]) == [*times[:10], *times[3:5], times[20]]
    pd.testing.assert_frame_equal(grid[grid["y"].notna()].reset_index(drop=True), frame)


def test_series_may_stand_on_grids_of_different_phases() -> None:
    a, b = (pd.date_range(start, periods=4, freq="h") for start in ("2024-01-01", "2024-01-01 00:20"))
    assert len(completed(series(a=a, b=b[[0, 3]]), "h")) == 8
    months = (pd.date_range(start, periods=4, freq="2MS") for start in ("2024-01-01", "2024-02-01"))
    assert len(completed(series(**dict(zip("ab", months, strict=True))), "2MS")) == 8


@pytest.mark.parametrize(
    ("frequency", "times"),
    [
        ("h", ["2024-01-01 00:00", "2024-01-01 01:00", "2024-01-01 01:59"]),
        ("MS", ["2024-01-01", "2024-02-01", "2024-02-02"]),
        ("MS", ["2024-01-01 00:00", "2024-02-01 05:00"]),
        ("W-SUN", ["2024-01-01", "2024-01-08"]),
        ("B", ["2024-01-05", "2024-01-06"]),
    ],
)
def test_rows_off_the_grid_are_refused(frequency: str, times: list[str]) -> None:
    with pytest.raises(
        DataError, match=f"series a: .* is off the grid of {frequency} .* training.data.resample"
    ):
        completed(series(a=pd.DatetimeIndex(times)), frequency)


@pytest.mark.parametrize(
    ("how", "expected"),
    [("mean", [0.5, np.nan, 2.0]), ("sum", [1.0, np.nan, 2.0]), ("last", [1.0, np.nan, 2.0])],
)
def test_rows_off_the_grid_are_brought_onto_it_on_request(how: str, expected: list[float]) -> None:
    times = pd.DatetimeIndex(["2024-01-01 00:10", "2024-01-01 00:50", "2024-01-01 02:30"])
    notes = Notes()
    frame = series(a=times).assign(price=[2.0, 4.0, 6.0], region="r")
    data = {"resample": how, "covariates": {"future": ["price"], "static": ["region"]}}
    [grid] = complete_grids(lambda: iter([frame]), "h", small_settings(data=data), notes)
    np.testing.assert_array_equal(grid["ds"], pd.date_range("2024-01-01", periods=3, freq="h"))
    np.testing.assert_array_equal(grid["y"], expected)
    assert grid.loc[0, "price"] == (4.0 if how == "last" else 3.0)
    assert grid.loc[0, "region"] == "r"
    assert [finding.what for finding in notes.findings] == ["resampled"]


@pytest.mark.parametrize("frequency", ["min", "D", "MS", "W"])
def test_irregular_series_of_each_kind_can_be_resampled(frequency: str) -> None:
    random = np.random.default_rng(0)
    times = {
        name: pd.Timestamp("2024-01-01") + pd.to_timedelta(np.sort(random.integers(0, 8_000_000, 300)), "s")
        for name in "ab"
    }
    frame = series(**{name: pd.DatetimeIndex(ds).unique() for name, ds in times.items()})
    grid = completed(frame, frequency, resample="sum")
    assert grid["y"].sum() == frame["y"].sum()


def test_wrong_date_does_not_make_a_huge_grid() -> None:
    times = pd.DatetimeIndex(["1970-01-01", *pd.date_range("2024-01-01", periods=500, freq="min")])
    with pytest.raises(
        DataError, match="series b: a gap from 1970-01-01 00:00:00 to 2024-01-01 00:00:00 makes"
    ):
        completed(series(a=times[1:], b=times), "min")


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        ("s", [60, 3600]), ("min", [60, 1440]), ("15min", [96, 672]), ("30min", [48, 336]), ("h", [24, 168]),
        ("5h", [1]), ("D", [7, 365]), ("7D", [52]), ("W-SUN", [52]), ("B", [5]), ("MS", [12]),
        ("QS-JAN", [4]), ("YS-JAN", [1]), ("2MS", [6]), ("28D", [13]), ("13W-MON", [4]), ("91D", [4]),
        ("5D", [73]), ("10D", [37]),
        ("BME", [12]), ("BMS", [12]), ("BQE-DEC", [4]), ("SMS-15", [24]), ("C-MON-TUE-WED-THU-FRI-SAT", [6]),
    ],
)  # fmt: skip
def test_usual_seasons_follow_from_the_frequency(frequency: str, expected: list[int]) -> None:
    assert season_lengths(12_000, frequency, small_settings(season_lengths=None), Notes()) == expected


@pytest.mark.parametrize(
    ("frequency", "rows", "expected", "found"),
    [
        (
            "BME",
            35,
            [1],
            "the season of 12 needs 36 rows of a series, found 35: none is taken",
        ),
        (
            "10D",
            111,
            [37],
            "a year has no whole number of steps of 10D: 37 is taken; allowed",
        ),
        ("5h", 12_000, [1], "no season of 5h is known: none is taken; allowed: training.season_lengths"),
        ("YE", 40, [1], ""),
        ("MS", 36, [12], ""),
    ],
)
def test_finding_says_where_there_is_no_season(
    frequency: str, rows: int, expected: list[int], found: str
) -> None:
    notes = Notes()
    assert season_lengths(rows, frequency, small_settings(season_lengths=None), notes) == expected
    assert "".join(finding.detail for finding in notes.findings).startswith(found)
    assert len(notes.findings) == bool(found)


def test_week_that_the_rows_keep_is_named() -> None:
    saturdays = pd.date_range("2024-01-06", periods=9, freq="W-SAT")
    with pytest.raises(
        DataError, match=r"off the grid of W-SUN .* \(all its rows are on one weekday: W-SAT\)"
    ):
        completed(series(a=saturdays), "W-SUN")
    assert len(completed(series(a=saturdays), "W-SAT")) == 9


def test_season_that_the_history_does_not_show_is_left_out_or_refused() -> None:
    assert season_lengths(100, "h", small_settings(season_lengths=None), Notes()) == [24]
    assert season_lengths(50, "h", small_settings(season_lengths=None), Notes()) == [1]
    assert season_lengths(100, "h", small_settings(season_lengths=[50, 24, 50]), Notes()) == [50, 24]
    with pytest.raises(ConfigError, match="51 needs 102 rows of a series, found 100"):
        season_lengths(100, "h", small_settings(season_lengths=[24, 51]), Notes())
