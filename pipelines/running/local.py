"""Running a compiled pipeline on one machine, through KFP's own local runner.

The runner prints every task's log and changes ``print``, so it runs in a child process; this one turns its
lines into a progress bar, and its failure into one line.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from kubecast import errors
from kubecast.data.preparation import required_horizon
from kubecast.errors import KubecastError
from kubecast.logs import FORMAT_VARIABLE
from kubecast.models.artifact import FORECASTS
from kubecast.registry import Registry
from kubecast.settings.loading import AllSettings
from kubecast.settings.pipeline import ModelKind
from kubecast.settings.search import SearchSettings
from pipelines.compiling import compile_pipeline

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_TASK = re.compile(r"Task '?([a-z0-9-]+)'? finished with status (\w+)|Executing task '?([a-z0-9-]+)'?")
_ERROR = re.compile(r"^\s*(?:kubecast\.errors\.)?(\w+): (.+)$")
_PROGRESS = re.compile(r"^\s*progress (\S+) (\d+)/(\d+)")
_WARNING = re.compile(r"^\s*warning: (.+)$")


Outputs = dict[str, dict[str, Any]]
"""What each task of a run made, by its name and the output's: parameters as they are, artifacts as paths."""

RESULTS = {
    "leaderboard.json": ("evaluate-models", "evaluation", ""),
    "report.html": ("evaluate-models", "report", ""),
    "ensemble.html": ("stack-ensemble", "report", ""),
    "forecasts.parquet": ("register-model", "forecast", ""),
    "backtest.parquet": ("stack-ensemble", "ensemble", FORECASTS),
    **{f"training-{kind}.html": (f"train-{kind}", "report", "") for kind in get_args(ModelKind)},
    **{f"tuning-{kind}.html": (f"tune-{kind}", "report", "") for kind in SearchSettings.model_fields},
    **{f"trials-{kind}.csv": (f"tune-{kind}", "trials", "") for kind in SearchSettings.model_fields},
}
"""What a person reads: its name, and the task, its output and the file in that; some runs lack some."""


@dataclass(frozen=True)
class Progress:
    """One thing that the run tells: a task began or ended, is so far along, or warns.

    Attributes:
        task: Its name.
        state: ``started``, ``finished``, ``running`` or ``warning``.
        done: Of ``total``; 0 where that is not known.
        total: Epochs, trees or series.
        message: Of a warning.
    """

    task: str
    state: str
    done: int = 0
    total: int = 0
    message: str = ""


def run_compiled(
    compiled: Path,
    arguments: Mapping[str, Any],
    output: Path,
    *,
    caching: bool,
    tell: Callable[[Progress], None],
) -> Outputs:
    """Run a compiled pipeline and wait for it.

    Args:
        compiled: From ``compile_pipeline``.
        arguments: The pipeline's parameters.
        output: ``run.log`` and the artifacts, under ``artifacts/``, go here.
        caching: Whether tasks whose inputs are unchanged take their earlier outputs from there.
        tell: Called with each event.

    Returns:
        What each task made, those that took their outputs from an earlier run included.

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
    command = [sys.executable, "-m", "pipelines.running.local", json.dumps(job), str(outputs)]
    log = output / "run.log"
    with (
        log.open("w") as file,
        subprocess.Popen(  # noqa: S603  our own module
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(),
        ) as process,
    ):
        failure = _follow(process, file, tell)
    if process.returncode:
        raise failure or KubecastError(f"the run failed with status {process.returncode}; its log is {log}")
    found = json.loads(outputs.read_text())
    assert isinstance(found, dict)  # noqa: S101  written below
    return found


def _environment() -> dict[str, str]:
    return {
        **os.environ,
        FORMAT_VARIABLE: "plain",  # which _follow reads
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _follow(
    process: "subprocess.Popen[str]", log: Any, tell: Callable[[Progress], None]
) -> KubecastError | None:
    failure = None
    read = _Reader()
    assert process.stdout is not None  # noqa: S101  asked for
    try:
        for raw in process.stdout:
            line = _ANSI.sub("", raw)
            log.write(line)
            for event in read.events(line):
                tell(event)
            failure = _error(line) or failure
        process.wait()
    finally:
        process.kill()
    return failure


class _Reader:
    """Makes events of lines; tasks run one after another, so a line is the last one's that began."""

    def __init__(self) -> None:
        self._task = ""
        self._warned: set[Progress] = set()

    def events(self, line: str) -> Iterator[Progress]:
        if found := _PROGRESS.match(line):
            yield Progress(found[1], "running", int(found[2]), int(found[3]))
        elif found := _WARNING.match(line):
            yield from self._warning(Progress(self._task, "warning", message=found[1].strip()))
        elif found := _TASK.search(line):
            self._task = found[1] or found[3]
            yield Progress(self._task, "finished" if found[1] else "started")

    def _warning(self, event: Progress) -> Iterator[Progress]:
        """The event, the first time."""
        if event not in self._warned:
            self._warned.add(event)
            yield event


