"""Searches for better settings of one model, or of the ensemble, by Optuna."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def tune_optuna(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    settings: str,
    champion_settings: str,
    search: str,
    tuning: str,
    seed: int,
    processes: int,
    on_failure: str,
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
        settings: JSON of its settings file.
        champion_settings: JSON of the champion's settings by kind.
        search: JSON of the search spaces.
        tuning: JSON of pipeline.tuning.
        seed: Of every random choice.
        processes: That search in this task.
        on_failure: continue or stop, where no trial succeeds.
        trials: CSV of every trial.
        metrics: Errors of the best trial and of the settings file, and the number of trials.
        report: History, importance, parallel coordinates and slices.
        arima_settings: JSON of the member's settings, for the ensemble.
        lstm_settings: JSON of the member's settings, for the ensemble.
        transformer_settings: JSON of the member's settings, for the ensemble.
        catboost_settings: JSON of the member's settings, for the ensemble.

    Returns:
        JSON of the settings to train with.
    """
    from pathlib import Path

    from kubecast.steps.metrics import log_metrics
    from kubecast.steps.tune import Request, outcome_metrics, tune_model

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
    chosen, outcome = tune_model(request, processes, on_failure, Path(trials.path), Path(report.path))
    log_metrics(metrics, outcome_metrics(outcome))
    return chosen
