"""The API of Kubernetes over real HTTP, for tests: objects by path, pages, rights, logs, deleting.

Its errors are ``Status`` objects, worded as the API server words them.
"""

import json
import re
import urllib.parse
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from kubecast.pipelines.running.kubernetes import Kubernetes
from tests.support.servers.threaded import ThreadedServer

USER = "system:serviceaccount:team-a:alice"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class KubernetesApi(ThreadedServer):
    """An API server on a port of its own; use it in a `with` statement.

    Attributes:
        objects: By path; a list under a path without an object of its own: whatever lies one level below.
        logs: By pod and container.
        forbidden: Patterns of `VERB PATH`, e.g. `list .*/pods`, that the caller may not do.
        accounts_forbidden: Those that the service accounts may not do, about whom the caller asks.
        failures: Patterns of `VERB PATH` with the status that is answered, or None for no answer at all.
        requests: Each `VERB PATH?QUERY` that came in, in order.
        page_limit: Most items of a page.
        token: The bearer token that requests need; empty: none.
    """

    def __init__(self) -> None:
        super().__init__(_handler(self))
        self.objects: dict[str, dict[str, Any]] = {}
        self.logs: dict[tuple[str, str], str] = {}
        self.forbidden: list[str] = []
        self.accounts_forbidden: list[str] = []
        self.failures: dict[str, int | None] = {}
        self.requests: list[str] = []
        self.page_limit = 2
        self.token = ""

    def add(self, path: str, *objects: dict[str, Any]) -> None:
        """Put objects under the path of their list."""
        for each in objects:
            self.objects[f"{path}/{each['metadata']['name']}"] = each

    def connect(self, namespace: str = "team-a", timeout: float = 5.0) -> Kubernetes:
        """A client of it."""
        configuration = client.Configuration(host=self.host)
        if self.token:
            configuration.api_key["authorization"] = f"Bearer {self.token}"
        return Kubernetes(client.ApiClient(configuration), namespace, timeout)

    def kubeconfig(self, file: Path, namespace: str = "team-a", context: str = "lab") -> Path:
        """Write a kubeconfig whose current context is this server's."""
        place = {"cluster": "c", "user": "u", "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context,
            "contexts": [{"name": context, "context": place}],
            "clusters": [{"name": "c", "cluster": {"server": self.host}}],
            "users": [{"name": "u", "user": {"token": self.token} if self.token else {}}],
        }
        file.write_text(yaml.safe_dump(content))
        return file

    def answer(self, method: str, target: str, token: str, body: Any) -> tuple[int, str] | None:
        """Status and body; None for no answer at all."""
        url = urllib.parse.urlsplit(target)
        path, query = url.path, dict(urllib.parse.parse_qsl(url.query))
        name = path in self.objects or path.endswith("/log")
        verb = {"POST": "create", "DELETE": "delete"}.get(method, "get" if name else "list")
        self.requests.append(f"{verb} {urllib.parse.unquote(target)}")
        for pattern, status in self.failures.items():
            if re.fullmatch(pattern, f"{verb} {path}"):
                return (status, _status(status, "the server is not ready")) if status else None
        if self.token and token != f"Bearer {self.token}":
            return 401, _status(401, "Unauthorized")
        if path == REVIEWS:
            return 201, json.dumps({**body, "status": {"allowed": _allows(body, self.forbidden)}})
        if self._forbids(f"{verb} {path}") or self._forbids(f"get {path}"):
            return 403, _status(403, _refusal(verb, path))
        if path.endswith("/localsubjectaccessreviews"):
            return 201, json.dumps({**body, "status": {"allowed": _allows(body, self.accounts_forbidden)}})
        if method == "DELETE" and path in self.objects:
            del self.objects[path]
            return 200, json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Success"})
        return self._read(path, query)

    def wait(self) -> None:
        """Return when the server closes."""
        self.closing.wait()

    def _forbids(self, line: str) -> bool:
        return _matches_any(self.forbidden, line)

    def _read(self, path: str, query: dict[str, str]) -> tuple[int, str]:
        if match := re.fullmatch(r"/api/v1/namespaces/[^/]+/pods/([^/]+)/log", path):
            text = self.logs.get((match[1], query["container"]))
            if text is None:
                return 404, _status(404, f'pods "{match[1]}" not found')
            return 200, "".join(text.splitlines(keepends=True)[-int(query["tailLines"]) :])
        if path in self.objects:
            return 200, json.dumps(self.objects[path])
        items = [each for at, each in self.objects.items() if at.rpartition("/")[0] == path]
        items = [each for each in items if _matches(each, query)]
        in_namespace = "/" in path.partition("/namespaces/")[2].partition("/")[2]
        if not items and (in_namespace or re.fullmatch("/api/v1/(namespaces|nodes)/[^/]+", path)):
            *_, resource, name = path.split("/")
            return 404, _status(404, f'{resource} "{name}" not found')
        first = int(query.get("continue", 0))
        last = first + min(self.page_limit, int(query.get("limit", self.page_limit)))
        metadata = {"continue": str(last)} if last < len(items) else {}
        return 200, json.dumps({"kind": "List", "metadata": metadata, "items": items[first:last]})


def _matches_any(patterns: list[str], line: str) -> bool:
    return any(re.fullmatch(pattern, line) for pattern in patterns)


def _allows(review: dict[str, Any], forbidden: list[str]) -> bool:
    attributes = review["spec"]["resourceAttributes"]
    root = f"/apis/{attributes['group']}/v1" if attributes.get("group") else "/api/v1"
    place = f"/namespaces/{attributes['namespace']}" if attributes.get("namespace") else ""
    path = f"{root}{place}/{attributes['resource']}"
    if attributes.get("subresource"):
        path += f"/any/{attributes['subresource']}"
    return not _matches_any(forbidden, f"{attributes['verb']} {path}")


def _matches(item: dict[str, Any], query: dict[str, str]) -> bool:
    labels = item["metadata"].get("labels", {})
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = term.partition("=")
        if labels.get(key) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        key, _, value = term.partition("=")
        actual: Any = item
        for part in key.split("."):
            actual = (actual or {}).get(part)
        if actual != value:
            return False
    return True


def _refusal(verb: str, path: str) -> str:
    """As RBAC words it."""
    group = match[1] if (match := re.match(r"/apis/([^/]+)/", path)) else ""
    namespace, _, rest = path.partition("/namespaces/")[2].partition("/")
    parts = (rest or path.rpartition("/")[2]).split("/")
    resource = "/".join(parts[::2]) if len(parts) > 2 else parts[0]
    scope = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    name = f' "{parts[1]}"' if len(parts) > 1 else ""
    full = parts[0] + (f".{group}" if group else "")
    return (
        f'{full}{name} is forbidden: User "{USER}" cannot {verb} resource "{resource}"'
        f' in API group "{group}" {scope}'
    )


def _status(code: int, message: str) -> str:
    reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound"}
    return json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reasons.get(code, "ServiceUnavailable"),
            "details": {},
            "code": code,
        }
    )


def _handler(api: KubernetesApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            token = self.headers.get("Authorization", "")
            answer = api.answer(self.command, self.path, token, json.loads(raw) if raw else None)
            self.close_connection = True
            if answer is None:
                api.wait()
                return
            status, body = answer
            self.send_response(status)
            plain = self.path.partition("?")[0].endswith("/log") and status == 200
            self.send_header("Content-Type", "text/plain" if plain else "application/json")
            self.send_header("Content-Length", str(len(body.encode())))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  http.server's names

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    return Handler
