"""Forecasts after a series' level has changed for good: `make bench-level-shifts`.

Half of the series shift by a factor of 0.4 to 2.5 after the models were fitted; of the others a third each
has a pulse that lasts less than a season, a change of unit, or nothing. They are hourly, daily or monthly,
with a season (hourly ones of a week too), wandering levels and autocorrelated noise. An ensemble is fitted to
all series of a frequency once, on the rows before; its forecasts are compared with those of the same members
that see the rows as they are, and with its forecasts of the same series without their change.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.report import Bar, Results, Table
from kubecast.api import fit
from kubecast.data.calendars import offset_of
from kubecast.data.history import history_panel
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.splits import series_scales
from kubecast.ensemble.bundle import Bundle
from kubecast.registry import Registry

KINDS = ("shift", "pulse", "unit", "nothing")
LASTING = ("shift", "unit")
UNITS = (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)
PACKAGES = ("catboost",)


@dataclass(frozen=True)
class Setting:
    """A frequency's season lengths, rows before the models are fitted, and horizon."""

    season_lengths: list[int]
    rows: int
    horizon: int

    @property
    def after(self) -> int:
        """Rows after a fit: two horizons, the change, and what is scored then."""
        return 2 * self.horizon + 2 * self.season_lengths[0] + 7 * self.horizon


FREQUENCIES = {"h": Setting([24, 168], 1008, 24), "D": Setting([7], 728, 14), "MS": Setting([12], 144, 12)}


@dataclass(frozen=True)
class Generated:
    """Series with their changes.

    Attributes:
        frequency: Key of ``FREQUENCIES``.
        rows: ``unique_id``, ``ds``, ``y``.
        unchanged: The same without their changes.
        changes: ``unique_id``, ``kind`` (of ``KINDS``), ``factor``, ``row`` (the first that is changed).
    """

    frequency: str
    rows: pd.DataFrame
    unchanged: pd.DataFrame
    changes: pd.DataFrame

    @property
    def fitted(self) -> pd.DataFrame:
        """The rows before every change, that models are fitted to."""
        return self.rows[self.rows.groupby("unique_id").cumcount() < FREQUENCIES[self.frequency].rows]


def generate(frequency: str, kinds: Sequence[str], seed: int) -> Generated:
    """Generate one series for each of ``kinds``."""
    setting, random = FREQUENCIES[frequency], np.random.default_rng(seed)
    length = setting.rows + setting.after
    times = pd.date_range("2010-01-01", periods=length, freq=offset_of(frequency))
    tables, changes = [], []
    for number, kind in enumerate(kinds):
        season, name = setting.season_lengths[0], f"{kind}{number:03}"
        y = _usual(setting.season_lengths, length, random)
        row = setting.rows + 2 * setting.horizon + int(random.integers(season))
        factor, stop = _change(kind, season, random)
        tables.append(pd.DataFrame({"unique_id": name, "ds": times, "usual": y, "factor": 1.0}))
        tables[-1].loc[row : row + stop - 1 if stop else length, "factor"] = factor
        changes.append((name, kind, factor, row))
    table, keys = pd.concat(tables, ignore_index=True), ["unique_id", "ds"]
    return Generated(
        frequency,
        table[keys].assign(y=table["usual"] * table["factor"]),
        table[keys].assign(y=table["usual"]),
        pd.DataFrame(changes, columns=["unique_id", "kind", "factor", "row"]),
    )


def _usual(season_lengths: list[int], length: int, random: np.random.Generator) -> NDArray[np.float64]:
    season, step = season_lengths[0], np.arange(length)
    y = 1 + random.uniform(0.1, 0.4) * np.sin(2 * np.pi * step / season + random.uniform(0, 6))
    y += random.uniform(0, 0.15) * np.sin(4 * np.pi * step / season + random.uniform(0, 6))
    for longer in season_lengths[1:]:  # the last two of seven days are lower
        y *= 1 - random.uniform(0, 0.2) * (step % longer >= longer * 5 / 7)
    wander = random.uniform(0, 0.02) * np.cumsum(random.normal(0, season**-0.5, length))
    trend = random.normal(0, 0.03) * step / length
    noise, share = random.normal(0, random.uniform(0.03, 0.1), length), random.uniform(0, 0.6)
    for at in range(1, length):
        noise[at] = share * noise[at - 1] + (1 - share**2) ** 0.5 * noise[at]
    return np.asarray(y * np.exp(wander + trend + noise) * 10 ** random.uniform(0, 4))


