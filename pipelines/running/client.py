"""Client of the Kubeflow Pipelines API: the few calls that kubecast makes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp_server_api
import urllib3

from kubecast.config.schedules import COOKIES_VARIABLE, TOKEN_VARIABLE
from kubecast.errors import ClusterError, ClusterForbidden, ClusterNotFound, ClusterUnreachable
from kubecast.pipelines.running.connection import Connection
from kubecast.pipelines.running.transport import refusal, why_silent

PAGE_SIZE = 100
LONGEST_MESSAGE = 400

_LOG_IN = f"set {TOKEN_VARIABLE}, --token-file or {COOKIES_VARIABLE}"
_REFUSALS = {
    401: f"it does not know the caller; {_LOG_IN}",
    403: "not allowed; set --namespace to a profile of yours, or ask for the role in it",
    404: "not found",
    409: "it exists, or somebody else changed it first",
    502: "bad gateway",
    503: "not ready",
    504: "gateway timed out",
}
_ADVICE: dict[type[Exception], str] = {
    urllib3.exceptions.NewConnectionError: "; is the address right, and the port forwarded?",
    urllib3.exceptions.TimeoutError: "; the request may have been carried out all the same",
    urllib3.exceptions.SSLError: "; set cluster.connection.ca_file",
}


@dataclass(frozen=True)
class Health:
    """Health and version of Kubeflow Pipelines, as it reports them to anybody.

    Attributes:
        version: E.g. 2.17.0; empty where it names none.
        multi_user: Whether every call names a namespace; None where it does not say.
        ready: Whether its API server answers: its dashboard may answer alone.
    """

    version: str
    multi_user: bool | None
    ready: bool


class Client:
    """Kubeflow Pipelines, through the API client that is generated from its definition.

    Every method raises a ``ClusterError`` of one line, with no credential in it.
    """

    def __init__(self, connection: Connection):
        self.connection = connection
        self._api = connection.api()
        self._pipelines = kfp_server_api.PipelineServiceApi(self._api)
        self._uploads = kfp_server_api.PipelineUploadServiceApi(self._api)
        self._experiments = kfp_server_api.ExperimentServiceApi(self._api)
        self._runs = kfp_server_api.RunServiceApi(self._api)
        self._recurring = kfp_server_api.RecurringRunServiceApi(self._api)
        self._healthz = kfp_server_api.HealthzServiceApi(self._api)
        self._scope = {"namespace": connection.namespace} if connection.namespace else {}

    def health(self) -> Health:
        """Its version, and whether it has several users.

        The API server and the dashboard, which answers in its place, name the same things differently.
        """
        self._call("health", self._healthz.healthz_service_get_healthz)
        answer = _object(self._api.last_response.data) or {}
        multi_user = answer.get("multi_user", answer.get("apiServerMultiUser"))
        return Health(
            version=str(answer.get("tag_name") or answer.get("apiServerTagName") or ""),
            multi_user=multi_user if isinstance(multi_user, bool) else None,
            ready=answer.get("apiServerReady") is not False,
        )

    def find_pipeline(self, name: str) -> str | None:
        """The id of a pipeline, or None."""
        try:
            pipeline = self._call(
                f"pipeline {name}",
                self._pipelines.pipeline_service_get_pipeline_by_name,
                name=name,
                **self._scope,
            )
        except ClusterNotFound:
            return None
        return str(pipeline.pipeline_id)

    def create_pipeline(self, name: str) -> str:
        """Make a pipeline that has no version yet, and return its id."""
        body = kfp_server_api.V2beta1Pipeline(display_name=name, **self._scope)
        made = self._call(
            f"create pipeline {name}", self._pipelines.pipeline_service_create_pipeline, pipeline=body
        )
        return str(made.pipeline_id)

    def find_version(self, pipeline_id: str, name: str) -> str | None:
        """The id of a pipeline's version, or None."""
        pages = self._pages(
            f"version {name}",
            "pipeline_versions",
            self._pipelines.pipeline_service_list_pipeline_versions,
            pipeline_id=pipeline_id,
            filter=_named(name),
        )
        return next((str(version.pipeline_version_id) for version in pages), None)

    def upload_version(self, pipeline_id: str, name: str, compiled: Path) -> str:
        """Add a compiled file to a pipeline, and return the version's id."""
        made = self._call(
            f"upload version {name}",
            self._uploads.upload_pipeline_version,
            uploadfile=str(compiled),
            name=name,
            pipelineid=pipeline_id,
        )
        return str(made.pipeline_version_id)

    def version(self, pipeline_id: str, version_id: str) -> Any:
        """A ``V2beta1PipelineVersion``, with the compiled file as its ``pipeline_spec``."""
        return self._call(
            f"pipeline version {version_id}",
            self._pipelines.pipeline_service_get_pipeline_version,
            pipeline_id=pipeline_id,
            pipeline_version_id=version_id,
        )

    def version_name(self, pipeline_id: str, version_id: str) -> str:
        """The name of a pipeline's version."""
        return str(self.version(pipeline_id, version_id).display_name)

    def pipeline_name(self, pipeline_id: str) -> str:
        """The name of a pipeline."""
        pipeline = self._call(
            f"pipeline {pipeline_id}",
            self._pipelines.pipeline_service_get_pipeline,
            pipeline_id=pipeline_id,
        )
        return str(pipeline.display_name)

    def experiment_name(self, experiment_id: str) -> str:
        """The name of an experiment."""
        experiment = self._call(
            f"experiment {experiment_id}",
            self._experiments.experiment_service_get_experiment,
            experiment_id=experiment_id,
        )
        return str(experiment.display_name)

    def find_experiment(self, name: str) -> str | None:
        """The id of an experiment, or None."""
        pages = self._pages(
            f"experiment {name}",
            "experiments",
            self._experiments.experiment_service_list_experiments,
            filter=_named(name),
            **self._scope,
        )
        return next((str(experiment.experiment_id) for experiment in pages), None)

    def create_experiment(self, name: str) -> str:
        """Make an experiment, and return its id."""
        body = kfp_server_api.V2beta1Experiment(display_name=name, **self._scope)
        made = self._call(
            f"create experiment {name}",
            self._experiments.experiment_service_create_experiment,
            experiment=body,
        )
        return str(made.experiment_id)

    def create_run(self, run: Any) -> str:
        """Start a ``V2beta1Run``, and return its id."""
        made = self._call(f"create run {run.display_name}", self._runs.run_service_create_run, run=run)
        return str(made.run_id)

    def run(self, run_id: str) -> Any:
        """A ``V2beta1Run`` as it is now."""
        return self._call(f"run {run_id}", self._runs.run_service_get_run, run_id=run_id)

    def recurring_runs(self, name: str | None = None) -> list[Any]:
        """Every ``V2beta1RecurringRun``, or those of one name, which need not be unique."""
        pages = self._pages(
            "recurring runs",
            "recurring_runs",
            self._recurring.recurring_run_service_list_recurring_runs,
            **({"filter": _named(name)} if name else {}),
            **self._scope,
        )
        return list(pages)

    def create_recurring_run(self, recurring: Any) -> str:
        """Make a ``V2beta1RecurringRun``, and return its id."""
        made = self._call(
            f"create recurring run {recurring.display_name}",
            self._recurring.recurring_run_service_create_recurring_run,
            recurring_run=recurring,
        )
        return str(made.recurring_run_id)

    def delete_recurring_run(self, recurring_run_id: str) -> None:
        """Delete a recurring run, if it is still there; the runs that it started go on."""
        try:
            self._call(
                f"delete recurring run {recurring_run_id}",
                self._recurring.recurring_run_service_delete_recurring_run,
                recurring_run_id=recurring_run_id,
                propagation_policy=kfp_server_api.V2beta1DeletePropagationPolicy.ORPHAN,
            )
        except ClusterNotFound:
            return

    def switch_recurring_run(self, recurring_run_id: str, enabled: bool) -> None:
        """Let a recurring run start runs, or not."""
        api = self._recurring
        switch = (
            api.recurring_run_service_enable_recurring_run
            if enabled
            else api.recurring_run_service_disable_recurring_run
        )
        doing = f"{'enable' if enabled else 'disable'} recurring run {recurring_run_id}"
        self._call(doing, switch, recurring_run_id=recurring_run_id)

    def run_link(self, run_id: str) -> str:
        """The address of a run's page in the dashboard."""
        return f"{self.connection.dashboard}/#/runs/details/{run_id}"

    def _pages(self, doing: str, items: str, method: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
        token = ""
        while True:
            page = self._call(doing, method, page_size=PAGE_SIZE, page_token=token, **arguments)
            yield from getattr(page, items) or []
            token = page.next_page_token
            if not token:
                return

    def _call(self, doing: str, method: Callable[..., Any], **arguments: Any) -> Any:
        timeout = (self.connection.timeout, self.connection.timeout)
        try:
            answer = method(**arguments, _request_timeout=timeout)
        except kfp_server_api.ApiException as error:
            raise self._refusal(doing, error) from None  # its text holds headers
        except urllib3.exceptions.HTTPError as error:
            raise self._silence(doing, error) from None
        except (kfp_server_api.OpenApiException, ValueError, TypeError, AttributeError):
            raise self._foreign(doing) from None
        if _object(self._api.last_response.data) is None:  # the generated client makes an empty answer of it
            raise self._foreign(doing)
        return answer

    def _refusal(self, doing: str, error: Any) -> ClusterError:
        if 300 <= error.status < 400:
            return ClusterForbidden(f"{self._where(doing)}: it sends to a page to log in on; {_LOG_IN}")
        said = _message(error.body)
        if error.status == 404 and said is None:
            return self._foreign(doing)
        parts = (f"{error.status} {_REFUSALS.get(error.status, error.reason or '')}", said)
        message = self._without_secrets(": ".join(part for part in parts if part))
        return refusal(error.status)(f"{self._where(doing)}: {message}")

    def _silence(self, doing: str, error: Exception) -> ClusterUnreachable:
        why = why_silent(error, self.connection.timeout, _ADVICE)
        return ClusterUnreachable(f"{self._where(doing)}: {why}")

    def _foreign(self, doing: str) -> ClusterError:
        return ClusterError(
            f"{self._where(doing)}: what answers is not the API of Kubeflow Pipelines; check --host,"
            f" or {_LOG_IN}"
        )

    def _where(self, doing: str) -> str:
        namespace = f", namespace {self.connection.namespace}" if self.connection.namespace else ""
        return f"{doing} ({self.connection.host}{namespace})"

    def _without_secrets(self, text: str) -> str:
        for secret in (self._api.configuration.api_key.get("authorization"), self._api.cookie):
            text = text.replace(secret, "***") if secret else text
        return text


def ensure(find: Callable[[], str | None], create: Callable[[], str]) -> str:
    """The id that ``find`` returns, else that of ``create``, else of what somebody else created first."""
    if existing := find():
        return existing
    try:
        return create()
    except ClusterError:  # servers answer 409 or, older ones, 500 where it exists by now
        if existing := find():
            return existing
        raise


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "display_name", "string_value": name}
    return json.dumps({"predicates": [predicate]})


def _message(body: str | None) -> str | None:
    """The API's message of an error in one line, or None where the body is not the API's."""
    answer = _object(body or "") or {}
    text = next((answer[key] for key in ("message", "error_message", "error") if answer.get(key)), None)
    return " ".join(str(text).split())[:LONGEST_MESSAGE] if text else None


def _object(body: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
