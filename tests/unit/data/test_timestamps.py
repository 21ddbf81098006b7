import numpy as np
import pandas as pd
import pytest

from kubecast.config.training import TrainingSettings
from kubecast.data.timestamps import Timestamps, parse_time, parse_timestamps
from kubecast.errors import ConfigError, DataError


def parse(values: object, codes: list[int] | None = None, **data: object) -> Timestamps:
    settings = TrainingSettings.model_validate({"data": data})
    column = pd.Series(values)
    series = np.array(codes if codes else [0] * len(column))
    return parse_timestamps(column, series, settings, lambda bad: f"rows {np.flatnonzero(bad).tolist()}")


def utc(*texts: str) -> list[pd.Timestamp]:
    return [pd.Timestamp(text) for text in texts]


BERLIN = "Europe/Berlin"
AUTUMN = ["01:00", "01:30", "02:00", "02:30", "02:00", "02:30", "03:00"]  # the clock goes back at 03:00


def autumn(times: list[str]) -> list[str]:
    return [f"2024-10-27 {time}" for time in times]


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-01", "2024-01-02 12:30"],
        pd.to_datetime(["2024-01-01", "2024-01-02 12:30"], format="ISO8601").astype("datetime64[us]"),
        [pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02 12:30")],
        pd.array(["2024-01-01", "2024-01-02T12:30"], dtype="string[pyarrow]"),
    ],
)
def test_naive_timestamps_stay_as_written(values: object) -> None:
    times = parse(values)
    assert list(times.values) == utc("2024-01-01", "2024-01-02 12:30")
    assert times.values.dtype == "datetime64[ns]"
    assert times.zone is None


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-01T00:00+01:00", "2024-07-01T01:00:00+0200"],
        ["2023-12-31T23:00Z", "2024-06-30T23:00+00"],
        pd.to_datetime(["2023-12-31T23:00Z", "2024-06-30T23:00Z"]),
    ],
)
def test_offsets_are_brought_to_utc(values: object) -> None:
    times = parse(values)
    assert list(times.values) == utc("2023-12-31 23:00", "2024-06-30 23:00")


def test_zone_of_an_aware_column_is_kept() -> None:
    times = pd.date_range("2024-01-01", periods=3, freq="h", tz=BERLIN)
    assert parse(times).zone == BERLIN
    assert parse(times).values[0] == np.datetime64("2023-12-31T23:00")


def test_both_doubled_hours_are_kept_apart() -> None:
    times = parse(autumn(AUTUMN), timezone=BERLIN)
    assert list(times.values) == list(pd.date_range("2024-10-26 23:00", periods=7, freq="30min"))
    assert times.zone == BERLIN


def test_doubled_hours_are_told_apart_in_each_series_and_with_rows_missing() -> None:
    times = autumn([*AUTUMN, "02:30", "02:00", "02:30", "03:30", "02:00", "02:15"])
    parsed = parse(times, [0] * 7 + [1] * 4 + [2] * 2, timezone=BERLIN)
    assert list(parsed.values[7:]) == utc(
        "2024-10-27 00:30", "2024-10-27 01:00", "2024-10-27 01:30", "2024-10-27 02:30",
        "2024-10-27 00:00", "2024-10-27 00:15",
    )  # fmt: skip


def test_doubled_hours_of_rows_written_newest_first() -> None:
    times = parse(autumn(AUTUMN[::-1]), timezone=BERLIN)
    assert list(times.values) == list(pd.date_range("2024-10-26 23:00", periods=7, freq="30min"))[::-1]


@pytest.mark.parametrize(
    "clock",
    [
        ["01:00", "02:30", "02:00", "02:30", "02:00", "03:00"],
        ["02:00", "00:00", "04:00", "02:00", "01:00", "03:00"],  # hourly, shuffled: one turn all the same
        ["00:00", "02:00", "05:00", "02:00", "03:00", "04:00"],
        ["02:00", "02:00", "01:00", "04:00", "03:00"],
    ],
)
def test_doubled_hours_in_no_order_are_refused(clock: list[str]) -> None:
    with pytest.raises(DataError, match="in an hour that comes twice, and the rows are not in order"):
        parse(autumn(clock), timezone=BERLIN)


