"""The leaderboard of a published version, and what two versions differ in."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kubecast.documents import Document
from kubecast.errors import IntegrityError, NotFound
from kubecast.evaluation.changes import Change, differences, setting_changes
from kubecast.evaluation.comparison import Comparison
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.evaluation.promotion import decision_of
from kubecast.registry import Registry, Version

_DIGITS = 12  # of a digest, for a person

Figures = Mapping[str, float | None]


class FigurePair(Document):
    """A figure of both versions on the same rows; None where it is undefined."""

    name: str
    before: float | None
    after: float | None


class VersionDiff(Document):
    """What differs between two versions.

    Attributes:
        before: The one as ``NAME@VERSION``.
        after: The other.
        settings: By ``FILE.KEY``; a model that one alone has is ``used`` there.
        data: Rows, series, times and digest, as far as both are known.
        code: Packages, kubecast among them, and the image.
        models: State of each final fit, weight of each member, and how the weights were fitted.
        figures: On rows that both were scored on; none where there are no such rows.
        rows: Which rows those are, in words, or why there are none.
    """

    before: str
    after: str
    settings: list[Change]
    data: list[Change]
    code: list[Change]
    models: list[Change]
    figures: list[FigurePair]
    rows: str


def published_evaluation(store: Registry, version: Version) -> Evaluation | None:
    """The leaderboard of a version; None where it has none that this kubecast can read.

    Raises:
        StoreError: The store failed.
    """
    with suppress(NotFound, IntegrityError):  # published by hand, or by a newer kubecast
        return Evaluation.parse(store.read_file(version, LEADERBOARD), f"{version.id}/{LEADERBOARD}")
    return None


def diff_versions(store: Registry, before: Version, after: Version) -> VersionDiff:
    """Compare two versions by what was published with them; nothing is forecast again.

    Raises:
        StoreError: The store failed.
    """
    old, new = published_evaluation(store, before), published_evaluation(store, after)
    figures, rows = _figures(before, after, old, new)
    return VersionDiff(
        before=_label(before),
        after=_label(after),
        settings=setting_changes(_part(before, "settings"), _part(after, "settings"), ignored=()),
        data=differences(_data(before, old), _data(after, new)),
        code=differences(_code(before), _code(after)),
        models=differences(_models(before, old), _models(after, new)),
        figures=figures,
        rows=rows,
    )


def _label(version: Version) -> str:
    return f"{version.name}@{version.id}"


def _part(version: Version, key: str) -> dict[str, Any]:
    value = version.metadata.get(key)
    return value if isinstance(value, dict) else {}


def _data(version: Version, evaluation: Evaluation | None) -> dict[str, Any]:
    known = {key: version.metadata.get(key) for key in ("frequency", "horizon", "season_lengths")}
    known["digest"] = str(version.metadata.get("data_digest") or "")[:_DIGITS] or None
    if evaluation:
        known |= {"rows": evaluation.data.rows, "series": evaluation.data.series}
        known |= dict(evaluation.period or ())
    return {key: value for key, value in known.items() if value is not None}


def _code(version: Version) -> dict[str, Any]:
    image = version.metadata.get("image")
    return {**_part(version, "packages"), **({"image": image} if image else {})}


def _models(version: Version, evaluation: Evaluation | None) -> dict[str, Any]:
    described: dict[str, dict[str, Any]] = {}
    for name, fit in _part(version, "final_fit").items():
        known = fit if isinstance(fit, dict) else {}
        described[name] = {"final_fit": known.get("reason") or known.get("state")}
    if evaluation is None:
        return described
    for member in evaluation.ensemble.members:
        described.setdefault(member.model, {})["weight"] = member.weight
    return {**described, "ensemble": {"method": evaluation.ensemble.method}}


def _figures(
    before: Version, after: Version, old: Evaluation | None, new: Evaluation | None
) -> tuple[list[FigurePair], str]:
    """The figures of both on the same rows, and which rows these are, or why there are none."""
    if old and new and _have_same_rows(old, new):
        return _pairs(old.summary(), new.summary()), f"the test split of both, {_test_rows(old)}"
    if comparison := _comparison(before, after):
        return _pairs(*_compared(comparison)), _compared_rows(comparison, after)
    if comparison := _comparison(after, before):
        return _pairs(*reversed(_compared(comparison))), _compared_rows(comparison, before)
    scored = [
        f"{_label(version)} was scored on {_test_rows(board)}"
        for version, board in ((before, old), (after, new))
    ]
    return [], f"not comparable: {', '.join(scored)}"


def _have_same_rows(old: Evaluation, new: Evaluation) -> bool:
    """Whether the test splits are the same: naive forecasts, which no setting changes, are equally good."""
    if not old.period or not new.period or _test_rows(old) != _test_rows(new):
        return False
    names = {*old.naives} & {*new.naives}
    naives = [(old.row(name, "test"), new.row(name, "test")) for name in names]
    return any(one.mase for one, _ in naives) and all(
        one.scored == other.scored and math.isclose(one.mase or 0.0, other.mase or 0.0)
        for one, other in naives
    )


def _test_rows(evaluation: Evaluation | None) -> str:
    """The rows of a test split, in words."""
    if evaluation is None or evaluation.period is None:
        return "rows that are not known"
    period = evaluation.period
    return "no rows" if period.test_from is None else f"{period.test_from} to {period.test_to}"


def _comparison(champion: Version, challenger: Version) -> Comparison | None:
    """How the gate found a version against its champion; None where it was not compared with this one."""
    decision = decision_of(challenger.metadata)
    if champion.name != challenger.name or decision is None or decision.champion != champion.id:
        return None
    return decision.comparison


def _compared(comparison: Comparison) -> tuple[Figures, Figures]:
    """The champion's figures, and those of the version."""
    coverage = f"coverage_{comparison.interval}"
    return (
        {"mase": comparison.champion_mase, coverage: comparison.champion_coverage},
        {"mase": comparison.mase, coverage: comparison.coverage},
    )


def _compared_rows(comparison: Comparison, challenger: Version) -> str:
    count = f"{comparison.origins:,} origins of {comparison.series:,} series"
    return f"{count} that neither had seen beyond, when {challenger.id} was published"


def _pairs(old: Figures, new: Figures) -> list[FigurePair]:
    """The figures that either has, but for those of its champion."""
    names = [name for name in {**old, **new} if not name.startswith("champion_")]
    pairs = [FigurePair(name=name, before=old.get(name), after=new.get(name)) for name in names]
    return [pair for pair in pairs if (pair.before, pair.after) != (None, None)]
