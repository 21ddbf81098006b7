"""Intervals of series whose level shifted inside the rows that models are fitted to.

Half of the series shift by a factor of 0.4 to 0.7 or 1.4 to 2.5 at 45 to 60 % of the rows before the fit. The
same series without it are fitted too: intervals should be as wide as theirs, by the factor, and cover as
much.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.level_shifts import FREQUENCIES, Generated, fit_before, generate, origins_of
from benchmarks.report import Table
from kubecast.data.history import history_panel
from kubecast.data.panel import KEYS, Cutoffs

BEGIN = (0.45, 0.6)  # of the rows before the fit


def shifted_inside(frequency: str, count: int, seed: int) -> Generated:
    """Generate series, of which half shift inside the rows that models are fitted to."""
    generated, random = generate(frequency, ["nothing"] * count, seed), np.random.default_rng(seed)
    changes = generated.changes.assign(kind=np.where(np.arange(count) < count // 2, "inside", "nothing"))
    factors = np.exp(random.uniform(np.log(1.4), np.log(2.5), count) * random.choice([-1, 1], count))
    changes["factor"] = np.where(changes["kind"] == "inside", factors, 1.0)
    begin = (FREQUENCIES[frequency].rows * random.uniform(*BEGIN, count)).astype(np.int64)
    rows = generated.rows.merge(changes.assign(begin=begin)[["unique_id", "factor", "begin"]], on="unique_id")
    is_late = rows.groupby("unique_id").cumcount() >= rows["begin"]
    y = rows["y"] * rows["factor"].where(is_late, 1.0)
    return Generated(frequency, generated.rows.assign(y=y), generated.rows, changes)


def intervals(generated: Generated, models: Sequence[str], settings: Sequence[str] = ()) -> pd.DataFrame:
    """Fit an ensemble, and lay its intervals of 80 %.

    Returns:
        ``unique_id``, ``cutoff``, ``ds``, ``kind``, ``width`` by the factor, and ``covered``; one row for
        each target.
    """
    bundle = fit_before(generated, models, settings)
    panel = history_panel(generated.rows, bundle.contract.training, bundle.contract.spec)
    origins = origins_of(generated, panel)
    cutoffs = Cutoffs.from_frame(origins)
    table = panel.targets(cutoffs).merge(bundle.ensemble.predict(panel, cutoffs), on=KEYS)
    table = table.merge(origins, on=["unique_id", "cutoff"])
    return table[[*KEYS, "kind"]].assign(
        width=(table["q0.9"] - table["q0.1"]) / table["factor"],
        covered=(table["y"] >= table["q0.1"]) & (table["y"] <= table["q0.9"]),
    )


def compare(generated: Generated, models: Sequence[str], settings: Sequence[str] = ()) -> pd.DataFrame:
    """Compare the intervals of each series with those of the same series without its shift.

    Returns:
        ``kind``, ``width`` by that without a shift, ``covered``, ``covered_unchanged``; one row for each
        series.
    """
    plain = replace(generated, rows=generated.unchanged, changes=generated.changes.assign(factor=1.0))
    unchanged = intervals(plain, models, settings).drop(columns="kind")
    both = intervals(generated, models, settings).merge(unchanged, on=KEYS, suffixes=("", "_unchanged"))
    both["width"] /= both["width_unchanged"]
    return both.groupby(["kind", "unique_id"])[["width", "covered", "covered_unchanged"]].mean().reset_index()


def table_of(compared: pd.DataFrame, title: str) -> Table:
    """Widths and coverage of series with a shift and without one."""
    rows = [
        {
            "series": kind,
            "width, mean": round(float(own["width"].mean()), 2),
            "width, least and most": f"{own['width'].min():.2f} to {own['width'].max():.2f}",
            "coverage": round(float(own["covered"].mean()), 3),
            "coverage, unchanged": round(float(own["covered_unchanged"].mean()), 3),
        }
        for kind, own in compared.groupby("kind")
    ]
    return Table(title=title, rows=rows)


def main() -> None:
    """Generate, fit, compare, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--series", type=int, default=40, help="of each frequency")
    parser.add_argument("--models", nargs="+", default=["arima", "catboost"])
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for number, frequency in enumerate(FREQUENCIES):
        generated = shifted_inside(frequency, given.series, 1000 * given.seed + number)
        print(table_of(compare(generated, given.models), f"frequency {frequency}").markdown(), flush=True)


if __name__ == "__main__":
    main()
