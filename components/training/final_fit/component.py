"""Fits a model again on all rows, for production; each kind's image runs it under that kind's name."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.SERVING)
def final_fit(
    panel: dsl.Input[dsl.Dataset],
    fitted: dsl.Input[dsl.Model],
    kind: str,
    model: dsl.Output[dsl.Model],
    report: dsl.Output[dsl.HTML],
) -> None:
    """Repeat a fit as it was evaluated, with as many updates or trees and the same orders.

    Args:
        panel: From prepare_data.
        fitted: The model as evaluated.
        kind: Key of ``kubecast.models.KINDS``.
        model: The model, and its forecasts from the end of every series; the evaluated one, where the fit
            is refused.
        report: Loss curves, importance, resources and forecasts.
    """
    from pathlib import Path

    from kubecast.steps.train import train_model

    train_model(kind, Path(panel.path), Path(model.path), fitted=Path(fitted.path), report=Path(report.path))
