"""register_model: one published version, holding the ensemble as evaluated and for production."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow.compute as pc

from kubecast.config.training import TrainingSettings
from kubecast.data.clock import as_given
from kubecast.data.levels import changes_by_block, with_level_ratio
from kubecast.data.origins import join_forecasts
from kubecast.data.panel import KEYS
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.parquet import SeriesReader
from kubecast.data.row_blocks import concat_rows
from kubecast.data.stale import treat_stale
from kubecast.ensemble.bundle import Contract, write_bundle
from kubecast.ensemble.forecaster import combine, own_scales
from kubecast.ensemble.naive import naive_candidates, with_naive
from kubecast.ensemble.recipe import StackRecipe
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.errors import Conflict
from kubecast.evaluation.leaderboard import LEADERBOARD, SERIES_TABLES, Evaluation
from kubecast.evaluation.promotion import Decision
from kubecast.logs import step
from kubecast.models.artifact import (
    FORECASTS,
    PRODUCTION,
    Status,
    evaluated_model,
    package_versions,
    read_card,
    read_status,
)
from kubecast.registry import CHAMPION, Registry, Version
from kubecast.reports import Report
from kubecast.reports.unexplained import page_or_reason
from kubecast.steps.artifacts import PRODUCTION_FORECAST, open_registry, read_recipe, read_settings
from kubecast.steps.run_settings import RunSettings

_LOG = logging.getLogger(__name__)


class Run(NamedTuple):
    """The results of the steps before, read once.

    Attributes:
        panel: From ``prepare_data``.
        training: Settings of the panel.
        recipe: From ``stack_ensemble``.
        ensemble: Settings of the recipe.
    """

    panel: PanelBlocks
    training: TrainingSettings
    recipe: StackRecipe
    ensemble: EnsembleSettings

    @classmethod
    def load(cls, panel_dir: Path, ensemble_dir: Path) -> "Run":
        """Read the results of the steps before."""
        recipe, settings = read_recipe(ensemble_dir), read_settings(ensemble_dir)
        return cls(PanelBlocks.open(panel_dir), RunSettings.read(panel_dir).training, recipe, settings)


class Draft(NamedTuple):
    """What the files of a version were written from, before it is published.

    Attributes:
        evaluation: Its figures.
        forecast: Beyond the data; without rows where there is none.
        report: Its page, to which the version's name is added later.
        metadata: To publish it with.
    """

    evaluation: Evaluation
    forecast: pd.DataFrame
    report: Report
    metadata: dict[str, Any]


@step
def register_model(
    panel_dir: Path,
    ensemble_dir: Path,
    evaluation: Path,
    members: Mapping[str, Path],
    registry: str,
    model_name: str,
    inputs_digest: str,
    forecast: Path,
    report: Path,
) -> str:
    """Publish a version, and move ``champion`` to it if the decision says so.

    Args:
        panel_dir: From ``prepare_data``.
        ensemble_dir: From ``stack_ensemble``.
        evaluation: From ``evaluate_models``.
        members: Each model by its name: its final fit, or where there is none the model as it was evaluated.
        registry: Path or URL; empty: from the settings.
        model_name: Empty: from the settings.
        inputs_digest: From ``resolve_inputs``: it identifies versions that the same run made.
        forecast: Gets a copy of the production forecast, on the clock and under the names of the data;
            without rows where there is none.
        report: Gets the page of the version, one self-contained HTML file; in the version itself it stands
            without its id, which is not known before.

    Returns:
        ``NAME@VERSION``.
    """
    run = Run.load(panel_dir, ensemble_dir)
    store, name = open_registry(run.training, registry, model_name)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        draft = write_version(files, run, evaluation, members, inputs_digest)
        draft.forecast.to_parquet(forecast, index=False)
        version = store.publish(name, files, draft.metadata, run.training.model_registry.max_versions)
    label = f"{version.name}@{version.id}"
    promote(store, version, draft.evaluation.decision)
    report.write_text(_page(draft.report, label), "utf-8")
    return label


def write_version(
    files: Path, run: Run, evaluation: Path, members: Mapping[str, Path], inputs_digest: str
) -> Draft:
    """Write the files of a version: both ensembles, the leaderboard, the report, the production forecast.

    Args:
        files: Gets them.
        run: The results of the steps before.
        evaluation: From ``evaluate_models``.
        members: As for ``register_model``; those that failed are left out.
        inputs_digest: Likewise.
    """
    failed = {
        name: status
        for name, path in members.items()
        if (status := read_status(evaluated_model(path))).state == "failed"
    }
    usable = {name: path for name, path in members.items() if name not in failed}
    result = Evaluation.read(evaluation / LEADERBOARD)
    table = assemble(files, run, usable)
    report = Report(result, table)
    (files / "report.html").write_text(_page(report), "utf-8")
    for name in (LEADERBOARD, *SERIES_TABLES):
        shutil.copyfile(evaluation / name, files / name)
    described = metadata(run, result, usable, failed) | {"inputs_digest": inputs_digest}
    return Draft(result, table, report, described)


def _page(report: Report, label: str = "") -> str:
    """The page of a version; an error costs the page, not the version."""
    stands = "The version and its figures are not affected."
    return page_or_reason(label or report.name, lambda: report.render(label), stands)


def assemble(bundle: Path, run: Run, members: Mapping[str, Path]) -> pd.DataFrame:
    """Write ``evaluated/``, ``production/`` and, where covariates allow it, ``production_forecast.parquet``.

    Returns:
        The production forecast; without rows where known-future covariates end with the data.
    """
    panel, training, recipe, _ = run
    series = panel.series.set_index("unique_id")
    # Weights were chosen on the validation split, so the evaluated ensemble has seen that.
    validation_ends = series["validation_end"].fillna(series["end"])
    evaluated = {name: evaluated_model(path) / "forecaster" for name, path in members.items()}
    final = {name: path / "forecaster" for name, path in members.items()}
    for part, stacked, files, until in (
        ("evaluated", recipe.as_evaluated(), evaluated, validation_ends),
        ("production", recipe, final, series["end"]),
    ):
        contract = Contract(
            spec=panel.spec, training=training, fitted_through={str(k): v for k, v in until.items()}
        )
        write_bundle(bundle / part, contract, stacked, files)
    table = treat_stale(production_forecast(panel, recipe, members), panel.outline, training.data.stale)
    table = as_given(table, panel.spec)
    if len(table):
        table.to_parquet(bundle / PRODUCTION_FORECAST, index=False)
    return table


def production_forecast(panel: PanelBlocks, recipe: StackRecipe, members: Mapping[str, Path]) -> pd.DataFrame:
    """Combine the members' forecasts from every series' end; without rows where covariates are not known."""
    production, tables = pc.field("split") == PRODUCTION, []
    readers = [
        SeriesReader.of_file(path / FORECASTS, [*KEYS, name], production) for name, path in members.items()
    ]
    for block, changes in changes_by_block((block, block.ends) for block in panel):
        table = with_naive(block.grid(block.ends), block, changes, naive_candidates(panel.spec))
        for reader in readers:
            table = join_forecasts(table, reader.until(block.ids[-1]))
        table = with_level_ratio(table, changes, recipe.levels)
        tables.append(combine(recipe, table, own_scales(recipe, block, block.ends)).drop(columns="cutoff"))
    return concat_rows(tables).reset_index(drop=True)


def promote(store: Registry, version: Version, decision: Decision) -> None:
    """Move ``champion`` by compare-and-swap against the champion that it was compared with.

    Raises:
        Conflict: The champion is still that one; the step can be repeated.
    """
    _LOG.info("%s is published; comparison: %s", version.id, decision.compared)
    if not decision.promote:
        _LOG.info("%s is not promoted: %s", version.id, "; ".join(decision.reasons))
        return
    try:
        store.set_alias(version.name, CHAMPION, version.id, expected=decision.champion)
    except Conflict:
        current = store.aliases(version.name).get(CHAMPION)
        if current == decision.champion:  # too many writers at once
            raise
        if current != version.id:
            _LOG.info(
                "%s is not promoted: the champion is %s by now, it was compared with %s",
                version.id,
                current,
                decision.champion or "none",
            )


def metadata(
    run: Run, evaluation: Evaluation, members: Mapping[str, Path], failed: Mapping[str, Status]
) -> dict[str, Any]:
    """Describe where the version came from and its scores; of failed models, settings to retrain with."""
    panel, training, *_ = run
    cards = {name: read_card(evaluated_model(path)) for name, path in members.items()}
    settings = {
        "training": training.model_dump(mode="json"),
        **{name: status.settings for name, status in failed.items() if status.settings},
        **{name: card.settings for name, card in cards.items()},
        "ensemble": run.ensemble.model_dump(mode="json"),
    }
    text = json.dumps(settings, sort_keys=True, allow_nan=False)
    return {
        "data_digest": panel.spec.digest,
        "settings": settings,
        "settings_digest": hashlib.sha256(text.encode()).hexdigest(),
        "seeds": {name: card.seed for name, card in cards.items()},
        "packages": package_versions() | {k: v for card in cards.values() for k, v in card.versions.items()},
        "image": os.environ.get("KUBECAST_IMAGE", ""),
        "frequency": panel.spec.frequency,
        "horizon": panel.spec.horizon,
        "season_lengths": list(panel.spec.season_lengths),
        "final_fit": {
            name: read_status(path).model_dump(exclude={"settings"}) for name, path in members.items()
        },
        "decision": evaluation.decision.model_dump(mode="json"),
        "test": evaluation.summary(),
    }
