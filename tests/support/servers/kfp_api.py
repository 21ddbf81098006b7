"""Kubeflow Pipelines' v2beta1 REST API over real HTTP, kept in memory, for tests.

Bodies are read and written with the models of `kfp_server_api`: what those do not have is refused. It behaves
as the API server does where that matters: names of pipelines, versions and experiments are unique, those of
recurring runs are not; lists come in pages; times have whole seconds; deleting a recurring run ends its runs
unless they are orphaned; with several users a namespace is required. What else it refuses, and what of that
was seen on a real server, is in `kfp_limits`.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import kfp_server_api as kfp
import yaml

from tests.support.servers import kfp_limits as limits
from tests.support.servers.kfp_http import Request, handler_of
from tests.support.servers.kfp_limits import RefusedError
from tests.support.servers.threaded import ThreadedServer

NOW = datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC)

_API = kfp.ApiClient(kfp.Configuration())


@dataclass
class Failure:
    """An answer that is given in place of the real one, `times` times; no status: no answer at all.

    `done`: the request is carried out all the same.
    """

    line: str
    status: int | None
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1_000_000
    done: bool = False


class KfpApi(ThreadedServer):
    """One API server on a port of its own; use it in a `with` statement.

    Attributes:
        requests: All that came in, in order.
        failures: What is answered in place of the real thing.
        script: Successive answers for a run, of each run; the last one stays.
        page_limit: Most items of a page, whatever the request's page size.
        token: The bearer token that requests need; empty: none.
        namespaces: With several users, those that the caller may use; empty: a single user.
        scheduled_workflows: Objects of Kubernetes, by the ids of their recurring runs: rows or not.
        before: Called with each request before it is answered, outside of any lock.
        health: What is said of the server to anybody.
    """

    def __init__(self) -> None:
        super().__init__(handler_of(self))
        self.requests: list[Request] = []
        self.failures: list[Failure] = []
        self.script: list[dict[str, Any]] = []
        self.page_limit = 2
        self.token = ""
        self.namespaces: set[str] = set()
        self.before: Callable[[Request], None] = lambda request: None
        self.health: dict[str, Any] = {
            "commit_sha": "unknown",
            "tag_name": "2.17.0",
            "multi_user": False,
            "pipeline_store": "database",
        }
        self.pipelines: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.experiments: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.recurring: dict[str, Any] = {}
        self.scheduled_workflows: dict[str, dict[str, Any]] = {}
        self._polls: dict[str, int] = {}
        self._made = 0
        self._lock = threading.RLock()

    def fail(self, line: str, status: int | None, message: str = "", times: int = 1_000_000) -> None:
        """Answer requests whose line matches a pattern with an error of the API."""
        body = limits.error_body(status or 0, message)
        self.failures.append(Failure(line, status, body, times=times))

    def lines(self, *methods: str) -> list[str]:
        """The requests' methods and paths, ids left out."""
        chosen = [each for each in self.requests if not methods or each.method in methods]
        return [re.sub(r"[a-z]+-\d+", "ID", each.line) for each in chosen]

    def answer(self, request: Request) -> tuple[int, str, str, dict[str, str]] | None:
        """Status, content type, body and headers; None for no answer at all."""
        with self._lock:
            self.requests.append(request)
        self.before(request)
        with self._lock:
            for failure in self.failures:
                if failure.times and re.search(failure.line, request.line):
                    failure.times -= 1
                    if failure.done:
                        self._answer(request)
                    if failure.status is None:
                        break
                    return failure.status, failure.content_type, failure.body, failure.headers
            else:
                return self._answer(request)
        self.closing.wait()
        return None

    def _answer(self, request: Request) -> tuple[int, str, str, dict[str, str]]:
        if request.line == "GET /healthz":  # written by hand there: it asks for no token and omits no default
            return 200, "application/json", json.dumps(self.health), {}
        try:
            self._authorise(request)
            document = self._route(request)
        except RefusedError as error:
            return error.status, "application/json", error.body, {}
        answer = limits.without_defaults(_API.sanitize_for_serialization(document))
        return 200, "application/json", json.dumps(answer), {}

    def _authorise(self, request: Request) -> None:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            raise RefusedError(401, f"no user for {request.headers.get('authorization')}")
        namespace = request.query.get("namespace") or (request.body or {}).get("namespace")
        if self.namespaces and namespace and namespace not in self.namespaces:
            raise RefusedError(403, f"User is not authorized with reason: namespace {namespace}")

    def _route(self, request: Request) -> Any:
        for pattern, act in _ROUTES:
            if match := re.fullmatch(pattern, request.line):
                return act(self, request, *match.groups())
        raise RefusedError(404, f"no route for {request.line}")

    def _id(self, kind: str) -> str:
        self._made += 1
        return f"{kind}-{self._made}"

    def _page(self, request: Request, key: str, kind: Any, items: list[Any]) -> Any:
        if namespace := request.query.get("namespace"):
            items = [item for item in items if item.namespace == namespace]
        after = request.query.get("page_token")
        identity = _ID[kind]
        items.sort(key=lambda item: _number(getattr(item, identity)))
        items = [item for item in items if not after or _number(getattr(item, identity)) > int(after)]
        page = items[: min(int(request.query["page_size"]), self.page_limit)]
        more = str(_number(getattr(page[-1], identity))) if len(page) < len(items) else ""
        # What the filter leaves out is missing in its page: whoever reads one page alone finds too little.
        page = [item for item in page if _matches(item, request.query.get("filter"))]
        return kind(**{key: page}, next_page_token=more)

    def _needs_namespace(self, namespace: str | None) -> None:
        if self.namespaces and not namespace:
            raise RefusedError(400, "namespace is empty in multi-user mode")

    def pipeline_by_name(self, request: Request, name: str) -> Any:
        for each in self.pipelines.values():
            if each.display_name == name and each.namespace == request.query.get("namespace"):
                return each
        raise RefusedError(404, f"pipeline {name} not found")

    def create_pipeline(self, request: Request) -> Any:
        body = _read(request.body, "V2beta1Pipeline")
        limits.check_name("Pipeline", body.display_name, 128)
        key = (body.display_name, body.namespace)
        if any((each.display_name, each.namespace) == key for each in self.pipelines.values()):
            raise RefusedError(409, f"the name {body.display_name} already exists")
        body.pipeline_id, body.created_at = self._id("pipeline"), NOW
        return self.pipelines.setdefault(body.pipeline_id, body)

    def upload_version(self, request: Request) -> Any:
        query = request.query
        if query["pipelineid"] not in self.pipelines:
            raise limits.upload_refused(400, "Failed to create a pipeline version")
        limits.check_name("PipelineVersion", query["name"], 127, 400)
        spec, *platform = yaml.safe_load_all(request.form)
        limits.check_pipeline(spec)
        body = kfp.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=self._id("version"),
            display_name=query["name"],
            pipeline_spec={"pipeline_spec": spec, "platform_spec": platform[0]} if platform else spec,
            created_at=NOW,
        )
        if any(
            (each.pipeline_id, each.display_name) == (body.pipeline_id, body.display_name)
            for each in self.versions.values()
        ):
            raise limits.upload_refused(409, "Failed to create a pipeline version")
        return self.versions.setdefault(body.pipeline_version_id, body)

    def pipeline(self, request: Request, pipeline: str) -> Any:
        return _get(self.pipelines, pipeline, "pipeline")

    def experiment(self, request: Request, experiment: str) -> Any:
        return _get(self.experiments, experiment, "experiment")

    def list_versions(self, request: Request, pipeline: str) -> Any:
        items = [each for each in self.versions.values() if each.pipeline_id == pipeline]
        return self._page(request, "pipeline_versions", kfp.V2beta1ListPipelineVersionsResponse, items)

    def version(self, request: Request, pipeline: str, version: str) -> Any:
        return _get(self.versions, version, "pipeline version")

    def list_experiments(self, request: Request) -> Any:
        self._needs_namespace(request.query.get("namespace"))
        items = list(self.experiments.values())
        return self._page(request, "experiments", kfp.V2beta1ListExperimentsResponse, items)

    def create_experiment(self, request: Request) -> Any:
        body = _read(request.body, "V2beta1Experiment")
        limits.check_name("Experiment", body.display_name, 128)
        limits.check_columns("Failed to add experiment", {"Description": body.description})
        self._needs_namespace(body.namespace)
        key = (body.display_name, body.namespace)
        if any((each.display_name, each.namespace) == key for each in self.experiments.values()):
            raise RefusedError(409, f"experiment {body.display_name} already exists")
        body.experiment_id, body.created_at = self._id("experiment"), NOW
        return self.experiments.setdefault(body.experiment_id, body)

    def create_run(self, request: Request) -> Any:
        body = _read(request.body, "V2beta1Run")
        if not body.display_name:
            raise RefusedError(500, "Invalid input error: Run name cannot be empty")
        _get(self.experiments, body.experiment_id, "experiment")
        self._check_parameters(body)
        columns = {"DisplayName": body.display_name, "Description": body.description}
        limits.check_columns(f"Failed to store run {body.display_name} to table", columns)
        body.run_id, body.created_at, body.state = self._id("run"), NOW, "PENDING"
        return self.runs.setdefault(body.run_id, body)

    def run(self, request: Request, run_id: str) -> Any:
        run = _get(self.runs, run_id, "run")
        if self.script:
            number = self._polls.get(run_id, 0)
            self._polls[run_id] = number + 1
            step = self.script[min(number, len(self.script) - 1)]
            return _API.sanitize_for_serialization(run) | step
        return run

    def _check_parameters(self, body: Any) -> None:
        reference = body.pipeline_version_reference
        version = _get(self.versions, reference.pipeline_version_id, "pipeline version")
        spec = version.pipeline_spec.get("pipeline_spec", version.pipeline_spec)
        given = (body.runtime_config and body.runtime_config.parameters) or {}
        limits.check_parameters(spec, given)

    def list_recurring(self, request: Request) -> Any:
        self._needs_namespace(request.query.get("namespace"))
        items = list(self.recurring.values())
        return self._page(request, "recurring_runs", kfp.V2beta1ListRecurringRunsResponse, items)

    def create_recurring(self, request: Request) -> Any:
        body = _read(request.body, "V2beta1RecurringRun")
        limits.check_recurring(body)
        self._check_parameters(body)
        body.service_account = body.service_account or (
            "default-editor" if self.namespaces else "pipeline-runner"
        )
        body.namespace = _get(self.experiments, body.experiment_id, "experiment").namespace
        body.recurring_run_id, body.created_at = self._id("recurring"), NOW
        body.status = "ENABLED" if body.mode == "ENABLE" else "DISABLED"
        made = limits.scheduled_workflow(body, body.namespace or "kubeflow")
        self.scheduled_workflows[body.recurring_run_id] = made
        stored = f"Failed to store job {body.display_name} to table"
        limits.check_columns(stored, limits.recurring_columns(body))
        return self.recurring.setdefault(body.recurring_run_id, body)

    def delete_recurring(self, request: Request, recurring: str) -> Any:
        _get(self.recurring, recurring, "recurring run")
        del self.recurring[recurring]
        self.scheduled_workflows.pop(recurring, None)
        if request.query.get("propagation_policy") != "ORPHAN":
            for run in self.runs.values():
                run.state = "CANCELED" if run.recurring_run_id == recurring else run.state
        return {}

    def switch_recurring(self, request: Request, recurring: str, mode: str) -> Any:
        run = _get(self.recurring, recurring, "recurring run")
        run.mode, run.status = mode.upper(), f"{mode.upper()}D"
        if made := self.scheduled_workflows.get(recurring):
            made["spec"]["enabled"] = mode == "enable"
        return {}


