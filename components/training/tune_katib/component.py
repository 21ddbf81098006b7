"""Searches for better settings by an experiment of Katib; choose_settings comes after it."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def tune_katib(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    settings: str,
    champion_settings: str,
    search: str,
    tuning: str,
    seed: int,
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
        settings: JSON of its settings file.
        champion_settings: JSON of the champion's settings by kind; Katib cannot be asked to try them.
        search: JSON of the search spaces.
        tuning: JSON of pipeline.tuning.
        seed: Of every trial.
        trial_pod: JSON of what a trial's pod is given.
        trials: JSON of every trial.
        arima_settings: JSON of the member's settings, for the ensemble.
        lstm_settings: JSON of the member's settings, for the ensemble.
        transformer_settings: JSON of the member's settings, for the ensemble.
        catboost_settings: JSON of the member's settings, for the ensemble.
    """
    from pathlib import Path

    from kubecast.steps.tune import Request
    from kubecast.steps.tune_katib import tune_katib

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
    tune_katib(request, panel.uri, trial_pod, Path(trials.path))
