"""evaluate_models: the leaderboard and the decision; reads tables only."""

import platform
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from kubecast.data.panel import Panel
from kubecast.data.panel_blocks import PanelBlocks
from kubecast.ensemble.summary import summarise
from kubecast.evaluation.changes import Change, Extent, data_changes, setting_changes
from kubecast.evaluation.leaderboard import LEADERBOARD, evaluate
from kubecast.logs import step
from kubecast.models.artifact import FORECASTS
from kubecast.scoring.forecasts import Forecasts
from kubecast.steps.artifacts import (
    STATUS,
    ChampionStatus,
    read_champion,
    read_earlier,
    read_logs,
    read_member_settings,
    read_recipe,
    read_settings,
)
from kubecast.steps.run_settings import RunSettings


@step
@pd.option_context("mode.copy_on_write", True)  # a block of series is copied less
def evaluate_models(
    panel_dir: Path,
    ensemble_dir: Path,
    evaluation: Path,
    champion: Path | None = None,
) -> dict[str, float]:
    """Evaluate every member and the ensemble, and decide whether it may become the champion.

    Args:
        panel_dir: From ``prepare_data``.
        ensemble_dir: From ``stack_ensemble``.
        evaluation: A folder; gets the leaderboard as JSON, and its tables with a row for each series.
        champion: From ``forecast_champion``; None: there is no champion.

    Returns:
        The ensemble's figures on the test split, its weights and its error on the validation split; finite.
    """
    panel = PanelBlocks.open(panel_dir)
    recipe = read_recipe(ensemble_dir)
    run = RunSettings.read(panel_dir)
    previous = read_champion(champion) if champion else None
    result = evaluate(
        Forecasts.of_file(ensemble_dir / FORECASTS),
        panel,
        recipe,
        run.training.validation.scoring,
        run.training.promotion,
        previous,
        fits=read_logs(ensemble_dir),
        earlier=read_earlier(champion) if champion else [],
        challenger=run.digest_without_seed(),
        made_with={
            "model": run.training.model_name,
            "kubecast": version("kubecast"),
            "Python": platform.python_version(),
            "seed": str(run.seed),
        },
        changed=_changes(champion, panel.outline, run, ensemble_dir) if champion else [],
    )
    evaluation.mkdir(parents=True, exist_ok=True)
    result.write(evaluation / LEADERBOARD)
    return result.summary() | summarise(recipe).figures()


def _changes(champion_dir: Path, panel: Panel, run: RunSettings, ensemble_dir: Path) -> list[Change]:
    """Settings and data that differ from the champion's."""
    champion = ChampionStatus.read(champion_dir / STATUS)
    if not champion.settings:
        return []
    extent = Extent(
        rows=panel.report.rows, series=panel.report.series, data_to=panel.series["end"].max().to_pydatetime()
    )
    settings = {
        "training": run.training.model_dump(mode="json"),
        "ensemble": read_settings(ensemble_dir).model_dump(mode="json"),
        **read_member_settings(ensemble_dir),
    }
    return [*setting_changes(champion.settings, settings), *data_changes(champion.extent, extent)]
