"""The gate: whether a version takes the champion's place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kubecast.config.training import PromotionSettings
from kubecast.data.panel import KEYS, Panel
from kubecast.documents import Document
from kubecast.errors import DataError
from kubecast.scoring.metrics import ENSEMBLE, intervals, quantile_column, scorable, series_metrics
from kubecast.scoring.significance import MANY_SERIES, Paired, common_origins, finite, paired_difference

COVERAGE_FLOOR = 0.625  # of the nominal coverage: 50 % where 80 % is nominal
SEGMENTS = 10
NOT_EVALUATED = "this version is not evaluated"
DIGITS = 4  # of relative changes: a model that is loaded again differs in the seventh

_CHAMPION = "champion"


@dataclass(frozen=True)
class Champion:
    """The champion and its forecasts, from ``forecast_champion``.

    Attributes:
        version: Its id.
        not_comparable: Why it has no forecasts; empty where it has.
        forecasts: ``unique_id``, ``cutoff``, ``ds``, ``fitted_through``, ``yhat`` and the quantiles; of
            ``fitted_through``, see ``kubecast.ensemble.bundle.Contract``.
        replaceable: Whether it has seen all there is and was itself not evaluated: it gives way to a version
            that is.
    """

    version: str
    not_comparable: str
    forecasts: pd.DataFrame
    replaceable: bool = False


class Check(Document):
    """One condition of promotion: ``value`` against what is ``allowed``."""

    name: str
    value: float | None
    allowed: str
    passed: bool


class Comparison(Document):
    """The version and the champion on the same targets, which neither has seen.

    Attributes:
        origins: Number of origins, over all series.
        series: Number of series that could be scored.
        mase: Of the version.
        champion_mase: Of the champion.
        gain: 1 - ``mase`` / ``champion_mase``; None where the champion's is 0 and the version's is not.
        interval: Nominal coverage, in percent, of the widest interval that both have.
        coverage: Share of targets inside the version's.
        champion_coverage: The same of the champion's.
        worst_segment: The series, or the tenth of the series by scale, where the version loses most.
        worst_loss: What it loses there: the difference of both MASEs over the champion's, there or overall,
            whichever is larger; None where that is 0.
        paired: The version's error less the champion's.
    """

    origins: int
    series: int
    mase: float
    champion_mase: float
    gain: float | None
    interval: str | None
    coverage: float | None
    champion_coverage: float | None
    worst_segment: str
    worst_loss: float | None
    paired: Paired


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
        checks: All of them.
        comparison: With the champion.
    """

    promote: bool
    evaluated: bool = True
    champion: str | None = None
    not_comparable: str = ""
    compared: str
    reasons: list[str]
    checks: list[Check]
    comparison: Comparison | None = None


def decide(
    test: pd.DataFrame,
    series: pd.DataFrame,
    panel: Panel,
    skill: float | None,
    coverage: Mapping[str, float],
    levels: Sequence[float],
    settings: PromotionSettings,
    champion: Champion | None = None,
) -> Decision:
    """Decide on a version by its own figures and, where there is a champion, by a comparison with it.

    Args:
        test: The test split's forecasts.
        series: Scales.
        panel: Says what counts as one origin.
        skill: Of the ensemble on the test split.
        coverage: The same, by nominal coverage in percent.
        levels: Quantile levels.
        settings: The limits.
        champion: None: there is none.

    Raises:
        DataError: The champion was to be scored on rows that it has seen.
    """
    if not panel.spec.splits.is_evaluated:
        return _not_evaluated(champion)
    checks = _own_checks(test, skill, coverage, levels)
    if champion is None:
        return _decision(checks, "none, as there is no champion from other data or settings")
    if champion.replaceable:
        text = f"none, as the champion {champion.version} is not evaluated: {champion.not_comparable}"
        return _decision(checks, text, champion=champion.version)
    comparison = None if champion.not_comparable else compare(test, series, panel, levels, champion)
    if comparison is None:
        reason = champion.not_comparable or "no target after what the champion has seen was observed"
        text = f"not comparable with the champion {champion.version}: {reason}"
        return _decision(checks, text, champion=champion.version, not_comparable=reason)
    checks += _comparison_checks(comparison, settings)
    text = (
        f"MASE {comparison.mase:.4g} against {comparison.champion_mase:.4g} of the champion"
        f" {champion.version}, from {comparison.origins} origins that neither has seen beyond"
    )
    return _decision(checks, text, champion=champion.version, comparison=comparison)


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
    checks: list[Check],
    compared: str,
    *,
    champion: str | None = None,
    not_comparable: str = "",
    comparison: Comparison | None = None,
) -> Decision:
    failed = [
        f"{check.name} is {'-' if check.value is None else f'{check.value:.4g}'}; allowed: {check.allowed}"
        for check in checks
        if not check.passed
    ]
    if not_comparable:
        failed.insert(0, compared)
    return Decision(
        promote=not failed,
        champion=champion,
        not_comparable=not_comparable,
        compared=compared,
        reasons=failed or ["every check is passed"],
        checks=checks,
        comparison=comparison,
    )


