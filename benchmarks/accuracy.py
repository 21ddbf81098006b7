"""Accuracy beside what a user would pick instead, on the same rows, cores and time: `make bench-accuracy`.

| data | held out | origins | MASE |
|---|---|---|---|
| m4 | the 48 steps after the training file of 100 hourly series | the end of each series | m = 24 |
| etth1 | the last 10 % of ETTh1's oil temperature | every 24th, 96 steps; also their first 24 | m = 24 |
| demand | the last 20 % of half-hourly demand (`kubecast sample`) | every 24th, 48 steps | m = 48 |

A method is fitted to the rows before the held-out ones, which this module alone scores. From a later origin
it sees the true history up to there, without a new fit; MSTL + AutoARIMA is fitted at each anew, to the
newest 5,000 rows. Errors are divided by the mean absolute seasonal difference of the rows before the
held-out ones.

kubecast is one `kubecast run` of a settings folder, all of it within the limit, from the start of the process
to the published version, whose production bundle then forecasts. AutoGluon gets the same limit, the metric
that is scored, and no pretrained weights. Each result is kept as JSON in output/benchmarks/accuracy, so that
a benchmark that is stopped goes on where it was; one of a method whose code or settings have changed, of
other rows or of other cores, is measured again.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.measure import DATA, M4, ROOT, Run, data_file, run
from benchmarks.report import FOLDER, Bar, Results, Table

OUTPUT = FOLDER / "accuracy"
PACKAGES = ("catboost", "tensorflow-cpu")
PEER_PACKAGES = ("autogluon.timeseries", "statsforecast", "torch")
PEERS = {  # by name, whether its forecasts depend on the seed
    "autogluon_medium_quality": True,
    "autogluon_high_quality": True,
    "patchtst": True,
    "mstl_arima": False,
    "seasonal_naive": False,
}
LIMITS = {("m4", "48"): 0.75, ("etth1", "24"): 0.555, ("etth1", "96"): 0.82}  # of the mean MASE
OF_THE_BEST = {("demand", "48"): 0.9}  # the same, as a share of the best peer's
PATIENCE = 10  # times the limit after which a method that has not ended is killed
RESAMPLES = 10_000
BLOCK = 4  # neighbouring origins that are drawn together

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """A data set and how it is forecast.

    Attributes:
        name: Of the data set.
        rows: All rows: ``unique_id``, ``ds``, ``y``.
        train: Those before the held-out ones.
        frequency: A pandas offset alias.
        seasons: In steps, the first is MASE's m.
        horizon: Steps.
        leads: Leading steps over which errors are averaged.
        stride: Steps between origins; 0: the end of the training rows alone.
    """

    name: str
    rows: pd.DataFrame
    train: pd.DataFrame
    frequency: str
    seasons: list[int]
    horizon: int
    leads: list[int]
    stride: int

    @property
    def origins(self) -> pd.DataFrame:
        """``unique_id``, ``cutoff``: the last training row, then each stride on, with a whole horizon."""
        parts = []
        for unique_id, group in self.rows.groupby("unique_id", sort=True):
            first = int((self.train["unique_id"] == unique_id).sum()) - 1
            last = len(group) - 1 - self.horizon
            at = np.arange(first, last + 1, self.stride) if self.stride else np.array([first])
            parts.append(pd.DataFrame({"unique_id": unique_id, "cutoff": group["ds"].to_numpy()[at]}))
        return pd.concat(parts, ignore_index=True)

    @property
    def scales(self) -> "pd.Series[float]":
        """MASE's denominator by series."""
        m = self.seasons[0]
        return self.train.groupby("unique_id")["y"].apply(lambda y: y.diff(m).abs().mean())


# --- data ---------------------------------------------------------------------------------------------


def load_task(name: str, folder: Path) -> Task:
    """Read a data set and cut it."""
    return {"m4": _m4, "etth1": _etth1, "demand": _demand}[name](folder)


def _m4(folder: Path) -> Task:
    train, test = (pd.read_csv(data_file(folder, name)) for name in M4)
    rows = pd.concat([train, test]).sort_values(["unique_id", "step"], ignore_index=True)
    # M4 tells no dates: every series starts at the same hour.
    rows["ds"] = pd.Timestamp("2015-07-01") + pd.to_timedelta(rows["step"] - 1, unit="h")
    last = train.groupby("unique_id")["step"].max()
    seen = rows["step"] <= rows["unique_id"].map(last)
    rows = rows[["unique_id", "ds", "y"]]
    return Task("m4", rows, rows[seen], "h", [24, 168], 48, [48], 0)


def _etth1(folder: Path) -> Task:
    table = pd.read_csv(data_file(folder, "ETTh1.csv"), parse_dates=["date"])
    rows = pd.DataFrame({"unique_id": "OT", "ds": table["date"], "y": table["OT"]})
    return Task("etth1", rows, rows[: int(0.9 * len(rows))], "h", [24, 168], 96, [24, 96], 24)


