"""The two graphs inside the training pipeline: `train`, with its searches, and `final-fit`.

KFP's local runner hands artifacts on to a graph only where it has a parameter too: `final-fit` has the run's
digest for that.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from kfp import dsl

from kubecast.components import images
from kubecast.components.training.final_fit import final_fit
from kubecast.components.training.trainer import trainer
from kubecast.models import KINDS
from kubecast.pipelines.pods import configure_all
from kubecast.pipelines.tuning import Searches
from kubecast.settings.loading import AllSettings

TRAINERS: dict[str, Callable[..., Any]] = {kind: trainer(kind) for kind in KINDS}

FINAL_FITS: dict[str, Callable[..., Any]] = {
    kind: images.renamed(final_fit, f"final-{kind}", images.OF_KIND[kind]) for kind in KINDS
}


def train_graph(settings: AllSettings, on_cluster: bool) -> Any:
    """Make the graph that searches, where the settings say so, and trains every model.

    Args:
        settings: Settings files, with the tuner that the mode has.
        on_cluster: Whether the tasks request what ``cluster.yaml`` says.

    Returns:
        A component with the inputs ``panel`` and ``search``, and as outputs each model by its kind
        and, where the ensemble is tuned, ``ensemble_settings``.
    """
    kinds: list[str] = [*settings.pipeline.models]
    tuned = "ensemble" in settings.pipeline.tuned
    outputs: list[tuple[str, Any]] = [(kind, dsl.Model) for kind in kinds]
    Trained = NamedTuple("Trained", outputs + [("ensemble_settings", str)] * tuned)  # type: ignore[misc]

    def train(panel: dsl.Input[dsl.Dataset], search: str) -> Trained:
        searches = Searches(settings, on_cluster, panel=panel, search=search)
        searched = {kind: searches.add(kind) for kind in kinds}
        searched["ensemble"] = searches.add("ensemble", searched)
        tasks = {kind: TRAINERS[kind](panel=panel, **optional_input(searched[kind])) for kind in kinds}
        models = {kind: task.outputs["model"] for kind, task in tasks.items()}
        if on_cluster:
            configure_all(settings, searches.resources)
        return Trained(**models, **optional_input(searched["ensemble"], "ensemble_settings"))

    return dsl.pipeline(name="train")(train)


def final_fit_graph(settings: AllSettings, on_cluster: bool) -> Any:
    """Make the graph that fits every model again on all rows.

    Args:
        settings: Settings files.
        on_cluster: Whether the tasks request what ``cluster.yaml`` says.

    Returns:
        A component with the inputs ``panel``, ``inputs_digest`` and each evaluated model by its kind, and as
        outputs each production model by its kind.
    """
    kinds: list[str] = [*settings.pipeline.models]
    Fitted = NamedTuple("Fitted", [(kind, dsl.Model) for kind in kinds])  # type: ignore[misc]

    # The inputs of a model that is not trained must not be there: KFP's driver refuses a graph without them.
    @images.each_kind(kinds=kinds, required=True)
    def final(panel: dsl.Input[dsl.Dataset], inputs_digest: str, **evaluated: dsl.Input[dsl.Model]) -> Fitted:
        tasks = {
            kind: FINAL_FITS[kind](panel=panel, kind=kind, fitted=model) for kind, model in evaluated.items()
        }
        if on_cluster:
            resources = {task.name: settings.cluster.task(f"train_{kind}") for kind, task in tasks.items()}
            configure_all(settings, resources)
        return Fitted(**{kind: task.outputs["model"] for kind, task in tasks.items()})

    return dsl.pipeline(name="final-fit")(final)


def optional_input(searched: Any, name: str = "settings") -> dict[str, Any]:
    """Pass the settings of a search; nothing where there was none, and the run's settings are read."""
    return {} if searched is None else {name: searched}
