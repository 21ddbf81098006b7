"""Forecasts with the champion as it was evaluated, so that a new version can be compared with it."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.SERVING)
def forecast_champion(
    panel: dsl.Input[dsl.Dataset],
    version: str,
    registry: str,
    model_name: str,
    inputs_digest: str,
    champion: dsl.Output[dsl.Dataset],
) -> None:
    """Forecast from the test origins that the champion has not seen beyond; nothing where there is none.

    Args:
        panel: From prepare_data.
        version: The champion's id, from resolve_inputs; empty for none.
        registry: Path or URL.
        model_name: Empty: from the settings.
        inputs_digest: From resolve_inputs; versions of the run itself are not earlier ones.
        champion: Its forecasts and quantiles, no rows where it is not comparable; the reason why it is not;
            and the scores of earlier versions.
    """
    from pathlib import Path

    from kubecast.steps.champion import forecast_champion

    source = version, registry, model_name, inputs_digest
    forecast_champion(Path(panel.path), *source, Path(champion.path))
