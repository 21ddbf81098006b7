import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kubecast.data import parquet
from kubecast.data.panel import Split
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.errors import InputError, IntegrityError
from kubecast.evaluation.figures import POINTS_ONLY
from kubecast.evaluation.leaderboard import SCHEMA_VERSION, Evaluation, evaluate
from kubecast.evaluation.series_facts import SeriesFacts
from kubecast.evaluation.series_table import SeriesTable, frame_of
from kubecast.evaluation.verdict import verdict
from kubecast.reports import render_report
from kubecast.scoring.forecasts import Forecasts
from kubecast.scoring.metrics import ENSEMBLE, METRICS
from tests.golden.write import FOLDER
from tests.support.forecasts import (
    KINDS,
    NOISE,
    SETTINGS,
    START,
    champion_of,
    forecasts,
    in_one_block,
    panel_of,
    stack_whole,
)


def evaluated(
    table: pd.DataFrame, align: str = "calendar", kinds: dict[str, str] | None = None
) -> Evaluation:
    panel = panel_of(table, align)
    recipe, stacked = stack_whole(table, panel.series, SETTINGS, kinds or KINDS, {}, 24)
    return evaluate(in_one_block(stacked), PanelBlocks.of(panel), recipe)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return forecasts(NOISE, origins=10)


@pytest.fixture(scope="module")
def evaluation(table: pd.DataFrame) -> Evaluation:
    return evaluated(table)


@pytest.mark.slow
def test_leaderboard_has_every_model_and_part_best_first(evaluation: Evaluation) -> None:
    assert [row.split for row in evaluation.leaderboard] == ["test"] * 5 + ["validation"] * 5
    for split in ("test", "validation"):
        mase = [row.mase for row in evaluation.leaderboard if row.split == split]
        assert mase == sorted(mase)
        assert {row.model for row in evaluation.leaderboard if row.split == split} == {*KINDS, ENSEMBLE}


def test_coverage_is_told_by_season_phase(evaluation: Evaluation) -> None:
    rows = [row for row in evaluation.by_phase if row.split == "test"]
    assert {row.model for row in evaluation.by_phase} == {ENSEMBLE}
    assert [row.phase for row in rows] == sorted({row.phase for row in rows})
    assert all(0 <= row.phase < 24 for row in rows)
    whole = evaluation.row(ENSEMBLE, "test")
    assert sum(row.scored for row in rows) == whole.scored
    inside = sum(row.scored * row.coverage["80"] for row in rows) / whole.scored
    assert inside == pytest.approx(whole.coverage["80"], abs=0.05)  # each series weighs the same


def test_figures_are_those_computed_by_hand(evaluation: Evaluation, table: pd.DataFrame) -> None:
    rows = table[table["split"] == "test"]
    errors = (rows["y"] - rows["bad"]).abs() / rows["unique_id"].str[1:].astype(float)
    row = evaluation.row("bad", "test")
    assert row.mase == pytest.approx(errors.groupby(rows["unique_id"]).mean().mean())
    assert row.scored == len(rows)
    assert row.skipped == 0
    assert row.undefined == {}
    assert evaluation.row("bad", "validation").wql is None
    assert evaluation.row("bad", "validation").undefined == {"wql": POINTS_ONLY}
    assert row.mase_worst_five == pytest.approx(1.0)


@pytest.mark.slow
def test_skill_is_over_the_naive_that_is_strongest_on_the_same_split(table: pd.DataFrame) -> None:
    test = table["split"] == "test"
    better_on_test = table.assign(naive_5=table["naive_5"].where(~test, table["y"] + 0.1))
    evaluation = evaluated(better_on_test)
    assert {split: skill.naive for split, skill in evaluation.skill.items()} == {
        "test": "naive_5",
        "validation": "naive_9",
    }
    for row in evaluation.leaderboard:
        reference = evaluation.row(str(evaluation.skill[row.split].naive), row.split).mase
        assert row.mase is not None
        assert reference is not None
        assert row.skill == pytest.approx(1 - row.mase / reference)
    assert evaluation.season_length == 24


