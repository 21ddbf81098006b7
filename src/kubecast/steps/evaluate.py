"""evaluate_models: the leaderboard, the report and the decision; reads tables only."""

from pathlib import Path

import pandas as pd

from kubecast.data.panel import Panel, read_parquet
from kubecast.ensemble.summary import summarise
from kubecast.evaluation.leaderboard import evaluate
from kubecast.logs import step
from kubecast.models.artifact import FORECASTS
from kubecast.reports import render_report
from kubecast.steps.artifacts import read_champion, read_earlier, read_logs, read_recipe
from kubecast.steps.run_settings import RunSettings


@step
@pd.option_context("mode.copy_on_write", True)  # the table of a large panel is gigabytes
def evaluate_models(
    panel_dir: Path,
    ensemble_dir: Path,
    evaluation: Path,
    report: Path,
    champion: Path | None = None,
) -> dict[str, float]:
    """Evaluate every member and the ensemble, and decide whether it may become the champion.

    Args:
        panel_dir: From ``prepare_data``.
        ensemble_dir: From ``stack_ensemble``.
        evaluation: Gets the leaderboard as JSON.
        report: Gets one self-contained HTML page.
        champion: From ``forecast_champion``; None: there is no champion.

    Returns:
        The ensemble's figures on the test split, its weights and its error on the validation split; finite.
    """
    panel = Panel.load(panel_dir)
    recipe = read_recipe(ensemble_dir)
    table = read_parquet(ensemble_dir / FORECASTS)
    table = table.drop(columns="scale", errors="ignore")  # the panel has it, by series
    run = RunSettings.read(panel_dir)
    previous = read_champion(champion) if champion else None
    result = evaluate(
        table,
        panel,
        recipe,
        run.training.validation.scoring,
        run.training.promotion,
        previous,
        fits=read_logs(ensemble_dir),
        earlier=read_earlier(champion) if champion else [],
        challenger=run.digest_without_seed(),
    )
    for path in (evaluation, report):
        path.parent.mkdir(parents=True, exist_ok=True)
    result.write(evaluation)
    report.write_text(render_report(result), "utf-8")
    return result.summary() | summarise(recipe).figures()
