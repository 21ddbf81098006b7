import json
from typing import Any

import pandas as pd
import pytest

from kubecast.config.training import PromotionSettings, TrainingSettings
from kubecast.config.validation import validate
from kubecast.data.panel import Panel
from kubecast.errors import ConfigError, DataError
from kubecast.evaluation.comparison import Champion, CommonTargets, Comparison, compare
from kubecast.evaluation.promotion import Check, Decision, decide
from kubecast.evaluation.skill import Skill
from kubecast.evaluation.verdict import outcome_of, verdict, verdict_of
from kubecast.scoring.loss_grid import LossGrid
from kubecast.scoring.metrics import ENSEMBLE
from kubecast.scoring.resampling import Interval
from kubecast.scoring.significance import paired_difference
from tests.support.forecasts import START, champion_of, forecasts, panel_of, scales

LEVELS = [0.1, 0.9]
SKILL = Skill(naive="seasonal_naive_24", value=0.2, interval=Interval(low=0.1, high=0.3))
ID = "20260101T000000000000Z-00000000"
COMPETE = {"mode": "compete"}


def judge(
    own: float = 1.0,
    champion: float = 1.0,
    *,
    own_width: float = 1.28,
    champion_width: float = 1.28,
    shift: dict[str, float] | None = None,
    hidden: bool = False,
    fitted_through: pd.Timestamp = START,
    series: int = 3,
    origins: int = 40,
    same: bool = False,
    **settings: Any,
) -> Decision:
    """Decide between two forecasts that miss the targets by normal errors of the given standard deviations.

    Args:
        own: Of the version, in scales.
        champion: Of the champion.
        own_width: Half of the version's interval; 1.28 holds 80 % of errors of 1.
        champion_width: Half of the champion's.
        shift: By series, a further error of the version in scales.
        hidden: No target was observed.
        fitted_through: Of the champion.
        series: How many.
        origins: Disjoint ones.
        same: The champion's forecasts are the version's.
        **settings: Of promotion.
    """
    table = forecasts(
        {ENSEMBLE: own, "other": champion}, series=series, folds=1, origins=origins, stride=5, splits=["test"]
    )
    number = table["unique_id"].str[1:].astype(float)
    table[ENSEMBLE] += number * table["unique_id"].map(shift or {}).fillna(0.0)
    other = table[ENSEMBLE] if same else table["other"]
    theirs = table[["unique_id", "cutoff", "ds"]].assign(fitted_through=fitted_through, yhat=other)
    for sign, name in ((-1, "q0.1"), (1, "q0.9")):
        table[name] = table[ENSEMBLE] + sign * own_width * number
        theirs[name] = other + sign * champion_width * number
    test = table.drop(columns="other").assign(observed=not hidden)
    decision = against(
        champion_of(ID, "", theirs), test, {"80": 0.8}, LEVELS, PromotionSettings.model_validate(settings)
    )
    assert decision.promote == (
        all(check.passed for check in decision.checks) and not decision.not_comparable
    )
    return decision


def against(
    champion: Champion,
    test: pd.DataFrame,
    coverage: dict[str, float],
    levels: list[float],
    settings: PromotionSettings,
    challenger: str = "",
    skill: Skill = SKILL,
) -> Decision:
    """The decision on forecasts of the test split, beside a champion's."""
    panel = panel_of(test)
    comparison = compared(champion, test, panel, levels)
    return decide(panel, skill, coverage, levels, 0, settings, champion, comparison, challenger)


def compared(champion: Champion, test: pd.DataFrame, panel: Panel, levels: list[float]) -> Comparison | None:
    """A version beside the champion, from two blocks of series."""
    first = test["unique_id"] == test["unique_id"].iloc[0]
    theirs = pd.concat(champion.forecasts.blocks())
    blocks = [
        CommonTargets.of(test[rows], scales(test), panel, levels, champion, theirs)
        for rows in (first, ~first)
    ]
    return compare(blocks, scales(test), panel, levels, champion)


def failed(decision: Decision) -> list[str]:
    return [check.name for check in decision.checks if not check.passed]


