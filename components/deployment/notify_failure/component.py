"""Sends a notice of a run that failed, when it has ended."""

from kfp import dsl

from kubecast.components import images


@images.component(base_image=images.BASE)
def notify_failure(
    status: dsl.PipelineTaskFinalStatus,
    run: str,
    dashboard: str,
    style: str,
) -> None:
    """Send what failed to the webhook, if the run did not succeed; the task succeeds whatever happens.

    Args:
        status: Status of the run.
        run: Name of the run; empty in a scheduled run.
        dashboard: Address of the dashboard; empty: not known.
        style: webhook or slack.
    """
    from kubecast.steps.notify import notify_failure

    notify_failure(status.state, status.error_message or "", run, dashboard, style)
