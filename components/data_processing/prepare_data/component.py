"""Checks every setting and the data, and writes the panel."""

from kfp import dsl

from components import images


@images.component(base_image=images.BASE)
def prepare_data(
    data: str,
    digest: str,
    as_of: str,
    horizon: int,
    frequency: str,
    season_lengths: str,
    training_settings: str,
    arima_settings: str,
    lstm_settings: str,
    transformer_settings: str,
    catboost_settings: str,
    ensemble_settings: str,
    panel: dsl.Output[dsl.Dataset],
    data_report: dsl.Output[dsl.Markdown],
) -> None:
    """Load, check, repair and split the data; refuse a bad setting before anything is trained.

    Args:
        data: Path or URL of the data file.
        digest: SHA-256 that its bytes must have.
        as_of: Moment after which rows are not seen; empty for none.
        horizon: Steps to forecast.
        frequency: A pandas offset alias; empty: found in the data.
        season_lengths: In steps, with commas; empty: from the frequency.
        training_settings: JSON of training.yaml.
        arima_settings: JSON of arima.yaml.
        lstm_settings: JSON of lstm.yaml.
        transformer_settings: JSON of transformer.yaml.
        catboost_settings: JSON of catboost.yaml.
        ensemble_settings: JSON of ensemble.yaml.
        panel: The panel, its cut-offs and origins.
        data_report: What was repaired or left out.
    """
    from pathlib import Path

    from kubecast.steps.prepare import describe, prepare_data

    settings = {
        "training": training_settings,
        "arima": arima_settings,
        "lstm": lstm_settings,
        "transformer": transformer_settings,
        "catboost": catboost_settings,
        "ensemble": ensemble_settings,
    }
    made = prepare_data(data, digest, as_of, horizon, frequency, season_lengths, settings, Path(panel.path))
    Path(data_report.path).write_text(describe(made))
