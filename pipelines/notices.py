"""Wires the notices of ``cluster.yaml`` into a pipeline; where none are asked for, nothing."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kfp import dsl

from components.deployment.notify_failure import notify_failure
from components.deployment.notify_success import notify_success
from kubecast.config.cluster import ClusterSettings
from kubecast.config.schedules import check_address


class Notices:
    """What a pipeline tells of.

    Attributes:
        nested: Whether failures are told of: the whole graph is then inside an exit handler.
    """

    def __init__(self, cluster: ClusterSettings, on_cluster: bool) -> None:
        """A local run tells nobody."""
        settings = cluster.notices if on_cluster else None
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
        """Everything inside is watched, if that is asked for."""
        if not self.nested:
            return nullcontext()
        task: Any = notify_failure(**self._arguments)
        task.set_caching_options(False)
        handler: AbstractContextManager[Any] = dsl.ExitHandler(task, name="run")
        return handler

    def of_success(self, evaluation: Any, version: Any) -> None:
        """The last task, if that is asked for; never cached, since each run is told of."""
        if self._success:
            task: Any = notify_success(evaluation=evaluation, version=version, **self._arguments)
            task.set_caching_options(False)
