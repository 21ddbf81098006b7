"""Sends a notice of a version that was published."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
def notify_success(
    evaluation: dsl.Input[dsl.Metrics],
    version: str,
    run: str,
    dashboard: str,
    style: str,
) -> None:
    """Send the leaderboard to the webhook; the task succeeds whatever happens.

    Args:
        evaluation: From evaluate_models.
        version: From register_model.
        run: Name of the run; empty in a scheduled run.
        dashboard: Address of the dashboard; empty: not known.
        style: webhook or slack.
    """
    from pathlib import Path

    from kubecast.steps.notify import notify_success

    notify_success(Path(evaluation.path), version, run, dashboard, style)