@pytest.mark.slow
def test_doubled_hours_of_a_shuffled_file_are_refused_however_it_was_shuffled() -> None:
    hours = pd.date_range("2024-10-26 22:00", periods=30, freq="h").tz_localize("UTC").tz_convert(BERLIN)
    text = [str(hour.tz_localize(None)) for hour in hours]
    for seed in range(30):
        order = np.random.default_rng(seed).permutation(len(text))
        with pytest.raises(DataError, match="comes twice"):
            parse([text[row] for row in order], timezone=BERLIN)


def test_months_in_another_order_keep_the_order_inside_the_doubled_hour() -> None:
    hours = pd.date_range("2024-09-01", "2024-11-30", freq="h", tz="UTC").tz_convert(BERLIN)
    blocks = [hours[hours.month == month] for month in (11, 10, 9)]
    text = [str(hour.tz_localize(None)) for block in blocks for hour in block]
    expected = np.concatenate([block.tz_convert("UTC").tz_localize(None).to_numpy() for block in blocks])
    assert (parse(text, timezone=BERLIN).values == expected).all()


def test_hour_that_does_not_exist_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"rows \[1\]: ds 2024-03-31 02:30:00 does not exist in Europe/Berlin"
    ):
        parse(["2024-03-31 01:30", "2024-03-31 02:30"], timezone=BERLIN)


@pytest.mark.parametrize("values", [
    ["2024-03-30", "2024-03-31", "2024-04-01"],
    ["2024-03-30T00:00+01:00", "2024-03-31T00:00+01:00", "2024-04-01T00:00+02:00"],
])  # fmt: skip
def test_days_stay_on_the_local_clock(values: list[str]) -> None:
    times = parse(values, timezone=BERLIN)
    assert list(times.values) == utc("2024-03-30", "2024-03-31", "2024-04-01")
    assert times.zone is None
    assert "stays on the clock of Europe/Berlin" in times.note


def test_pattern_decides_day_and_month_and_offset() -> None:
    times = parse(["03/04/2024", "31/12/2024"], timestamp_format="%d/%m/%Y")
    assert list(times.values) == utc("2024-04-03", "2024-12-31")
    aware = parse(["03/04/2024 10 +0200", "03/04/2024 12 +0200"], timestamp_format="%d/%m/%Y %H %z")
    assert list(aware.values) == utc("2024-04-03 08:00", "2024-04-03 10:00")
    trap = parse(["12:00 31-12-2024", "13:00 31-12-2024"], timestamp_format="%H:%M %d-%m-%Y")
    assert trap.zone is None


@pytest.mark.parametrize(
    ("values", "data", "message"),
    [
        (["2024-01-01", "now"], {}, r"rows \[1\]: ds 'now' cannot be read"),
        (["2024-01-01", "today"], {}, "'today' cannot be read"),
        (["2024-13-01"], {}, "cannot be read; allowed: ISO 8601"),
        (["2024-01-01", None], {}, r"rows \[1\]: ds is empty"),
        ([202401, 202402], {}, "ds '202401' cannot be read; .* e.g. %Y%m$"),
        ([1704067200, 1704070800], {}, "e.g. epoch seconds$"),
        (["1704067200000"], {}, "e.g. epoch milliseconds$"),
        ([1.5], {}, "'1.5' cannot be read"),
        (["x"], {"timestamp_format": "epoch seconds"}, "'x' cannot be read; .* epoch seconds"),
        ([1e300], {"timestamp_format": "epoch seconds"}, "cannot be read"),
        (["2023-W53"], {}, "'2023-W53' cannot be read"),
        (["1.5"], {}, "cannot be read"),
        (["9999-01-01"], {}, "from 1678 to 2262"),
        (np.array(["9999-01-01"], dtype="datetime64[s]"), {}, "between 1678 and 2262"),
        (
            ["2024-01-01"],
            {"timestamp_format": "%d.%m.%Y"},
            r"allowed: training.data.timestamp_format %d.%m.%Y",
        ),
    ],
)
def test_what_is_no_timestamp_is_refused(values: object, data: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(values, **data)


@pytest.mark.parametrize(
    "data", [{"timezone": "Mars/Base"}, {"timezone": "../x"}, {"timestamp_format": "%Q"}]
)
def test_unknown_zone_or_format_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="is not known"):
        parse(["2024-01-01"], **data)


def test_a_moment_is_read_as_utc() -> None:
    assert parse_time("2024-01-01", "as_of") == pd.Timestamp("2024-01-01")
    assert parse_time("2024-01-01T12:00+02:00", "as_of") == pd.Timestamp("2024-01-01 10:00")