def _change(kind: str, season: int, random: np.random.Generator) -> tuple[float, int]:
    """The factor, and for how many rows; 0: for good."""
    factor = float(np.exp(random.uniform(np.log(0.4), np.log(2.5))))
    if kind == "pulse":
        return factor, int(random.integers(max(season // 6, 1), season))
    return {"shift": factor, "unit": float(random.choice(UNITS))}.get(kind, 1.0), 0


def fit_before(generated: Generated, models: Sequence[str], settings: Sequence[str] = ()) -> Bundle:
    """Fit an ensemble to the rows before every change."""
    setting = FREQUENCIES[generated.frequency]
    overrides = ["pipeline.final_fit=false", "training.validation.max_origins=12", *settings]
    model = fit(
        generated.fitted,
        setting.horizon,
        generated.frequency,
        setting.season_lengths,
        models,
        overrides=overrides,
    )
    with tempfile.TemporaryDirectory() as folder:
        registry, version = Registry.open(f"{folder}/registry"), model.save(f"{folder}/registry")
        files = registry.fetch(registry.resolve(version), "production", Path(folder) / "bundle")
        return Bundle.load(files)


def score(generated: Generated, bundle: Bundle) -> pd.DataFrame:
    """Score an ensemble before and after the changes, following them and not.

    Returns:
        ``frequency``, ``unique_id``, ``kind``, ``when`` (``before``, ``two seasons``, ``later``: the third
        to the sixth horizon), ``method`` (``following``, ``as is``, ``unchanged``: as if nothing had
        changed), ``ratio`` of the mean forecast to the mean target, ``error`` (by the seasonal difference of
        the rows before, and by the factor of a lasting change) and ``covered`` (share of the targets inside
        the 80 % interval); one row for each origin.
    """
    contract, ensemble = bundle.contract, bundle.ensemble
    panel, unchanged = (
        history_panel(rows, contract.training, contract.spec)
        for rows in (generated.rows, generated.unchanged)
    )
    origins = origins_of(generated, panel)
    cutoffs = Cutoffs.from_frame(origins)
    scales = series_scales(generated.fitted.assign(observed=True), panel.spec.season_lengths[0])
    origins = origins.merge(scales[["unique_id", "scale"]], on="unique_id")
    lasts = origins["kind"].isin(LASTING) & (origins["when"] != "before")
    levelled = origins.assign(scale=origins["scale"] * origins["factor"].where(lasts, 1.0))
    scored = [
        _scored(panel.targets(cutoffs), levelled, ensemble.predict(panel, cutoffs), "following"),
        _scored(panel.targets(cutoffs), levelled, ensemble._predict(panel, cutoffs), "as is"),
        _scored(unchanged.targets(cutoffs), origins, ensemble.predict(unchanged, cutoffs), "unchanged"),
    ]
    return pd.concat(scored).assign(frequency=generated.frequency)


def origins_of(generated: Generated, panel: Panel) -> pd.DataFrame:
    """Those to score from: ``unique_id``, ``kind``, ``factor``, ``cutoff``, ``when``."""
    setting = FREQUENCIES[generated.frequency]
    horizon = setting.horizon
    steps = {"before": [-horizon], "two seasons": [2 * setting.season_lengths[0]]}
    steps["later"] = [horizon * number for number in (2, 3, 4, 5)]
    changes = generated.changes.set_index("unique_id").loc[panel.ids]
    parts = []
    for when, step in ((when, step) for when, each in steps.items() for step in each):
        rows = panel.indptr[:-1] + changes["row"].to_numpy() + step - 1
        parts.append(changes[["kind", "factor"]].assign(cutoff=panel.frame["ds"].to_numpy()[rows], when=when))
    return pd.concat(parts).reset_index()


def _scored(
    targets: pd.DataFrame, origins: pd.DataFrame, forecasts: pd.DataFrame, method: str
) -> pd.DataFrame:
    """One row for each origin, from one for each target."""
    table = targets.merge(origins, on=["unique_id", "cutoff"]).merge(forecasts, on=KEYS)
    table = table.assign(
        error=(table["y"] - table["yhat"]).abs() / table["scale"],
        covered=(table["y"] >= table["q0.1"]) & (table["y"] <= table["q0.9"]),
    )
    keys = ["unique_id", "kind", "when", "cutoff"]
    means = table.groupby(keys, as_index=False)[["y", "yhat", "error", "covered"]].mean()
    return means.assign(ratio=means["yhat"] / means["y"], method=method)


def bars(scores: pd.DataFrame) -> list[Bar]:
    """The bars, from the scores of series that are followed."""
    own = scores[scores["method"] == "following"].set_index(["kind", "when"]).sort_index()
    bars = []
    for kind in LASTING:
        value = float((own.loc[(kind, "two seasons"), "ratio"].sub(1).abs() <= 0.15).mean())
        bars.append(Bar(what=f"share within 15 % two seasons after a {kind}", value=value, least=0.9))
        value = float(own.loc[(kind, "later"), "covered"].mean())
        bars.append(Bar(what=f"coverage of 80 % in horizons 3 to 6 after a {kind}", value=value, least=0.7))
    for kind in ("pulse", "nothing"):
        by_before, by_unchanged = _relative_errors(scores, kind)
        what = f"error two seasons after a {kind}"
        bars.append(Bar(what=f"{what}, by that before", value=by_before[0], most=1.05))
        if kind == "pulse":
            bars.append(Bar(what=f"{what}, by that without it", value=by_unchanged[0], most=1.05))
    return bars


def _relative_errors(scores: pd.DataFrame, kind: str) -> list[tuple[float, float]]:
    """The mean error two seasons after a change, by that before it and by that without it.

    Each with its standard error: the first compares two windows of a series, which differ by chance.
    """
    own = scores[(scores["kind"] == kind) & (scores["when"] != "later")]
    errors = own.pivot_table(index=["frequency", "unique_id"], columns=["method", "when"], values="error")
    after = errors["following", "two seasons"]
    return [
        _ratio_of_means(after, errors[by]) for by in (("following", "before"), ("unchanged", "two seasons"))
    ]


def _ratio_of_means(values: "pd.Series[float]", by: "pd.Series[float]") -> tuple[float, float]:
    """A ratio of the means of pairs, and its standard error by the delta method."""
    ratio = float(values.mean() / by.mean())
    return ratio, float((values - ratio * by).sem() / by.mean())


def table_of(scores: pd.DataFrame, title: str) -> Table:
    """What follows a change and what does not, side by side."""
    rows = []
    for (kind, when), group in scores.groupby(["kind", "when"], sort=False):
        row: dict[str, object] = {"change": kind, "when": when}
        for method, own in group.groupby("method", sort=False):
            row[f"within 15 %, {method}"] = round(float((own["ratio"].sub(1).abs() <= 0.15).mean()), 3)
            row[f"error, {method}"] = round(float(own["error"].mean()), 3)
            row[f"coverage, {method}"] = round(float(own["covered"].mean()), 3)
        rows.append(row)
    return Table(title=title, rows=rows)


def relative_errors_of(scores: pd.DataFrame) -> Table:
    """The errors two seasons after a change, by those before and by those without it."""
    rows = []
    for kind in KINDS:
        (before, its_error), (unchanged, error) = _relative_errors(scores, kind)
        rows.append(
            {
                "change": kind,
                "by before": f"{before:.3f} ± {its_error:.3f}",
                "by unchanged": f"{unchanged:.3f} ± {error:.3f}",
            }
        )
    return Table(title="Error two seasons after a change, ± a standard error", rows=rows)


def main() -> None:
    """Generate, fit, score, then print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--series", type=int, default=1000, help="half of them shift")
    parser.add_argument("--models", nargs="+", default=["arima", "catboost"])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    each = given.series // (2 * len(FREQUENCIES))
    kinds = ["shift"] * each + ["pulse", "unit", "nothing"] * (each // 3)
    parts = {}
    for number, frequency in enumerate(FREQUENCIES):
        generated = generate(frequency, kinds, 1000 * given.seed + number)
        parts[frequency] = score(generated, fit_before(generated, given.models))
        print(table_of(parts[frequency], f"frequency {frequency}").markdown(), flush=True)
    scores = pd.concat(parts, ignore_index=True)
    title = f"Level shifts: {given.series} generated series, {' and '.join(given.models)}"
    tables = [table_of(scores, title), relative_errors_of(scores)]
    print(tables[-1].markdown())
    Results.collect("level-shifts", title, tables, bars(scores), PACKAGES).save()
    for bar in bars(scores):
        print(f"{bar.what}: {bar.value:.3f} ({bar.limit}): {bar.verdict}")


if __name__ == "__main__":
    main()
