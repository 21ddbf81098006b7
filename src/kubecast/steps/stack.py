"""stack_ensemble: weights and quantiles from rolling origins of the validation split."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from kubecast.config.validation import parse_settings
from kubecast.data.levels import LevelChanges, ScaleLevels, with_level_ratio
from kubecast.data.origins import join_forecasts, split_targets
from kubecast.data.panel import KEYS, Cutoffs, Panel
from kubecast.data.parquet import read_parquet, write_series
from kubecast.data.splits import relative_scale
from kubecast.ensemble.naive import naive_candidates, naive_yardsticks, with_naive
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.short_history import substitute_quantiles
from kubecast.ensemble.stacking import stack
from kubecast.ensemble.summary import EnsembleSummary, summarise
from kubecast.logs import step
from kubecast.models.artifact import FORECASTS, PRODUCTION, read_card, read_status
from kubecast.reports.stacking import render_stacking
from kubecast.reports.unexplained import page_or_reason
from kubecast.steps.artifacts import MEMBER_SETTINGS
from kubecast.steps.run_settings import RunSettings

_LOG = logging.getLogger(__name__)


@step
@pd.option_context("mode.copy_on_write", True)  # the table of a large panel is gigabytes
def stack_ensemble(
    panel_dir: Path,
    members: Mapping[str, Path],
    settings: str,
    ensemble_dir: Path,
    report: Path | None = None,
) -> EnsembleSummary:
    """Weigh the members and seasonal naive; name the members that failed.

    Args:
        panel_dir: From ``prepare_data``.
        members: Model directory of each trained model, by its name.
        settings: JSON of the settings that a search chose for ``ensemble.yaml``; empty: the run's.
        ensemble_dir: Gets ``recipe.json``, ``settings.json``, ``members.json`` (their settings),
            ``logs/<name>.json`` and
            ``forecasts.parquet``: every member and yardstick, the ensemble and its quantiles beside the
            targets, and the series' scale, by which a reader makes MASE of them.
        report: Gets an HTML page on the weights; None: there is none.
    """
    panel = Panel.load(panel_dir)
    ensemble_settings = (
        parse_settings(EnsembleSettings, settings, "ensemble_settings")
        if settings
        else RunSettings.read(panel_dir).of_kind("ensemble")
    )
    assert isinstance(ensemble_settings, EnsembleSettings)  # noqa: S101  its section
    states = {name: read_status(model) for name, model in members.items()}
    missing = {name: status.reason for name, status in states.items() if status.state == "failed"}
    levels = ScaleLevels.find(panel)
    table = _targets_with_naive(panel, levels)
    kinds, fitted_with = {}, {}
    (ensemble_dir / "logs").mkdir(parents=True)
    for name, model in members.items():
        if name in missing:
            continue
        card = read_card(model)
        table = join_forecasts(table, _evaluated_forecasts(model / FORECASTS, card.name), "left")
        kinds[card.name] = card.kind
        fitted_with[card.name] = card.settings
        (ensemble_dir / "logs" / f"{card.name}.json").write_text(card.log.model_dump_json())
    kinds |= {member.name: "seasonal_naive" for member in naive_candidates(panel.spec)}
    recipe, stacked = stack(
        table,
        panel.series,
        ensemble_settings,
        kinds,
        missing,
        panel.spec.season_lengths[0],
        substitute_quantiles(panel, ensemble_settings.quantiles),
    )
    training = panel.history(panel.train_end)
    relative = relative_scale(training, panel.spec.season_lengths[0])
    shifted = {"level_ratios": levels.ratios, "level_changes": levels.changes}
    recipe = recipe.model_copy(update={"relative_scale": relative, **shifted})
    recipe.write(ensemble_dir / "recipe.json")
    (ensemble_dir / MEMBER_SETTINGS).write_text(json.dumps(fitted_with, allow_nan=False), "utf-8")
    (ensemble_dir / "settings.json").write_text(ensemble_settings.model_dump_json())
    scales = panel.series.set_index("unique_id")["scale"]
    blocks = (
        block.drop(columns="level_ratio").assign(scale=block["unique_id"].map(scales))
        for block in stacked.blocks()
    )
    write_series(blocks, ensemble_dir / FORECASTS)
    for note in recipe.notes:
        _LOG.warning("ensemble: %s", note)
    for name, reason in missing.items():
        _LOG.warning("the ensemble goes on without %s: %s", name, reason, extra={"model": name})
    summary = summarise(recipe)
    if report is not None:
        stands = "The ensemble and its forecasts are not affected."
        page = page_or_reason("the ensemble", lambda: render_stacking(summary, missing), stands)
        report.write_text(page, "utf-8")
    return summary


def _targets_with_naive(panel: Panel, levels: ScaleLevels) -> pd.DataFrame:
    """Join the targets after every origin with split, fold and every seasonal naive forecast.

    Yardsticks are columns that nothing is stacked of; evaluation reads them from the stack's table.
    """
    naives = [*naive_candidates(panel.spec), *naive_yardsticks(panel)]
    changes = LevelChanges.find(panel, Cutoffs.from_frame(panel.origins))
    table = with_level_ratio(split_targets(panel), changes, levels)
    return with_naive(table, panel, changes, naives)


def _evaluated_forecasts(file: Path, name: str) -> pd.DataFrame:
    """The forecasts of the evaluated origins; a text for each row would be slow."""
    columns = [*KEYS, "split", name]
    table = read_parquet(file, columns=columns, read_dictionary=["unique_id", "split"])
    return table.loc[table["split"] != PRODUCTION, [*KEYS, name]]