def _demand(_: Path) -> Task:
    from kubecast.data.sample import write_sample

    with tempfile.TemporaryDirectory() as folder:
        write_sample(Path(folder) / "demand.csv")
        rows = pd.read_csv(Path(folder) / "demand.csv", parse_dates=["ds"])
    return Task("demand", rows, rows[: int(0.8 * len(rows))], "30min", [48, 336], 48, [48], 24)


# --- running ------------------------------------------------------------------------------------------


def main() -> None:
    """Run what is missing, then print and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DATA, help="of ETTh1.csv and m4_hourly_100_*.csv")
    parser.add_argument("--data", nargs="+", default=["m4", "etth1", "demand"])
    parser.add_argument("--methods", nargs="+", default=["kubecast", *PEERS])
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "balanced")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, default=300, help="seconds of wall time")
    parser.add_argument("--cores", type=int, default=2, help="processors that everything is pinned to")
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-peers" / "bin" / "python")
    given = parser.parse_args()
    tasks = {name: load_task(name, given.folder) for name in given.data}
    for seed in range(1, given.seeds + 1):
        for task in tasks.values():
            for method in given.methods:
                if seed == 1 or PEERS.get(method, True):
                    run_once(task, method, seed, given)
    results = {name: read_results(name, given) for name in given.data}
    tables = [table for name, found in results.items() for table in result_tables(tasks[name], found)]
    bars = [bar for name, found in results.items() for bar in comparison_bars(tasks[name], found)]
    raw = [_rounded(each) for found in results.values() for kept in found.values() for each in kept]
    Results.collect(
        "accuracy", _title(given), tables, bars, PACKAGES, _peer_versions(given.peers), raw
    ).save()


def _rounded(result: dict[str, Any]) -> dict[str, Any]:
    errors = {leads: [round(error, 5) for error in each] for leads, each in result["errors"].items()}
    return result | {"errors": errors}


def _file(data: str, method: str, seed: int, config: Path) -> Path:
    label = f"{method}-{config.name}" if method == "kubecast" else method
    return OUTPUT / f"{data}-{label}-{seed}.json"


def run_once(task: Task, method: str, seed: int, given: argparse.Namespace) -> None:
    """Fit, forecast and score one method, unless its result is there."""
    file, digest = _file(task.name, method, seed, given.config), task_digest(task, method, given)
    if file.exists() and json.loads(file.read_text())["digest"] == digest:
        return
    print(f"{datetime.now(UTC):%H:%M:%S} {task.name} {method} seed {seed}", flush=True)
    folder = file.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task.rows.to_csv(folder / "rows.csv", index=False)
    task.train.to_csv(folder / "train.csv", index=False)
    task.origins.to_csv(folder / "origins.csv", index=False)
    forecast = {"kubecast": _kubecast, "seasonal_naive": _seasonal_naive}.get(method, _peer)
    found, seconds, whole = forecast(task, method, seed, folder, given)
    told = {"data": task.name, "method": method, "seed": seed, "digest": digest, "limit": given.limit}
    # The load tells where another program had the processors.
    told |= {"seconds": round(seconds, 1), "load": os.getloadavg()[0], "errors": scaled_errors(task, found)}
    told |= {"whole": round(whole.seconds, 1), "cpu": round(whole.cpu, 1)} if whole else {}
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(told))
    partial.replace(file)
    if (folder / "log").exists():
        (folder / "log").replace(file.with_suffix(".log"))
    shutil.rmtree(folder)


def task_digest(task: Task, method: str, given: argparse.Namespace) -> str:
    """Digest of what a method's forecasts rest on, as far as it is in files here."""
    code = [file for folder in ("src", "pipelines", "components") for file in (ROOT / folder).rglob("*.py")]
    own = [*sorted(code), *sorted(given.config.rglob("*.yaml"))]
    peers = [ROOT / "requirements" / "peers.txt", Path(__file__).with_name("accuracy_peers.py")]
    files = {"kubecast": own, "seasonal_naive": [Path(__file__)]}.get(method, peers)
    told = hashlib.sha256(f"{given.limit} {given.cores} {task.horizon} {task.stride} {task.seasons}".encode())
    told.update(task.rows.to_csv(index=False).encode() + str(len(task.train)).encode())
    for file in files:
        told.update(file.read_bytes())
    return told.hexdigest()


Forecast = tuple[pd.DataFrame, float, Run | None]  # the forecasts, seconds of the fit, the process


def _run_whole(command: list[str], folder: Path, given: argparse.Namespace) -> Run:
    """Run one method's process to its end, its output in ``log``."""
    found = run(command, given.cores, PATIENCE * given.limit, folder / "log")
    if found.status is None:
        raise RuntimeError(f"{folder.name}: not done after {PATIENCE} times the limit")
    return found