def _own_checks(
    test: pd.DataFrame, skill: float | None, coverage: Mapping[str, float], levels: Sequence[float]
) -> list[Check]:
    columns = [ENSEMBLE, *(quantile_column(level) for level in levels)]
    infinite = int((~np.isfinite(test[columns].to_numpy(dtype=np.float64))).sum())
    checks = [
        Check(
            name="skill on the test split",
            value=skill,
            allowed="above 0",
            passed=skill is not None and skill > 0,
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


def compare(
    test: pd.DataFrame, series: pd.DataFrame, panel: Panel, levels: Sequence[float], champion: Champion
) -> Comparison | None:
    """Score both on the targets that both have forecast; None where none of them was observed.

    Raises:
        DataError: The champion has seen one of them.
    """
    _refuse_seen(champion)
    theirs = champion.forecasts.drop(columns="fitted_through").rename(columns=_champion_column)
    common = test.merge(theirs, on=KEYS, validate="one_to_one")
    origins = common_origins(common, panel)
    common = common[scorable(common, series)]
    if common.empty:
        return None
    mase = series_metrics(common, series, [ENSEMBLE, _CHAMPION])["mase"].droplevel("split")
    own, other = float(mase[ENSEMBLE].mean()), float(mase[_CHAMPION].mean())
    segment, loss = _worst_segment(mase, series)
    interval, bounds = _common_interval(common, levels)
    return Comparison(
        origins=len(common[["unique_id", "cutoff"]].drop_duplicates()),
        series=len(mase),
        mase=own,
        champion_mase=other,
        gain=_ratio(other - own, other),
        interval=interval,
        coverage=_covered(common, *bounds) if bounds else None,
        champion_coverage=_covered(common, *map(_champion_column, bounds)) if bounds else None,
        worst_segment=segment,
        worst_loss=loss,
        paired=paired_difference(common, series, ENSEMBLE, _CHAMPION, origins),
    )


def _champion_column(name: str) -> str:
    return {"yhat": _CHAMPION}.get(name, name if name in KEYS else f"{_CHAMPION}_{name}")


def _refuse_seen(champion: Champion) -> None:
    table = champion.forecasts
    seen = table[table["cutoff"] < table["fitted_through"]]
    if len(seen):
        row = seen.iloc[0]
        raise DataError(
            f"champion {champion.version}, series {row['unique_id']}: origin {row['cutoff']} lies before"
            f" {row['fitted_through']}, up to which it was fitted or chosen; allowed: later origins only"
        )


def _ratio(difference: float, base: float) -> float | None:
    if base == 0:
        return 0.0 if difference == 0 else None
    return round(difference / base, DIGITS)


def _worst_segment(mase: pd.DataFrame, series: pd.DataFrame) -> tuple[str, float | None]:
    """Single series where there are few, tenths of them by scale where there are many.

    A segment that the champion forecasts almost perfectly would turn noise into a large loss, so the loss is
    over the champion's MASE of all series where that is larger.
    """
    names = mase.index.to_series()
    if len(mase) > MANY_SERIES:
        scale = names.map(series.set_index("unique_id")["scale"]).rank(method="first")
        names = (
            "tenth " + (pd.qcut(scale, SEGMENTS, labels=False) + 1).astype(str) + " of the series by scale"
        )
    means = mase.groupby(names).mean()
    worse = means[ENSEMBLE] - means[_CHAMPION]
    base = means[_CHAMPION].clip(lower=float(mase[_CHAMPION].mean()))
    name = (worse / base.where(base > 0, np.finfo(float).tiny)).idxmax()
    return str(name), _ratio(float(worse[name]), float(base[name]))


def _common_interval(
    common: pd.DataFrame, levels: Sequence[float]
) -> tuple[str | None, tuple[str, str] | None]:
    """The widest interval of the version that the champion has too: its nominal coverage and its columns."""
    for nominal, (low, high) in intervals(levels).items():
        bounds = quantile_column(low), quantile_column(high)
        if {_champion_column(name) for name in bounds} <= set(common.columns):
            return nominal, bounds
    return None, None


def _covered(rows: pd.DataFrame, low: str, high: str) -> float | None:
    inside = rows["y"].between(rows[low], rows[high])
    return finite(inside.groupby(rows["unique_id"]).mean().mean())


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
    if settings.mode == "compete":
        checks.append(_test_check(comparison.paired, settings))
    return checks


def _gain_check(comparison: Comparison, settings: PromotionSettings) -> Check:
    least = -settings.tolerance if settings.mode == "retrain" else settings.min_gain
    return Check(
        name="gain over the champion",
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


def _test_check(paired: Paired, settings: PromotionSettings) -> Check:
    allowed = f"below {settings.significance:g}"
    if paired.p_value is None:
        allowed += (
            f"; too few origins and series for a test, and when_untestable is {settings.when_untestable}"
        )
        passed = settings.when_untestable == "promote"
    else:
        passed = paired.p_value < settings.significance
    return Check(name="p-value of the gain", value=paired.p_value, allowed=allowed, passed=passed)
