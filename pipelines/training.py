"""How the components are wired into the training pipeline."""

from collections.abc import Callable
from typing import Any, NamedTuple

from kfp import dsl

from components.data_processing.prepare_data import prepare_data
from components.data_processing.resolve_inputs import resolve_inputs
from components.deployment.register_model import register_model
from components.evaluation.evaluate_models import evaluate_models
from components.evaluation.forecast_champion import forecast_champion
from components.training.stack_ensemble import stack_ensemble
from components.training.train_arima import train_arima
from components.training.train_catboost import train_catboost
from components.training.train_lstm import train_lstm
from components.training.train_transformer import train_transformer
from kubecast.config import AllSettings, PipelineSettings
from kubecast.schedules import Mode
from pipelines.notices import Notices
from pipelines.pods import configure_all
from pipelines.tuning import Searches, searched_outputs, settings_of_mode

TRAINERS: dict[str, Callable[..., Any]] = {
    "arima": train_arima,
    "lstm": train_lstm,
    "transformer": train_transformer,
    "catboost": train_catboost,
}


PUBLISHED: dict[str, Any] = {
    "version": str,
    "evaluation": dsl.Artifact,
    "report": dsl.HTML,
    "ensemble_report": dsl.HTML,
    "forecast": dsl.Dataset,
    "backtest": dsl.Dataset,
}
"""What the pipeline returns, beside the pages of its fits and the pages and tables of its searches."""


def training_pipeline(every: AllSettings, mode: Mode, on_cluster: bool) -> Any:
    """Make the pipeline that ``pipeline.yaml`` describes: prepare, train, stack, judge, publish.

    Args:
        every: Settings file.
        mode: ``train``; ``tune``: after a search; or ``retrain``: with the champion's settings.
        on_cluster: Whether the tasks ask for what ``cluster.yaml`` says, which a local run ignores.
    """
    every = settings_of_mode(every, mode, on_cluster)
    settings = every.pipeline
    Published = _published(settings)  # noqa: N806
    notices = Notices(every.cluster, on_cluster)

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
    ) -> Published:
        with notices.of_failure():
            prepared = {
                "horizon": horizon,
                "frequency": frequency,
                "season_lengths": season_lengths,
                "training_settings": training_settings,
                "arima_settings": arima_settings,
                "lstm_settings": lstm_settings,
                "transformer_settings": transformer_settings,
                "catboost_settings": catboost_settings,
                "ensemble_settings": ensemble_settings,
            }
            published = {"registry": registry, "model_name": model_name}
            resolved = resolve_inputs(
                data=data,
                as_of=as_of,
                mode=mode,
                seed=seed,
                pipeline_settings=settings.model_dump_json(),
                search_settings=search_settings if settings.tuned else "{}",
                **prepared,
                **published,
            )
            resolved.set_caching_options(False)
            kinds: list[str] = [*TRAINERS, "ensemble"]
            texts = {kind: resolved.outputs[f"{kind}_settings"] for kind in kinds}
            prepared |= {f"{kind}_settings": text for kind, text in texts.items()}
            panel = prepare_data(
                data=data, digest=resolved.outputs["digest"], as_of=resolved.outputs["as_of"], **prepared
            ).outputs["panel"]
            searches = Searches(
                every,
                on_cluster,
                panel=panel,
                champion_settings=resolved.outputs["champion_settings"],
                search=search_settings,
                seed=seed,
            )
            texts |= {kind: searches.of(kind, texts[kind]) for kind in settings.models}
            champion = forecast_champion(
                panel=panel,
                champion=resolved.outputs["champion"],
                inputs_digest=resolved.outputs["inputs_digest"],
                **published,
            )

            def train(kind: str, **fitted: Any) -> Any:
                return TRAINERS[kind](
                    panel=panel,
                    settings=texts[kind],
                    seed=seed,
                    on_failure=settings.on_trainer_failure,
                    **fitted,
                )

            judged: dict[str, Any] = {kind: train(kind) for kind in settings.models}
            members: dict[str, Any] = {kind: texts[kind] for kind in settings.models}
            weighed = searches.of("ensemble", texts["ensemble"], members)
            stacked = stack_ensemble(panel=panel, settings=weighed, **_members(judged))
            evaluated = evaluate_models(
                panel=panel,
                ensemble=stacked.outputs["ensemble"],
                forecasts=stacked.outputs["forecasts"],
                champion_forecasts=champion.outputs["forecasts"],
                champion_status=champion.outputs["status"],
            )
            final = judged
            if settings.final_fit:
                final = {kind: train(kind, fitted=task.outputs["model"]) for kind, task in judged.items()}
                for kind, task in final.items():
                    task.set_display_name(f"final-{kind}")
            registered = register_model(
                panel=panel,
                ensemble=stacked.outputs["ensemble"],
                evaluation=evaluated.outputs["evaluation"],
                report=evaluated.outputs["report"],
                inputs_digest=resolved.outputs["inputs_digest"],
                **published,
                **_versions(judged, final),
            )
            notices.of_success(evaluated.outputs["evaluation"], registered.outputs["Output"])
        if on_cluster:
            configure_all(every, searches.asked)
        if notices.nested:
            return None  # see below
        return Published(
            version=registered.outputs["Output"],
            evaluation=evaluated.outputs["evaluation"],
            report=evaluated.outputs["report"],
            ensemble_report=stacked.outputs["report"],
            forecast=registered.outputs["forecast"],
            backtest=stacked.outputs["forecasts"],
            **{f"training_{kind}": task.outputs["report"] for kind, task in judged.items()},
            **searches.outputs,
        )

    if notices.nested:  # KFP lets no output out of an exit handler
        del pipeline.__annotations__["return"]
    described = "Trains, stacks, judges and publishes forecasting models."
    return dsl.pipeline(name="kubecast-training", description=described)(pipeline)


def _published(settings: PipelineSettings) -> Any:
    fits = {f"training_{kind}": dsl.HTML for kind in settings.models}
    fields = PUBLISHED | fits | searched_outputs(settings.tuned)
    return NamedTuple("Published", list(fields.items()))


def _members(judged: dict[str, Any]) -> dict[str, Any]:
    models = {f"{kind}_model": task.outputs["model"] for kind, task in judged.items()}
    return models | {f"{kind}_forecasts": task.outputs["forecasts"] for kind, task in judged.items()}


def _versions(judged: dict[str, Any], final: dict[str, Any]) -> dict[str, Any]:
    inputs = {f"{kind}_judged": task.outputs["model"] for kind, task in judged.items()}
    inputs |= {f"{kind}_final": task.outputs["model"] for kind, task in final.items()}
    return inputs | {f"{kind}_forecasts": task.outputs["forecasts"] for kind, task in final.items()}