def _error(line: str) -> KubecastError | None:
    found = _ERROR.match(line)
    kind = getattr(errors, found[1], None) if found else None
    if found and isinstance(kind, type) and issubclass(kind, KubecastError):
        return kind(found[2].strip())
    return None


def main(arguments: list[str] | None = None) -> None:
    """Run one job in this process: the child's side of ``run_compiled``."""
    parser = argparse.ArgumentParser(description="Run a compiled pipeline through kfp.local.")
    parser.add_argument("job", help="JSON: compiled, arguments, root, caching")
    parser.add_argument("outputs", type=Path, help="JSON file for the pipeline's outputs")
    given = parser.parse_args(arguments)
    job = json.loads(given.job)
    from kfp import local
    from kfp.components import load_component_from_file

    # It warns of each image that is not named python, and of each setting that only a cluster has.
    warnings.filterwarnings("ignore", module=r"kfp\.local")
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner=runner, pipeline_root=job["root"], enable_caching=job["caching"])
    with task_outputs() as outputs:
        load_component_from_file(job["compiled"])(**job["arguments"])
    given.outputs.write_text(json.dumps(outputs))


@contextmanager
def task_outputs() -> Iterator[Outputs]:
    """Collect what the tasks make that KFP's local runner runs, or takes from its cache, meanwhile.

    It tells of a pipeline's own outputs alone, and what is made inside a graph is none of them.
    """
    from kfp.local.orchestrator import task_executor

    collected: Outputs = {}
    execute = task_executor.execute_single_task

    def remember(task_name: str, **given: Any) -> Any:
        outputs, status = execute(task_name=task_name, **given)
        collected[task_name] = {name: getattr(value, "path", value) for name, value in outputs.items()}
        return outputs, status

    task_executor.execute_single_task = remember
    try:
        yield collected
    finally:
        task_executor.execute_single_task = execute


@dataclass(frozen=True)
class Result:
    """What a run published.

    Attributes:
        version: ``NAME@VERSION``.
        registry: Where.
        aliases: That point at the version, such as champion.
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
    tell: Callable[[Progress], None],
) -> Result:
    """Compile the training pipeline, run it here, and put what a person reads at the top of ``output``.

    Args:
        settings: Every settings file.
        data: Path or URL of the data file.
        output: A folder.
        registry: Path or URL; empty: ``output/registry``.
        as_of: Moment after which targets are not seen; empty for none.
        mode: ``tune``: after a search; ``retrain``: with the champion's settings.
        caching: See ``run_compiled``.
        tell: See ``run_compiled``.
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
    outputs = run_compiled(compiled, arguments, output, caching=caching, tell=tell)
    published = outputs["register-model"]["Output"]
    version = store.resolve(published)  # a cached task may name one that is gone
    _collect(outputs, output)
    return Result(published, target, version.aliases)


def _collect(outputs: Outputs, output: Path) -> None:
    """Copy what a person reads to the top of the output folder."""
    for name, (task, key, inside) in RESULTS.items():
        if task in outputs and (source := Path(outputs[task][key]) / inside).exists():
            shutil.copyfile(source, output / name)


if __name__ == "__main__":
    main()