def _kubecast(task: Task, method: str, seed: int, folder: Path, given: argparse.Namespace) -> Forecast:
    from kubecast.ensemble.bundle import Bundle
    from kubecast.registry import Registry

    command = [str(Path(sys.executable).with_name("kubecast")), "run", "--data", str(folder / "train.csv")]
    command += ["--config", str(given.config), "--output", str(folder / "run"), "--freq", task.frequency]
    command += ["--horizon", str(task.horizon), "--season-length", ",".join(map(str, task.seasons))]
    command += ["--set", f"training.seed={seed}"]
    whole = _run_whole(command, folder, given)
    store = Registry.open(str(folder / "run" / "registry"))
    published = store.resolve("forecaster@latest")
    bundle = Bundle.load(store.fetch(published, "production", folder / "bundle"))
    if not task.stride:
        found = bundle.forecast(task.train)
        last = task.train.groupby("unique_id")["ds"].max()
        return found.assign(cutoff=found["unique_id"].map(last)), whole.seconds, whole
    return bundle.backtest(task.rows, task.stride), whole.seconds, whole


def _peer(task: Task, method: str, seed: int, folder: Path, given: argparse.Namespace) -> Forecast:
    job = {
        "method": method,
        "train": str(folder / "train.csv"),
        "rows": str(folder / "rows.csv"),
        "origins": str(folder / "origins.csv"),
        "output": str(folder / "found.csv"),
        "folder": str(folder / "models"),
        "frequency": task.frequency,
        "seasons": task.seasons,
        "horizon": task.horizon,
        "seed": seed,
        "limit": given.limit,
        "cores": given.cores,
    }
    (folder / "job.json").write_text(json.dumps(job))
    script = str(Path(__file__).with_name("accuracy_peers.py"))
    command = [str(given.peers), script, str(folder / "job.json")]
    whole = _run_whole(command, folder, given)
    seconds = json.loads((folder / "found.json").read_text())["fit_seconds"]
    return pd.read_csv(folder / "found.csv", parse_dates=["cutoff", "ds"]), seconds, whole


