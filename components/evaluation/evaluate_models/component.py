"""Judges every model and the ensemble on the test part; reads tables only."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def evaluate_models(
    panel: dsl.Input[dsl.Dataset],
    ensemble: dsl.Input[dsl.Model],
    forecasts: dsl.Input[dsl.Dataset],
    champion_forecasts: dsl.Input[dsl.Dataset],
    champion_status: dsl.Input[dsl.Artifact],
    evaluation: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
) -> None:
    """Write the leaderboard, the report and the decision whether to promote.

    Args:
        panel: From prepare_data.
        ensemble: From stack_ensemble.
        forecasts: From stack_ensemble.
        champion_forecasts: From forecast_champion.
        champion_status: From forecast_champion.
        evaluation: leaderboard.json with the decision.
        report: One self-contained page.
        summary: The leaderboard of the test part.
        metrics: The ensemble's figures on the test part.
    """
    from pathlib import Path

    from kubecast.steps.evaluate import evaluate_models
    from kubecast.steps.metrics import log_metrics

    paths = Path(panel.path), Path(ensemble.path), Path(forecasts.path)
    champion = Path(champion_forecasts.path), Path(champion_status.path)
    judged = evaluate_models(*paths, Path(evaluation.path), Path(report.path), champion)
    Path(summary.path).write_text(judged.markdown)
    log_metrics(metrics, judged.metrics)
