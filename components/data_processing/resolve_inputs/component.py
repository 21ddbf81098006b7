"""The only task that reads what can change; never cached."""

from typing import NamedTuple

from kubecast.components import images


@images.component(base_image=images.BASE)
@images.each_kind("{}_settings")
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
    ensemble_settings: str,
    pipeline_settings: str,
    search_settings: str,
    **models: str,
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
        data: Path or URL of a file, a folder, a table or a database.
        as_of: ISO date or time after which rows are not seen, or scheduled; empty for none.
        scheduled: The time that a schedule started the run for; empty where there is no cluster.
        mode: train, tune, or retrain: with the champion's settings.
        registry: Path or URL.
        model_name: Empty: from the settings.
        horizon: Steps to forecast.
        frequency: A pandas offset alias; empty: inferred from the data.
        season_lengths: Steps, with commas; empty: from the frequency.
        seed: Seed of every random choice.
        training_settings: JSON of training.yaml.
        ensemble_settings: JSON of ensemble.yaml.
        pipeline_settings: JSON of pipeline.yaml.
        search_settings: JSON of the search spaces; where nothing is tuned, {}.
        models: JSON of the settings file of each kind, as KIND_settings.

    Returns:
        The inputs of later tasks, and a digest of all that the run is made of but the champion; ``settings``
        is the JSON of every section, for prepare_data, which keeps it beside the panel; ``search`` that of
        the inputs that tasks that search have besides.
    """
    from kubecast.steps.resolve import resolve_inputs

    parameters = {
        "horizon": horizon,
        "frequency": frequency,
        "season_lengths": season_lengths,
        "seed": seed,
        "training_settings": training_settings,
        "ensemble_settings": ensemble_settings,
        "pipeline_settings": pipeline_settings,
        "search_settings": search_settings,
        **models,
    }
    resolved = resolve_inputs(data, as_of, mode, registry, model_name, parameters, scheduled)
    digests = resolved.digest, resolved.as_of, resolved.champion, resolved.inputs_digest
    return *digests, resolved.settings, resolved.search