def check(decision: Decision, beginning: str) -> Check:
    return next(each for each in decision.checks if each.name.startswith(beginning))


# --- the first version ----------------------------------------------------------------------------------


def first(skill: Skill = SKILL, covered: float = 0.8, infinite: int = 0) -> Decision:
    panel = panel_of(forecasts({"good": 1.0}))
    return decide(panel, skill, {"80": covered}, LEVELS, infinite, PromotionSettings())


def test_first_version_is_promoted_when_every_check_passes() -> None:
    decision = first()
    assert decision.promote
    assert decision.champion is None
    assert decision.reasons == ["every check is passed"]
    assert decision.compared == "none, as there is no champion from other data or settings"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"skill": Skill(naive="seasonal_naive_24", value=-0.1)},
            "skill over seasonal naive 24 on the test split is -0.1; allowed: above 0",
        ),
        ({"skill": Skill()}, "skill over a naive forecast on the test split is -; allowed: above 0"),
        ({"covered": 0.49}, "coverage of the 80 % interval is 0.49; allowed: at least 0.5"),
        ({"infinite": 1}, "values that are not finite is 1; allowed: 0"),
    ],
)
def test_first_version_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    decision = first(**changes)
    assert (decision.promote, decision.reasons) == (False, [reason])


def test_quantiles_without_an_interval_have_no_coverage_check() -> None:
    panel = panel_of(forecasts({"good": 1.0}))
    decision = decide(panel, SKILL, {}, [0.5], 0, PromotionSettings())
    assert decision.promote
    assert len(decision.checks) == 2


# --- against the champion -------------------------------------------------------------------------------


def test_version_equal_to_the_champion_is_not_made_to_lose() -> None:
    strictest = {"tolerance": 0.0, "coverage_tolerance": 0.0, "segment_cap": 0.0}
    decision = judge(same=True, **strictest)
    assert decision.promote
    assert decision.comparison is not None
    assert (decision.comparison.gain, decision.comparison.worst_loss) == (0.0, 0.0)
    assert decision.comparison.paired.difference == 0.0


def test_version_equal_to_the_champion_is_not_better_either() -> None:
    decision = judge(same=True, **COMPETE)
    assert failed(decision) == ["p-value of the gain"]
    assert decision.reasons == ["p-value of the gain is 1; allowed: below 0.05"]


@pytest.mark.parametrize("mode", ["retrain", "compete"])
def test_better_version_is_promoted_in_both_modes(mode: str) -> None:
    decision = judge(own=0.8, champion_width=1.6, mode=mode)
    comparison = decision.comparison
    assert decision.promote
    assert decision.champion == ID
    assert comparison is not None
    assert comparison.gain == pytest.approx(1 - comparison.mase / comparison.champion_mase, abs=1e-4)
    assert comparison.gain > 0.1
    assert (comparison.origins, comparison.series, comparison.interval) == (120, 3, "80")
    assert comparison.paired.p_value is not None
    assert comparison.paired.p_value < 0.01
    assert f"of the champion {ID}, from 120 origins" in decision.compared


@pytest.mark.parametrize("mode", ["retrain", "compete"])
def test_worse_version_is_kept_back_in_both_modes(mode: str) -> None:
    decision = judge(own=1.3, mode=mode)
    assert not decision.promote
    assert "gain over the champion" in failed(decision)
    assert decision.reasons[0].startswith("gain over the champion is -0.")


def test_slightly_worse_refit_is_promoted_within_the_tolerance_alone() -> None:
    decision = judge(own=1.04, tolerance=0.2)
    gain = check(decision, "gain").value
    assert gain is not None
    assert gain < 0
    assert decision.promote
    assert failed(judge(own=1.04, tolerance=abs(gain) / 2)) == ["gain over the champion"]


def test_gain_below_the_least_is_not_enough_to_compete() -> None:
    assert failed(judge(own=0.8, champion_width=1.6, min_gain=0.5, **COMPETE)) == ["gain over the champion"]


