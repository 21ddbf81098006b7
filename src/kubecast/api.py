"""The pipeline's steps in a notebook, without KFP: ``kubecast.fit(df, horizon=48, freq="30min")``."""

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kubecast.config.search import check_space
from kubecast.data.files import digest_of, read_data, settings_for
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import ConfigError, DataError
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.settings.loading import AllSettings, load_settings
from kubecast.steps.evaluate import evaluate_models
from kubecast.steps.prepare import prepare_data
from kubecast.steps.register import Run, assemble
from kubecast.steps.run_settings import FROM_RUN, RunSettings, SearchPlan
from kubecast.steps.search_request import Request
from kubecast.steps.stack import stack_ensemble
from kubecast.steps.train import train_model
from kubecast.steps.tune import tune_model

Data = pd.DataFrame | str | Path
"""Rows, or where they are."""


@dataclass(frozen=True, repr=False)  # its fields would fill a notebook
class Fitted:
    """A fitted ensemble, with its evaluation and its report.

    Attributes:
        evaluation: Every figure, and the decision.
        bundle: The ensemble for production.
        html: The report, one self-contained page.
    """

    evaluation: Evaluation
    bundle: Bundle
    html: str

    @property
    def leaderboard(self) -> pd.DataFrame:
        """One row for each model and split, with every metric."""
        return pd.DataFrame([row.model_dump() for row in self.evaluation.leaderboard])

    def forecast(self, df: Data, future_df: Data | None = None) -> pd.DataFrame:
        """Forecast beyond the end of each series in ``df``.

        Args:
            df: ``unique_id``, ``ds``, ``y`` and covariates, as given to ``fit``.
            future_df: ``unique_id``, ``ds`` and the known-future covariates over the horizon.

        Returns:
            ``unique_id``, ``ds``, ``yhat``, then the quantiles as ``q0.1`` and so on.
        """
        return self.bundle.forecast(
            self._rows(df), future=None if future_df is None else self._rows(future_df)
        )

    def _rows(self, data: Data) -> pd.DataFrame:
        if isinstance(data, pd.DataFrame):
            return data
        return read_data(str(data), settings_for(str(data), self.bundle.contract.training.data)).rows

    def report(self) -> str:
        """The report: one self-contained HTML page."""
        return self.html


def fit(
    df: Data,
    horizon: int,
    freq: str | None = None,
    season_length: int | Sequence[int] | None = None,
    models: Sequence[str] | None = None,
    config: str | Path | None = None,
    overrides: Iterable[str] = (),
) -> Fitted:
    """Prepare, tune where the settings say so, train, stack and evaluate, as the pipeline does.

    Progress and warnings go to the logger ``kubecast``, and to standard error where no logging is set up.

    Args:
        df: ``unique_id``, ``ds``, ``y`` and covariates; one series or many. Or the path or URL of a file, a
            folder, a table or a database, as for ``kubecast run --data``.
        horizon: Steps to forecast.
        freq: A pandas offset alias; default: inferred from the data.
        season_length: Steps, the first is MASE's m; default: from the frequency.
        models: Kinds to train, keys of ``kubecast.models.KINDS``; default: those of ``pipeline.yaml``.
        config: Folder of settings files; default: built-in settings.
        overrides: ``FILE.KEY=VALUE``, e.g. ``lstm.epochs=5``.

    Raises:
        KubecastError: The data or the settings are wrong, or too few models could be fitted.
    """
    assignments = [*overrides, f"training.horizon={horizon}"]
    if freq is not None:
        assignments.append(f'training.frequency="{freq}"')
    if season_length is not None:
        lengths = [season_length] if isinstance(season_length, int) else list(season_length)
        assignments.append(f"training.season_lengths={lengths}")
    if models is not None:
        assignments.append(f"pipeline.models=[{','.join(models)}]")
    settings = load_settings(None if config is None else Path(config), assignments)
    with tempfile.TemporaryDirectory() as folder:
        return _run(df, settings, Path(folder))


def _run(df: Data, settings: AllSettings, folder: Path) -> Fitted:
    panel = folder / "panel"
    if isinstance(df, pd.DataFrame):
        _prepare_frame(df, settings, folder, panel)
    else:
        digest = digest_of(str(df), settings.training.data)
        prepare_data(str(df), digest, "", RunSettings.from_settings(settings).text(), panel)
    kinds: list[str] = [*settings.pipeline.models]
    searched = {kind: _search(kind, settings, panel, {}, folder) for kind in kinds}
    evaluated = {kind: _fit(kind, panel, folder / kind, settings=searched[kind]) for kind in kinds}
    ensemble, evaluation = folder / "ensemble", folder / LEADERBOARD
    stack_ensemble(panel, evaluated, _search("ensemble", settings, panel, searched, folder), ensemble)
    evaluate_models(panel, ensemble, evaluation, folder / "report.html")
    usable = {kind: path for kind, path in evaluated.items() if (path / "model.json").exists()}
    if settings.pipeline.final_fit:
        usable = {kind: _fit(kind, panel, folder / f"{kind}-final", fitted=usable[kind]) for kind in usable}
    assemble(folder / "bundle", Run.load(panel, ensemble), usable)
    return Fitted(
        Evaluation.read(evaluation),
        Bundle.load(folder / "bundle" / "production"),
        (folder / "report.html").read_text("utf-8"),
    )


def _prepare_frame(df: pd.DataFrame, settings: AllSettings, folder: Path, panel: Path) -> None:
    data = folder / "data.parquet"
    try:
        df.to_parquet(data, index=False)
    except (TypeError, ValueError) as error:  # PyArrow's and pandas' own are of these
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"df: {reason}; allowed: columns of one type each, each name once") from error
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    try:
        prepare_data(str(data), digest, "", RunSettings.from_settings(settings).text(), panel)
    except DataError as error:
        raise DataError(str(error).replace(str(data), "df")) from error


def _search(kind: str, settings: AllSettings, panel: Path, searched: Mapping[str, str], folder: Path) -> str:
    """Search; return JSON of the settings to train with, empty where ``pipeline.tuning`` says none."""
    tuning, space = settings.pipeline.tuning, settings.search.space_of(kind)
    if kind not in settings.pipeline.tuned or not space:
        return ""
    if tuning.tuner == "katib":
        raise ConfigError(
            "pipeline.tuning.tuner katib: its trials are pods of a cluster; allowed here: optuna"
        )
    check_space(kind, getattr(settings, kind), space)
    members = {each: searched[each] or FROM_RUN for each in searched}
    request = Request.from_run(kind, panel, SearchPlan.from_settings(settings).text(), members)
    pages = folder / f"trials-{kind}.csv", folder / f"tuning-{kind}.html"
    return tune_model(request, tuning.workers, *pages)[0]


def _fit(kind: str, panel: Path, model: Path, **options: Any) -> Path:
    train_model(kind, panel, model, **options)
    return model
