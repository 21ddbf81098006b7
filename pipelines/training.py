"""The training pipeline: its components and how they are wired."""

from typing import Any

from kfp import dsl

from kubecast.components.data_processing.prepare_data import prepare_data
from kubecast.components.data_processing.resolve_inputs import resolve_inputs
from kubecast.components.deployment.register_model import register_model
from kubecast.components.evaluation.evaluate_models import evaluate_models
from kubecast.components.evaluation.forecast_champion import forecast_champion
from kubecast.components.images import each_kind, with_kinds
from kubecast.components.training.stack_ensemble import stack_ensemble
from kubecast.config.schedules import Mode
from kubecast.pipelines.fitting import final_fit_graph, optional_input, train_graph
from kubecast.pipelines.notifications import Notifications
from kubecast.pipelines.pods import configure_all
from kubecast.pipelines.tuning import settings_of_mode
from kubecast.settings.loading import AllSettings


def training_pipeline(settings: AllSettings, mode: Mode, on_cluster: bool) -> Any:
    """Make the pipeline that ``pipeline.yaml`` describes: prepare, train, stack, evaluate, refit, publish.

    Args:
        settings: Settings files.
        mode: ``train``; ``tune``: after a search; or ``retrain``: with the champion's settings.
        on_cluster: Whether the tasks request what ``cluster.yaml`` says, which a local run ignores.
    """
    settings = settings_of_mode(settings, mode, on_cluster)
    pipeline_settings = settings.pipeline
    notifications = Notifications(settings.cluster, on_cluster)
    train, final_fit = train_graph(settings, on_cluster), final_fit_graph(settings, on_cluster)
    kinds = pipeline_settings.models
    stack, register = with_kinds(stack_ensemble, kinds), with_kinds(register_model, kinds)

    @each_kind("{}_settings", default="{}")
    def pipeline(
        data: str,
        horizon: int,
        training_settings: str = "{}",
        ensemble_settings: str = "{}",
        search_settings: str = "{}",
        frequency: str = "",
        season_lengths: str = "",
        registry: str = "",
        model_name: str = "",
        as_of: str = "",
        seed: int = 42,
        **models: str,
    ) -> None:
        with notifications.of_failure():
            published = {"registry": registry, "model_name": model_name}
            resolved = resolve_inputs(
                data=data,
                as_of=as_of,
                # Replaced only where it is the whole argument; KFP's local runner does not know it.
                scheduled=dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER if on_cluster else "",
                mode=mode,
                horizon=horizon,
                frequency=frequency,
                season_lengths=season_lengths,
                seed=seed,
                training_settings=training_settings,
                ensemble_settings=ensemble_settings,
                pipeline_settings=pipeline_settings.model_dump_json(exclude_defaults=True),
                search_settings=search_settings if pipeline_settings.tuned else "{}",
                **models,
                **published,
            )
            resolved.set_caching_options(False)
            inputs = {"inputs_digest": resolved.outputs["inputs_digest"]}
            published |= inputs
            shape = {key: resolved.outputs[key] for key in ("digest", "as_of", "settings")}
            panel = prepare_data(data=data, **shape).outputs["panel"]
            trained = train(panel=panel, search=resolved.outputs["search"]).outputs
            searched = trained["ensemble_settings"] if "ensemble" in pipeline_settings.tuned else None
            fitted = {kind: trained[kind] for kind in pipeline_settings.models}
            ensemble = stack(panel=panel, **optional_input(searched), **fitted).outputs["ensemble"]
            champion = forecast_champion(panel=panel, version=resolved.outputs["champion"], **published)
            evaluation = evaluate_models(
                panel=panel, ensemble=ensemble, champion=champion.outputs["champion"]
            ).outputs["evaluation"]
            final = (
                final_fit(panel=panel, **inputs, **fitted).outputs if pipeline_settings.final_fit else fitted
            )
            registered = register(
                panel=panel,
                ensemble=ensemble,
                evaluation=evaluation,
                **published,
                **{kind: final[kind] for kind in fitted},
            )
            notifications.of_success(evaluation, registered.outputs["Output"])
        if on_cluster:
            configure_all(settings)

    described = "Trains, stacks, evaluates and publishes forecasting models."
    return dsl.pipeline(name="kubecast-training", description=described)(pipeline)
