"""evaluate_models: the leaderboard, the report and the decision; reads tables only."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kubecast.evaluation import evaluate
from kubecast.logs import step
from kubecast.panel import Panel, read_parquet
from kubecast.reports import render_report
from kubecast.steps.champion import read_champion, read_earlier
from kubecast.steps.prepare import read_training
from kubecast.steps.stack import read_logs, read_recipe


@dataclass(frozen=True)
class Judged:
    """What the dashboard shows.

    Attributes:
        markdown: The leaderboard of the test part.
        metrics: The ensemble's figures on the test part; finite.
    """

    markdown: str
    metrics: dict[str, float]


@step
@pd.option_context("mode.copy_on_write", True)  # the table of a large panel is gigabytes
def evaluate_models(
    panel_dir: Path,
    ensemble_dir: Path,
    forecasts: Path,
    evaluation_dir: Path,
    report: Path,
    champion: tuple[Path, Path] | None = None,
) -> Judged:
    """Judge every member and the ensemble, and decide whether it may become the champion.

    Args:
        panel_dir: From ``prepare_data``.
        ensemble_dir: From ``stack_ensemble``.
        forecasts: From ``stack_ensemble``.
        evaluation_dir: Gets ``leaderboard.json``.
        report: Gets one self-contained HTML page.
        champion: Forecasts and status from ``forecast_champion``; None: there is no champion.
    """
    panel = Panel.load(panel_dir)
    recipe = read_recipe(ensemble_dir)
    table = read_parquet(forecasts)
    training = read_training(panel_dir)
    rival = read_champion(*champion) if champion else None
    evaluation = evaluate(
        table,
        panel,
        recipe,
        training.validation.scoring,
        training.promotion,
        rival,
        fits=read_logs(ensemble_dir),
        earlier=read_earlier(champion[1]) if champion else [],
    )
    evaluation_dir.mkdir(parents=True, exist_ok=True)
    evaluation.write(evaluation_dir)
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(render_report(evaluation), "utf-8")
    return Judged(evaluation.markdown(), evaluation.summary())
