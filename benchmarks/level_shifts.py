"""Forecasts after a series' level has changed for good: `make bench-level-shifts`.

Half of the series shift by a factor of 0.4 to 2.5 after the models were fitted; of the others a third each
has a pulse that lasts less than a season, a change of unit, or nothing. They are hourly, daily or monthly,
with a season (hourly ones of a week too), wandering levels and autocorrelated noise. An ensemble is fitted to
all series of a frequency once, on the rows before; its forecasts are compared with those of the same members
that see the rows as they are.
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
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.preparation import history_panel
from kubecast.data.splits import series_scales
from kubecast.ensemble.bundle import Bundle
from kubecast.registry import Registry

KINDS = ("shift", "pulse", "unit", "nothing")
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
        changes: ``unique_id``, ``kind`` (of ``KINDS``), ``factor``, ``row`` (the first that is changed).
    """

    frequency: str
    rows: pd.DataFrame
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
        y[row : row + stop if stop else None] *= factor
        tables.append(pd.DataFrame({"unique_id": name, "ds": times, "y": y}))
        changes.append((name, kind, factor, row))
    columns = ["unique_id", "kind", "factor", "row"]
    return Generated(frequency, pd.concat(tables, ignore_index=True), pd.DataFrame(changes, columns=columns))


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
        ``unique_id``, ``kind``, ``factor``, ``when`` (``before``, ``two seasons``, ``later``: the third to
        the sixth horizon), ``method`` (``following``, ``as is``), ``ratio`` of the mean forecast to the mean
        target, ``error`` (by the seasonal difference of the rows before) and ``covered`` (share of the
        targets inside the 80 % interval); one row for each origin.
    """
    panel = history_panel(generated.rows, bundle.contract.training, bundle.contract.spec)
    origins = _origins(generated, panel)
    cutoffs = Cutoffs.from_frame(origins)
    ensemble = bundle.ensemble
    forecasts = {
        "following": ensemble.predict(panel, cutoffs),
        "as is": ensemble._predict(panel, cutoffs),
    }
    scales = series_scales(generated.fitted.assign(observed=True), panel.spec.season_lengths[0])
    targets = panel.targets(cutoffs).merge(scales, on="unique_id").merge(origins, on=["unique_id", "cutoff"])
    return pd.concat([_scored(targets.merge(table, on=KEYS), name) for name, table in forecasts.items()])


def _origins(generated: Generated, panel: Panel) -> pd.DataFrame:
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


def _scored(table: pd.DataFrame, method: str) -> pd.DataFrame:
    """One row for each origin, from one for each target."""
    table = table.assign(
        error=(table["y"] - table["yhat"]).abs() / table["scale"],
        covered=(table["y"] >= table["q0.1"]) & (table["y"] <= table["q0.9"]),
    )
    keys = ["unique_id", "kind", "factor", "when", "cutoff"]
    means = table.groupby(keys, as_index=False)[["y", "yhat", "error", "covered"]].mean()
    return means.assign(ratio=means["yhat"] / means["y"], method=method)


def bars(scores: pd.DataFrame) -> list[Bar]:
    """The bars, from the scores of series that are followed."""
    own = scores[scores["method"] == "following"]
    shifted, still = own[own["kind"].isin(["shift", "unit"])], own[own["kind"].isin(["pulse", "nothing"])]
    bars = []
    for kind in ("shift", "unit"):
        at = shifted[(shifted["kind"] == kind) & (shifted["when"] == "two seasons")]
        value = float((at["ratio"].sub(1).abs() <= 0.15).mean())
        bars.append(Bar(what=f"share within 15 % two seasons after a {kind}", value=value, least=0.9))
        later = shifted[(shifted["kind"] == kind) & (shifted["when"] == "later")]
        value = float(later["covered"].mean())
        bars.append(Bar(what=f"coverage of 80 % in horizons 3 to 6 after a {kind}", value=value, least=0.7))
    for kind in ("pulse", "nothing"):
        errors = still[still["kind"] == kind].groupby("when")["error"].mean()
        what = f"error two seasons after a {kind}, by that before"
        bars.append(Bar(what=what, value=float(errors["two seasons"] / errors["before"]), most=1.05))
    return bars


def table_of(scores: pd.DataFrame, title: str) -> Table:
    """What follows a change and what does not, side by side."""
    rows = []
    for (kind, when), group in scores.groupby(["kind", "when"], sort=False):
        row: dict[str, object] = {"change": kind, "when": when}
        for method, own in group.groupby("method", sort=False):
            row[f"within 15 %, {method}"] = round(float((own["ratio"].sub(1).abs() <= 0.15).mean()), 3)
            row[f"error, {method}"] = round(
                float((own["error"] / own["factor"].where(own["when"] != "before", 1)).mean()), 3
            )
            row[f"coverage, {method}"] = round(float(own["covered"].mean()), 3)
        rows.append(row)
    return Table(title=title, rows=rows)


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
    tables = [table_of(scores, title)]
    Results.collect("level-shifts", title, tables, bars(scores), PACKAGES).save()
    for bar in bars(scores):
        print(f"{bar.what}: {bar.value:.3f} ({bar.limit}): {bar.verdict}")


if __name__ == "__main__":
    main()
