"""A fitted model: what a notebook asks of it, and how it is kept."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from kubecast.api.frames import Data, Frame, like, rows_of
from kubecast.api.run import LocalRun
from kubecast.api.tables import explanation_of, leaderboard_of, metrics_of
from kubecast.data.panel import Split
from kubecast.data.preparation import build_panel
from kubecast.data.timestamps import parse_time
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import InputError, NotFound
from kubecast.evaluation.importance import permutation_importance
from kubecast.evaluation.leaderboard import LEADERBOARD, Evaluation
from kubecast.registry import Registry
from kubecast.reports import render_embedded
from kubecast.scoring.metrics import ENSEMBLE
from kubecast.steps.register import promote

if TYPE_CHECKING:
    from kubecast.api.plotting import Chart


class Model:
    """A fitted ensemble, with its evaluation and its report: the files of a version, published or not.

    Where a method takes ``df``, that is a frame, or the path or URL of a data file. It may be left out of a
    model that was fitted in this session: then it is what ``fit`` was given. What comes back is a frame of
    the library that ``df`` is of; of pandas where that is a file.

    Attributes:
        name: Of the model in a registry.
        evaluation: Every figure, and the decision.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        metadata: Mapping[str, Any],
        run: LocalRun | None = None,
        example: Frame = None,
    ) -> None:
        """Take a folder of this machine, which goes with the object; ``fit`` and ``load`` call this.

        Args:
            folder: Holds the files of the version in ``version/``.
            name: Of the model in a registry.
            metadata: To publish it with.
            run: That it comes from; None: it was loaded.
            example: A frame of the library that frames come back of, where no ``df`` says so; None: pandas.
        """
        self._files, self._metadata, self._run, self._example = folder / "version", metadata, run, example
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.name = name
        self.evaluation = Evaluation.read(self._files / LEADERBOARD)

    @property
    def leaderboard(self) -> Frame:
        """Each model on the test split, best first: MASE, skill, the settings' metrics, and its weight."""
        return self._given(leaderboard_of(self.evaluation), None)

    def metrics(
        self,
        split: Split = "test",
        by: Literal["model", "lead_time", "series", "fold", "phase"] = "model",
    ) -> Frame:
        """Every metric of each model on one split.

        Args:
            split: ``test`` or ``validation``.
            by: A row for each model, or for each model at each lead time, series, fold of origins or (the
                ensemble alone) phase of the season.
        """
        return self._given(metrics_of(self.evaluation, split, by), None)

    def forecast(self, df: Data = None, future_df: Data = None, horizon: int | None = None) -> Frame:
        """Forecast beyond the end of each series; nothing is fitted again.

        Args:
            df: Series, times, targets and covariates, as given to ``fit``; perhaps with newer rows.
            future_df: Series, times and the known-future covariates over the horizon.
            horizon: Steps; default and largest: those that the model was fitted for.

        Returns:
            Series and time under the training data's names, ``yhat``, then the quantiles as ``q0.1`` and so
            on. Times are on ``training.data.timezone``, even UTC, or on the place that the model was trained
            on; else on the clock of ``df``.
        """
        future = None if future_df is None else self._read(future_df, "future_df")
        return self._given(self._production.forecast(self._rows(df, "forecast"), horizon, future), df)

    def backtest(self, df: Data = None, stride: int | None = None, start: str | None = None) -> Frame:
        """Rolling forecasts by the ensemble as it was evaluated, from origins that it has not seen beyond.

        Args:
            df: As for ``forecast``.
            stride: Steps between origins; default: one horizon.
            start: ISO date or time of the first origin, in UTC where it has a zone; default: the earliest
                allowed.

        Returns:
            Series, ``cutoff``, time, target, ``observed``, ``scale``, ``yhat`` and the quantiles.
        """
        moment = None if start is None else parse_time(start, "start")
        steps = self._evaluated.contract.spec.horizon if stride is None else stride
        return self._given(self._evaluated.backtest(self._rows(df, "backtest"), steps, moment), df)

    def explain(self, df: Data = None) -> Frame:
        """What the forecasts owe to each member and each input, on the validation split.

        Args:
            df: As for ``forecast``.

        Returns:
            ``what`` (``member`` or ``input``), ``name``, ``rise`` (of the MASE where the member is left out,
            or the input is shuffled; the largest first), ``spread`` (its standard deviation over three
            windows) and, of a member, ``weight``. Members have no rise where there is one, or no stack.
        """
        if df is None and self._run:
            panel = self._run.panel
        else:
            panel = build_panel(self._rows(df, "explain"), self._evaluated.contract.training)
        inputs = permutation_importance(panel, self._evaluated.ensemble, 0)
        return self._given(explanation_of(self.evaluation, inputs), df)

    def plot(self, series: str | Sequence[str] = (), df: Data = None, future_df: Data = None) -> "Chart":
        """Draw some series: actuals, the last evaluated forecast, the forecast beyond the data, quantiles.

        Args:
            series: One or more names; default: the first few.
            df: As for ``forecast``.
            future_df: As for ``forecast``.

        Returns:
            A figure of matplotlib, which a notebook shows, and ``savefig`` writes.
        """
        from kubecast.api.plotting import draw, fans

        names = [series] if isinstance(series, str) else [*series]
        future = None if future_df is None else self._read(future_df, "future_df")
        drawn = fans(self._evaluated, self._production, self._rows(df, "plot"), names, future)
        return draw(drawn, self._production.columns.y)

    def report(self) -> str:
        """The report: one self-contained HTML page."""
        return (self._files / "report.html").read_text("utf-8")

    def save(self, location: str | Path) -> str:
        """Keep the model in a folder or a bucket, whole or not at all, with a checksum of every file.

        The place is a registry: the same model saved again is there once, as the version that it was.

        Args:
            location: Path or URL (``s3://``, ``gs://``, ``az://``), with keys from the environment.

        Returns:
            ``NAME@VERSION``, as ``load`` takes it.
        """
        version = self._publish(Registry.open(str(location)), self.name)
        return f"{version.name}@{version.id}"

    def publish(self, registry: str | Path, name: str = "") -> str:
        """Publish a version, and make it the champion if the gate says so; the log has its reasons.

        A model that was fitted in this session is compared with the champion on its own test split. One that
        was loaded takes the place only of the champion that it was compared with then, if any.

        Args:
            registry: Path or URL.
            name: Of the model there; default: its own.

        Returns:
            ``NAME@VERSION``.
        """
        name = name or self.name
        if self._run:
            return self._run.publish(str(registry), name)
        store = Registry.open(str(registry))
        version = self._publish(store, name)
        promote(store, version, self.evaluation.decision)
        return f"{version.name}@{version.id}"

    def _publish(self, store: Registry, name: str) -> Any:
        kept = self._production.contract.training.model_registry.max_versions
        return store.publish(name, self._files, self._metadata, kept)

    @cached_property
    def _production(self) -> Bundle:
        return Bundle.load(self._files / "production")

    @cached_property
    def _evaluated(self) -> Bundle:
        return Bundle.load(self._files / "evaluated")

    def _rows(self, df: Frame, method: str) -> pd.DataFrame:
        if df is not None:
            return self._read(df, "df")
        if self._run is None:
            raise InputError(f"{method}: the model was loaded and holds no data; allowed: {method}(df=…)")
        return self._run.rows

    def _read(self, data: Data, name: str) -> pd.DataFrame:
        return rows_of(data, name, self._production.contract.training.data)

    def _given(self, table: pd.DataFrame, df: Data) -> Frame:
        return like(table, self._example if df is None else df)

    def __repr__(self) -> str:
        spec, data, row = self.evaluation.spec, self.evaluation.data, self.evaluation.row(ENSEMBLE, "test")
        scores = "not evaluated" if row.mase is None else f"MASE {row.mase:.4g}"
        skill = "" if row.skill is None else f", skill {row.skill:.1%}"
        task = f"{data.series} series every {spec.frequency}, horizon {spec.horizon}"
        return f"<kubecast.Model {self.name}: {task}; {scores}{skill}>"

    def _repr_html_(self) -> str:
        return render_embedded(self.evaluation, self.report())


def load(location: str | Path, model: str = "") -> Model:
    """Load a model that ``save``, ``publish`` or a run of the command has kept.

    Args:
        location: Path or URL of the place: the registry.
        model: ``NAME``, ``NAME@ALIAS`` or ``NAME@VERSION``, e.g. ``forecaster@champion``; a name alone is its
            champion, or its newest version where there is none. Default: the only model there.

    Raises:
        NotFound: There is no such model.
        IntegrityError: A file is missing or altered.
    """
    registry = Registry.open(str(location))
    version = registry.resolve(model or _only_model(registry, location))
    folder = Path(tempfile.mkdtemp(prefix="kubecast-"))
    try:
        registry.export(version, folder / "version")
        return Model(folder, version.name, version.metadata)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _only_model(registry: Registry, location: str | Path) -> str:
    names = registry.models()
    if len(names) == 1:
        return names[0]
    if names:
        raise InputError(f"load {location}: found {', '.join(names)}; allowed: load(location, {names[0]!r})")
    raise NotFound(
        f"load {location}: found no model; allowed: where model.save, model.publish or kubecast run kept one"
    )
