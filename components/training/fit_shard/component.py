"""Fits some of the series of a model that fits each by itself; join_shards makes one model of all parts."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.SERVING)
def fit_shard(
    panel: dsl.Input[dsl.Dataset],
    shard: str,
    kind: str,
    attempts: int,
    min_shards: float,
    model: dsl.Output[dsl.Model],
    settings: str = "",
    fitted: dsl.Input[dsl.Model] = None,
) -> None:
    """Fit and forecast the series of a shard, in a process that is begun again where it dies.

    Args:
        panel: From prepare_data, with the run's settings.
        shard: Which of how many, as 3/16.
        kind: Key of ``kubecast.models.KINDS``.
        attempts: How many more times the process is begun.
        min_shards: Share of the shards that must not fail; 1: a process that dies ends the run.
        model: The model of these series and its forecasts, or the reason why there is none.
        settings: JSON of the settings that a search chose; empty: those of the kind's file.
        fitted: The model as evaluated, where its fit is repeated on all rows.
    """
    from pathlib import Path

    from kubecast.steps.fit_shard import fit_shard

    evaluated = Path(fitted.path) if fitted else None
    fit_shard(kind, Path(panel.path), shard, Path(model.path), attempts, min_shards, settings, evaluated)