@pytest.mark.parametrize(("decided", "promoted"), [("keep", False), ("promote", True)])
def test_too_little_to_tell_is_decided_by_the_setting(decided: str, promoted: bool) -> None:
    decision = judge(own=0.6, own_width=0.8, origins=3, when_untestable=decided, segment_cap=1.0, **COMPETE)
    assert decision.promote == promoted
    assert check(decision, "p-value").value is None
    assert f"too few origins and series for a test, and when_untestable is {decided}" in str(
        decision.checks[-1]
    )


def test_many_series_at_few_origins_are_tested_over_series() -> None:
    decision = judge(own=0.7, own_width=0.9, series=30, origins=2, **COMPETE)
    assert decision.comparison is not None
    assert decision.comparison.paired.over == "series and origins"
    assert check(decision, "p-value").allowed == "below 0.05 on 2 separate horizons"
    assert decision.promote


@pytest.mark.parametrize(("decided", "promoted"), [("keep", False), ("promote", True)])
def test_one_date_that_all_series_share_tells_too_little(decided: str, promoted: bool) -> None:
    lenient = {"coverage_tolerance": 0.9, "segment_cap": 9.0, **COMPETE}
    decision = judge(own=0.5, series=30, origins=1, when_untestable=decided, **lenient)
    assert decision.promote == promoted
    assert "the one horizon that all series share is too few" in check(decision, "p-value").allowed


def test_one_series_that_gets_much_worse_keeps_the_version_back() -> None:
    decision = judge(own=0.8, shift={"s2": 2.0}, tolerance=0.9, coverage_tolerance=0.9)
    assert failed(decision) == ["loss in the worst segment (s2)"]


def test_many_series_are_looked_at_in_tenths_by_scale() -> None:
    worse = {f"s{number}": 2.0 for number in range(28, 31)}
    decision = judge(shift=worse, series=30, origins=3, tolerance=0.9, coverage_tolerance=0.9)
    assert failed(decision) == ["loss in the worst segment (tenth 10 of the series by scale)"]


def test_segment_that_the_champion_has_nearly_right_is_not_all_that_counts() -> None:
    table = forecasts({ENSEMBLE: 1.0, "other": 1.0}, folds=1, origins=20, stride=5, splits=["test"])
    exact = table["unique_id"] == "s1"
    table.loc[exact, "other"] = table.loc[exact, "y"]
    table.loc[exact, ENSEMBLE] = table.loc[exact, "y"] + 0.01
    theirs = table.rename(columns={"other": "yhat"})[["unique_id", "cutoff", "ds", "yhat"]]
    champion = champion_of(ID, "", theirs.assign(fitted_through=START))
    decision = against(champion, table, {}, [], PromotionSettings(tolerance=0.5))
    assert decision.promote
    assert check(decision, "loss").value is not None


@pytest.mark.parametrize(("own_width", "passed"), [(1.28, True), (0.9, False), (3.0, False)])
def test_intervals_further_from_nominal_than_the_champions_keep_the_version_back(
    own_width: float, passed: bool
) -> None:
    decision = judge(own_width=own_width, tolerance=0.2)
    assert failed(decision) == ([] if passed else ["distance of the coverage from 80 %"])


def test_champion_without_the_interval_has_no_coverage_compared() -> None:
    table = forecasts({ENSEMBLE: 1.0}, splits=["test"])
    theirs = table[["unique_id", "cutoff", "ds"]].assign(fitted_through=START, yhat=table[ENSEMBLE])
    test = table.assign(**{"q0.1": table[ENSEMBLE] - 1, "q0.9": table[ENSEMBLE] + 1})
    decision = against(champion_of(ID, "", theirs), test, {"80": 0.8}, LEVELS, PromotionSettings())
    assert decision.comparison is not None
    assert decision.comparison.interval is None
    assert decision.promote


def test_champion_without_error_is_beaten_by_nothing_but_its_equal() -> None:
    decision = judge(own=1.0, champion=0.0)
    assert check(decision, "gain").value is None
    assert check(decision, "loss").value is None
    assert not decision.promote
    assert judge(own=0.0, champion=0.0).promote


