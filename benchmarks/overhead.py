"""The cost of everything but forecasting: `make bench-overhead`.

The command's start, a compile, the share of `make run` that is not spent inside a task, and what each task
imports. Bytecode is cached, as after an install.
"""

import argparse
import json
import re
import sys
import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import Run, run, spread
from benchmarks.report import Bar, Results, Table

# Modules that each task's body imports, and the frameworks that are its own.
TASKS: dict[str, tuple[list[str], set[str]]] = {
    "resolve_inputs": (["kubecast.steps.resolve"], set()),
    "prepare_data": (["kubecast.steps.prepare"], set()),
    "train_arima": (["kubecast.steps.train", "kubecast.models.arima.trainer"], {"pmdarima", "statsforecast"}),
    "train_lstm": (["kubecast.steps.train", "kubecast.models.neural.lstm"], {"tensorflow", "keras"}),
    "train_transformer": (
        ["kubecast.steps.train", "kubecast.models.neural.transformer"],
        {"tensorflow", "keras"},
    ),
    "train_catboost": (
        ["kubecast.steps.train", "kubecast.models.catboost.trainer"],
        {"catboost", "mlforecast"},
    ),
    "tune_optuna": (["kubecast.steps.tune"], {"optuna"}),
    "tune_katib": (["kubecast.steps.tune_katib"], {"optuna"}),
    "stack_ensemble": (["kubecast.steps.stack"], set()),
    "forecast_champion": (["kubecast.steps.champion"], set()),
    "evaluate_models": (["kubecast.steps.evaluate"], set()),
    "register_model": (["kubecast.steps.register"], set()),
    "notify_success, notify_failure": (["kubecast.steps.notify"], set()),
    "prepare_history": (["kubecast.steps.prepare_history"], set()),
    "forecast_shard": (["kubecast.steps.forecast_shard"], set()),
    "publish_batch": (["kubecast.steps.publish_batch"], set()),
}
FRAMEWORKS = {"tensorflow", "keras", "pmdarima", "statsforecast", "catboost", "mlforecast", "optuna", "kfp"}
IMPORTS = """
import importlib, json, sys, time
began, busy = time.perf_counter(), time.process_time()
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
cost = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}
print(json.dumps(cost | {"modules": sorted(sys.modules.keys() & set(json.loads(sys.argv[2])))}))
"""
KUBECAST = [sys.executable, "-c", "from kubecast.cli.app import main; main()"]
PACKAGES = ("catboost", "keras", "kfp", "pandas", "scipy", "tensorflow-cpu", "typer")

_EXECUTOR = re.compile(r"\[KFP Executor (\S+ \S+) INFO\]: (Got executor_input|Wrote executor output file)")
_TASK = re.compile(r"Executing task '([a-z0-9-]+)'")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3, help="of the whole pipeline")
    given = parser.parse_args()
    tables: list[Table] = []
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory() as folder:
        for measure in (
            partial(_commands, Path(folder), given.repeats),
            partial(_whole_run, Path(folder), given.runs),
            partial(_imports, given.repeats),
        ):
            table, more = measure()
            tables.append(table)
            bars += more
            print(table.markdown(), file=sys.stderr)
    Results.collect("overhead", "Overhead", tables, bars, PACKAGES).save()


def _commands(folder: Path, repeats: int) -> tuple[Table, list[Bar]]:
    target = str(folder / "pipeline.yaml")
    commands = {"--help": ["--help"], "compile": ["compile", "--config", "configs", "--output", target]}
    rows, bars = [], []
    for (name, arguments), most in zip(commands.items(), (0.5, 3.0), strict=True):
        run([*KUBECAST, *arguments])  # so that bytecode is cached
        runs = [run([*KUBECAST, *arguments]) for _ in range(repeats)]
        rows.append(
            {
                "command": f"kubecast {name}",
                "s": spread([each.seconds for each in runs]),
                "CPU s": spread([each.cpu for each in runs]),
                "peak MB": max(each.peak for each in runs),
            }
        )
        seconds = median(each.seconds for each in runs)
        bars.append(Bar(what=f"seconds of kubecast {name}", value=seconds, most=most))
    return Table(title="Commands", rows=rows), bars


def _whole_run(folder: Path, runs: int) -> tuple[Table, list[Bar]]:
    data, output = folder / "demand.csv", folder / "demand"
    run([*KUBECAST, "sample", "--output", str(data)])
    options = ["--horizon", "48", "--freq", "30min", "--season-length", "48,336", "--config", "configs/quick"]
    command = [*KUBECAST, "run", "--data", str(data), *options, "--output", str(output)]
    rows, shares = [], []
    for number in range(1, runs + 1):
        done = run(command)
        tasks = _tasks((output / "run.log").read_text())
        inside = sum(seconds for _, seconds in tasks)
        shares.append(1 - inside / done.seconds)
        rows.append(_run_row(number, done, tasks, inside))
    note = (
        "`make run`. *Inside*: from where a task's function is called until its outputs are written, its"
        " imports included. What is left is the command, the compile, KFP's runner and each task's start."
    )
    bar = Bar(what="share of make run outside its tasks", value=median(shares), most=0.1)
    return Table(title="A whole run", rows=rows, note=note), [bar]


def _run_row(number: int, done: Run, tasks: list[tuple[str, float]], inside: float) -> dict[str, Any]:
    longest = sorted(tasks, key=lambda task: -task[1])[:4]
    return {
        "run": number,
        "s": done.seconds,
        "tasks": len(tasks),
        "inside tasks, s": inside,
        "outside, s": done.seconds - inside,
        "outside by all": 1 - inside / done.seconds,
        "longest tasks": ", ".join(f"{name} {seconds:.1f} s" for name, seconds in longest),
    }


def _tasks(log: str) -> list[tuple[str, float]]:
    """List each task and the seconds inside its function."""
    tasks, name, began = [], "", datetime.min
    for line in log.splitlines():
        if task := _TASK.search(line):
            name = task[1]
        elif event := _EXECUTOR.search(line):
            at = datetime.strptime(event[1], "%Y-%m-%d %H:%M:%S,%f")
            if event[2].startswith("Got"):
                began = at
            else:
                tasks.append((name, (at - began).total_seconds()))
    return tasks


def _imports(repeats: int) -> tuple[Table, list[Bar]]:
    rows, foreign = [], 0
    for task, (modules, own) in TASKS.items():
        command = [sys.executable, "-c", IMPORTS, json.dumps(modules), json.dumps(sorted(FRAMEWORKS))]
        run(command)  # so that bytecode is cached
        runs = [run(command) for _ in range(repeats)]
        loaded = set(runs[0].document["modules"])
        foreign += len(loaded - own)
        rows.append(
            {
                "task": task,
                "s": spread([each.document["seconds"] for each in runs]),
                "CPU s": spread([each.document["cpu"] for each in runs]),
                "peak MB": max(each.peak for each in runs),
                "frameworks": ", ".join(sorted(loaded)),
            }
        )
    bar = Bar(what="frameworks that a task imports beside its own", value=foreign, most=0)
    return Table(title="Imports of each task", rows=rows), [bar]


if __name__ == "__main__":
    main()
