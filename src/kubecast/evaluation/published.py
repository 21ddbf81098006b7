"""The leaderboard of a published version, and what two versions differ in."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from kubecast.documents import Document, nested, significant
from kubecast.errors import IntegrityError
from kubecast.evaluation.changes import Change, common_differences, differences, setting_changes
from kubecast.evaluation.comparison import Comparison
from kubecast.evaluation.leaderboard import DIGITS, FACTS, LEADERBOARD, Evaluation
from kubecast.evaluation.promotion import decision_of
from kubecast.registry import Registry, Version
from kubecast.scoring.metrics import COVERAGE

_DIGEST_DIGITS = 12  # of a digest, for a person
# The relative difference of a figure of before schema 5 and the same in six digits.
_ROUNDING = 10.0 ** (1 - DIGITS)

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
        IntegrityError: The file is missing or altered.
        StoreError: The store failed.
    """
    if LEADERBOARD not in version.files:  # published by hand
        return None
    content = store.read_file(version, LEADERBOARD)
    with suppress(IntegrityError):  # of a newer kubecast
        return Evaluation.parse(content, f"{version.id}/{LEADERBOARD}")
    return None


def with_series(evaluation: Evaluation, store: Registry, version: Version) -> Evaluation:
    """The leaderboard of a version with what is to be known of each series, ``Evaluation.series``.

    Raises:
        NotFound: The version has no such file.
        IntegrityError: The file is missing or altered.
        StoreError: The store failed.
    """
    if not evaluation.has_tables_beside:
        return evaluation
    return evaluation.with_tables({FACTS: store.read_file(version, FACTS)}, version.id)


def diff_versions(store: Registry, before: Version, after: Version) -> VersionDiff:
    """Compare two versions by what was published with them; nothing is forecast again.

    What is known of one alone, as its leaderboard cannot be read, is no difference.

    Raises:
        IntegrityError: A leaderboard is missing or altered.
        StoreError: The store failed.
    """
    old, new = published_evaluation(store, before), published_evaluation(store, after)
    figures, rows = _figures(before, after, old, new)
    return VersionDiff(
        before=_label(before),
        after=_label(after),
        settings=setting_changes(
            nested(before.metadata, "settings"), nested(after.metadata, "settings"), ignored=()
        ),
        data=common_differences(_data(before, old), _data(after, new)),
        code=differences(_code(before), _code(after)),
        models=differences(_models(before, old if new else None), _models(after, new if old else None)),
        figures=figures,
        rows=rows,
    )


def _label(version: Version) -> str:
    return f"{version.name}@{version.id}"


def _data(version: Version, evaluation: Evaluation | None) -> dict[str, Any]:
    """What is known of the data; a time of the test split is None where there is no such split."""
    described = {key: version.metadata.get(key) for key in ("frequency", "horizon", "season_lengths")}
    described["digest"] = str(version.metadata.get("data_digest") or "")[:_DIGEST_DIGITS] or None
    known = {key: value for key, value in described.items() if value is not None}
    if evaluation is None:
        return known
    extent = {"rows": evaluation.data.rows, "series": evaluation.data.series}
    return known | extent | dict(evaluation.period or ())


def _code(version: Version) -> dict[str, Any]:
    image = version.metadata.get("image")
    return {**nested(version.metadata, "packages"), **({"image": image} if image else {})}


def _models(version: Version, evaluation: Evaluation | None) -> dict[str, Any]:
    described: dict[str, dict[str, Any]] = {}
    for name, fit in nested(version.metadata, "final_fit").items():
        known = fit if isinstance(fit, dict) else {}
        described[name] = {"final_fit": known.get("reason") or known.get("state")}
    if evaluation is None:
        return described
    for member in evaluation.ensemble.members:
        described.setdefault(member.model, {})["weight"] = significant(member.weight, DIGITS)
    return {**described, "ensemble": {"method": evaluation.ensemble.method}}


def _figures(
    before: Version, after: Version, old: Evaluation | None, new: Evaluation | None
) -> tuple[list[FigurePair], str]:
    """The figures of both on the same rows, and which rows these are, or why there are none."""
    if _label(before) == _label(after):
        figures = old.summary() if old else {}
        return _pairs(figures, figures), "those of one version"
    if old and new and not _obstacle(before, after, old, new):
        return _pairs(*_summaries(old, new)), f"the test split of both, {_test_rows(old)}"
    if comparison := _comparison(before, after):
        return _pairs(*_compared(comparison)), _compared_rows(comparison)
    if comparison := _comparison(after, before):
        return _pairs(*reversed(_compared(comparison))), _compared_rows(comparison)
    return [], f"not comparable: {_obstacle(before, after, old, new)}"


def _obstacle(before: Version, after: Version, old: Evaluation | None, new: Evaluation | None) -> str:
    """Why the test splits cannot be compared; empty where they are of the same rows."""
    if old and new and old.period and new.period and _test_rows(old) == _test_rows(new):
        reason = _difference_of_naives(old, new)
        return reason and f"test splits of the same times, {_test_rows(old)}, but {reason}"
    scored = [
        f"{_label(version)} was scored on {_test_rows(board)}"
        for version, board in ((before, old), (after, new))
    ]
    return ", ".join(scored)


def _difference_of_naives(old: Evaluation, new: Evaluation) -> str:
    """How naive forecasts, which no setting changes, differ on both test splits; empty where they do not."""
    names = sorted({*old.naives} & {*new.naives})
    naives = {name: (old.row(name, "test"), new.row(name, "test")) for name in names}
    for name, (one, other) in naives.items():
        if one.scored != other.scored:
            return f"{name} has {one.scored:,} and {other.scored:,} targets"
        if not math.isclose(one.mase or 0.0, other.mase or 0.0, rel_tol=_ROUNDING):
            return f"{name} has MASE {one.mase} and {other.mase}"
    if any(one.mase for one, _ in naives.values()):
        return ""
    return "no naive forecast has a MASE above 0 in both"


def _summaries(old: Evaluation, new: Evaluation) -> tuple[Figures, Figures]:
    """The figures of both; skill where it refers to the same naive forecast alone."""
    naives = {board.skill["test"].naive if "test" in board.skill else None for board in (old, new)}
    ignored = {"skill"} if len(naives) > 1 else set()
    before, after = (
        {name: value for name, value in board.summary().items() if name not in ignored}
        for board in (old, new)
    )
    return before, after


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
    coverage = f"{COVERAGE}{comparison.interval}"
    return (
        {"mase": comparison.champion_mase, coverage: comparison.champion_coverage},
        {"mase": comparison.mase, coverage: comparison.coverage},
    )


def _compared_rows(comparison: Comparison) -> str:
    count = f"{comparison.origins:,} origins of {comparison.series:,} series"
    if comparison.first_origin is not None:
        count += f", {comparison.first_origin} to {comparison.last_origin}"
    return f"{count}, which neither was fitted on"


def _pairs(old: Figures, new: Figures) -> list[FigurePair]:
    """The figures that either has, but for those of its champion."""
    names = [name for name in {**old, **new} if not name.startswith("champion_")]
    pairs = [FigurePair(name=name, before=old.get(name), after=new.get(name)) for name in names]
    return [pair for pair in pairs if (pair.before, pair.after) != (None, None)]
