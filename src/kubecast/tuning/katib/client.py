"""The API server as a search needs it: its Experiment and trials, and why none begins."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import urllib3
from kubernetes import client, watch
from kubernetes.client import ApiException

from kubecast import api_server
from kubecast.errors import ClusterError, TuningError, TuningUnavailable, one_line
from kubecast.retrying import PASSING, retry
from kubecast.tuning.heartbeat import ANNOTATION, CONFIG_MAP
from kubecast.tuning.katib.manifest import GROUP, VERSION
from kubecast.workflow import read_workflow

PAUSE = 2.0  # seconds: changes come in bursts
MANIFESTS = "manifests/components/katib has the Role"
_LOG = logging.getLogger(__name__)
_FAILED = ApiException, urllib3.exceptions.HTTPError


def connect() -> tuple[client.ApiClient, str]:
    """The API server, and the namespace to work in.

    Raises:
        TuningError: There is none.
    """
    try:
        return api_server.connect()
    except ClusterError as error:
        raise TuningError(f"tuner katib: {error}") from error


@dataclass
class Client:
    """The API server, for one Experiment.

    Attributes:
        api: Of the API server.
        namespace: Of the Experiment.
        name: Of the Experiment.
    """

    api: client.ApiClient
    namespace: str
    name: str
    _warned: set[str] = field(default_factory=set, init=False)

    @property
    def place(self) -> str:
        """The Experiment, for messages."""
        return f"experiment {self.name} in namespace {self.namespace}"

    def create(self, body: Mapping[str, Any]) -> bool:
        """Create the Experiment; False where there is one of its name."""
        create = partial(self._custom.create_namespaced_custom_object, *self._kind("experiments"), body)
        try:
            _retried(create)  # one whose answer is lost is there the next time
            return True
        except ApiException as error:
            if error.status != 409:
                raise self._explained(error, "create") from error
            return False

    def experiment(self) -> dict[str, Any] | None:
        """The Experiment; None where it is not there."""

        def get() -> dict[str, Any] | None:
            with _none_if_missing():
                experiment: dict[str, Any] = self._custom.get_namespaced_custom_object(*self._named)
                return experiment
            return None

        answer: dict[str, Any] | None = self._with_retries("get", get)
        return answer

    def delete(self) -> bool:
        """Delete the Experiment with its trials; False where it is left."""
        try:
            with _none_if_missing():
                self._custom.delete_namespaced_custom_object(*self._named)
            return True
        except _FAILED as error:
            command = f"kubectl delete experiment {self.name} -n {self.namespace}"
            _LOG.warning("the experiment goes on (%s); %s", type(error).__name__, command)
            return False

    def trials(self) -> list[dict[str, Any]]:
        """Every trial, in the order of their begin."""
        trials = self._with_retries(
            "list",
            lambda: self._custom.list_namespaced_custom_object(
                *self._kind("trials"), label_selector=self._label
            ),
        )
        return sorted(trials["items"], key=lambda trial: trial["metadata"].get("creationTimestamp") or "")

    def suggestion(self) -> dict[str, Any] | None:
        """The Suggestion, Katib's algorithm: its requests and its state; None where that cannot be known."""
        named = *self._kind("suggestions"), self.name
        with suppress(*_FAILED):
            suggestion: dict[str, Any] = self._custom.get_namespaced_custom_object(*named)
            return suggestion
        return None

    def pods(self) -> list[Any] | None:
        """Pods of the trials and of Katib's algorithm; None where they cannot be known."""
        with suppress(*_FAILED):
            pods: list[Any] = self._core.list_namespaced_pod(self.namespace, label_selector=self._label).items
            return pods
        return None

    def warnings(self) -> list[Any] | None:
        """The namespace's events of type Warning; None where they cannot be known."""
        with suppress(*_FAILED):
            answer = self._core.list_namespaced_event(self.namespace, field_selector="type=Warning")
            events: list[Any] = answer.items
            return events
        return None

    def owner(self, workflow: str) -> dict[str, Any] | None:
        """A reference to the run's Workflow, with which Kubernetes removes what it owns.

        Args:
            workflow: Its name; empty where there is none.
        """
        if not workflow:
            return None
        try:
            owner = read_workflow(self.api, self.namespace, workflow)
        except ClusterError as error:
            self._warn(f"{self.place} may outlive its run: {error}: {MANIFESTS}")
            return None
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Workflow",
            "name": workflow,
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": False,  # true needs a right to the Workflow's finalizers
        }

    def renew(self, time: str) -> str | None:
        """Renew the heartbeat: the Experiment's annotation.

        Returns:
            The Experiment's new version; None where it is as it was.
        """
        patch = {"metadata": {"annotations": {ANNOTATION: time}}}
        try:
            experiment = self._custom.patch_namespaced_custom_object(*self._named, patch)
        except _FAILED as error:
            self._warn_of("experiments of kubeflow.org", error)
            return None
        version: str | None = experiment["metadata"].get("resourceVersion")
        return version

    def publish(self, time: str | None) -> None:
        """Show trials the heartbeat; None: take it away."""
        try:
            self._core.patch_namespaced_config_map(CONFIG_MAP, self.namespace, {"data": {self.name: time}})
        except _FAILED as error:
            self._warn_of(f"ConfigMap {CONFIG_MAP}", error)

    def wait(self, version: str | None, seconds: int) -> None:
        """Until the Experiment changes, or so long; a watch that drops has waited long enough.

        The client raises ValueError where a stream ends inside a line, KeyError where an error has no reason.
        """
        since = {"resource_version": version} if version else {}
        with suppress(*_FAILED, ValueError, KeyError):
            changes = watch.Watch().stream(
                self._custom.list_namespaced_custom_object,
                *self._kind("experiments"),
                field_selector=f"metadata.name={self.name}",
                timeout_seconds=seconds,
                _request_timeout=seconds + 1,
                **since,
            )
            next(changes, None)
        time.sleep(PAUSE)

    @property
    def _custom(self) -> client.CustomObjectsApi:
        return client.CustomObjectsApi(self.api)

    @property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    @property
    def _label(self) -> str:
        return f"katib.kubeflow.org/experiment={self.name}"

    @property
    def _named(self) -> tuple[str, ...]:
        return *self._kind("experiments"), self.name

    def _kind(self, plural: str) -> tuple[str, ...]:
        return GROUP, VERSION, self.namespace, plural

    def _warn(self, message: str) -> None:
        """Once."""
        if message not in self._warned:
            self._warned.add(message)
            _LOG.warning("%s", message)

    def _warn_of(self, resource: str, error: Exception) -> None:
        """Warn of a heartbeat that could not be written, where that will last."""
        if isinstance(error, ApiException) and error.status in (403, 404):
            self._warn(
                f"trials of {self.name} cannot know when nobody waits: {_message(error)}; the task's service"
                f" account needs patch on {resource}: {MANIFESTS}"
            )

    def _with_retries(self, verb: str, call: Callable[[], Any]) -> Any:
        """Ask, again where the API server fails, and say what to do where it goes on failing."""
        try:
            return _retried(call)
        except ApiException as error:
            raise self._explained(error, verb) from error

    def _explained(self, error: ApiException, verb: str) -> TuningError:
        message = _message(error)
        if error.status == 403:
            cure = (
                "raise the ResourceQuota"
                if "quota" in message
                else f"the task's service account needs {verb} on experiments and trials of kubeflow.org:"
                f" {MANIFESTS}"
            )
            return TuningError(f"{self.place}: {message}; {cure}")
        if error.status == 404:
            return TuningError(
                f"{self.place}: the cluster has no Katib; install it, or let optuna be the tuner"
            )
        return TuningError(f"{self.place}: {error.status} {message}")


@contextmanager
def _none_if_missing() -> Iterator[None]:
    """Suppress a 404, and no other error."""
    try:
        yield
    except ApiException as error:
        if error.status != 404:
            raise


def _retried(call: Callable[[], Any]) -> Any:
    """Call the API server, again where it fails."""

    def once() -> Any:
        try:
            return call()
        except ApiException as error:
            if error.status not in PASSING:
                raise
            raise TuningUnavailable(
                f"tuner katib: the API server answers {error.status}: {_message(error)}"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            message = f"tuner katib: the API server cannot be reached ({type(error).__name__})"
            raise TuningUnavailable(message) from error

    return retry(once)


def _message(error: ApiException) -> str:
    with suppress(ValueError, TypeError, KeyError):
        return one_line(json.loads(error.body)["message"], 300)
    return str(error.reason)
