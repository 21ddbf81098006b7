"""LSTM and Transformer beside plain PyTorch: `make bench-neural`.

Both train networks of the same shapes on windows gathered from as many rows, each in a process of its own on
the same cores, in turn. Windows a second are those of the training loop, input and updates, without the first
epoch, in which graphs are traced. Processor time by wall time shows whether a side sat idle.
"""

import argparse
import json
import sys
import time
import tracemalloc
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import MEGABYTE, ROOT, Run, in_turn, median_ratio, run, spread
from benchmarks.report import Bar, Results, Table

ROWS, WINDOW, HORIZON, SEASONS = 17_420, 60, 24, [24, 168]
CONTEXT = 12  # sines and cosines of both seasons
LONG_ROWS, WINDOWS = 1_000_000, (60, 336, 672)  # whose input memory is compared
EPOCHS = 3
PEERS = ROOT / ".venv-peers" / "bin" / "python"
PACKAGES = ("keras", "numpy", "tensorflow-cpu")


class Case(NamedTuple):
    """A network, and the number of updates in an epoch by batch size."""

    network: str
    sizes: list[int]
    updates: dict[int, int]


CASES = [
    Case("lstm", [128, 64], {128: 30, 32: 80}),
    Case("transformer", [64, 4, 2, 128], {128: 30, 32: 80}),
    Case("transformer", [512, 8, 6, 2048], {128: 1, 32: 2}),
]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", default=str(PEERS), help="a Python that has PyTorch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--case", help="JSON: network, sizes, batch and updates; train this one alone")
    parser.add_argument("--window", type=int, help="measure the input memory of this window alone")
    given = parser.parse_args()
    if given.case:
        print(json.dumps(_train(seed=given.seed, **json.loads(given.case))))
    elif given.window:
        print(json.dumps(_input_memory(given.window)))
    else:
        if not Path(given.torch).exists():
            sys.exit(f"error: {given.torch} is not there; allowed: a Python that has PyTorch, by --torch")
        speed, bars, torch = _speed(given)
        memory, more = _memory()
        Results.collect(
            "neural", "LSTM and Transformer", [speed, memory], [*bars, *more], PACKAGES, {"torch": torch}
        ).save()


def _speed(given: argparse.Namespace) -> tuple[Table, list[Bar], str]:
    rows, bars, version = [], [], ""
    for case in CASES:
        for batch, updates in case.updates.items():
            sides = {
                "kubecast": partial(_kubecast, given, case, batch, updates),
                "PyTorch": partial(_torch, given, case, batch, updates),
            }
            runs = in_turn(sides, given.repeats)
            windows = batch * updates
            speeds = {side: [_speed_of(each, windows) for each in repeats] for side, repeats in runs.items()}
            name = f"{case.network} {'/'.join(map(str, case.sizes))}"
            ratio = median_ratio(speeds["kubecast"], speeds["PyTorch"])
            rows.append(
                {"network": name, "batch": batch}
                | {f"{side}, windows/s": spread(values) for side, values in speeds.items()}
                | {"kubecast by PyTorch": ratio}
                | {f"{side}, CPU by wall": _busy(repeats) for side, repeats in runs.items()}
                | {f"{side}, peak MB": max(each.peak for each in repeats) for side, repeats in runs.items()}
                | {f"{side}, weights": repeats[0].document["weights"] for side, repeats in runs.items()}
            )
            version = runs["PyTorch"][0].document["torch"]
            if batch == 128:
                bars.append(Bar(what=f"windows/s by PyTorch's, {name}, batch 128", value=ratio, least=0.95))
    note = (
        f"Window {WINDOW}, horizon {HORIZON}, {given.cores} cores, float32, Adam, the gradient clipped to"
        f" norm 1, dropout .2. Median over {given.repeats} repeats."
    )
    return Table(title="Training", rows=rows, note=note), bars, version


def _speed_of(done: Run, windows: int) -> float:
    return windows / median(done.document["seconds"][1:])


def _busy(runs: list[Run]) -> float:
    return median(sum(each.document["cpu"][1:]) / sum(each.document["seconds"][1:]) for each in runs)


def _kubecast(given: argparse.Namespace, case: Case, batch: int, updates: int) -> Run:
    options = {"network": case.network, "sizes": case.sizes, "batch": batch, "updates": updates}
    command = [
        sys.executable,
        "-m",
        "benchmarks.neural",
        "--seed",
        str(given.seed),
        "--case",
        json.dumps(options),
    ]
    return _log("kubecast", options, run(command, given.cores))