def _seasonal_naive(task: Task, method: str, seed: int, folder: Path, given: argparse.Namespace) -> Forecast:
    """That of the season length which errs least on the training rows, over a horizon."""
    best = min(task.seasons, key=lambda m: _naive_error(task, m * -(-task.horizon // m)))
    parts = []
    for unique_id, cutoff in task.origins.itertuples(index=False):
        rows = task.rows[task.rows["unique_id"] == unique_id]
        end = int(np.searchsorted(rows["ds"].to_numpy(), np.datetime64(cutoff)))
        ahead = np.arange(task.horizon)
        values = rows["y"].to_numpy()[end + 1 - best + ahead % best]
        ds = rows["ds"].to_numpy()[end + 1 + ahead]
        parts.append(pd.DataFrame({"unique_id": unique_id, "cutoff": cutoff, "ds": ds, "yhat": values}))
    return pd.concat(parts, ignore_index=True), 0.0, None


def _naive_error(task: Task, lag: int) -> float:
    change = task.train.groupby("unique_id")["y"].apply(lambda y: y.diff(lag).abs().mean())
    return float((change / task.scales).mean())


def scaled_errors(task: Task, found: pd.DataFrame) -> dict[str, list[float]]:
    """MASE of each origin, in their order, by the number of leading steps that it is over."""
    targets = task.origins.merge(task.rows, on="unique_id")
    targets = targets[targets["ds"] > targets["cutoff"]]
    targets["lead"] = targets.groupby(["unique_id", "cutoff"]).cumcount() + 1
    targets = targets[targets["lead"] <= task.horizon]
    keys = ["unique_id", "cutoff", "ds"]
    table = targets.merge(found[[*keys, "yhat"]], on=keys, how="left", validate="one_to_one")
    if not np.isfinite(table["yhat"]).all():
        raise ValueError(f"{task.name}: {int(table['yhat'].isna().sum())} forecasts are missing")
    table["error"] = (table["y"] - table["yhat"]).abs() / table["unique_id"].map(task.scales)
    by_origin = ["unique_id", "cutoff"]
    return {
        str(leads): table[table["lead"] <= leads].groupby(by_origin, sort=False)["error"].mean().tolist()
        for leads in task.leads
    }


# --- tables -------------------------------------------------------------------------------------------


def read_results(data: str, given: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """The kept results of each seed, by method."""
    found = {}
    for method in given.methods:
        files = [_file(data, method, seed, given.config) for seed in range(1, given.seeds + 1)]
        found[method] = [json.loads(file.read_text()) for file in files if file.exists()]
    return found


def _title(given: argparse.Namespace) -> str:
    where = f"{given.limit} s on {given.cores} processors"
    return f"Accuracy: configs/{given.config.name}, {given.seeds} seeds, {where}"


def _peer_versions(python: Path) -> dict[str, str]:
    if not python.exists():
        return {}
    numbers = f"{{name: m.version(name) for name in {PEER_PACKAGES}}}"
    told = f"import importlib.metadata as m, json; print(json.dumps({numbers}))"
    found = subprocess.run([python, "-c", told], capture_output=True, check=True, text=True)  # noqa: S603
    return dict(json.loads(found.stdout))


def result_tables(task: Task, results: dict[str, list[dict[str, Any]]]) -> list[Table]:
    """A table for each number of leading steps."""
    count = -(-len(task.origins) // BLOCK)
    unit = f"{count} blocks of {BLOCK} neighbouring origins" if task.stride else "series"
    note = (
        "MASE, lower is better: mean over the seeds, lowest and highest. The difference is kubecast's less"
        f" the peer's, with a paired bootstrap's 95 % interval over {unit}, for the seeds that are told."
        " *Fit*: until a fitted model is there, which for MSTL is at each origin anew, with its forecasts."
    )
    size = f"{len(task.origins)} origins, {task.rows['unique_id'].nunique()} series"
    tables = []
    for leads in map(str, task.leads):
        rows = [_row(task, method, results, leads) for method, found in results.items() if found]
        tables.append(Table(title=f"{task.name}, {leads} steps: {size}", rows=rows, note=note))
    return tables


def _row(task: Task, method: str, results: dict[str, list[dict[str, Any]]], leads: str) -> dict[str, Any]:
    own, found = results.get("kubecast", []), results[method]
    means = _means(found, leads)
    shown = f"{np.mean(means):.4f} ({min(means):.4f} to {max(means):.4f})"
    row = {"method": method, "seeds": len(found), "MASE": shown, "fit, s": seconds_text(found)}
    row |= {"CPU s in all": max(each.get("cpu", 0.0) for each in found)}
    if not own or method == "kubecast":
        return row | {"difference (95 %)": "", "kubecast is": ""}
    difference = _by_unit(own, leads) - _by_unit(found, leads)
    low, high = mean_interval(difference, BLOCK if task.stride else 1)
    verdict = "better" if high < 0 else "worse" if low > 0 else "not shown to differ"
    shown = f"{difference.mean():+.4f} ({low:+.4f} to {high:+.4f})"
    return row | {"difference (95 %)": shown, "kubecast is": verdict}


def comparison_bars(task: Task, results: dict[str, list[dict[str, Any]]]) -> list[Bar]:
    """The seconds of a whole run, and its error against the best peer's; none without results of kubecast."""
    own = results.get("kubecast", [])
    if not own:
        return []
    longest = _longest(own)
    what = f"seconds of a whole run on {task.name}"
    bars = [Bar(what=what, value=longest["seconds"], most=longest["limit"])]
    for leads in map(str, task.leads):
        key, value = (task.name, leads), float(np.mean(_means(own, leads)))
        peers = [
            float(np.mean(_means(found, leads))) for name, found in results.items() if name in PEERS and found
        ]
        if key in LIMITS:
            bars.append(Bar(what=f"MASE on {task.name}, {leads} steps", value=value, most=LIMITS[key]))
        if key in OF_THE_BEST and peers:
            what = f"MASE on {task.name}, {leads} steps, by the best peer's"
            every = all(results.get(name) for name in PEERS)  # the best of some is no bar
            bars.append(Bar(what=what, value=value / min(peers) if every else None, most=OF_THE_BEST[key]))
    return bars


def _means(found: list[dict[str, Any]], leads: str) -> list[float]:
    """By seed."""
    return [float(np.mean(each["errors"][leads])) for each in found]


def _longest(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The seed whose fit took longest."""
    return max(found, key=lambda each: float(each["seconds"]))


def seconds_text(found: list[dict[str, Any]]) -> str:
    """The longest of the seeds; a longer one than allowed is marked."""
    longest = _longest(found)
    shown = f"{longest['seconds']:.0f}"
    return f"{shown}, over {longest['limit']}" if longest["seconds"] > longest["limit"] else shown


def _by_unit(found: list[dict[str, Any]], leads: str) -> Floats:
    """Mean over seeds of each origin's error."""
    return np.asarray(np.mean([each["errors"][leads] for each in found], axis=0), dtype=np.float64)


def mean_interval(values: Floats, block: int) -> tuple[float, float]:
    """The 95 % interval of the mean, by a bootstrap over blocks of neighbours."""
    blocks = np.array_split(values, range(block, len(values), block))
    sums, sizes = np.array([part.sum() for part in blocks]), np.array([len(part) for part in blocks])
    drawn = np.random.default_rng(0).integers(len(blocks), size=(RESAMPLES, len(blocks)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