@pytest.mark.slow
def test_board_where_another_naive_is_as_good_says_that_skill_is_not_shown() -> None:
    """A fifth less error than the naive that is best on the validation split; than another, none."""
    table = forecasts({**NOISE, "naive_9": 1.25, "another": 1.0, "same": 1.0}, series=20, stride=5)
    panel = panel_of(table)
    recipe, stacked = stack_whole(table, panel.series, SETTINGS, KINDS, {}, 24)
    test = stacked["split"] == "test"
    stacked[ENSEMBLE] = stacked["same"]
    stacked["naive_5"] = stacked["naive_5"].where(~test, stacked["another"])
    evaluation = evaluate(in_one_block(stacked), PanelBlocks.of(panel), recipe)
    row, skill = evaluation.row(ENSEMBLE, "test"), evaluation.skill["test"]
    former = evaluation.row("naive_9", "test").mase
    assert row.mase is not None
    assert former is not None
    assert 1 - row.mase / former == pytest.approx(0.2, abs=0.05)
    assert skill.naive == "naive_5"
    assert skill.interval is not None
    assert skill.interval.low < 0 < skill.interval.high
    decision = evaluation.decision
    assert decision.promote == (skill.value is not None and skill.value > 0)
    decided = verdict(decision)
    assert decided.title == "Champion, but not shown to beat naive 5"
    page = render_report(evaluation)
    assert decided.title in page
    assert "every check is passed" not in page
    assert not re.search(r"skill over[^\n]*>passed<", page)


@pytest.mark.slow
def test_yardsticks_are_on_the_board_and_count_for_skill(table: pd.DataFrame) -> None:
    panel = panel_of(table)
    recipe, stacked = stack_whole(table, panel.series, SETTINGS, KINDS, {}, 24)
    exact = stacked.assign(seasonal_naive_1=stacked["y"] + 1e-9)
    evaluation = evaluate(in_one_block(exact), PanelBlocks.of(panel), recipe)
    assert evaluation.yardsticks == ["seasonal_naive_1"]
    assert evaluation.naives == ["naive_5", "naive_9", "seasonal_naive_1"]
    assert evaluation.skill["test"].naive == "seasonal_naive_1"
    assert {member.model for member in evaluation.ensemble.members} == {*KINDS}
    best = evaluation.strongest_member("test")
    assert best is not None
    assert best.model == "good"


@pytest.mark.parametrize("split", ["test", "validation"])
def test_figures_and_intervals_hold_the_paired_difference(evaluation: Evaluation, split: Split) -> None:
    own = evaluation.row(ENSEMBLE, split)
    assert (own.difference, own.difference_interval) == (0.0, None)
    assert set(own.coverage_intervals) == set(own.coverage)
    for row in evaluation.leaderboard:
        if row.split != split:
            continue
        assert row.mase is not None
        assert own.mase is not None
        assert row.difference == pytest.approx(row.mase - own.mase)
        for value, interval in (
            (row.mase, row.mase_interval),
            (row.skill, row.skill_interval),
            *([] if row is own else [(row.difference, row.difference_interval)]),
        ):
            assert value is not None
            assert interval is not None
            assert interval.low <= value + 1e-9
            assert interval.high >= value - 1e-9
    naive = evaluation.row(str(evaluation.skill[split].naive), split)
    assert naive.skill == pytest.approx(0.0)
    assert naive.skill_interval is not None
    assert naive.skill_interval.high <= 1e-9  # another may be stronger in a resample, none weaker


@pytest.mark.slow
def test_no_seasonal_naive_gives_no_skill_and_no_promotion(table: pd.DataFrame) -> None:
    evaluation = evaluated(table, kinds={"good": "catboost", "bad": "lstm"})
    assert evaluation.skill["test"].naive is None
    assert evaluation.row(ENSEMBLE, "test").skill is None
    assert not evaluation.decision.promote


def test_breakdowns_average_to_the_overall_figure(evaluation: Evaluation) -> None:
    for rows in (evaluation.by_lead_time, evaluation.by_series, evaluation.by_fold):
        mine = [row for row in rows if row.model == "good" and row.split == "test"]
        assert np.mean([row.mase for row in mine]) == pytest.approx(evaluation.row("good", "test").mase)
        assert sum(row.scored for row in mine) == evaluation.row("good", "test").scored
    assert [row.lead_time for row in evaluation.by_lead_time if row.model == "good"] == [1, 2, 3, 4, 5] * 2
    assert [row.unique_id for row in evaluation.by_series if row.model == "good"] == ["s1", "s2", "s3"] * 2
    assert [row.fold for row in evaluation.by_fold if row.model == "good"] == [0, 1, 2] * 2