_ROUTES: list[tuple[str, Callable[..., Any]]] = [
    (r"GET /pipelines/names/([^/]+)", KfpApi.pipeline_by_name),
    (r"POST /pipelines", KfpApi.create_pipeline),
    (r"POST /pipelines/upload_version", KfpApi.upload_version),
    (r"GET /pipelines/([^/]+)", KfpApi.pipeline),
    (r"GET /pipelines/([^/]+)/versions", KfpApi.list_versions),
    (r"GET /pipelines/([^/]+)/versions/([^/]+)", KfpApi.version),
    (r"GET /experiments", KfpApi.list_experiments),
    (r"GET /experiments/([^/]+)", KfpApi.experiment),
    (r"POST /experiments", KfpApi.create_experiment),
    (r"POST /runs", KfpApi.create_run),
    (r"GET /runs/([^/]+)", KfpApi.run),
    (r"GET /recurringruns", KfpApi.list_recurring),
    (r"POST /recurringruns", KfpApi.create_recurring),
    (r"DELETE /recurringruns/([^/]+)", KfpApi.delete_recurring),
    (r"POST /recurringruns/([^/:]+):(enable|disable)", KfpApi.switch_recurring),
]
_ID = {
    kfp.V2beta1ListPipelineVersionsResponse: "pipeline_version_id",
    kfp.V2beta1ListExperimentsResponse: "experiment_id",
    kfp.V2beta1ListRecurringRunsResponse: "recurring_run_id",
}
"""What a page token goes by, as one that counted would skip items while others are deleted."""


def _number(identity: str) -> int:
    return int(identity.rpartition("-")[2])


def _read(body: Any, model: str) -> Any:
    """A body as a model of the API; a key that it does not have is refused, as the server does."""
    known = set(getattr(kfp, model).attribute_map.values())
    if unknown := body.keys() - known:
        raise RefusedError(400, f"unknown field {unknown}")

    class Response:
        data = json.dumps(body)

    return _API.deserialize(Response(), model)


def _get(items: dict[str, Any], key: str, what: str) -> Any:
    if key not in items:
        raise RefusedError(404, f"{what} {key} not found")
    return items[key]


def _matches(item: Any, text: str | None) -> bool:
    predicates: Iterator[dict[str, str]] = iter(json.loads(text)["predicates"] if text else [])
    for each in predicates:
        assert each["operation"] == "EQUALS"
        if getattr(item, each["key"]) != each["string_value"]:
            return False
    return True
