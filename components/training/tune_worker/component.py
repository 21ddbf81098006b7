"""Searches beside other workers, through a database; tune_optuna comes after them."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def tune_worker(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    settings: str,
    champion_settings: str,
    search: str,
    tuning: str,
    seed: int,
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
        settings: JSON of its settings file.
        champion_settings: JSON of the champion's settings by kind.
        search: JSON of the search spaces.
        tuning: JSON of pipeline.tuning.
        seed: Of every random choice.
        worker: Its number, by which KFP tells it from the others.
        arima_settings: JSON of the member's settings, for the ensemble.
        lstm_settings: JSON of the member's settings, for the ensemble.
        transformer_settings: JSON of the member's settings, for the ensemble.
        catboost_settings: JSON of the member's settings, for the ensemble.

    Returns:
        The study's name.
    """
    from pathlib import Path

    from kubecast.steps.tune import Request, run_worker

    request = Request(
        kind=kind,
        panel_dir=Path(panel.path),
        settings=settings,
        champion=champion_settings,
        search=search,
        tuning=tuning,
        seed=seed,
        members={
            "arima": arima_settings,
            "lstm": lstm_settings,
            "transformer": transformer_settings,
            "catboost": catboost_settings,
        },
    )
    return run_worker(request)
