"""One run of the steps in a folder of this machine, and its publication into a registry."""

import hashlib
import json
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from kubecast.api.frames import Data, Frame, is_location, to_pandas
from kubecast.api.progress import Begin
from kubecast.config.search import check_space
from kubecast.data.files import digest_of, read_data
from kubecast.data.panel import Panel
from kubecast.errors import ConfigError, DataError, one_line
from kubecast.registry import Registry
from kubecast.settings.loading import AllSettings
from kubecast.steps.champion import forecast_champion
from kubecast.steps.evaluate import evaluate_models
from kubecast.steps.prepare import prepare_data
from kubecast.steps.register import Run, register_model, write_version
from kubecast.steps.resolve import champion_to_beat
from kubecast.steps.run_settings import FROM_RUN, RunSettings, SearchPlan
from kubecast.steps.search_request import Request
from kubecast.steps.stack import stack_ensemble
from kubecast.steps.train import train_model
from kubecast.steps.tune import tune_model


class LocalRun(NamedTuple):
    """The artifacts of a run, as the steps of the pipeline wrote them.

    Attributes:
        folder: Holds all of them.
        data: Path or URL of the rows.
        members: Each model by its name, fitted on all rows where the settings say so.
        inputs_digest: SHA-256 of the data and the settings.
    """

    folder: Path
    data: str
    members: dict[str, Path]
    inputs_digest: str

    @property
    def rows(self) -> pd.DataFrame:
        """The rows that it was given."""
        return read_data(self.data, RunSettings.read(self.folder / "panel").training.data).rows

    @property
    def panel(self) -> Panel:
        """The panel that was made of them."""
        return Panel.load(self.folder / "panel")

    def write_version(self, files: Path) -> dict[str, Any]:
        """Write the files of the version that it makes, and return the metadata to publish it with."""
        run = Run.load(self.folder / "panel", self.folder / "ensemble")
        evaluation = self.folder / "evaluation"
        return write_version(files, run, evaluation, self.members, self.inputs_digest).metadata

    def publish(self, registry: str, name: str) -> str:
        """Compare with the champion of a registry, publish there, and promote if the gate says so.

        Returns:
            ``NAME@VERSION``.
        """
        panel, ensemble = self.folder / "panel", self.folder / "ensemble"
        champion = champion_to_beat(Registry.open(registry), name, self.inputs_digest)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            compared, evaluation = folder / "champion", folder / "evaluation"
            forecast_champion(panel, champion, registry, name, self.inputs_digest, compared)
            evaluate_models(panel, ensemble, evaluation, compared)
            return register_model(
                panel,
                ensemble,
                evaluation,
                self.members,
                registry,
                name,
                self.inputs_digest,
                folder / "forecast.parquet",
                folder / "report.html",
            )


def run_steps(df: Data, settings: AllSettings, folder: Path, begin: Begin) -> LocalRun:
    """Prepare, tune where the settings say so, train, stack, evaluate and fit again on all rows.

    Args:
        df: The rows, or where they are.
        settings: Of the run.
        folder: Gets the artifacts.
        begin: Called with the name of each of ``stage_count`` stages.
    """
    panel, ensemble = folder / "panel", folder / "ensemble"
    begin("prepare data")
    data = str(df) if is_location(df) else _write_frame(df, folder / "data.parquet")
    digest = _prepare(data, settings, folder)
    kinds: list[str] = [*settings.pipeline.models]
    searched = {kind: _search(kind, settings, panel, {}, folder, begin) for kind in kinds}
    members = {kind: _fit(kind, panel, folder / kind, begin, settings=searched[kind]) for kind in kinds}
    chosen = _search("ensemble", settings, panel, searched, folder, begin)
    begin("stack and evaluate")
    stack_ensemble(panel, members, chosen, ensemble)
    evaluate_models(panel, ensemble, folder / "evaluation")
    if settings.pipeline.final_fit:
        members = {
            kind: _fit(kind, panel, folder / f"{kind}-final", begin, fitted=members[kind]) for kind in kinds
        }
    begin("put together")
    return LocalRun(folder, data, members, digest)


def stage_count(settings: AllSettings) -> int:
    """The number of stages of ``run_steps``."""
    fits = len(settings.pipeline.models) * (1 + settings.pipeline.final_fit)
    return 3 + fits + len([kind for kind in settings.pipeline.tuned if settings.search.space_of(kind)])


def _write_frame(df: Frame, file: Path) -> str:
    try:
        to_pandas(df, "df").to_parquet(file, index=False)
    except (TypeError, ValueError) as error:  # PyArrow's and pandas' own are of these
        raise DataError(
            f"df: {one_line(error)}; allowed: columns of one type each, each name once"
        ) from error
    return str(file)


def _prepare(data: str, settings: AllSettings, folder: Path) -> str:
    """Write the panel, and return the digest of the data and the settings."""
    run = RunSettings.from_settings(settings)
    digest = digest_of(data, settings.training.data)
    try:
        prepare_data(data, digest, "", run.text(), folder / "panel")
    except DataError as error:
        raise DataError(str(error).replace(str(folder / "data.parquet"), "df")) from error
    fields = [digest, run.text(), settings.pipeline.model_dump_json(), version("kubecast")]
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def _search(
    kind: str, settings: AllSettings, panel: Path, searched: dict[str, str], folder: Path, begin: Begin
) -> str:
    """Search; return JSON of the settings to train with, empty where ``pipeline.tuning`` says none."""
    tuning, space = settings.pipeline.tuning, settings.search.space_of(kind)
    if kind not in settings.pipeline.tuned or not space:
        return ""
    if tuning.tuner == "katib":
        raise ConfigError(
            "pipeline.tuning.tuner katib: its trials are pods of a cluster; allowed here: optuna"
        )
    begin(f"tune {kind}")
    check_space(kind, getattr(settings, kind), space)
    members = {each: searched[each] or FROM_RUN for each in searched}
    request = Request.from_run(kind, panel, SearchPlan.from_settings(settings).text(), members)
    pages = folder / f"trials-{kind}.csv", folder / f"tuning-{kind}.html"
    return tune_model(request, tuning.workers, *pages)[0]


def _fit(kind: str, panel: Path, model: Path, begin: Begin, **options: Any) -> Path:
    begin(
        f"{'fit' if 'fitted' in options else 'train'} {kind}{' on all rows' if 'fitted' in options else ''}"
    )
    train_model(kind, panel, model, **options)
    return model