def test_coverage_is_the_ensembles_alone(evaluation: Evaluation) -> None:
    assert set(evaluation.row(ENSEMBLE, "test").coverage) == {"80", "40"}
    assert evaluation.row("good", "test").coverage == {}


@pytest.mark.slow
def test_members_and_naives_have_quantiles_of_their_own_on_the_test_split(table: pd.DataFrame) -> None:
    """Those of a member that is the ensemble are the ensemble's."""
    alone = evaluated(table, kinds={"good": "catboost"})
    assert alone.row("good", "test").wql == pytest.approx(alone.row(ENSEMBLE, "test").wql)
    member, naive = (evaluated(table).row(model, "test").wql for model in ("good", "naive_9"))
    assert naive is not None
    assert member is not None
    assert naive > 1.5 * member


def test_metrics_stand_together_in_the_order_of_their_table(evaluation: Evaluation) -> None:
    row = json.loads(evaluation.model_dump_json())["leaderboard"][0]
    assert list(row)[: 2 + len(METRICS)] == ["model", "split", *METRICS]


@pytest.mark.parametrize("extra", [{"mape": 0.1}, {"wape": "low"}])
def test_figures_of_no_known_metric_are_refused(evaluation: Evaluation, extra: dict[str, object]) -> None:
    document = json.loads(evaluation.model_dump_json())
    document["leaderboard"][0] |= extra
    with pytest.raises(IntegrityError, match="not a leaderboard of this version"):
        Evaluation.parse(json.dumps(document).encode(), "leaderboard.json")


def test_json_is_finite_and_comes_back_the_same(evaluation: Evaluation) -> None:
    text = evaluation.model_dump_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(name))
    tables = {"by_series": evaluation.by_series, "series": evaluation.series}
    assert Evaluation.model_validate_json(text).model_copy(update=tables) == evaluation


