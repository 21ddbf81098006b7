"""Runs the best trial of a Katib experiment again, and chooses between it and the settings file."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def choose_settings(
    panel: dsl.Input[dsl.Dataset],
    found: dsl.Input[dsl.Dataset],
    kind: str,
    settings: str,
    champion_settings: str,
    search: str,
    tuning: str,
    seed: int,
    on_failure: str,
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
        settings: JSON of its settings file.
        champion_settings: JSON of the champion's settings by kind.
        search: JSON of the search spaces.
        tuning: JSON of pipeline.tuning.
        seed: Of every random choice.
        on_failure: continue or stop, where no trial succeeded.
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
    from kubecast.steps.tune import Request, choose_settings, outcome_metrics

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
    paths = Path(found.path), Path(trials.path), Path(report.path)
    chosen, outcome = choose_settings(request, on_failure, *paths)
    log_metrics(metrics, outcome_metrics(outcome))
    return chosen
