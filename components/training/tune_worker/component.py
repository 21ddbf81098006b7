"""Searches beside other workers, through a database; tune_optuna comes after them."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
@images.each_kind()
def tune_worker(
    panel: dsl.Input[dsl.Dataset],
    kind: str,
    search: str,
    worker: int,
    **models: str,
) -> str:
    """Try settings inside the training split until the study has enough trials.

    Args:
        panel: From prepare_data.
        kind: Key of ``kubecast.models.KINDS``, or ensemble.
        search: From resolve_inputs.
        worker: Number of the worker, which sets its task apart from those of the others.
        models: For the ensemble, by kind: JSON of searched settings, {} for the run's; empty: not in it.

    Returns:
        The study's name.
    """
    from pathlib import Path

    from kubecast.steps.search_request import Request
    from kubecast.steps.tune import run_worker

    request = Request.from_run(kind, Path(panel.path), search, models)
    return run_worker(request)