def test_file_is_short_and_read_to_six_digits(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.json"
    evaluation.write(path)
    assert len(path.read_text().splitlines()) == 1
    again = Evaluation.read(path)
    assert again.paths == evaluation.paths
    for one, other in ((evaluation.by_series, again.by_series), (evaluation.series, again.series)):
        assert list(other) == list(one)
    coverage = evaluation.row(ENSEMBLE, "test").coverage
    assert again.row(ENSEMBLE, "test").coverage == pytest.approx(coverage, rel=1e-5)
    longest = max(re.findall(r"\d+\.(\d+)", json.dumps(json.loads(path.read_text())["by_fold"])), key=len)
    assert len(longest) <= 10  # six digits, after zeros


@pytest.mark.parametrize("schema", [4, 5])
def test_document_of_before_is_written_as_one_of_this_schema(schema: int, tmp_path: Path) -> None:
    former = Evaluation.read(FOLDER / "former" / f"leaderboard-{schema}.json")
    former.write(tmp_path / "leaderboard.json")
    document = json.loads((tmp_path / "leaderboard.json").read_text())
    assert document["schema_version"] == SCHEMA_VERSION
    assert document.keys().isdisjoint({"by_series", "series"})
    again = Evaluation.read(tmp_path / "leaderboard.json")
    assert (again.by_series, again.series) == (former.by_series, former.series)
    assert len(again.by_series) == 20


def test_tables_of_series_are_read_beside_the_leaderboard_alone(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    evaluation.write(tmp_path / "leaderboard.json")
    table = pd.read_parquet(tmp_path / "by_series.parquet")
    assert {"split", "unique_id", "model", "mase", "coverage_80", "scored"} <= {*table.columns}
    assert table["mase"].tolist() == [row.mase for row in evaluation.by_series]
    own = [row for row in evaluation.by_series if row.model == ENSEMBLE]
    inside = table.loc[table["model"] == ENSEMBLE, "coverage_80"].tolist()
    assert inside == [row.coverage["80"] for row in own]
    assert [row.unique_id for row in evaluation.by_series[2:4]] == [
        evaluation.by_series[place].unique_id for place in (2, 3)
    ]
    former = Evaluation.read(FOLDER / "former" / "leaderboard-5.json")
    (tmp_path / "leaderboard.json").write_bytes((FOLDER / "former" / "leaderboard-5.json").read_bytes())
    assert Evaluation.read(tmp_path / "leaderboard.json") == former


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table.drop(columns="size"), "no column size; allowed: what an evaluation writes"),
        (lambda table: table.assign(more=1), "not what an evaluation writes (more: Extra inputs"),
        (lambda table: table.assign(size="large"), "not what an evaluation writes (size: Input should be"),
        (lambda table: table.assign(size=np.inf), "not what an evaluation writes (size: Input should be"),
        (
            lambda table: table.assign(unique_id=1),
            "not what an evaluation writes (unique_id: Input should be",
        ),
        (lambda table: table.assign(flags=None), "not what an evaluation writes (flags: Input should be"),
    ],
)
def test_altered_table_of_series_is_refused(
    evaluation: Evaluation, damage: Callable[[pd.DataFrame], pd.DataFrame], message: str, tmp_path: Path
) -> None:
    evaluation.write(tmp_path / "leaderboard.json")
    path = tmp_path / "series.parquet"
    damage(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(IntegrityError, match=re.escape(f"{path}: {message}")):
        list(Evaluation.read(tmp_path / "leaderboard.json").series)


def test_no_damaged_byte_of_a_page_of_a_table_of_series_is_read_as_another_figure(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    evaluation.write(tmp_path / "leaderboard.json")
    content = (tmp_path / "series.parquet").read_bytes()
    refused = 0
    for place in range(4, len(content), 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        try:
            assert list(SeriesTable.read(SeriesFacts, bytes(damaged), "series.parquet")) == evaluation.series
        except IntegrityError:
            refused += 1
    assert refused > 100


def test_table_of_series_that_is_damaged_or_missing_is_refused(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    evaluation.write(tmp_path / "leaderboard.json")
    (tmp_path / "series.parquet").write_bytes(b"no table")
    with pytest.raises(IntegrityError, match=r"series\.parquet: not a Parquet file"):
        Evaluation.read(tmp_path / "leaderboard.json")
    (tmp_path / "series.parquet").unlink()
    with pytest.raises(InputError, match=r"has no series\.parquet; allowed: the output folder of a run"):
        Evaluation.read(tmp_path / "leaderboard.json")


def test_tables_with_a_row_for_each_group_stand_by_columns(evaluation: Evaluation) -> None:
    document = json.loads(evaluation.model_dump_json())
    for name in ("by_lead_time", "by_fold", "by_phase", "by_origin"):
        table = pd.DataFrame(document[name])
        assert len(table) == len(getattr(evaluation, name))
        assert table["mase"].tolist() == [row.mase for row in getattr(evaluation, name)]
    document["by_fold"]["mase"].pop()
    with pytest.raises(IntegrityError, match="not a leaderboard of this version \\(by_fold: "):
        Evaluation.parse(json.dumps(document).encode(), "leaderboard.json")


@pytest.mark.slow
def test_evaluation_is_deterministic(evaluation: Evaluation, table: pd.DataFrame) -> None:
    assert evaluated(table).model_dump_json() == evaluation.model_dump_json()


@pytest.mark.slow
def test_order_of_rows_does_not_matter_between_origins(evaluation: Evaluation, table: pd.DataFrame) -> None:
    groups = [group for _, group in table.groupby(["unique_id", "cutoff"])]
    again = evaluated(pd.concat(groups[::-1], ignore_index=True))
    assert again.row("bad", "test").mase == pytest.approx(evaluation.row("bad", "test").mase)


def test_summary_shows_the_test_part(evaluation: Evaluation) -> None:
    summary = evaluation.summary()
    assert summary["mase"] == evaluation.row(ENSEMBLE, "test").mase
    assert summary["coverage_80"] == evaluation.row(ENSEMBLE, "test").coverage["80"]
    assert all(np.isfinite(value) for value in summary.values())


@pytest.mark.slow
def test_unobserved_test_part_is_none_with_the_reason(table: pd.DataFrame) -> None:
    test = table["split"] == "test"
    hidden = table.assign(y=table["y"].where(~test), observed=~test)
    evaluation = evaluated(hidden)
    row = evaluation.row(ENSEMBLE, "test")
    assert row.mase is None
    assert row.scored == 0
    assert row.skipped == test.sum()
    assert "no observed target" in row.undefined["mase"]
    assert evaluation.paired.difference is None
    assert not evaluation.decision.promote
    json.loads(evaluation.model_dump_json(), parse_constant=lambda name: pytest.fail(name))


@pytest.mark.slow
def test_unobserved_validation_part_is_none_with_the_reason(table: pd.DataFrame) -> None:
    panel = panel_of(table)
    recipe, stacked = stack_whole(table, panel.series, SETTINGS, KINDS, {}, 24)
    unobserved = in_one_block(stacked.assign(observed=stacked["split"] == "test"))
    evaluation = evaluate(unobserved, PanelBlocks.of(panel), recipe)
    row = evaluation.row(ENSEMBLE, "validation")
    assert (row.mase, row.scored) == (None, 0)
    assert "no observed target" in row.undefined["mase"]
    assert evaluation.skill["validation"].value is None
    assert evaluation.row(ENSEMBLE, "test").mase is not None


@pytest.mark.slow
def test_constant_series_without_a_scale_is_listed_and_not_scored(table: pd.DataFrame) -> None:
    panel = panel_of(table)
    panel.series.loc[panel.series["unique_id"] == "s2", "scale"] = np.nan
    recipe, stacked = stack_whole(table, panel.series, SETTINGS, KINDS, {}, 24)
    evaluation = evaluate(in_one_block(stacked), PanelBlocks.of(panel), recipe)
    row = next(row for row in evaluation.by_series if row.unique_id == "s2" and row.split == "test")
    assert (row.mase, row.scored, row.skipped) == (None, 0, 150)
    assert evaluation.row("good", "test").skipped == 150


@pytest.mark.slow
def test_perfect_forecasts_have_full_skill() -> None:
    evaluation = evaluated(forecasts({**NOISE, "good": 0.0}, origins=10))
    assert evaluation.row(ENSEMBLE, "test").skill == 1.0
    assert evaluation.row(ENSEMBLE, "test").mase == 0.0


@pytest.mark.slow
def test_perfect_naive_leaves_skill_undefined() -> None:
    evaluation = evaluated(forecasts({**NOISE, "naive_9": 0.0}, origins=10))
    assert evaluation.row(ENSEMBLE, "test").skill is None
    assert evaluation.row(ENSEMBLE, "test").mase_worst_five is None
    assert not evaluation.decision.promote


@pytest.mark.slow
def test_series_aligned_at_their_ends_share_origins_by_place(table: pd.DataFrame) -> None:
    hours = table["unique_id"].map({"s1": 0, "s2": 1, "s3": 2})
    late = pd.to_timedelta(hours * 10_000, unit="h")
    shifted = table.assign(cutoff=table["cutoff"] + late, ds=table["ds"] + late)
    evaluation, expected = evaluated(shifted, "series_end").paired, evaluated(table).paired
    assert evaluation.standard_error == pytest.approx(expected.standard_error)
    assert (evaluation.origins, evaluation.disjoint_origins) == (expected.origins, expected.disjoint_origins)


@pytest.mark.slow
@pytest.mark.parametrize("align", ["calendar", "series_end"])
@pytest.mark.parametrize("size", [50, 400])
def test_figures_do_not_depend_on_the_blocks_that_are_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, align: str, size: int
) -> None:
    table = forecasts(NOISE, series=5, origins=6)
    table = table[(table["unique_id"] != "s2") | (table["split"] == "validation")]  # never in a test
    table.loc[table["unique_id"] == "s3", "observed"] = False
    panel = panel_of(table, align)
    recipe, stacked = stack_whole(table, panel.series, SETTINGS, KINDS, {}, 24)
    theirs = stacked.loc[stacked["split"] == "test", ["unique_id", "cutoff", "ds", "bad", "q0.1", "q0.9"]]
    champion = champion_of("v1", "", theirs.rename(columns={"bad": "yhat"}).assign(fitted_through=START))
    monkeypatch.setattr(parquet, "BLOCK_ROWS", size)
    parquet.write_series([stacked], tmp_path / "forecasts.parquet")
    blocks = Forecasts.of_file(tmp_path / "forecasts.parquet")
    assert len(list(blocks.blocks())) == (5 if size == 50 else 3)
    boards = []
    for name, each in {"one": in_one_block(stacked), "several": blocks}.items():
        path = tmp_path / name / "leaderboard.json"
        path.parent.mkdir()
        evaluate(each, PanelBlocks.of(panel), recipe, champion=champion).write(path)
        boards.append((json.loads(path.read_text()), Evaluation.read(path)))
    (one, read), (several, again) = boards
    assert one["decision"]["comparison"]["series"] == 3
    assert several == one
    for rows, others in ((read.by_series, again.by_series), (read.series, again.series)):
        pd.testing.assert_frame_equal(frame_of(rows), frame_of(others), rtol=1e-12, atol=0)
