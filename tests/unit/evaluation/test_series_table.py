"""Tables with a row for each series, whose rows are documents."""

from pathlib import Path

import pandas as pd

from kubecast.evaluation.rows import SeriesRow
from kubecast.evaluation.series_facts import SeriesFacts
from kubecast.evaluation.series_table import SeriesTable, frame_of

FACTS = [
    SeriesFacts(unique_id="s1", size=3.0, mase=0.5, coverage=0.75, flags=["level is off", "short"]),
    SeriesFacts(unique_id="s2", size=0.1),
    SeriesFacts(unique_id="s3", size=2.0, mase=1.5),
]
ROWS = [
    SeriesRow(model="ensemble", split="test", unique_id="s1", mase=0.5, coverage={"80": 0.75, "40": 0.5}),
    SeriesRow(model="arima", split="test", unique_id="s1", mase=0.75, scored=3),
]


def test_rows_are_those_of_a_list(tmp_path: Path) -> None:
    table = SeriesTable.of(SeriesFacts, FACTS)
    assert (list(table), len(table), table[1], table[-1]) == (FACTS, 3, FACTS[1], FACTS[2])
    assert (table[1:], table[:0]) == (FACTS[1:], [])
    assert table != FACTS[:2]
    table.write(tmp_path / "series.parquet")
    for source in (tmp_path / "series.parquet", (tmp_path / "series.parquet").read_bytes()):
        assert SeriesTable.read(SeriesFacts, source, "series.parquet") == FACTS
    assert SeriesTable.of(SeriesFacts, table) is table


def test_shares_of_intervals_are_columns(tmp_path: Path) -> None:
    table = SeriesTable.of(SeriesRow, ROWS)
    table.write(tmp_path / "by_series.parquet")
    assert list(SeriesTable.read(SeriesRow, tmp_path / "by_series.parquet", "by_series.parquet")) == ROWS
    frame = pd.read_parquet(tmp_path / "by_series.parquet")
    assert frame["coverage_80"].tolist()[0] == 0.75
    assert frame["coverage_80"].isna().tolist() == [False, True]
    pd.testing.assert_frame_equal(frame_of(table), frame)


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    SeriesTable.of(SeriesFacts, []).write(tmp_path / "series.parquet")
    assert len(SeriesTable.read(SeriesFacts, tmp_path / "series.parquet", "series.parquet")) == 0
