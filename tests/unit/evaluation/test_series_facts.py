"""Flags, paths and segments of series."""

import numpy as np
import pandas as pd
import pytest

from kubecast.data.findings import Finding
from kubecast.evaluation.leaderboard import Evaluation
from kubecast.evaluation.series_facts import SeriesFacts, worst_and_largest
from kubecast.scoring.metrics import ENSEMBLE
from tests.support.forecasts import NOISE, forecasts
from tests.support.pages import render

pytestmark = pytest.mark.slow


def evaluated(table: pd.DataFrame, **changes: object) -> Evaluation:
    return render(table, **changes)[1]  # type: ignore[arg-type]


def test_series_that_is_off_is_flagged_and_no_other() -> None:
    table = forecasts(NOISE, series=4, origins=10)
    off = (table["unique_id"] == "s2") & (table["split"] == "test")
    shifted = {name: table[name] + off * 20.0 for name in ("good", "bad")}
    evaluation = evaluated(
        table.assign(**shifted), findings=[Finding(what="intermittent", series="s3"), Finding(what="sorted")]
    )
    facts = {fact.unique_id: fact for fact in evaluation.series}
    assert facts["s2"].flags == ["naive is better", "level is off", "intervals miss"]
    assert facts["s3"].flags == ["intermittent"]
    assert facts["s1"].flags == facts["s4"].flags == []
    row = next(row for row in evaluation.ranked() if row.unique_id == "s2")
    assert facts["s2"].mase == row.mase
    assert facts["s2"].bias is not None
    assert facts["s2"].bias > 5
    assert facts["s2"].size == pytest.approx(200, rel=0.05)


def test_paths_are_the_actuals_and_the_last_evaluated_forecast() -> None:
    table = forecasts(NOISE, series=2, origins=10)
    evaluation = evaluated(table)
    for path in evaluation.paths:
        times = path.times("h")
        own = table[(table["unique_id"] == path.unique_id) & (table["split"] == "test")]
        last = own[own["cutoff"] == own["cutoff"].max()]
        assert times[path.at : path.at + 5].tolist() == last["ds"].tolist()
        assert path.y[path.at : path.at + 5] == pytest.approx(last["y"].tolist(), abs=1e-2)
        assert len(path.forecast) == len(path.low) == len(path.high) == 5
        assert all(np.array(path.low) < np.array(path.high))
        assert path.level == "80"
        assert len(path.y) == 25


@pytest.mark.parametrize("shift", [0.0, 1e7])
def test_paths_are_as_fine_as_the_range_of_their_series(shift: float) -> None:
    table = forecasts(NOISE, series=1, origins=10)
    columns = ["y", *NOISE]
    table[columns] += shift
    [path] = evaluated(table).paths
    own = table[table["ds"] > table["ds"].max() - pd.Timedelta(hours=25)].drop_duplicates("ds")
    actuals = own.sort_values("ds")["y"].to_numpy()
    assert path.y == pytest.approx(actuals, abs=np.ptp(actuals) / 1000, rel=0)
    assert max(len(repr(value)) for value in path.y) <= len("10000000.000")


def test_segments_are_those_of_the_ids() -> None:
    table = forecasts(NOISE, series=6, origins=4)
    names = {f"s{at}": f"{'north' if at % 2 else 'south'}/s{at}" for at in range(1, 7)}
    evaluation = evaluated(table, rename=names)
    rows = {row.segment: row for row in evaluation.by_segment}
    assert {name: row.series for name, row in rows.items()} == {"north": 3, "south": 3}
    mase = [row.mase for row in evaluation.ranked() if row.unique_id.startswith("north")]
    assert rows["north"].mase[ENSEMBLE] == pytest.approx(np.mean([value for value in mase if value]))
    assert evaluated(forecasts(NOISE, series=3)).by_segment == []


def test_worst_and_largest_are_kept() -> None:
    facts = [SeriesFacts(unique_id=f"s{at:03d}", size=at, mase=(at * 7) % 100) for at in range(100)]
    kept = worst_and_largest(facts, 10)
    assert len(kept) == 10
    worst = sorted(facts, key=lambda fact: -(fact.mase or 0))[:5]
    assert {fact.unique_id for fact in worst} <= set(kept)
    assert {"s099", "s098", "s097"} <= set(kept)
    flagged = facts[3].model_copy(update={"flags": ["stale"]})
    assert "s003" in worst_and_largest([*facts[:3], flagged, *facts[4:]], 10)
