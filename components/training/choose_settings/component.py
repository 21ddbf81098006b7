"""Runs the best trial of a Katib experiment again, and chooses between it and the settings file."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
@images.each_kind()
def choose_settings(
    panel: dsl.Input[dsl.Dataset],
    found: dsl.Input[dsl.Dataset],
    kind: str,
    search: str,
    trials: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    **models: str,
) -> str:
    """Keep the best trial's settings if they are better with other seeds too.

    Args:
        panel: From prepare_data.
        found: Trials, from tune_katib.
        kind: Key of ``kubecast.models.KINDS``, or ensemble.
        search: From resolve_inputs.
        trials: CSV of every trial.
        metrics: Errors of the best trial and of the settings file, and the number of trials.
        report: History, importance, parallel coordinates and slices.
        models: For the ensemble, by kind: JSON of searched settings, {} for the run's; empty: not in it.

    Returns:
        JSON of the settings to train with.
    """
    from pathlib import Path

    from kubecast.steps.outputs import log_metrics
    from kubecast.steps.search_request import Request
    from kubecast.steps.tune import choose_settings, outcome_metrics

    request = Request.from_run(kind, Path(panel.path), search, models)
    paths = Path(found.path), Path(trials.path), Path(report.path)
    chosen, outcome = choose_settings(request, *paths)
    log_metrics(metrics, outcome_metrics(outcome))
    return chosen
