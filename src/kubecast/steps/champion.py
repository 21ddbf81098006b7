"""forecast_champion: the champion's forecasts from the test origins that it has not seen beyond."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kubecast.data.panel import KEYS, Cutoffs, PanelSpec
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.parquet import write_series
from kubecast.data.series_names import match_names
from kubecast.ensemble.bundle import Bundle
from kubecast.errors import IntegrityError, KubecastError, ModelError, StoreError
from kubecast.evaluation.changes import Extent
from kubecast.evaluation.history import earlier_versions
from kubecast.evaluation.promotion import NOT_EVALUATED
from kubecast.evaluation.published import published_evaluation
from kubecast.logs import step
from kubecast.models.artifact import FORECASTS
from kubecast.models.blocks import FORECAST_ROWS
from kubecast.registry import Registry, Version
from kubecast.steps.artifacts import STATUS, ChampionStatus, open_registry
from kubecast.steps.run_settings import RunSettings

_LOG = logging.getLogger(__name__)
_EMPTY = pd.DataFrame({"unique_id": [], "cutoff": [], "ds": [], "fitted_through": [], "yhat": []})


class _SeenAllError(ModelError):
    """The champion was fitted to, or chosen on, rows after every test origin."""


@step
def forecast_champion(
    panel_dir: Path,
    champion: str,
    registry: str,
    model_name: str,
    inputs_digest: str,
    champion_dir: Path,
) -> ChampionStatus:
    """Forecast with the champion as it was evaluated, never as it is in production.

    Its production fit has seen rows that the test split scores.

    Args:
        panel_dir: From ``prepare_data``.
        champion: Version id; empty: there is none.
        registry: Path or URL; empty: from the settings.
        model_name: Empty: from the settings.
        inputs_digest: From ``resolve_inputs``: versions of the run itself are not earlier ones.
        champion_dir: Gets ``status.json``, a ``ChampionStatus``, and ``forecasts.parquet``: ``unique_id``,
            ``cutoff``, ``ds``, ``fitted_through``, ``yhat`` and the quantiles, no rows where the champion
            is not comparable.

    Raises:
        KubecastError: The store, the disk or an input failed; the step can be repeated.
    """
    panel = PanelBlocks.open(panel_dir)
    store, name = open_registry(RunSettings.read(panel_dir).training, registry, model_name)
    # What is published at this moment is shown, and nothing else depends on it.
    earlier = earlier_versions(store, name, panel.spec, champion, inputs_digest)
    evaluated = panel.spec.splits.is_evaluated
    reason, replaceable = "" if evaluated or not champion else NOT_EVALUATED, False
    described: dict[str, Any] = {}
    if champion and evaluated:
        try:
            version = store.resolve(f"{name}@{champion}")
            described = _described(store, version)
            _write_forecasts(panel, store, version, champion_dir / FORECASTS)
        except KubecastError as error:  # the champion's own fault holds no version back from publishing
            if _can_be_repeated(error):
                raise
            reason = str(error)
            replaceable = isinstance(error, _SeenAllError) and not _was_evaluated(version)
            _LOG.warning("not comparable with the champion %s: %s", champion, error)
    status = ChampionStatus(
        champion=champion, not_comparable=reason, replaceable=replaceable, earlier=earlier, **described
    )
    champion_dir.mkdir(parents=True, exist_ok=True)
    if reason or not champion:
        write_series([_EMPTY], champion_dir / FORECASTS)
    status.write(champion_dir / STATUS)
    return status


def _can_be_repeated(error: KubecastError) -> bool:
    """Whether the store failed, or the disk that the champion is copied to."""
    disk = isinstance(error.__cause__, OSError) and not isinstance(error, IntegrityError)
    return disk or isinstance(error, StoreError)


def _was_evaluated(version: Version) -> bool:
    decision = version.metadata.get("decision")
    return not isinstance(decision, dict) or decision.get("evaluated") is not False


def _described(store: Registry, version: Version) -> dict[str, Any]:
    """The settings of a version and the extent of its data, as far as it tells them."""
    described: dict[str, Any] = {"settings": version.metadata.get("settings") or {}}
    if board := published_evaluation(store, version):
        data_to = board.period.data_to if board.period else None
        described["extent"] = Extent(rows=board.data.rows, series=board.data.series, data_to=data_to)
    return described


def _write_forecasts(panel: PanelBlocks, store: Registry, version: Version, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.load(store.fetch(version, "evaluated", Path(folder)))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_series(forecast_unseen(bundle, panel), path)


def forecast_unseen(bundle: Bundle, panel: PanelBlocks) -> Iterator[pd.DataFrame]:
    """Forecast from the test origins after which nothing in the ensemble has seen a target.

    Args:
        bundle: The ensemble as it was evaluated.
        panel: The panel of another run, with its origins.

    Returns:
        A block of series at a time, at least one: ``unique_id``, ``cutoff``, ``ds``, ``fitted_through``,
        ``yhat`` and the quantiles.

    Raises:
        ModelError: The ensemble is for another task, has seen every origin, or its forecasts are not finite.
    """
    own = bundle.contract.spec
    if changed := _changes(own, panel.spec):
        raise ModelError("; ".join(changed))
    names = match_names(panel.series["unique_id"], bundle.contract.fitted_through)
    origins = panel.outline.split("test").frame
    through = bundle.contract.fitted_through_of(origins["unique_id"].map(names))
    unseen = origins[origins["cutoff"] >= through]
    if unseen.empty:
        raise _SeenAllError(
            f"no origin of the test split comes after {through.max()}, up to which it was fitted or chosen"
        )
    blocks = (
        (
            replace(block.renamed(names), spec=own),
            Cutoffs(some.assign(unique_id=some["unique_id"].map(names))),
        )
        for block in panel.larger(FORECAST_ROWS)
        if len(some := unseen[unseen["unique_id"].isin(block.ids)].reset_index(drop=True))
    )
    bundle.ensemble.warn_of_unseen(unseen["unique_id"].map(names))
    known_as = {name: own for own, name in names.items()}
    return (_checked(table, bundle, known_as) for table in bundle.ensemble.predict_blocks(blocks))


def _checked(table: pd.DataFrame, bundle: Bundle, known_as: Mapping[str, str]) -> pd.DataFrame:
    """Forecasts under the panel's own names, with the time up to which their series was seen."""
    values = table.drop(columns=KEYS).to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise ModelError("its forecasts are not finite")
    table.insert(3, "fitted_through", bundle.contract.fitted_through_of(table["unique_id"]))
    return table.assign(unique_id=table["unique_id"].map(known_as))


def _changes(own: PanelSpec, other: PanelSpec) -> list[str]:
    """List the differences by which MASE, or the origins, of two runs mean different things."""
    pairs = {
        "horizon": (own.horizon, other.horizon),
        "frequency": (own.frequency, other.frequency),
        "season length of MASE": (own.season_lengths[0], other.season_lengths[0]),
        "known-future covariates": (own.future, other.future),
        "past-only covariates": (own.past, other.past),
        "static covariates": (own.static, other.static),
        "static covariates that are text": (own.categories, other.categories),
        "time zone": ("none" if own.timezone is None else "UTC", "none" if other.timezone is None else "UTC"),
    }
    return [f"its {what}: {was}, this version's: {now}" for what, (was, now) in pairs.items() if was != now]
