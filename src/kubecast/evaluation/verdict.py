"""The verdict on a version in words, the same on every page, in every notice and in the command."""

from collections.abc import Mapping
from typing import Any, Literal

from kubecast.documents import Document
from kubecast.evaluation.promotion import GAIN, Decision, decision_of

Outcome = Literal["promoted", "not shown", "not evaluated", "refused"]
"""Not shown: promoted, and chance is not ruled out."""

_BEFORE_SKILL = "chance was not measured, and the naive forecast to beat was chosen on the validation split"


class Verdict(Document):
    """What was decided on a version, and how sure that is.

    Attributes:
        title: In a few words.
        reason: In one sentence.
        tone: ``unsure`` where the version is promoted, and chance is not ruled out.
    """

    title: str
    reason: str
    tone: Literal["good", "unsure", "bad"]


def verdict(decision: Decision) -> Verdict:
    """Put a decision in words."""
    reason = "; ".join(decision.reasons)
    if not decision.promote:
        return Verdict(title=f"Not promoted: {_fault(decision)}", reason=reason, tone="bad")
    if not decision.evaluated:
        return Verdict(title="Champion, but not evaluated", reason=reason, tone="unsure")
    skill = decision.skill
    if skill is None:
        title = "Champion, from before intervals were kept"
        return Verdict(title=title, reason=f"{reason}; {_BEFORE_SKILL}", tone="unsure")
    if not skill.is_shown:
        title = f"Champion, but not shown to beat {skill.label}"
        return Verdict(title=title, reason=reason, tone="unsure")
    return Verdict(title=f"Champion: better than {skill.label}", reason=skill.describe(), tone="good")


def verdict_of(metadata: Mapping[str, Any]) -> Verdict | None:
    """The verdict on a published version; None: its decision cannot be read.

    Args:
        metadata: Of the version.
    """
    decision = decision_of(metadata)
    return None if decision is None else verdict(decision)


def outcome_of(metadata: Mapping[str, Any]) -> Outcome | None:
    """The verdict on a published version in a word, for a list; None: its decision cannot be read.

    Args:
        metadata: Of the version.
    """
    decision = decision_of(metadata)
    if decision is None:
        return None
    if not decision.evaluated:
        return "not evaluated"
    if not decision.promote:
        return "refused"
    return "promoted" if decision.skill is not None and decision.skill.is_shown else "not shown"


def _fault(decision: Decision) -> str:
    """The first reason against a version, in a few words."""
    if not decision.evaluated:
        return "not evaluated"
    if decision.not_comparable:
        return "not comparable with the champion"
    if (skill := decision.skill) is not None and (skill.value is None or skill.value <= 0):
        return f"not better than {skill.label}"
    gain = decision.comparison.gain if decision.comparison else None
    failed = {check.name for check in decision.checks if not check.passed}
    if GAIN in failed and gain is not None and gain < 0:
        return f"{-100 * gain:.1f} % worse than the champion"
    return decision.reasons[0]
