"""One trial of a Katib experiment: ``kubecast trial NAME=VALUE …``.

Katib gives a trial its parameters as words and reads ``objective=<number>`` from its output.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from kubecast.config.base import Settings
from kubecast.config.search import parse_parameters, with_parameters
from kubecast.config.validation import parse_settings, validate
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.errors import ConfigError, DataError, ModelError, TuningError
from kubecast.logs import bind, step
from kubecast.settings.loading import SECTIONS
from kubecast.storage.store import open_store
from kubecast.tuning.ensemble import make_objective
from kubecast.tuning.heartbeat import ending_without, format_time, utc_now
from kubecast.tuning.objective import Objective
from kubecast.tuning.trial import METRIC, VARIABLE, Trial


@step
def run_trial(words: Iterable[str], now: Callable[[], datetime] = utc_now) -> float:
    """Score one set of parameters, printing ``objective=`` after every epoch and fold.

    Its fits end with the search, and the process itself where nobody waits for the search any more.

    Args:
        words: ``NAME=VALUE``, one for each parameter of the space.
        now: Clock that gives the time with its zone.

    Raises:
        ConfigError: A word or the variable is wrong.
        TuningError: The search is over, or nobody waits for it.
        ModelError: The model cannot be fitted, or its error is not finite.
    """
    trial = parse_settings(Trial, os.environ.get(VARIABLE, ""), VARIABLE)
    if trial.kind not in SECTIONS:
        raise ConfigError(f"{VARIABLE}: kind {trial.kind!r}; allowed: {', '.join(SECTIONS)}")
    bind(model=trial.kind)
    base = validate(SECTIONS[trial.kind], trial.settings, f"{VARIABLE}: settings")
    settings = with_parameters(base, trial.search, parse_parameters(trial.search, _parameters(words)))
    trial.store.export()
    with ending_without(Path(trial.heartbeat) if trial.heartbeat else None, now):
        error = _error(trial, base, settings, now)
    if not math.isfinite(error):
        raise ModelError(f"{trial.kind}: the error is {error}; allowed: a finite number")
    _print_objective(error)
    return error


def _error(trial: Trial, base: Settings, settings: Settings, now: Callable[[], datetime]) -> float:
    with _local(trial.panel) as folder:
        objective = _objective(trial, PanelBlocks.open(folder), base, _limit(trial, now()))
    return objective.error(settings, trial.seed, lambda _, value: _print_objective(value))


def _limit(trial: Trial, now: datetime) -> float:
    """The seconds that the fits of a trial may take: no more than the search has left."""
    if trial.until is None:
        return trial.limit
    left = trial.until - now.timestamp()
    if left <= 0:
        end = format_time(datetime.fromtimestamp(trial.until, UTC))
        raise TuningError(f"the search of this trial ended at {end}: training.optimization.timeout")
    return min(trial.limit, left)


def _print_objective(value: float) -> None:
    """Print a value for Katib's collector, which knows no NaN: a value that is not finite is left out."""
    if math.isfinite(value):
        print(f"{METRIC}={value:.10g}", flush=True)


def _parameters(words: Iterable[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name in parameters:
            raise ConfigError(f"trial: {word!r}; allowed: NAME=VALUE, each name once")
        parameters[name] = value
    return parameters


def _objective(trial: Trial, panel: PanelBlocks, base: Settings, limit: float) -> Objective:
    members: dict[str, Any] = {
        kind: validate(SECTIONS[kind], settings, f"{VARIABLE}: members.{kind}")
        for kind, settings in trial.members.items()
    }
    return make_objective(panel, trial.kind, base, members, trial.folds, limit)


@contextmanager
def _local(panel: str) -> Iterator[Path]:
    """Yield the folder of the panel on this machine; one behind a URL is fetched."""
    if "://" not in panel:
        yield Path(panel)
        return
    store = open_store(panel)
    with TemporaryDirectory() as folder:
        for path in store.list_files(""):
            parts = PurePosixPath(path).parts
            if ".." in parts or PurePosixPath(path).is_absolute():
                raise DataError(f"{store.url}: {path!r} is no file of a panel")
            file = Path(folder).joinpath(*parts)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as target:
                target.writelines(store.stream(path))
        yield Path(folder)
