"""stack_ensemble: weights and quantiles from rolling origins of the validation split."""

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from kubecast.config.validation import parse_settings
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.data.parquet import write_series
from kubecast.ensemble.assembly import assemble
from kubecast.ensemble.naive import naive_candidates
from kubecast.ensemble.settings import EnsembleSettings
from kubecast.ensemble.short_history import substitute_quantiles
from kubecast.ensemble.stacked import Stacked
from kubecast.ensemble.stacking import stack
from kubecast.ensemble.summary import EnsembleSummary, summarise
from kubecast.logs import step
from kubecast.models.artifact import FORECASTS, read_card, read_status
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
    panel = PanelBlocks.open(panel_dir)
    ensemble_settings = (
        parse_settings(EnsembleSettings, settings, "ensemble_settings")
        if settings
        else RunSettings.read(panel_dir).of_kind("ensemble")
    )
    assert isinstance(ensemble_settings, EnsembleSettings)  # noqa: S101  its section
    states = {name: read_status(model) for name, model in members.items()}
    missing = {name: status.reason for name, status in states.items() if status.state == "failed"}
    kinds, fitted_with, files = {}, {}, {}
    (ensemble_dir / "logs").mkdir(parents=True)
    for name, model in members.items():
        if name in missing:
            continue
        card = read_card(model)
        files[card.name] = model / FORECASTS
        kinds[card.name] = card.kind
        fitted_with[card.name] = card.settings
        (ensemble_dir / "logs" / f"{card.name}.json").write_text(card.log.model_dump_json())
    kinds |= {member.name: "seasonal_naive" for member in naive_candidates(panel.spec)}
    with TemporaryDirectory() as scratch:
        assembled = assemble(panel, files, Path(scratch) / FORECASTS)
        recipe, stacked = stack(
            assembled.forecasts,
            panel.series,
            ensemble_settings,
            kinds,
            missing,
            panel.spec.season_lengths[0],
            substitute_quantiles(panel.spec, panel, ensemble_settings.quantiles),
        )
        write_series(_with_scales(stacked, panel.series), ensemble_dir / FORECASTS)
    levels = assembled.scale_levels
    shifted = {"level_ratios": levels.ratios, "level_changes": levels.changes}
    recipe = recipe.model_copy(update={"relative_scale": assembled.relative_scale, **shifted})
    recipe.write(ensemble_dir / "recipe.json")
    (ensemble_dir / MEMBER_SETTINGS).write_text(json.dumps(fitted_with, allow_nan=False), "utf-8")
    (ensemble_dir / "settings.json").write_text(ensemble_settings.model_dump_json())
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


def _with_scales(stacked: Stacked, series: pd.DataFrame) -> Iterator[pd.DataFrame]:
    scales = series.set_index("unique_id")["scale"]
    for block in stacked.blocks():
        yield block.drop(columns="level_ratio").assign(
            scale=block["unique_id"].map(scales).astype(np.float64)
        )