def _torch(given: argparse.Namespace, case: Case, batch: int, updates: int) -> Run:
    values = {"network": case.network, "batch": batch, "updates": updates, "epochs": EPOCHS, "window": WINDOW}
    values |= {
        "horizon": HORIZON,
        "context": CONTEXT,
        "rows": ROWS,
        "threads": given.cores,
        "seed": given.seed,
    }
    options = [text for name, value in values.items() for text in (f"--{name}", str(value))]
    sizes = ["--sizes", *map(str, case.sizes)]
    command = [given.torch, str(ROOT / "benchmarks" / "plain_torch.py"), *options, *sizes]
    return _log("PyTorch", values, run(command, given.cores))


def _log(side: str, case: dict[str, Any], done: Run) -> Run:
    speed = _speed_of(done, case["batch"] * case["updates"])
    print(f"{side}, {case['network']}, batch {case['batch']}: {speed:.0f} windows/s", file=sys.stderr)
    return done


def _memory() -> tuple[Table, list[Bar]]:
    rows = []
    for window in WINDOWS:
        command = [sys.executable, "-m", "benchmarks.neural", "--window", str(window)]
        memory = run(command).document
        rows.append({"window": window, "peak MB": memory["peak"], "copied, MB": memory["copied"]})
    growth = rows[-1]["peak MB"] / rows[0]["peak MB"]
    bar = Bar(what=f"input memory at window {WINDOWS[-1]} by that at {WINDOWS[0]}", value=growth, most=1.25)
    note = (
        f"Bytes that NumPy allocates at most while every array of one series of {LONG_ROWS} rows is made and"
        " ten batches of 128 windows are read. *Copied*: what the windows of one epoch would take, copied."
    )
    return Table(title="Input memory by length of the window", rows=rows, note=note), [bar]


# --- kubecast's side ----------------------------------------------------------------------------------


def _train(network: str, sizes: list[int], batch: int, updates: int, seed: int) -> dict[str, Any]:
    from kubecast.models import make_trainer
    from kubecast.models.base import FitPlan
    from kubecast.models.neural.settings import LstmSettings, TransformerSettings

    common = {"sequence_length": WINDOW, "batch_size": batch, "dropout_rate": 0.2}
    settings = (
        LstmSettings(hidden_units=sizes, **common)
        if network == "lstm"
        else TransformerSettings(
            **dict(zip(("d_model", "num_heads", "num_layers", "dff"), sizes, strict=True)), **common
        )
    )
    times, busy = [], []

    def report(step: int, loss: float) -> None:
        times.append(time.perf_counter())
        busy.append(time.process_time())

    # A replay evaluates nothing between the epochs, so that what lies between two reports is one epoch.
    replay = {"updates_per_epoch": updates, "learning_rates": [1e-3] * (EPOCHS + 1)}
    panel = _panel(ROWS)
    plan = FitPlan(seed=seed, fixed_fit=replay, on_step=report)
    fitted, _ = make_trainer(network, settings).fit(panel, panel.ends, plan)
    weights = fitted.network.count_params()
    return {"seconds": np.diff(times).tolist(), "cpu": np.diff(busy).tolist(), "weights": weights}


def _input_memory(window: int) -> dict[str, float]:
    from kubecast.models.neural.origins import window_origins
    from kubecast.models.neural.settings import LstmSettings
    from kubecast.models.neural.spec import fit_spec
    from kubecast.models.neural.windows import Windows

    panel = _panel(LONG_ROWS)
    settings = LstmSettings(sequence_length=window)
    tracemalloc.start()
    spec = fit_spec(panel, panel.ends, settings)
    rows = window_origins(panel, panel.ends, spec, hold_out=False).train
    windows = Windows(panel, spec)
    for some in np.random.default_rng(0).permutation(rows)[: 10 * 128].reshape(10, 128):
        windows.targets(some, windows.batch(some))
    _, peak = tracemalloc.get_traced_memory()
    width = spec.shapes.extra[1] + 1
    return {"peak": peak / MEGABYTE, "copied": len(rows) * window * width * 4 / MEGABYTE}


def _panel(rows: int) -> Any:
    import pandas as pd

    from kubecast.config.training import TrainingSettings
    from kubecast.data.history import history_panel
    from kubecast.data.panel import PanelSpec

    y = np.random.default_rng(0).normal(size=rows).cumsum()
    ds = pd.date_range("1900-01-01", periods=rows, freq="h")
    settings = TrainingSettings(horizon=HORIZON, frequency="h", season_lengths=SEASONS)
    spec = PanelSpec(frequency="h", horizon=HORIZON, season_lengths=SEASONS)
    return history_panel(pd.DataFrame({"unique_id": "series", "ds": ds, "y": y}), settings, spec)


if __name__ == "__main__":
    main()
