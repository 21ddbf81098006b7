"""How the components are wired into the training pipeline."""

from typing import Any

from kfp import dsl

from components.data_processing.prepare_data import prepare_data
from components.data_processing.resolve_inputs import resolve_inputs
from components.deployment.register_model import register_model
from components.evaluation.evaluate_models import evaluate_models
from components.evaluation.forecast_champion import forecast_champion
from components.training.stack_ensemble import stack_ensemble
from kubecast.config.schedules import Mode
from kubecast.settings.loading import AllSettings
from pipelines.fitting import final_fit_graph, given, train_graph
from pipelines.notices import Notices
from pipelines.pods import configure_all
from pipelines.tuning import settings_of_mode


def training_pipeline(every: AllSettings, mode: Mode, on_cluster: bool) -> Any:
    """Make the pipeline that ``pipeline.yaml`` describes: prepare, train, stack, judge, fit finally, publish.

    Args:
        every: Settings files.
        mode: ``train``; ``tune``: after a search; or ``retrain``: with the champion's settings.
        on_cluster: Whether the tasks ask for what ``cluster.yaml`` says, which a local run ignores.
    """
    every = settings_of_mode(every, mode, on_cluster)
    settings = every.pipeline
    notices = Notices(every.cluster, on_cluster)
    train, final_fit = train_graph(every, on_cluster), final_fit_graph(every, on_cluster)

    def pipeline(
        data: str,
        horizon: int,
        training_settings: str = "{}",
        arima_settings: str = "{}",
        lstm_settings: str = "{}",
        transformer_settings: str = "{}",
        catboost_settings: str = "{}",
        ensemble_settings: str = "{}",
        search_settings: str = "{}",
        frequency: str = "",
        season_lengths: str = "",
        registry: str = "",
        model_name: str = "",
        as_of: str = "",
        seed: int = 42,
    ) -> None:
        with notices.of_failure():
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
                arima_settings=arima_settings,
                lstm_settings=lstm_settings,
                transformer_settings=transformer_settings,
                catboost_settings=catboost_settings,
                ensemble_settings=ensemble_settings,
                pipeline_settings=settings.model_dump_json(exclude_defaults=True),
                search_settings=search_settings if settings.tuned else "{}",
                **published,
            )
            resolved.set_caching_options(False)
            inputs = {"inputs_digest": resolved.outputs["inputs_digest"]}
            published |= inputs
            shape = {key: resolved.outputs[key] for key in ("digest", "as_of", "settings")}
            panel = prepare_data(data=data, **shape).outputs["panel"]
            trained = train(panel=panel, search=resolved.outputs["search"]).outputs
            searched = trained["ensemble_settings"] if "ensemble" in settings.tuned else None
            judged = {kind: trained[kind] for kind in settings.models}
            ensemble = stack_ensemble(panel=panel, **given(searched), **judged).outputs["ensemble"]
            champion = forecast_champion(panel=panel, version=resolved.outputs["champion"], **published)
            evaluated = evaluate_models(
                panel=panel, ensemble=ensemble, champion=champion.outputs["champion"]
            ).outputs["evaluation"]
            final = final_fit(panel=panel, **inputs, **judged).outputs if settings.final_fit else judged
            registered = register_model(
                panel=panel,
                ensemble=ensemble,
                evaluation=evaluated,
                **published,
                **{kind: final[kind] for kind in judged},
            )
            notices.of_success(evaluated, registered.outputs["Output"])
        if on_cluster:
            configure_all(every)

    described = "Trains, stacks, judges and publishes forecasting models."
    return dsl.pipeline(name="kubecast-training", description=described)(pipeline)
