"""Searches for better settings by an experiment of Katib; choose_settings comes after it."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
@images.each_kind()
def tune_katib(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    search: str,
    trial_pod: str,
    trials: dsl.Output[dsl.Dataset],
    **models: str,
) -> None:
    """Start the experiment, or take up the one that an earlier attempt started, and wait for it.

    Args:
        panel: From prepare_data.
        kind: Key of ``kubecast.models.KINDS``, or ensemble.
        search: From resolve_inputs.
        trial_pod: JSON of the description of a trial's pod.
        trials: JSON of every trial.
        models: For the ensemble, by kind: JSON of searched settings, {} for the run's; empty: not in it.
    """
    from pathlib import Path

    from kubecast.steps.search_request import Request
    from kubecast.steps.tune_katib import tune_katib

    request = Request.from_run(kind, Path(panel.path), search, models)
    tune_katib(request, panel.uri, trial_pod, Path(trials.path))
