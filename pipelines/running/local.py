"""Runs on this machine: compile a pipeline, run it in a child process, collect what a person reads.

The child's lines become events, and its failure one error: see ``local_events`` and ``local_runner``.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from kubecast.data.clock import as_given
from kubecast.data.panel import read_parquet
from kubecast.data.preparation import required_horizon
from kubecast.errors import KubecastError
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.logs import FORMAT_VARIABLE
from kubecast.models import KINDS
from kubecast.models.artifact import FORECASTS
from kubecast.registry import Registry
from kubecast.settings.loading import AllSettings
from pipelines.compiling import compile_pipeline
from pipelines.running.local_events import EventReader, Record, TaskEvent
from pipelines.running.local_runner import Outputs

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of KFP's lines


def task_name(component: str, kind: str) -> str:
    """The name of a kind's task, in which Kubeflow Pipelines replaces each underscore."""
    return f"{component}-{kind}".replace("_", "-")


BACKTEST = "backtest.parquet"

RESULTS = {
    LEADERBOARD: ("evaluate-models", "evaluation", ""),
    "report.html": ("register-model", "report", ""),
    "ensemble.html": ("stack-ensemble", "report", ""),
    "forecasts.parquet": ("register-model", "forecast", ""),
    BACKTEST: ("stack-ensemble", "ensemble", FORECASTS),
    **{f"training-{kind}.html": (task_name("train", kind), "report", "") for kind in KINDS},
    **{f"tuning-{kind}.html": (task_name("tune", kind), "report", "") for kind in (*KINDS, "ensemble")},
    **{f"trials-{kind}.csv": (task_name("tune", kind), "trials", "") for kind in (*KINDS, "ensemble")},
}
"""Files for a person: the name, and the task, its output and the file in that; some runs lack some."""


def run_compiled(
    compiled: Path,
    arguments: Mapping[str, Any],
    output: Path,
    *,
    caching: bool,
    on_progress: Callable[[TaskEvent], None],
) -> Outputs:
    """Run a compiled pipeline and wait for it.

    Args:
        compiled: From ``compile_pipeline``.
        arguments: The pipeline's parameters.
        output: ``run.log`` and the artifacts, under ``artifacts/``, go here.
        caching: Whether tasks whose inputs are unchanged take their earlier outputs from there.
        on_progress: Called with each event.

    Returns:
        Outputs of each task, those that took their outputs from an earlier run included.

    Raises:
        KubecastError: A task failed; the error is the task's own where it is one of kubecast's.
    """
    output.mkdir(parents=True, exist_ok=True)
    outputs = output / "outputs.json"
    outputs.unlink(missing_ok=True)
    job = {
        "compiled": str(compiled),
        "arguments": dict(arguments),
        "root": str(output / "artifacts"),
        "caching": caching,
    }
    command = [sys.executable, "-m", "pipelines.running.local_runner", json.dumps(job), str(outputs)]
    log = output / "run.log"
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(  # noqa: S603  our own module
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(),
        ) as process,
    ):
        failure = _follow(process, file, on_progress)
    if process.returncode:
        raise failure or KubecastError(f"the run failed with status {process.returncode}; its log is {log}")
    made: Outputs = json.loads(outputs.read_text())
    return made


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        FORMAT_VARIABLE: "json",  # which _follow reads
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _follow(
    process: "subprocess.Popen[str]", log: TextIO, on_progress: Callable[[TaskEvent], None]
) -> KubecastError | None:
    """Write the child's lines to the log until it ends; return the last error of kubecast among them."""
    failure = None
    reader = EventReader()
    assert process.stdout is not None  # noqa: S101  a pipe
    try:
        for line in process.stdout:
            record = Record.parse(line)
            if record is None:
                log.write(_COLOURS.sub("", line))
                continue
            log.write(record.text)
            failure = record.error or failure
            for event in reader.events(record):
                on_progress(event)
        process.wait()
    finally:
        process.kill()
    return failure


@dataclass(frozen=True)
class Result:
    """Version that a run published.

    Attributes:
        version: ``NAME@VERSION``.
        registry: Folder or URL of its registry.
        aliases: Aliases that point at the version, such as champion.
    """

    version: str
    registry: str
    aliases: tuple[str, ...]


def run_locally(
    settings: AllSettings,
    data: str,
    output: Path,
    registry: str,
    as_of: str,
    mode: Literal["train", "tune", "retrain"],
    *,
    caching: bool,
    on_progress: Callable[[TaskEvent], None],
) -> Result:
    """Compile the training pipeline, run it here, and put what a person reads at the top of ``output``.

    Args:
        settings: All settings files.
        data: Path or URL of the data.
        output: A folder.
        registry: Path or URL; empty: ``output/registry``.
        as_of: Moment after which targets are not seen; empty for none.
        mode: ``tune``: after a search; ``retrain``: with the champion's settings.
        caching: See ``run_compiled``.
        on_progress: See ``run_compiled``.
    """
    required_horizon(settings.training)
    target = registry or str(output / "registry")
    arguments = {
        "data": data if "://" in data else str(Path(data).resolve()),
        "registry": target if "://" in target else str(Path(target).resolve()),
        "as_of": as_of,
    }
    store = Registry.open(arguments["registry"])  # one that cannot be is refused before anything is trained
    for name in RESULTS:  # a run that fails leaves none of an earlier one's
        (output / name).unlink(missing_ok=True)
    compiled = compile_pipeline(settings, output / "pipeline.yaml", mode, on_cluster=False)
    outputs = run_compiled(compiled, arguments, output, caching=caching, on_progress=on_progress)
    published = outputs["register-model"]["Output"]
    version = store.resolve(published)  # a cached task may name one that is gone
    collect_results(outputs, output)
    return Result(published, target, version.aliases)


def collect_results(outputs: Outputs, output: Path) -> None:
    """Copy what a person reads to the top of the output folder."""
    for name, (task, key, inside) in RESULTS.items():
        if task in outputs and (source := Path(outputs[task][key]) / inside).exists():
            shutil.copyfile(source, output / name)
    if (output / BACKTEST).exists():
        spec = Evaluation.read(output / LEADERBOARD).spec
        as_given(read_parquet(output / BACKTEST), spec).to_parquet(output / BACKTEST, index=False)