@pytest.mark.parametrize("text", ["now", "", "01/02/2024", "2024-13-01", "9999-01-01"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"as_of .*: allowed: an ISO 8601 date"):
        parse_time(text, "as_of")


DAYS = utc("2024-01-31", "2024-02-01")
HOURS = utc("2024-01-31 22:00", "2024-01-31 23:00")


def as_every_type(numbers: list[int]) -> list[object]:
    whole = pd.Series(numbers)
    return [whole, whole.astype(float), whole.astype(str), whole.astype("Int64"), whole.astype("Float64")]


@pytest.mark.parametrize("values", as_every_type([20240131, 20240201]))
@pytest.mark.parametrize("pattern", [None, "%Y%m%d"])
def test_whole_numbers_are_read_as_their_text(values: object, pattern: str | None) -> None:
    assert list(parse(values, timestamp_format=pattern).values) == DAYS


@pytest.mark.parametrize("values", as_every_type([202401, 202402]))
def test_whole_numbers_are_read_by_a_format(values: object) -> None:
    assert list(parse(values, timestamp_format="%Y%m").values) == utc("2024-01-01", "2024-02-01")


@pytest.mark.parametrize("values", as_every_type([2023, 2024]))
def test_a_whole_number_may_be_a_year(values: object) -> None:
    assert list(parse(values).values) == utc("2023-01-01", "2024-01-01")


@pytest.mark.parametrize("unit", ["seconds", "milliseconds"])
@pytest.mark.parametrize("kind", range(5))
def test_numbers_since_1970_are_in_utc(unit: str, kind: int) -> None:
    scale = {"seconds": 10**9, "milliseconds": 10**6}[unit]
    values = as_every_type([time.value // scale for time in HOURS])[kind]
    times = parse(values, timestamp_format=f"epoch {unit}")
    assert list(times.values) == HOURS
    assert times.zone == "UTC"
    local = parse(values, timestamp_format=f"epoch {unit}", timezone=BERLIN)
    assert (list(local.values), local.zone) == (HOURS, BERLIN)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2024-W05", "2024-01-29"),
        ("2024W05", "2024-01-29"),
        ("2024-W05-3", "2024-01-31"),
        ("2024W057", "2024-02-04"),
        ("2020-W53", "2020-12-28"),
        ("2024Q1", "2024-01-01"),
        ("2024-Q3", "2024-07-01"),
    ],
)
def test_weeks_and_quarters_are_the_days_on_which_they_begin(text: str, date: str) -> None:
    assert list(parse([text, "2025-01-01"]).values) == utc(date, "2025-01-01")


@pytest.mark.parametrize(
    ("first", "second", "zone"),
    [
        ("+05:30", "+05:30", "+05:30"),
        ("-0800", "-0800", "-08:00"),
        ("Z", "Z", "UTC"),
        ("+00:00", "+00:00", "UTC"),
        ("+01:00", "+02:00", "UTC"),
    ],
)
def test_an_offset_that_all_have_is_the_zone(first: str, second: str, zone: str) -> None:
    text = [f"2024-03-31T01:00{first}", f"2024-03-31T05:00{second}"]
    times = parse(text)
    assert times.zone == zone
    assert list(times.values) == [pd.Timestamp(each).tz_convert("UTC").tz_localize(None) for each in text]
    fixed = pd.to_datetime(text, utc=True).tz_convert(zone)
    assert parse(fixed).zone == zone


@pytest.mark.parametrize("pattern", ["{0:%Y%m%dT%H%M%z}", "{0:%Y%m%dT%H}{1}", "{0:%Y-%m-%d %H}{1}"])
def test_offsets_are_found_in_every_form_of_iso_8601(pattern: str) -> None:
    hours = pd.date_range("2024-03-30 20:00", periods=12, freq="h", tz=BERLIN)
    text = [pattern.format(hour, f"{hour:%z}"[:3]) for hour in hours]
    assert list(parse(text).values) == list(hours.tz_convert("UTC").tz_localize(None))
    days = pd.date_range("2024-03-25", periods=14, tz=BERLIN)
    times = parse([pattern.format(day, f"{day:%z}"[:3]) for day in days])
    assert list(times.values) == list(pd.date_range("2024-03-25", periods=14))


def test_days_keep_the_clock_of_their_offsets_over_a_change_of_them() -> None:
    days = pd.date_range("2024-03-25", periods=14, tz=BERLIN).map(pd.Timestamp.isoformat)
    times = parse(days)
    assert list(times.values) == list(pd.date_range("2024-03-25", periods=14))
    assert times.zone is None
