"""Searches for better settings of one model, or of the ensemble, by Optuna."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
@images.each_kind()
def tune_optuna(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    search: str,
    processes: int,
    trials: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    **models: str,
) -> str:
    """Try settings inside the training split, and keep the best if they are better with other seeds too.

    Args:
        panel: From prepare_data.
        kind: Key of ``kubecast.models.KINDS``, or ensemble.
        search: From resolve_inputs.
        processes: Number of processes that search in this task.
        trials: CSV of every trial.
        metrics: Errors of the best trial and of the settings file, and the number of trials.
        report: History, importance, parallel coordinates and slices.
        models: For the ensemble, by kind: JSON of searched settings, {} for the run's; empty: not in it.

    Returns:
        JSON of the settings to train with.
    """
    from pathlib import Path

    from kubecast.steps.outputs import log_metrics
    from kubecast.steps.search_request import Request
    from kubecast.steps.tune import outcome_metrics, tune_model

    request = Request.from_run(kind, Path(panel.path), search, models)
    chosen, outcome = tune_model(request, processes, Path(trials.path), Path(report.path))
    log_metrics(metrics, outcome_metrics(outcome))
    return chosen
