"""The payload of a page: any series, in few bytes."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kubecast.data.calendars import steps_after
from kubecast.data.panel import PanelSpec
from kubecast.evaluation.paths import SeriesPath
from kubecast.evaluation.series_facts import SeriesFacts
from kubecast.reports.explorer import LARGEST, Explorer, Forecasts, explorer
from tests.support.pages import unpack

BEGINS = datetime(2026, 3, 29)


def spec_of(**changes: Any) -> PanelSpec:
    return PanelSpec.model_validate({"frequency": "h", "horizon": 2, "season_lengths": [24], **changes})


def made(
    y: list[float | None], ahead: dict[str, list[float]], spec: PanelSpec, **changes: Any
) -> dict[str, Any]:
    """The content of one series, read as the page's script reads it."""
    path = SeriesPath(unique_id="a", begins=BEGINS, y=y, **changes)
    times = pd.date_range(BEGINS, periods=len(y) + 2, freq="h")[len(y) :]
    table = pd.DataFrame({"unique_id": "a", "ds": times, **ahead}) if ahead else None
    if table is not None and spec.timezone:
        table["ds"] = table["ds"].dt.tz_localize("UTC").dt.tz_convert(spec.timezone)
    facts = [SeriesFacts(unique_id="a", size=1.0, mase=0.5, naive_mase=1.0)]
    content = unpack(explorer([path], facts, Forecasts.read(table, spec), spec, "naive_24").packed)
    [series] = content["series"]
    steps = content["steps"][series["steps"]]
    seconds = np.cumsum([series["start"], *steps])
    return {
        "times": [str(np.datetime64(int(each), "s")) for each in seconds],
        "y": [None if value is None else value * series["unit"] for value in series["y"]],
        "ahead": {
            key: [value * series["unit"] for value in values]
            for key, values in series.get("ahead", {}).items()
        },
        **content,
    }


def test_values_are_those_of_the_series_to_a_thousandth_of_its_range() -> None:
    y = [100_000.0, 100_012.5, None, 100_007.25]
    read = made(y, {"yhat": [100_003.0, 100_004.0], "q0.1": [1e5, 1e5], "q0.9": [100_009.0] * 2}, spec_of())
    for was, now in zip(y, read["y"], strict=True):
        assert now is None if was is None else now == pytest.approx(was, abs=0.0125)
    assert read["ahead"]["mid"] == pytest.approx([100_003, 100_004], abs=0.0125)
    assert read["ahead"]["low"] == pytest.approx([1e5, 1e5], abs=0.0125)
    assert read["level"] == "80"
    assert read["series"][0]["skill"] == 0.5


def test_times_are_on_the_clock_of_the_data() -> None:
    berlin = made([1.0, 2.0, 3.0], {"yhat": [1.0, 2.0]}, spec_of(timezone="Europe/Berlin"))
    # The clock goes forward at 01:00 UTC.
    assert berlin["times"] == [f"2026-03-29T{hour}:00:00" for hour in ("01", "03", "04", "05", "06")]
    plain = made([1.0, 2.0, 3.0], {"yhat": [1.0, 2.0]}, spec_of())
    assert plain["times"][0] == "2026-03-29T00:00:00"


@pytest.mark.parametrize(
    ("frequency", "begins"),
    [("SMS-15", "2026-01-15"), ("10D", "2026-01-03"), ("B", "2026-01-05"), ("W-SUN", "2026-01-04"),
     ("ME", "2026-01-31"), ("SME-15", "2026-01-15"), ("QS", "2026-01-01"), ("30min", "2026-01-01")],
)  # fmt: skip
def test_path_has_the_times_of_its_panel(frequency: str, begins: str) -> None:
    path = SeriesPath(unique_id="a", begins=datetime.fromisoformat(begins), y=[1.0] * 5)
    steps = steps_after(pd.Series(pd.to_datetime([begins])), 4, frequency)[0]
    assert path.times(frequency).tolist() == [pd.Timestamp(begins), *map(pd.Timestamp, steps)]


def test_series_without_forecasts_or_range_are_whole() -> None:
    read = made([5.0, 5.0], {}, spec_of())
    assert read["y"] == pytest.approx([5.0, 5.0])
    assert "ahead" not in read["series"][0]
    assert made([None, None], {}, spec_of())["y"] == [None, None]


def many(count: int, horizon: int) -> Explorer:
    random = np.random.default_rng(0)
    paths = [
        SeriesPath(unique_id=f"s{at}", begins=BEGINS, y=random.normal(size=5 * horizon).tolist())
        for at in range(count)
    ]
    facts = [SeriesFacts(unique_id=f"s{at}", size=at, mase=at % 97) for at in range(2 * count)]
    return explorer(paths, facts, Forecasts(), spec_of(horizon=horizon), None)


@pytest.mark.long
def test_as_many_series_as_fit_are_there_and_the_page_says_so() -> None:
    most = many(400, 400)
    assert len(most.packed) <= LARGEST
    assert 50 < most.count < 400
    assert f"The {most.count} worst and largest of 800 series" in most.note
    few = many(10, 2)
    assert few.count == 10


def test_steps_that_series_share_are_kept_once() -> None:
    assert len(unpack(many(50, 3).packed)["steps"]) == 1
