"""Kubeflow Pipelines' v2beta1 REST API over real HTTP, kept in memory, for tests.

Bodies are read and written with the models of `kfp_server_api`: what those do not have is refused. It behaves
as the API server does where that matters: names of pipelines, versions and experiments are unique, those of
recurring runs are not; lists come in pages; times have whole seconds; deleting a recurring run ends its runs
unless they are orphaned; with several users a namespace is asked for.
"""

import email
import email.policy
import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import kfp_server_api as kfp
import yaml

NOW = datetime(2026, 11, 23, 2, 0, 0, tzinfo=UTC)
PREFIX = "/apis/v2beta1"

_API = kfp.ApiClient(kfp.Configuration())


@dataclass(frozen=True)
class Request:
    """What came in; `form` is the file of an upload."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    form: bytes = b""

    @property
    def line(self) -> str:
        """The method and the path below the API's own."""
        return f"{self.method} {self.path.removeprefix(PREFIX)}"


@dataclass
class Failure:
    """An answer that is given in place of the real one, `times` times; no status: no answer at all.

    `done`: what was asked for is done all the same.
    """

    line: str
    status: int | None
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1_000_000
    done: bool = False


class RefusedError(Exception):
    """An error of the API."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class KfpApi:
    """One API server on a port of its own; use it in a `with` statement.

    Attributes:
        requests: All that came in, in order.
        failures: What is answered in place of the real thing.
        script: Successive answers for a run, of each run; the last one stays.
        page_limit: Most items of a page, however many are asked for.
        token: The bearer token that is asked for; empty: none.
        namespaces: With several users, those that the caller may use; empty: a single user.
        before: Called with each request before it is answered, outside of any lock.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.failures: list[Failure] = []
        self.script: list[dict[str, Any]] = []
        self.page_limit = 2
        self.token = ""
        self.namespaces: set[str] = set()
        self.before: Callable[[Request], None] = lambda request: None
        self.pipelines: dict[str, Any] = {}
        self.versions: dict[str, Any] = {}
        self.experiments: dict[str, Any] = {}
        self.runs: dict[str, Any] = {}
        self.recurring: dict[str, Any] = {}
        self._polls: dict[str, int] = {}
        self._made = 0
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "KfpApi":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def host(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, line: str, status: int | None, message: str = "", times: int = 1_000_000) -> None:
        """Answer requests whose line matches a pattern with an error of the API."""
        self.failures.append(Failure(line, status, _error(status or 0, message), times=times))

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
        self._closing.wait()
        return None

    def _answer(self, request: Request) -> tuple[int, str, str, dict[str, str]]:
        try:
            self._authorise(request)
            found = self._route(request)
        except RefusedError as error:
            return error.status, "application/json", _error(error.status, str(error)), {}
        return 200, "application/json", json.dumps(_API.sanitize_for_serialization(found)), {}

    def _authorise(self, request: Request) -> None:
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            raise RefusedError(401, f"no user for {request.headers.get('authorization')}")
        namespace = request.query.get("namespace") or (request.body or {}).get("namespace")
        if self.namespaces and namespace and namespace not in self.namespaces:
            raise RefusedError(403, f"User is not authorized with reason: namespace {namespace}")

    def _route(self, request: Request) -> Any:
        for pattern, act in _ROUTES:
            if found := re.fullmatch(pattern, request.line):
                return act(self, request, *found.groups())
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
        key = (body.display_name, body.namespace)
        if any((each.display_name, each.namespace) == key for each in self.pipelines.values()):
            raise RefusedError(409, f"the name {body.display_name} already exists")
        body.pipeline_id, body.created_at = self._id("pipeline"), NOW
        return self.pipelines.setdefault(body.pipeline_id, body)

    def upload_version(self, request: Request) -> Any:
        query = request.query
        if query["pipelineid"] not in self.pipelines:
            raise RefusedError(400, "no such pipeline")
        spec, *platform = yaml.safe_load_all(request.form)
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
            raise RefusedError(409, "Failed to create a pipeline version")
        return self.versions.setdefault(body.pipeline_version_id, body)

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
        self._needs_namespace(body.namespace)
        if any(each.display_name == body.display_name for each in self.experiments.values()):
            raise RefusedError(409, f"experiment {body.display_name} already exists")
        body.experiment_id, body.created_at = self._id("experiment"), NOW
        return self.experiments.setdefault(body.experiment_id, body)

    def create_run(self, request: Request) -> Any:
        body = _read(request.body, "V2beta1Run")
        _get(self.experiments, body.experiment_id, "experiment")
        _get(self.versions, body.pipeline_version_reference.pipeline_version_id, "pipeline version")
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

    def list_recurring(self, request: Request) -> Any:
        self._needs_namespace(request.query.get("namespace"))
        items = list(self.recurring.values())
        return self._page(request, "recurring_runs", kfp.V2beta1ListRecurringRunsResponse, items)

    def create_recurring(self, request: Request) -> Any:
        body = _read(request.body, "V2beta1RecurringRun")
        if not 1 <= int(body.max_concurrency) <= 10:
            raise RefusedError(400, "The max concurrency of the recurring run is out of range")
        body.namespace = _get(self.experiments, body.experiment_id, "experiment").namespace
        body.recurring_run_id, body.created_at = self._id("recurring"), NOW
        body.status = "ENABLED" if body.mode == "ENABLE" else "DISABLED"
        return self.recurring.setdefault(body.recurring_run_id, body)

    def delete_recurring(self, request: Request, recurring: str) -> Any:
        _get(self.recurring, recurring, "recurring run")
        del self.recurring[recurring]
        if request.query.get("propagation_policy") != "ORPHAN":
            for run in self.runs.values():
                run.state = "CANCELED" if run.recurring_run_id == recurring else run.state
        return {}

    def switch_recurring(self, request: Request, recurring: str, mode: str) -> Any:
        found = _get(self.recurring, recurring, "recurring run")
        found.mode, found.status = mode.upper(), f"{mode.upper()}D"
        return {}


_ROUTES: list[tuple[str, Callable[..., Any]]] = [
    (r"GET /pipelines/names/([^/]+)", KfpApi.pipeline_by_name),
    (r"POST /pipelines", KfpApi.create_pipeline),
    (r"POST /pipelines/upload_version", KfpApi.upload_version),
    (r"GET /pipelines/([^/]+)/versions", KfpApi.list_versions),
    (r"GET /pipelines/([^/]+)/versions/([^/]+)", KfpApi.version),
    (r"GET /experiments", KfpApi.list_experiments),
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


def _handler(api: KfpApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            answer = api.answer(self._request())
            self.close_connection = True
            if answer is None:
                return
            status, content_type, body, headers = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  http.server's names

        def _request(self) -> Request:
            url = urllib.parse.urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "")
            form = raw if kind.startswith("multipart/") else b""
            return Request(
                method=self.command,
                path=urllib.parse.unquote(url.path),
                query=dict(urllib.parse.parse_qsl(url.query)),
                body=json.loads(raw) if raw and not form else None,
                headers={name.lower(): value for name, value in self.headers.items()},
                form=_file(kind, form) if form else b"",
            )

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


def _file(kind: str, form: bytes) -> bytes:
    message = email.message_from_bytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + form, policy=email.policy.HTTP
    )
    part = next(part for part in message.iter_parts() if part.get_filename())
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


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


def _error(status: int, message: str) -> str:
    return json.dumps({"error": message, "code": status, "message": message, "details": []})
