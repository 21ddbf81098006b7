"""Auto-ARIMA beside pmdarima: `make bench-arima`.

Both search the same orders on the same rows, each in a process of its own on one core, in turn. Errors are
MASE with m = 24 of the held-out steps: 48 after each M4 series, 24 from every 24th origin in the last tenth
of ETTh1. Seconds are of the fits alone, without imports, forecasts and what a process does at its first fit.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import DATA, M4, Run, data_file, in_turn, median_ratio, run, spread
from benchmarks.report import Bar, Results, Table

SEASON = 24
M4_STEPS = 48
ETT_STEPS, ETT_TEST = 24, 0.1
ETT_ROWS = (5_000, 12_000)
LENGTHS = (5_000, 20_000, 100_000)  # whose memory is compared
SEASONS = (24, 48, 168)
PACKAGES = ("numpy", "pmdarima", "scipy", "statsforecast", "statsmodels")

Floats = NDArray[np.float64]


class Case(NamedTuple):
    """One series.

    Attributes:
        y: Rows that may be fitted to, then the rows that the origins move over.
        fitted: Number of rows that may be fitted to.
        origins: Rows that forecasts are made from.
        steps: Steps of each forecast.
    """

    y: Floats
    fitted: int
    origins: Sequence[int]
    steps: int

    def mase(self, forecasts: Floats) -> float:
        """The mean MASE over the origins; forecasts have the shape (origins, steps)."""
        train = self.y[: self.fitted]
        scale = np.mean(np.abs(train[SEASON:] - train[:-SEASON]))
        later = self.y[np.asarray(self.origins)[:, None] + 1 + np.arange(self.steps)]
        return float(np.mean(np.abs(later - forecasts)) / scale)


class Job(NamedTuple):
    """A fit.

    Attributes:
        case: Series and origins.
        season: Season length of a seasonal ARIMA; 0 for none.
        limit: Seconds, where there is a season.
        order: p, d, q and whether there is a constant; None: it is searched.
    """

    case: Case
    season: int
    limit: float
    order: list[int] | None


class Fit(NamedTuple):
    """Forecasts from each origin, seconds of the fit, and its order."""

    forecasts: Floats
    seconds: float
    order: list[int] | None


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DATA, help="of ETTh1.csv and m4_hourly_100_*.csv")
    parser.add_argument("--series", type=int, default=30, help="of M4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--time-limit", type=float, default=30, help="seconds for a long season")
    parser.add_argument("--side", choices=SIDES, help="run this one alone")
    parser.add_argument(
        "--orders", type=Path, help="JSON: p, d, q and whether there is a constant, by series"
    )
    parser.add_argument("--case", default="m4", help="m4, etth1-ROWS, noise-ROWS or season-LENGTH")
    given = parser.parse_args()
    if given.side:
        print(json.dumps(fit_all(given)))
        return
    tables: list[Table] = []
    bars: list[Bar] = []
    for measure in (_searches, _memory, _long_seasons):
        more_tables, more_bars = measure(given)
        tables += more_tables
        bars += more_bars
    Results.collect("arima", "ARIMA", tables, bars, PACKAGES).save()


# --- the tables ---------------------------------------------------------------------------------------


def _side(given: argparse.Namespace, side: str, case: str, **options: Any) -> Run:
    values = {"side": side, "case": case, "folder": given.folder, "series": given.series} | options
    values = {"time-limit": given.time_limit} | values
    timeout = values.pop("timeout", None)
    arguments = [str(text) for name, value in values.items() for text in (f"--{name}", value)]
    command = [sys.executable, "-m", "benchmarks.arima", *arguments]
    done = run(command, cores=1, timeout=timeout)
    print(f"{case}, {side}: {done.seconds:.1f} s, {done.peak:.0f} MB", file=sys.stderr)
    return done


def _searches(given: argparse.Namespace) -> tuple[list[Table], list[Bar]]:
    search, same, bars = [], [], []
    for case in ("m4", *(f"etth1-{count}" for count in ETT_ROWS)):
        sides = ("pmdarima", "kubecast", "kubecast, with its profile")
        runs = in_turn({side: partial(_side, given, side, case) for side in sides}, given.repeats)
        rows = _rows(case, runs)
        search += rows
        bars += _against_pmdarima(f"a search, {case}", rows[1])
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(runs["pmdarima"][0].document["orders"], file)
            file.flush()
            sides = ("pmdarima, given orders", "kubecast, given orders")
            turns = {side: partial(_side, given, side, case, orders=file.name) for side in sides}
            rows = _rows(case, in_turn(turns, given.repeats))
            same += rows
            bars += _against_pmdarima(f"the same orders, {case}", rows[1])
    note = (
        f"Orders up to (5, 1, 5) by AIC, stepwise, no season. m4: {given.series} of the hourly series, evenly"
        " spread. etth1-N: the newest N rows before the last tenth of oil temperature. *With its profile*:"
        " the library's default, which also chooses and removes a season profile. A mean over series is ruled"
        " by the few that no ARIMA without a season can forecast: the median of the series' ratios stands"
        " beside it."
    )
    tables = [
        Table(title="A search of the orders", rows=search, note=note),
        Table(title="The orders that pmdarima's search found, estimated", rows=same),
    ]
    return tables, bars


def _against_pmdarima(what: str, row: dict[str, Any]) -> list[Bar]:
    return [
        Bar(what=f"times pmdarima's speed, {what}", value=row["times as fast"], least=10),
        Bar(what=f"MASE by pmdarima's, {what}", value=row["MASE by pmdarima's"], most=1.02),
    ]


def _rows(case: str, runs: dict[str, list[Run]]) -> list[dict[str, Any]]:
    """Make one row for each side; the others are compared with the first."""
    totals = {side: [sum(each.document["seconds"]) for each in repeats] for side, repeats in runs.items()}
    each_error = {side: np.array(repeats[0].document["mase"]) for side, repeats in runs.items()}
    errors = {side: float(series.mean()) for side, series in each_error.items()}
    first = next(iter(runs))
    return [
        {
            "data": case,
            "side": side,
            "median s of a series": median(repeats[0].document["seconds"]),
            "total s": spread(totals[side]),
            "times as fast": median_ratio(totals[first], totals[side]),
            "MASE": errors[side],
            "MASE by pmdarima's": errors[side] / errors[first],
            "median of the series' ratios": float(np.median(each_error[side] / each_error[first])),
            "peak MB": max(each.peak for each in repeats),
        }
        for side, repeats in runs.items()
    ]


def _memory(given: argparse.Namespace) -> tuple[list[Table], list[Bar]]:
    peaks = {count: _side(given, "kubecast, newest rows", f"noise-{count}").peak for count in LENGTHS}
    rows = [{"rows": count, "peak MB": peak} for count, peak in peaks.items()]
    growth = peaks[LENGTHS[-1]] / peaks[LENGTHS[0]]
    bar = Bar(what=f"peak memory at {LENGTHS[-1]} rows by that at {LENGTHS[0]}", value=growth, most=1.1)
    note = "A simulated series of so many rows, of which a fit sees the newest 5,000 (`arima.max_rows`)."
    return [Table(title="Memory by length of the series", rows=rows, note=note)], [bar]


def _long_seasons(given: argparse.Namespace) -> tuple[list[Table], list[Bar]]:
    rows, late = [], 0
    for season in SEASONS:
        row: dict[str, Any] = {"season": season}
        for side in ("kubecast, with its profile", "kubecast, seasonal", "statsforecast, exact", "pmdarima"):
            done = _side(given, side, f"season-{season}", timeout=given.time_limit + 15)
            seconds = given.time_limit if done.status is None else done.document["seconds"][0]
            in_time = seconds < given.time_limit
            row[side] = f"{seconds:.2g} s" if in_time else f"over {given.time_limit:g} s"
            late += side.startswith("kubecast, with") and not in_time
        rows.append(row)
    bar = Bar(what="long seasons that were not fitted inside the time limit", value=late, most=0)
    note = (
        f"Seconds of one fit on one core to the first M4 series, time limit {given.time_limit:g} s. Orders up"
        " to (5, 1, 5) and, where seasonal, (2, 1, 2)."
    )
    return [Table(title="Long seasons", rows=rows, note=note)], [bar]


# --- one side -----------------------------------------------------------------------------------------


def fit_all(given: argparse.Namespace) -> dict[str, Any]:
    """Fit every series of a case by one side: its seconds, its MASE and its orders."""
    seconds, errors, orders = [], [], []
    cases = list(_cases(given.case, given.folder, given.series))
    fixed = json.loads(given.orders.read_text()) if given.orders else [None] * len(cases)
    noise = np.random.default_rng(0).normal(size=200).cumsum()
    SIDES[given.side](Job(Case(noise, len(noise), [], ETT_STEPS), 0, given.time_limit, fixed[0]))  # not timed
    for item, order in zip(cases, fixed, strict=True):
        job = Job(item, _season(given.case), given.time_limit, order)
        forecast, taken, chosen = SIDES[given.side](job)
        seconds.append(taken)
        orders.append(chosen)
        errors.append(item.mase(forecast) if len(item.origins) else None)
    return {"seconds": seconds, "mase": errors, "orders": orders}


def _season(case: str) -> int:
    return int(case.split("-")[1]) if case.startswith("season") else 0


def _cases(case: str, folder: Path, series: int) -> Iterator[Case]:
    import pandas as pd

    name, _, number = case.partition("-")
    if name == "noise":
        y = np.random.default_rng(0).normal(size=int(number)).cumsum()
        yield Case(y, len(y), [], ETT_STEPS)
    elif name == "etth1":
        y = pd.read_csv(data_file(folder, "ETTh1.csv"))["OT"].to_numpy(dtype=np.float64)
        cut = round((1 - ETT_TEST) * len(y))
        first = cut - int(number)
        origins = np.arange(int(number) - 1, len(y) - first - ETT_STEPS, 24)
        yield Case(y[first:], int(number), origins.tolist(), ETT_STEPS)
    else:
        parts = [pd.read_csv(data_file(folder, file)) for file in M4]
        trains, tests = (
            {key: rows["y"] for key, rows in part.groupby("unique_id", sort=False)} for part in parts
        )
        count = 1 if name == "season" else series
        for key in list(trains)[:: max(len(trains) // count, 1)][:count]:
            y = np.concatenate([trains[key], tests[key]]).astype(np.float64)
            size = len(trains[key])
            yield Case(y, size, [size - 1], M4_STEPS)


def _pmdarima(job: Job) -> Fit:
    from pmdarima import ARIMA, auto_arima

    y = job.case.y[: job.case.fitted]
    began = time.perf_counter()
    if job.order:
        *order, constant = job.order
        fit = ARIMA(tuple(order), with_intercept=bool(constant), suppress_warnings=True).fit(y)
    else:
        fit = auto_arima(
            y,
            max_p=5,
            max_d=1,
            max_q=5,
            max_order=None,
            seasonal=bool(job.season),
            m=job.season or 1,
            max_D=1,
            information_criterion="aic",
            suppress_warnings=True,
            error_action="ignore",
        )
    taken = time.perf_counter() - began
    return Fit(_rolled(fit.arima_res_, job.case), taken, [*fit.order, int(fit.with_intercept)])


def _rolled(results: Any, case: Case) -> Floats:
    """Forecast from every origin with the parameters of the fit."""
    forecasts = []
    for origin in case.origins:
        seen = results if origin + 1 == case.fitted else results.apply(case.y[: origin + 1])
        forecasts.append(seen.forecast(case.steps))
    return np.array(forecasts)


def _kubecast(**settings: Any) -> Callable[[Job], Fit]:
    def fit(job: Job) -> Fit:
        from kubecast.models.arima.settings import ArimaSettings
        from kubecast.models.arima.trainer import ArimaTrainer
        from kubecast.models.base import FitPlan

        case = job.case
        panel = _panel(case, job.season or SEASON)
        frame = panel.frame[["unique_id", "ds"]].rename(columns={"ds": "cutoff"})
        trainer = ArimaTrainer(ArimaSettings(**settings), "arima")
        began = time.perf_counter()
        deadline = time.monotonic() + job.limit if job.season else None
        plan = FitPlan(deadline=deadline, fixed_fit=_replay(job.order))
        forecaster, log = trainer.fit(panel, _cutoffs(frame.iloc[[case.fitted - 1]]), plan)
        taken = time.perf_counter() - began
        if log.stopped == "time_limit":
            return Fit(np.zeros((len(case.origins), case.steps)), job.limit, None)
        recipe = forecaster.models["series"][0].recipe
        table = forecaster.forecast(panel, _cutoffs(frame.iloc[case.origins])) if case.origins else {}
        values = np.asarray(table["arima"] if case.origins else []).reshape(len(case.origins), case.steps)
        return Fit(values, taken, [*recipe.order, int(recipe.constant)])

    return fit


def _replay(order: list[int] | None) -> dict[str, Any] | None:
    if order is None:
        return None
    constant = bool(order[3]) and order[1] < 2
    recipe = {"order": order[:3], "seasonal": [0, 0, 0], "constant": constant, "seasons": []}
    return {"orders": {"series": [recipe]}}


def _cutoffs(frame: Any) -> Any:
    from kubecast.data.panel import Cutoffs

    return Cutoffs(frame.reset_index(drop=True))


def _panel(case: Case, season: int) -> Any:
    import pandas as pd

    from kubecast.config.training import TrainingSettings
    from kubecast.data.history import history_panel
    from kubecast.data.panel import PanelSpec

    ds = pd.date_range("2016-07-01", periods=len(case.y), freq="h")
    settings = TrainingSettings(horizon=case.steps, frequency="h", season_lengths=[season])
    spec = PanelSpec(frequency="h", horizon=case.steps, season_lengths=[season])
    rows = pd.DataFrame({"unique_id": "series", "ds": ds, "y": case.y})
    return history_panel(rows, settings, spec)


def _exact(job: Job) -> Fit:
    from statsforecast.models import AutoARIMA

    model = AutoARIMA(max_p=5, max_d=1, max_q=5, max_order=14, season_length=job.season or 1, ic="aic")
    began = time.perf_counter()
    fit = model.fit(job.case.y[: job.case.fitted])
    taken = time.perf_counter() - began
    return Fit(fit.predict(job.case.steps)["mean"][None, :], taken, None)


ALL_ROWS = {"max_rows": ETT_ROWS[-1]}
SIDES: dict[str, Callable[[Job], Fit]] = {
    "pmdarima": _pmdarima,
    "kubecast": _kubecast(deseasonalize="none", **ALL_ROWS),
    "kubecast, with its profile": _kubecast(**ALL_ROWS),
    "pmdarima, given orders": _pmdarima,
    "kubecast, given orders": _kubecast(deseasonalize="none", **ALL_ROWS),
    "kubecast, newest rows": _kubecast(),
    "kubecast, seasonal": _kubecast(seasonal=True),
    "statsforecast, exact": _exact,
}


if __name__ == "__main__":
    main()
