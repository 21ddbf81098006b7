"""The only task that reads what can change; never cached."""

from typing import NamedTuple

from components import images


@images.component(base_image=images.BASE)
def resolve_inputs(
    data: str,
    as_of: str,
    scheduled: str,
    mode: str,
    registry: str,
    model_name: str,
    horizon: int,
    frequency: str,
    season_lengths: str,
    seed: int,
    training_settings: str,
    arima_settings: str,
    lstm_settings: str,
    transformer_settings: str,
    catboost_settings: str,
    ensemble_settings: str,
    pipeline_settings: str,
    search_settings: str,
) -> NamedTuple(
    "Resolved",
    [
        ("digest", str),
        ("as_of", str),
        ("champion", str),
        ("inputs_digest", str),
        ("settings", str),
        ("search", str),
    ],
):
    """Fix the data's digest, the newest row at or before ``as_of``, the champion and the settings.

    Args:
        data: Path or URL of the data file.
        as_of: ISO date or time after which rows are not seen, or scheduled; empty for none.
        scheduled: The time that a schedule started the run for; empty where there is no cluster.
        mode: train, tune, or retrain: with the champion's settings.
        registry: Path or URL.
        model_name: Empty: from the settings.
        horizon: Steps to forecast.
        frequency: A pandas offset alias; empty: found in the data.
        season_lengths: In steps, with commas; empty: from the frequency.
        seed: Of every random choice.
        training_settings: JSON of training.yaml.
        arima_settings: JSON of arima.yaml.
        lstm_settings: JSON of lstm.yaml.
        transformer_settings: JSON of transformer.yaml.
        catboost_settings: JSON of catboost.yaml.
        ensemble_settings: JSON of ensemble.yaml.
        pipeline_settings: JSON of pipeline.yaml.
        search_settings: JSON of the search spaces; where nothing is tuned, {}.

    Returns:
        What every later task depends on, and a digest of all that the run is made of but the champion;
        ``settings`` is the JSON of every section, for prepare_data, which keeps it beside the panel;
        ``search`` what the tasks that search are told besides.
    """
    from kubecast.steps.resolve import resolve_inputs

    parameters = {
        "horizon": horizon,
        "frequency": frequency,
        "season_lengths": season_lengths,
        "seed": seed,
        "training_settings": training_settings,
        "arima_settings": arima_settings,
        "lstm_settings": lstm_settings,
        "transformer_settings": transformer_settings,
        "catboost_settings": catboost_settings,
        "ensemble_settings": ensemble_settings,
        "pipeline_settings": pipeline_settings,
        "search_settings": search_settings,
    }
    found = resolve_inputs(data, as_of, mode, registry, model_name, parameters, scheduled)
    fixed = found.digest, found.as_of, found.champion, found.inputs_digest
    return *fixed, found.settings, found.search