def test_version_that_fails_its_own_checks_is_not_promoted_however_good_the_comparison() -> None:
    table = forecasts({ENSEMBLE: 0.5, "other": 1.0}, folds=1, origins=12, splits=["test"])
    theirs = table[["unique_id", "cutoff", "ds"]].assign(fitted_through=START, yhat=table["other"])
    champion = champion_of(ID, "", theirs)
    decision = against(champion, table, {}, [], PromotionSettings(), skill=Skill(value=-0.1))
    assert failed(decision) == ["skill over a naive forecast on the test split"]


def test_rows_that_the_champion_has_seen_are_not_scored() -> None:
    later = START + pd.Timedelta(hours=7)
    with pytest.raises(DataError, match=rf"champion {ID}, series s1: origin 2025-01-01 00:00:00 lies before"):
        judge(fitted_through=later)


def test_champion_that_is_not_comparable_stays() -> None:
    champion = champion_of(ID, "its horizon: 24, this version's: 48", pd.DataFrame())
    panel = panel_of(forecasts({"good": 1.0}))
    decision = decide(panel, SKILL, {"80": 0.8}, LEVELS, 0, PromotionSettings(), champion)
    assert not decision.promote
    assert decision.not_comparable == "its horizon: 24, this version's: 48"
    assert decision.reasons == [f"not comparable with the champion {ID}: its horizon: 24, this version's: 48"]
    assert all(each.passed for each in decision.checks)


def test_origin_without_an_observed_target_moves_no_other_to_another_place_from_the_end() -> None:
    table = forecasts({ENSEMBLE: 1.0, "other": 1.0}, folds=1, origins=12, stride=5, splits=["test"])
    panel = panel_of(table, align="series_end")
    last = (table["unique_id"] == "s1") & (table["cutoff"] == table["cutoff"].max())
    table.loc[last, "observed"] = False
    theirs = table.rename(columns={"other": "yhat"})[["unique_id", "cutoff", "ds", "yhat"]]
    champion = champion_of(ID, "", theirs.assign(fitted_through=START))
    comparison = compared(champion, table, panel, [])
    grid = LossGrid.from_table(table, scales(table), panel, [ENSEMBLE, "other"])
    assert comparison is not None
    expected = paired_difference(grid, ENSEMBLE, "other").model_copy(update={"against": "champion"})
    assert comparison.paired == expected


def test_series_that_gained_or_lost_most_are_named_with_both_errors() -> None:
    shift = {f"s{number}": float(number) for number in range(3, 10)}
    comparison = judge(0.0, 6.0, shift=shift, series=9).comparison
    assert comparison is not None
    assert [each.unique_id for each in comparison.lost] == ["s9", "s8", "s7", "s6", "s5"]
    assert [each.unique_id for each in comparison.gained] == ["s1", "s2", "s3", "s4"]
    assert [round(each.mase, 6) for each in comparison.gained] == [0, 0, 3, 4]


def test_series_that_did_not_change_are_not_among_them() -> None:
    comparison = judge(same=True).comparison
    assert comparison is not None
    assert (comparison.gained, comparison.lost) == ([], [])


def test_targets_that_were_not_observed_compare_nothing() -> None:
    assert judge(hidden=True).not_comparable == "no target after what the champion has seen was observed"


def test_decision_is_finite_json_and_comes_back_the_same() -> None:
    for decision in (judge(), judge(champion=0.0), first()):
        text = decision.model_dump_json()
        json.loads(text, parse_constant=lambda name: pytest.fail(name))
        assert Decision.model_validate_json(text) == decision


def test_decision_is_the_same_each_time() -> None:
    assert judge(series=25, origins=3) == judge(series=25, origins=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "replace"}, "training.promotion.mode: Input should be 'retrain' or 'compete'"),
        ({"tolerance": 1.0}, "training.promotion.tolerance"),
        ({"tolerance": "0.1"}, "training.promotion.tolerance"),
        ({"min_gain": -0.1}, "training.promotion.min_gain"),
        ({"significance": 0}, "training.promotion.significance"),
        ({"segment_cap": -1.0}, "training.promotion.segment_cap"),
        ({"when_untestable": "maybe"}, "training.promotion.when_untestable"),
        ({"min_gains": 0.1}, "unknown key training.promotion.min_gains; did you mean min_gain?"),
    ],
)
def test_wrong_promotion_setting_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        validate(TrainingSettings, {"promotion": settings}, "training.yaml", "training")


