"""tune_optuna: better settings of a model, or of the ensemble, from rolling origins of the training split."""

import argparse
import hashlib
import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from kubecast.config.training import OptimizationSettings
from kubecast.config.validation import validate
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.errors import ModelError
from kubecast.logs import bind, step
from kubecast.models.base import ignore
from kubecast.reports.tuning import render_tuning
from kubecast.reports.unexplained import page_or_reason
from kubecast.settings.loading import SECTIONS
from kubecast.steps.checkpoint import checkpoints
from kubecast.steps.outputs import log_progress
from kubecast.steps.run_settings import RunSettings
from kubecast.steps.search_request import Request
from kubecast.tuning.ensemble import make_objective
from kubecast.tuning.objective import Objective
from kubecast.tuning.storage import database, journal
from kubecast.tuning.study import Outcome, Search, Study

_LOG = logging.getLogger("kubecast.steps.tune")  # a worker's process runs it as __main__


@step
def tune_model(request: Request, processes: int, trials: Path, report: Path) -> tuple[str, Outcome]:
    """Search, run the best again with new seeds, and choose between it and the settings file.

    Args:
        request: Kind to tune, with its settings and space.
        processes: Number of processes that search on this machine; more than one need a database.
        trials: CSV of every trial.
        report: HTML page.

    Returns:
        JSON of the settings to train with, and the outcome of the search.

    Raises:
        ModelError: No trial succeeded, and the run's ``on_failure`` is ``stop``; else the settings stay as
            they are.
        TuningError: The database fails.
    """
    bind(model=request.kind)
    try:
        with _open_study(request) as (study, on_trial):
            study.enqueue()
            if processes > 1:
                _run_workers(request, processes)
            study.wait(on_trial)
            return _choose(request, study, trials, report, on_trial)
    except ModelError as error:
        return _unchanged(request, None, error, trials, report)


@step
def run_worker(request: Request) -> str:
    """Search beside other workers until there are enough trials; ``tune_model`` then collects them.

    Args:
        request: Kind to tune, with its settings and space.

    Returns:
        The study's name.
    """
    bind(model=request.kind)
    try:
        with _open_study(request) as (study, on_trial):
            study.enqueue()  # whichever worker comes first
            study.run(on_trial)
    except ModelError as error:  # tune_model meets the same, and knows whether the run goes on
        _LOG.warning("%s", error)
    return _name(request)


@step
def choose_settings(request: Request, katib_trials: Path, trials: Path, report: Path) -> tuple[str, Outcome]:
    """Choose settings as ``tune_model`` does, from the trials of a Katib experiment.

    Args:
        request: Kind that was tuned, with its settings and space.
        katib_trials: JSON: of each trial ``parameters`` (texts), ``error``, ``state`` and ``reason``.
        trials: CSV of every trial.
        report: HTML page.
    """
    bind(model=request.kind)
    text = katib_trials.read_text()
    key = hashlib.sha256(f"{request.key()} {text}".encode()).hexdigest()
    try:
        with _open_journal(request, key, f"kubecast-{request.kind}", ignore) as (study, on_trial):
            if not study.optuna.trials:
                for trial in json.loads(text):
                    study.add(trial["parameters"], trial["state"], trial["error"], trial["reason"])
            return _choose(request, study, trials, report, on_trial)
    except ModelError as error:
        return _unchanged(request, None, error, trials, report)


def _choose(
    request: Request,
    study: Study,
    trials: Path,
    report: Path,
    on_trial: Callable[[int], None] = ignore,
) -> tuple[str, Outcome]:
    """Choose between the best trial and the settings file."""
    try:
        outcome = study.outcome(on_trial)
    except ModelError as error:
        return _unchanged(request, study, error, trials, report)
    return _write(request, outcome, study, trials, report)


def _unchanged(
    request: Request, study: Study | None, error: ModelError, trials: Path, report: Path
) -> tuple[str, Outcome]:
    """Keep the settings as they are, where a search yields nothing; there may not even be a study."""
    if RunSettings.read(request.panel_dir).on_failure == "stop":
        raise error
    outcome = Outcome(kind=request.kind, study=study.name if study else "", reason=str(error))
    return _write(request, outcome, study, trials, report)


