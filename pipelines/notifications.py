"""The notifications of ``cluster.yaml`` in a pipeline, where there are any."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kfp import dsl

from kubecast.components.deployment.notify_failure import notify_failure
from kubecast.components.deployment.notify_success import notify_success
from kubecast.config.schedules import check_address
from kubecast.settings.cluster import ClusterSettings


class Notifications:
    """The notifications that a pipeline sends.

    Attributes:
        nested: Whether there are notifications of failures: the whole graph is then inside an exit handler.
    """

    def __init__(self, cluster: ClusterSettings, on_cluster: bool) -> None:
        """Read the settings; a local run sends no notifications."""
        settings = cluster.notifications if on_cluster else None
        events = settings.events if settings else []
        self.nested = "failure" in events
        self._success = "success" in events
        dashboard = cluster.connection.dashboard or ""  # not host, which differs by who compiles
        check_address(dashboard, "cluster.connection.dashboard")
        self._arguments = {
            "run": dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            "dashboard": dashboard,
            "style": settings.style if settings else "",
        }

    def of_failure(self) -> AbstractContextManager[Any]:
        """Open a context whose tasks are watched for failures, if the settings say so."""
        if not self.nested:
            return nullcontext()
        task: Any = notify_failure(**self._arguments)
        task.set_caching_options(False)
        handler: AbstractContextManager[Any] = dsl.ExitHandler(task, name="run")
        return handler

    def of_success(self, evaluation: Any, version: Any) -> None:
        """Add the last task, if the settings say so; never cached, since each run has a notice."""
        if self._success:
            task: Any = notify_success(evaluation=evaluation, version=version, **self._arguments)
            task.set_caching_options(False)
