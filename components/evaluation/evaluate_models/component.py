"""Evaluates every model and the ensemble on the test split; reads tables only."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
def evaluate_models(
    panel: dsl.Input[dsl.Dataset],
    ensemble: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Dataset],
    evaluation: dsl.Output[dsl.Metrics],
) -> None:
    """Write the leaderboard and the decision on promotion.

    Args:
        panel: From prepare_data.
        ensemble: From stack_ensemble.
        champion: From forecast_champion.
        evaluation: The leaderboard and the decision as JSON, and tables with a row for each series; its
            metrics are the ensemble's.
    """
    from pathlib import Path

    from kubecast.steps.evaluate import evaluate_models

    paths = Path(panel.path), Path(ensemble.path), Path(evaluation.path), Path(champion.path)
    figures = evaluate_models(*paths)
    evaluation.metadata.update(figures)