# --- a test is not repeated until it passes -------------------------------------------------------------


def retried(failed_tests: dict[str, str], challenger: str, own: float = 1.0) -> Decision:
    table = forecasts({ENSEMBLE: own, "other": 1.0}, folds=1, origins=40, stride=5, splits=["test"])
    theirs = table[["unique_id", "cutoff", "ds"]].assign(fitted_through=START, yhat=table["other"])
    champion = champion_of(ID, "", theirs, failed_tests=failed_tests)
    settings = PromotionSettings(mode="compete", segment_cap=9.0)
    return against(champion, table, {}, [], settings, challenger)


def test_challenger_that_failed_is_not_tested_again_on_the_same_rows() -> None:
    first_try = retried({}, "settings", own=1.05)
    assert first_try.failed_test
    failed_tests = {first_try.failed_test: "v1"}
    lucky = retried(failed_tests, "settings", own=0.7)
    assert failed(lucky) == ["p-value of the gain"]
    assert "version v1 of the same settings failed on the same rows" in lucky.reasons[0]
    assert lucky.failed_test == first_try.failed_test
    assert retried(failed_tests, "other settings", own=0.7).promote
    assert retried({}, "settings", own=0.7).failed_test == ""


# --- in words -------------------------------------------------------------------------------------------


def test_verdict_says_what_was_shown() -> None:
    unsure = Skill(naive="seasonal_naive_24", value=0.005, interval=Interval(low=-0.18, high=0.18), dates=3)
    decision = first(unsure)
    assert decision.promote
    assert verdict(decision).title == "Champion, but not shown to beat seasonal naive 24"
    assert verdict(decision).tone == "unsure"
    assert decision.reasons == [
        "no check failed, but skill over seasonal naive 24 is 0.5 %"
        " (95 %: \N{MINUS SIGN}18.0 % to 18.0 % on 3 separate horizons)"
    ]
    assert [each.result for each in decision.checks] == ["within chance", "passed", "passed"]
    assert verdict(first()).title == "Champion: better than seasonal naive 24"


def test_one_date_that_all_series_share_shows_nothing() -> None:
    decision = first(SKILL.model_copy(update={"dates": 1}))
    assert verdict(decision).title == "Champion, but not shown to beat seasonal naive 24"
    assert "on one horizon, which says nothing of other times" in verdict(decision).reason


def test_verdict_on_a_version_that_is_refused_names_the_first_fault() -> None:
    assert verdict(first(Skill(naive="seasonal_naive_1", value=-0.1))).title == (
        "Not promoted: not better than the last value"
    )
    worse = judge(own=1.3)
    assert worse.comparison is not None
    assert worse.comparison.gain is not None
    assert (
        verdict(worse).title == f"Not promoted: {-100 * worse.comparison.gain:.1f} % worse than the champion"
    )
    assert verdict(judge(hidden=True)).title == "Not promoted: not comparable with the champion"


def test_verdict_on_a_published_version_is_that_of_its_metadata() -> None:
    decision = first()
    assert verdict_of({"decision": decision.model_dump(mode="json")}) == verdict(decision)
    former = decision.model_dump(mode="json", exclude={"skill", "tested"})
    older = verdict_of({"decision": former})
    assert older is not None
    assert (older.title, older.tone) == ("Champion, from before intervals were kept", "unsure")
    assert older.reason.startswith("every check is passed; chance was not measured")
    assert verdict_of({}) is None


def test_outcome_is_the_verdict_in_a_word() -> None:
    shown, unsure = first(), first(SKILL.model_copy(update={"dates": 1}))
    decisions = [shown, unsure, judge(own=1.3), shown.model_copy(update={"evaluated": False})]
    words = [outcome_of({"decision": decision.model_dump(mode="json")}) for decision in decisions]
    assert words == ["promoted", "not shown", "refused", "not evaluated"]
    assert outcome_of({}) is None
