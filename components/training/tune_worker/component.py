"""Searches beside other workers, through a database; tune_optuna comes after them."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def tune_worker(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    search: str,
    worker: int,
    arima_settings: str = "",
    lstm_settings: str = "",
    transformer_settings: str = "",
    catboost_settings: str = "",
) -> str:
    """Try settings inside the training part until the study has enough trials.

    Args:
        panel: From prepare_data.
        kind: arima, lstm, transformer, catboost or ensemble.
        search: From resolve_inputs.
        worker: Its number, by which KFP tells it from the others.
        arima_settings: For the ensemble: JSON of what a search found, {} for the run's; empty: not in it.
        lstm_settings: As arima_settings.
        transformer_settings: As arima_settings.
        catboost_settings: As arima_settings.

    Returns:
        The study's name.
    """
    from pathlib import Path

    from kubecast.steps.search_request import Request
    from kubecast.steps.tune import run_worker

    members = {
        "arima": arima_settings,
        "lstm": lstm_settings,
        "transformer": transformer_settings,
        "catboost": catboost_settings,
    }
    request = Request.of(kind, Path(panel.path), search, members)
    return run_worker(request)
