"""Runs on this machine: compile a pipeline, run it in a child process, collect what a person reads.

The child's lines become events, and its failure one error: see ``local_events`` and ``local_runner``.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import psutil

from kubecast.data.clock import as_given
from kubecast.data.parquet import read_parquet
from kubecast.data.preparation import required_horizon
from kubecast.data.sources import check_location
from kubecast.documents import read_document
from kubecast.errors import KubecastError, NotFound
from kubecast.evaluation.leaderboard import LEADERBOARD, SERIES_TABLES, Evaluation
from kubecast.logs import FORMAT_VARIABLE
from kubecast.masking import masked
from kubecast.models import KINDS
from kubecast.models.artifact import FORECASTS
from kubecast.pipelines.compiling import compile_pipeline
from kubecast.pipelines.running.local_events import EventReader, Record, TaskEvent
from kubecast.pipelines.running.local_runner import Outputs
from kubecast.registry import Registry, Version
from kubecast.settings.loading import AllSettings
from kubecast.storage.locations import make_folder

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of KFP's lines


def task_name(component: str, kind: str) -> str:
    """The name of a kind's task, in which Kubeflow Pipelines replaces each underscore."""
    return f"{component}-{kind}".replace("_", "-")


BACKTEST = "backtest.parquet"
CACHE = Path("artifacts", ".kfp_cache")  # of KFP's local runner

RESULTS = {
    **{name: ("evaluate-models", "evaluation", name) for name in (LEADERBOARD, *SERIES_TABLES)},
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
    resume: bool,
    on_progress: Callable[[TaskEvent], None],
) -> Outputs:
    """Run a compiled pipeline and wait for it.

    Args:
        compiled: From ``compile_pipeline``.
        arguments: The pipeline's parameters.
        output: ``run.log`` and the artifacts, under ``artifacts/``, go here.
        resume: Whether tasks whose inputs are unchanged take their earlier outputs from there: those of the
            last run that began without this, and of those that went on with it.
        on_progress: Called with each event.

    Returns:
        Outputs of each task, those that took their outputs from an earlier run included.

    Raises:
        KubecastError: A task failed; the error is the task's own where it is one of kubecast's.
    """
    make_folder(output)
    outputs = output / "outputs.json"
    outputs.unlink(missing_ok=True)
    if not resume:
        shutil.rmtree(output / CACHE, ignore_errors=True)
    job = {
        "compiled": str(compiled),
        "arguments": dict(arguments),
        "root": str(output / "artifacts"),
    }
    command = [sys.executable, "-m", "kubecast.pipelines.running.local_runner", json.dumps(job), str(outputs)]
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
        failure, task = _follow(process, file, on_progress)
    if process.returncode:
        where = f"in task {task}" if task else f"with status {process.returncode}"
        raise failure or KubecastError(f"the run failed {where}; its log is {log}")
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
) -> tuple[KubecastError | None, str]:
    """Write the child's lines to the log until it ends.

    Returns:
        The last error of kubecast among them, and the last task that failed; None and empty: there is none.
    """
    failure, failed = None, ""
    reader = EventReader()
    assert process.stdout is not None  # noqa: S101  a pipe
    try:
        for line in process.stdout:
            record = Record.parse(line)
            if record is None:
                log.write(masked(_COLOURS.sub("", line)))  # the lines of others, who mask nothing
                continue
            log.write(record.text)
            failure, failed = record.error or failure, record.failed_task or failed
            for event in reader.events(record):
                on_progress(event)
        process.wait()
    finally:
        _kill(process)
    return failure, failed


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a process that still runs, and the task that it has started."""
    if process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()


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
    resume: bool,
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
        resume: See ``run_compiled``.
        on_progress: See ``run_compiled``.
    """
    required_horizon(settings.training)
    check_location(data)  # a secret in it must not reach the command line of a process
    target = registry or str(output / "registry")
    arguments = {
        "data": data if "://" in data else str(Path(data).resolve()),
        "registry": target if "://" in target else str(Path(target).resolve()),
        "as_of": as_of,
    }
    store = Registry.open(arguments["registry"])  # one that cannot be is refused before anything is trained
    compiled = compile_pipeline(settings, output / "pipeline.yaml", mode, on_cluster=False)
    outputs = run_compiled(compiled, arguments, output, resume=resume, on_progress=on_progress)
    published = outputs["register-model"]["Output"]
    version = _published(store, published)
    collect_results(outputs, output)
    return Result(published, target, version.aliases)


def _published(store: Registry, reference: str) -> Version:
    """The version that a run names, which may be gone where its tasks are an earlier run's.

    Raises:
        NotFound: It is.
    """
    try:
        return store.resolve(reference)
    except NotFound as error:
        raise NotFound(f"{error}; without --resume it is made again") from error


def collect_results(outputs: Outputs, output: Path) -> None:
    """Put what a person reads at the top of the output folder, in the place of what an earlier run left."""
    with tempfile.TemporaryDirectory(dir=output) as folder:
        made = Path(folder)
        for name, (task, key, inside) in RESULTS.items():
            if task in outputs and (source := Path(outputs[task][key]) / inside).exists():
                shutil.copyfile(source, made / name)
        if (made / BACKTEST).exists():
            spec = read_document(Evaluation, made / LEADERBOARD, Evaluation.document_name).spec
            as_given(read_parquet(made / BACKTEST), spec).to_parquet(made / BACKTEST, index=False)
        for name in RESULTS:
            if (made / name).exists():
                (made / name).replace(output / name)
            else:
                (output / name).unlink(missing_ok=True)
