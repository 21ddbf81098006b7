"""Makes one model of those of its shards; it has the name of the fit that it stands for."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.SERVING)
def join_shards(
    panel: dsl.Input[dsl.Dataset],
    shards: dsl.Input[list[dsl.Model]],
    kind: str,
    min_shards: float,
    model: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
    report: dsl.Output[dsl.HTML],
    settings: str = "",
    fitted: dsl.Input[dsl.Model] = None,
) -> None:
    """Join the models and forecasts of the shards.

    Args:
        panel: From prepare_data, with the run's settings.
        shards: From fit_shard.
        kind: Key of ``kubecast.models.KINDS``.
        min_shards: Share of them that must not have failed.
        model: The model, or the reason why there is none, and its forecasts.
        metrics: Seconds of all fits, and series with the fallback.
        report: Resources and forecasts.
        settings: As for fit_shard.
        fitted: Likewise.
    """
    from pathlib import Path

    from kubecast.steps.join_shards import join_shards
    from kubecast.steps.outputs import log_metrics
    from kubecast.steps.train import fit_metrics

    parts, directory = [Path(part.path) for part in shards], Path(model.path)
    evaluated, page = Path(fitted.path) if fitted else None, Path(report.path)
    join_shards(kind, Path(panel.path), parts, directory, min_shards, settings, evaluated, page)
    log_metrics(metrics, fit_metrics(directory))
