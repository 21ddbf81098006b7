"""Runs the best trial of a Katib experiment again, and chooses between it and the settings file."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def choose_settings(
    panel: dsl.Input[dsl.Dataset],
    found: dsl.Input[dsl.Dataset],
    kind: str,
    search: str,
    trials: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    arima_settings: str = "",
    lstm_settings: str = "",
    transformer_settings: str = "",
    catboost_settings: str = "",
) -> str:
    """Keep the best trial's settings if they are better with other seeds too.

    Args:
        panel: From prepare_data.
        found: From tune_katib.
        kind: arima, lstm, transformer, catboost or ensemble.
        search: From resolve_inputs.
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
    from kubecast.steps.tune import choose_settings, outcome_metrics

    members = {
        "arima": arima_settings,
        "lstm": lstm_settings,
        "transformer": transformer_settings,
        "catboost": catboost_settings,
    }
    request = Request.of(kind, Path(panel.path), search, members)
    paths = Path(found.path), Path(trials.path), Path(report.path)
    chosen, outcome = choose_settings(request, *paths)
    log_metrics(metrics, outcome_metrics(outcome))
    return chosen