def _write(
    request: Request, outcome: Outcome, study: Study | None, trials: Path, report: Path
) -> tuple[str, Outcome]:
    """Write the table and the page; there is no study where not even a fold could be cut."""
    search = _search(request)
    settings = search.settings(outcome.parameters) if outcome.accepted else search.base
    for path in (trials, report):
        path.parent.mkdir(parents=True, exist_ok=True)
    table = study.table() if study else pd.DataFrame(columns=["trial", "state", "error"])
    table.to_csv(trials, index=False)
    page = page_or_reason(
        f"the search for {request.kind}",
        lambda: render_tuning(search, outcome, settings, request.tuning, study),
        "The settings that the search chose are not affected.",
    )
    report.write_text(page, encoding="utf-8")
    _LOG.info("%s: %s", request.kind, outcome.reason)
    return settings.model_dump_json(), outcome


def outcome_metrics(outcome: Outcome) -> dict[str, float]:
    """The finite figures of a search for the dashboard."""
    figures: dict[str, float | None] = {
        "best_error": outcome.best,
        "best_error_new_seeds": outcome.again,
        "base_error_new_seeds": outcome.base,
        "accepted": float(outcome.accepted),
        "epochs": float(outcome.epochs),
    }
    figures |= {f"trials_{state}": float(count) for state, count in outcome.trials.items()}
    return {name: value for name, value in figures.items() if value is not None and math.isfinite(value)}


@contextmanager
def _open_study(request: Request) -> Iterator[tuple[Study, Callable[[int], None]]]:
    """Yield the study of a request, and a callback for the end of each of its trials."""
    name, total = _name(request), _optimization(request).n_trials

    def on_trial(done: int, _: float = math.nan) -> None:
        log_progress(f"tune_{request.kind}", min(done, total), total)

    if request.tuning.storage == "database":
        objective = _objective(request)
        with database() as storage:
            yield Study(_search(request), objective, storage, name), on_trial
    else:
        with _open_journal(request, request.key(), name, on_trial) as opened:
            yield opened


@contextmanager
def _open_journal(
    request: Request, key: str, name: str, on_trial: Callable[[int, float], None]
) -> Iterator[tuple[Study, Callable[[int], None]]]:
    """Yield a study in a file that is kept as the checkpoint ``key``, and the callback that keeps it."""
    objective = _objective(request)
    url = RunSettings.read(request.panel_dir).training.checkpoint_url
    with checkpoints(url, key, on_trial) as (file, keep), TemporaryDirectory() as folder:
        study = Study(_search(request), objective, journal(file or Path(folder) / "journal"), name)
        yield study, lambda done: keep(done, math.nan)


def _name(request: Request) -> str:
    return f"kubecast-{request.kind}-{request.key()[:16]}"


def _search(request: Request) -> Search:
    section, tuning, champion = SECTIONS[request.kind], request.tuning, request.champion
    return Search(
        kind=request.kind,
        base=validate(section, request.settings, f"{request.kind}_settings"),
        champion=None if champion is None else validate(section, champion, "champion_settings"),
        space=request.space,
        optimization=_optimization(request),
        seed=request.seed,
        workers=tuning.workers,
        reproducible=tuning.workers == 1 and tuning.tuner != "katib",
    )


def _optimization(request: Request) -> OptimizationSettings:
    return RunSettings.read(request.panel_dir).training.optimization


def _objective(request: Request) -> Objective:
    """Make the objective, which reads the panel once for all trials of this process."""
    panel, limits = PanelBlocks.open(request.panel_dir), _optimization(request)
    base, members = request.checked_settings()
    return make_objective(panel, request.kind, base, members, limits.folds, limits.timeout)


def _run_workers(request: Request, count: int) -> None:
    """Search in so many processes that share the processors; for one that dies there is only a warning."""
    command = [sys.executable, "-m", "kubecast.steps.tune", request.model_dump_json()]
    cores = sorted(os.sched_getaffinity(0))
    workers = [
        subprocess.Popen([*command, *map(str, cores[number % len(cores) :: count] or cores)])  # noqa: S603
        for number in range(count)
    ]
    try:
        for number, worker in enumerate(workers, 1):
            if status := worker.wait():
                _LOG.warning("worker %d of %d ended with status %d", number, count, status)
    finally:
        for worker in workers:
            worker.kill()


def main() -> None:
    """Search in this process: the worker's side of ``tune_model``."""
    parser = argparse.ArgumentParser(description="Work on a study of kubecast beside other workers.")
    parser.add_argument("request", help="JSON of a Request")
    parser.add_argument("cores", nargs="*", type=int, help="processors to run on; default: all")
    arguments = parser.parse_args()
    if arguments.cores:  # before a framework counts them
        os.sched_setaffinity(0, arguments.cores)
    run_worker(Request.model_validate_json(arguments.request))


if __name__ == "__main__":
    main()
