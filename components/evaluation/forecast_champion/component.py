"""Forecasts with the champion as it was judged, so that a new version can be judged against it."""

from kfp import dsl

from components import images


@images.component(base_image=images.SERVING)
def forecast_champion(
    panel: dsl.Input[dsl.Dataset],
    champion: str,
    registry: str,
    model_name: str,
    inputs_digest: str,
    forecasts: dsl.Output[dsl.Dataset],
    status: dsl.Output[dsl.Artifact],
) -> None:
    """Forecast from the test origins that the champion has not seen beyond; nothing where there is none.

    Args:
        panel: From prepare_data.
        champion: Version id, from resolve_inputs; empty for none.
        registry: Path or URL.
        model_name: Empty: from the settings.
        inputs_digest: From resolve_inputs; versions of the run itself are not earlier ones.
        forecasts: Its forecasts and quantiles; no rows where it is not comparable.
        status: status.json: why it is not comparable, and what earlier versions scored.
    """
    from pathlib import Path

    from kubecast.steps.champion import forecast_champion

    outputs = Path(forecasts.path), Path(status.path)
    forecast_champion(Path(panel.path), champion, registry, model_name, inputs_digest, *outputs)
