"""Searches for better settings of one model, or of the ensemble, by Optuna."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def tune_optuna(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    search: str,
    processes: int,
    trials: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    arima_settings: str = "",
    lstm_settings: str = "",
    transformer_settings: str = "",
    catboost_settings: str = "",
) -> str:
    """Try settings inside the training part, and keep the best if they are better with other seeds too.

    Args:
        panel: From prepare_data.
        kind: arima, lstm, transformer, catboost or ensemble.
        search: From resolve_inputs.
        processes: That search in this task.
        trials: CSV of every trial.
        metrics: Errors of the best trial and of the settings file, and the number of trials.
        report: History, importance, parallel coordinates and slices.
        arima_settings: For the ensemble: JSON of what a search found, {} for the run's; empty: not in it.
        lstm_settings: As arima_settings.
        transformer_settings: As arima_settings.
        catboost_settings: As arima_settings.

    Returns:
        JSON of the settings to train with.
    """
    from pathlib import Path

    from kubecast.steps.metrics import log_metrics
    from kubecast.steps.search_request import Request
    from kubecast.steps.tune import outcome_metrics, tune_model

    members = {
        "arima": arima_settings,
        "lstm": lstm_settings,
        "transformer": transformer_settings,
        "catboost": catboost_settings,
    }
    request = Request.of(kind, Path(panel.path), search, members)
    chosen, outcome = tune_model(request, processes, Path(trials.path), Path(report.path))
    log_metrics(metrics, outcome_metrics(outcome))
    return chosen
