"""Searches for better settings by an experiment of Katib; choose_settings comes after it."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def tune_katib(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    search: str,
    trial_pod: str,
    trials: dsl.Output[dsl.Dataset],
    arima_settings: str = "",
    lstm_settings: str = "",
    transformer_settings: str = "",
    catboost_settings: str = "",
) -> None:
    """Start the experiment, or take up the one that an earlier attempt started, and wait for it.

    Args:
        panel: From prepare_data.
        kind: arima, lstm, transformer, catboost or ensemble.
        search: From resolve_inputs.
        trial_pod: JSON of what a trial's pod is given.
        trials: JSON of every trial.
        arima_settings: For the ensemble: JSON of what a search found, {} for the run's; empty: not in it.
        lstm_settings: As arima_settings.
        transformer_settings: As arima_settings.
        catboost_settings: As arima_settings.
    """
    from pathlib import Path

    from kubecast.steps.search_request import Request
    from kubecast.steps.tune_katib import tune_katib

    members = {
        "arima": arima_settings,
        "lstm": lstm_settings,
        "transformer": transformer_settings,
        "catboost": catboost_settings,
    }
    request = Request.of(kind, Path(panel.path), search, members)
    tune_katib(request, panel.uri, trial_pod, Path(trials.path))
