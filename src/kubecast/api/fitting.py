"""The pipeline's steps in a notebook, without KFP: ``kubecast.fit(df, horizon=48)``."""

import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kubecast.api.frames import Data, empty
from kubecast.api.model import Model
from kubecast.api.progress import stages
from kubecast.api.run import run_steps, stage_count
from kubecast.data.roles import OPTIONS
from kubecast.errors import ConfigError, DataError
from kubecast.settings.loading import AllSettings, load_settings

_ARGUMENTS = {"unique_id": "id_col", "ds": "time_col", "y": "target_col"}


def fit(
    df: Data,
    horizon: int,
    freq: str | None = None,
    season_length: int | Sequence[int] | None = None,
    models: Sequence[str] | None = None,
    config: str | Path | None = None,
    overrides: Iterable[str] = (),
    *,
    id_col: str | None = None,
    time_col: str | None = None,
    target_col: str | None = None,
    time_limit: float | None = None,
) -> Model:
    """Prepare, tune where the settings say so, train, stack, evaluate and fit again, as the pipeline does.

    A terminal, or a notebook with ipywidgets, shows bars. Elsewhere, and where an application has set up
    logging, progress goes to the logger ``kubecast``, and to standard error where no logging is set up.

    Args:
        df: A DataFrame of pandas or polars: ``unique_id``, ``ds``, ``y`` and covariates; one series or many.
            Or the path or URL of a file, a folder, a table or a database, as for ``kubecast run --data``.
        horizon: Steps to forecast.
        freq: A pandas offset alias; default: inferred from the data.
        season_length: Steps, the first is MASE's m; default: from the frequency.
        models: Kinds to train, keys of ``kubecast.models.KINDS``; default: those of ``pipeline.yaml``.
        config: Folder of settings files; default: built-in settings.
        overrides: ``FILE.KEY=VALUE``, e.g. ``lstm.epochs=5``.
        id_col: Column of the series' names; default: ``unique_id``, or that of the settings, as for the next.
        time_col: Column of the timestamps; default: ``ds``.
        target_col: Column of the target; default: ``y``.
        time_limit: Seconds for all searches and fits together, of which each has an equal share; forecasts
            and evaluation come on top. Default: the settings' ``time_limit`` of each.

    Raises:
        KubecastError: The data or the settings are wrong, or too few models could be fitted.
    """
    columns = {"unique_id": id_col, "ds": time_col, "y": target_col}
    assignments = [
        *overrides,
        f"training.horizon={horizon}",
        *(f"training.data.columns.{key}={json.dumps(name)}" for key, name in columns.items() if name),
    ]
    if freq is not None:
        assignments.append(f'training.frequency="{freq}"')
    if season_length is not None:
        lengths = [season_length] if isinstance(season_length, int) else list(season_length)
        assignments.append(f"training.season_lengths={lengths}")
    if models is not None:
        assignments.append(f"pipeline.models=[{','.join(models)}]")
    settings = load_settings(None if config is None else Path(config), assignments)
    if time_limit is not None:
        shares = _time_shares(settings, time_limit)
        settings = load_settings(None if config is None else Path(config), [*assignments, *shares])
    return _run(df, settings)


def _time_shares(settings: AllSettings, time_limit: float) -> Iterator[str]:
    """The assignments that share a time limit out among searches and fits."""
    if not (math.isfinite(time_limit) and time_limit > 0):
        raise ConfigError(f"time_limit {time_limit}; allowed: seconds above 0")
    kinds, tuned = settings.pipeline.models, settings.pipeline.tuned
    share = time_limit / (len(kinds) * (1 + settings.pipeline.final_fit) + len(tuned))
    yield from (f"{kind}.time_limit={share}" for kind in kinds)
    if tuned:
        yield f"training.optimization.timeout={max(1, int(share))}"


def _run(df: Data, settings: AllSettings) -> Model:
    example, folder = empty(df), Path(tempfile.mkdtemp(prefix="kubecast-"))
    try:
        with stages(stage_count(settings)) as begin:
            run = run_steps(df, settings, folder, begin)
            metadata = run.write_version(folder / "version")
        return Model(folder, settings.training.model_name, metadata, run, example)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, DataError):
            raise DataError(_naming_arguments(str(error))) from error
        raise


def _naming_arguments(message: str) -> str:
    """A message that names an argument of ``fit`` where it named a setting or an option of its meaning."""
    for key, argument in _ARGUMENTS.items():
        message = message.replace(f"training.data.columns.{key}", argument)
        message = message.replace(f"{OPTIONS[key]} ", f"{argument}=")
    return message
