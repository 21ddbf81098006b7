"""The gate: whether a version takes the champion's place."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from kubecast.config.training import PromotionSettings
from kubecast.data.panel import Panel
from kubecast.documents import Document
from kubecast.evaluation.comparison import Champion, Comparison
from kubecast.evaluation.skill import Skill
from kubecast.scoring.metrics import intervals
from kubecast.scoring.significance import Paired

COVERAGE_FLOOR = 0.625  # of the nominal coverage: 50 % where 80 % is nominal
GAIN = "gain over the champion"  # the check of it
TEST = "p-value of the gain"  # the same of the paired test
NOT_EVALUATED = "this version is not evaluated"

_TOO_FEW = "too few origins and series"


class Check(Document):
    """One condition of promotion: ``value`` against what is ``allowed``.

    Attributes:
        name: Of what is checked.
        value: None where undefined.
        allowed: In words.
        passed: Whether it is.
        within_chance: Whether it is by no more than chance gives.
    """

    name: str
    value: float | None
    allowed: str
    passed: bool
    within_chance: bool = False

    @property
    def result(self) -> str:
        """The result in words."""
        if not self.passed:
            return "failed"
        return "within chance" if self.within_chance else "passed"


class Decision(Document):
    """Whether the version may become the champion.

    Attributes:
        promote: All checks passed, and there was no champion or a comparable one; without a test split, there
            was no champion.
        evaluated: Whether there was a test split to check on.
        champion: The version that it was compared with; None: there was none.
        not_comparable: Why the two could not be compared; empty where they were, or there was none.
        compared: One sentence on that.
        reasons: One sentence for each check that failed, else that none did.
        skill: Of the version on the test split; None in a decision of before it was kept here.
        tested: Digest of what the paired test was of: settings but the seed, champion, rows; empty: there was
            none.
        checks: All of them.
        comparison: With the champion.
    """

    promote: bool
    evaluated: bool = True
    champion: str | None = None
    not_comparable: str = ""
    compared: str
    reasons: list[str]
    skill: Skill | None = None
    tested: str = ""
    checks: list[Check]
    comparison: Comparison | None = None

    @property
    def failed_test(self) -> str:
        """The digest of a test that the version failed; empty: there is none."""
        failed = any(check.name == TEST and not check.passed for check in self.checks)
        return self.tested if failed else ""


def decision_of(metadata: Mapping[str, Any]) -> Decision | None:
    """The decision on a published version, of its metadata; None: it has none that can be read."""
    try:
        return Decision.model_validate(metadata.get("decision"))
    except ValidationError:  # published by hand, or by a newer kubecast
        return None


def decide(
    panel: Panel,
    skill: Skill,
    coverage: Mapping[str, float],
    levels: Sequence[float],
    infinite: int,
    settings: PromotionSettings,
    champion: Champion | None = None,
    comparison: Comparison | None = None,
    challenger: str = "",
) -> Decision:
    """Decide on a version by its own figures and, where there is a champion, by a comparison with it.

    Args:
        panel: Says whether there is a test split, and what data it is.
        skill: Of the ensemble on the test split.
        coverage: The same, by nominal coverage in percent.
        levels: Quantile levels.
        infinite: Forecasts and quantiles of the test split that are not finite.
        settings: The limits.
        champion: None: there is none.
        comparison: With the champion; None: there is none, or no target that both can be scored on.
        challenger: Digest of the version's settings but the seed: what failed a paired test is not tested
            again on the same rows, where another seed might pass by luck.
    """
    if not panel.spec.splits.is_evaluated:
        return _not_evaluated(champion)
    checks = _own_checks(skill, coverage, levels, infinite)
    if champion is None:
        return _decision(skill, checks, "none, as there is no champion from other data or settings")
    if champion.replaceable:
        text = f"none, as the champion {champion.version} is not evaluated: {champion.not_comparable}"
        return _decision(skill, checks, text, champion=champion.version)
    if comparison is None:
        reason = champion.not_comparable or "no target after what the champion has seen was observed"
        text = f"not comparable with the champion {champion.version}: {reason}"
        return _decision(skill, checks, text, champion=champion.version, not_comparable=reason)
    checks += _comparison_checks(comparison, settings)
    tested = ""
    if settings.mode == "compete":
        tested = _test_digest(challenger, champion, panel, comparison)
        checks.append(_test_check(comparison.paired, settings, champion.failed_tests.get(tested)))
    text = (
        f"MASE {comparison.mase:.4g} against {comparison.champion_mase:.4g} of the champion"
        f" {champion.version}, from {comparison.origins} origins, on targets that neither has seen"
    )
    return _decision(skill, checks, text, champion=champion.version, comparison=comparison, tested=tested)


def _not_evaluated(champion: Champion | None) -> Decision:
    """The decision without a test split: a first version must do, and no champion is given up for it."""
    if champion is None:
        reason = "not evaluated, as the history is too short for a test split; there is no champion to keep"
    else:
        reason = (
            "not evaluated, as the history is too short for a test split: the champion"
            f" {champion.version} stays"
        )
    return Decision(
        promote=champion is None,
        evaluated=False,
        champion=champion.version if champion else None,
        not_comparable="" if champion is None else NOT_EVALUATED,
        compared=f"none, as {NOT_EVALUATED}",
        reasons=[reason],
        checks=[],
    )


def _decision(
    skill: Skill,
    checks: list[Check],
    compared: str,
    *,
    champion: str | None = None,
    not_comparable: str = "",
    comparison: Comparison | None = None,
    tested: str = "",
) -> Decision:
    failed = [
        f"{check.name} is {'-' if check.value is None else f'{check.value:.4g}'}; allowed: {check.allowed}"
        for check in checks
        if not check.passed
    ]
    if not_comparable:
        failed.insert(0, compared)
    passed = "every check is passed" if skill.is_shown else f"no check failed, but {skill.describe()}"
    return Decision(
        promote=not failed,
        champion=champion,
        not_comparable=not_comparable,
        compared=compared,
        reasons=failed or [passed],
        skill=skill,
        tested=tested,
        checks=checks,
        comparison=comparison,
    )


def _own_checks(
    skill: Skill, coverage: Mapping[str, float], levels: Sequence[float], infinite: int
) -> list[Check]:
    checks = [
        Check(
            name=f"skill over {skill.label} on the test split",
            value=skill.value,
            allowed="above 0",
            passed=skill.value is not None and skill.value > 0,
            within_chance=not skill.is_shown,
        ),
        Check(name="values that are not finite", value=infinite, allowed="0", passed=infinite == 0),
    ]
    if outermost := next(iter(intervals(levels)), None):
        least = COVERAGE_FLOOR * float(outermost) / 100
        covered = coverage.get(outermost)
        checks.append(
            Check(
                name=f"coverage of the {outermost} % interval",
                value=covered,
                allowed=f"at least {least:.3g}",
                passed=covered is not None and covered >= least,
            )
        )
    return checks


def _comparison_checks(comparison: Comparison, settings: PromotionSettings) -> list[Check]:
    checks = [_gain_check(comparison, settings), _segment_check(comparison, settings)]
    if (
        comparison.interval is not None
        and comparison.coverage is not None
        and comparison.champion_coverage is not None
    ):
        nominal = float(comparison.interval) / 100
        most = abs(comparison.champion_coverage - nominal) + settings.coverage_tolerance
        off = abs(comparison.coverage - nominal)
        checks.append(
            Check(
                name=f"distance of the coverage from {comparison.interval} %",
                value=off,
                allowed=f"at most {most:.4g}, {settings.coverage_tolerance:g} above the champion's",
                passed=off <= most,
            )
        )
    return checks


def _gain_check(comparison: Comparison, settings: PromotionSettings) -> Check:
    least = -settings.tolerance if settings.mode == "retrain" else settings.min_gain
    return Check(
        name=GAIN,
        value=comparison.gain,
        allowed=f"at least {least:g}",
        passed=comparison.gain is not None and comparison.gain >= least,
    )


def _segment_check(comparison: Comparison, settings: PromotionSettings) -> Check:
    return Check(
        name=f"loss in the worst segment ({comparison.worst_segment})",
        value=comparison.worst_loss,
        allowed=f"at most {settings.segment_cap:g}",
        passed=comparison.worst_loss is not None and comparison.worst_loss <= settings.segment_cap,
    )


def _test_digest(challenger: str, champion: Champion, panel: Panel, comparison: Comparison) -> str:
    period = comparison.first_origin, comparison.last_origin, comparison.origins
    key = challenger, champion.version, panel.spec.digest, *map(str, period)
    return hashlib.sha256("\n".join(key).encode()).hexdigest()


def _test_check(paired: Paired, settings: PromotionSettings, failed_by: str | None) -> Check:
    """The check by the paired test.

    Args:
        paired: The difference.
        settings: The limits.
        failed_by: Version that failed the same test; None: there is none.
    """
    allowed = f"below {settings.significance:g}"
    passed = paired.p_value is not None and paired.p_value < settings.significance
    if paired.dates is not None:
        allowed += f" on {paired.dates} separate horizons"
    if failed_by is not None:
        allowed += f", at the first try; version {failed_by} of the same settings failed on the same rows"
        passed = False
    elif paired.p_value is None:
        few = "the one horizon that all series share is too few" if paired.over == "series" else _TOO_FEW
        allowed += f"; {few} for a test, and when_untestable is {settings.when_untestable}"
        passed = settings.when_untestable == "promote"
    return Check(name=TEST, value=paired.p_value, allowed=allowed, passed=passed)
