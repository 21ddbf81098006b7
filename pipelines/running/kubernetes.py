"""Client of the Kubernetes API: the few calls that kubecast makes; plain JSON goes in and out."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import urllib3
from kubernetes import client, config

from kubecast import api_server
from kubecast.errors import ClusterError, ClusterForbidden, ClusterNotFound, ClusterUnreachable
from kubecast.pipelines.running.transport import refusal, why_silent

TIMEOUT = 10.0  # seconds that one request may take
PAGE_SIZE = 500
CONNECT_TIMEOUT = 3.0  # of them until the connection stands: a kubeconfig may name a cluster that is gone
LONGEST_MESSAGE = 300
NOT_ALLOWED = "not allowed to "  # begins what is said of a missing right, not of missing credentials

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/[^/]+(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<subresource>[^/]+))?)?"
)
_VERBS = {"POST": "create", "DELETE": "delete", "PATCH": "patch", "PUT": "update"}


class Kubernetes:
    """The API server of a cluster, as the user of the kubeconfig or the pod's service account sees it.

    Every method raises a ``ClusterError`` of one line, with no credential in it:
    ``ClusterForbidden`` names verb, resource and namespace; ``ClusterNotFound`` and ``ClusterUnreachable``
    name the object.

    Args:
        api: With address and credentials.
        namespace: Where the caller works when it names none.
        timeout: Seconds that one request may take.

    Example:
        >>> cluster = Kubernetes.connect()  # doctest: +SKIP
        >>> cluster.list("/api/v1/namespaces/team-a/pods", labelSelector="a=b")  # doctest: +SKIP
    """

    def __init__(self, api: Any, namespace: str, timeout: float = TIMEOUT):
        self.namespace = namespace
        self._timeout = timeout
        # Callers have other sources, so that a server that is silent is not waited for.
        api.configuration.retries = urllib3.Retry(connect=1, read=0, redirect=0, other=0, backoff_factor=0.1)
        self._api = client.ApiClient(api.configuration)

    @classmethod
    def connect(cls, context: str | None = None, timeout: float = TIMEOUT) -> "Kubernetes":
        """Reach the pod's own cluster or, elsewhere, that of the kubeconfig.

        Args:
            context: Of the kubeconfig; default: the pod's own cluster, else the current context.
            timeout: Seconds that one request may take.

        Raises:
            ClusterUnreachable: There is neither, or it cannot be read.
        """
        return cls(*api_server.connect(context), timeout)

    @property
    def host(self) -> str:
        """The address of the API server."""
        return str(self._api.configuration.host)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """One object, or one page of a list.

        Args:
            path: From the root, e.g. ``/api/v1/namespaces/team-a/pods/p-1``.
            query: Parameters, e.g. ``labelSelector="a=b"``.
        """
        return self._json("GET", path, query)

    def list(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All items of a list, over its pages."""
        items: list[dict[str, Any]] = []
        query = {"limit": PAGE_SIZE, **query}
        while True:
            page = self._json("GET", path, query, verb="list")
            items += page.get("items") or []
            query["continue"] = page.get("metadata", {}).get("continue")
            if not query["continue"]:
                return items

    def delete(self, path: str) -> None:
        """Delete an object, if it is still there."""
        with suppress(ClusterNotFound):
            self._json("DELETE", path, {})

    def logs(self, namespace: str, pod: str, container: str, tail: int) -> str:
        """The last lines of a container's log."""
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        return self._text("GET", path, {"container": container, "tailLines": tail})

    def may(
        self, verb: str, resource: str, namespace: str, group: str = "", name: str = "", user: str = ""
    ) -> bool:
        """Whether the caller has a right (a ``SelfSubjectAccessReview``; everybody may ask), or another.

        Args:
            verb: E.g. ``get``.
            resource: Its plural, with ``/`` and a subresource where there is one, e.g. ``pods/log``.
            namespace: Empty for the whole cluster.
            group: Of the resource; empty for the core.
            name: One object; default: any.
            user: Whose right in the namespace, e.g. ``system:serviceaccount:team-a:kubecast-pipeline``;
                default: the caller's. Only an administrator of the namespace may ask for others.
        """
        resource, _, subresource = resource.partition("/")
        attributes = {
            "verb": verb,
            "resource": resource,
            "subresource": subresource,
            "namespace": namespace,
            "group": group,
            "name": name,
        }
        spec = {"resourceAttributes": {key: value for key, value in attributes.items() if value}}
        namespaced, kind = "", "SelfSubjectAccessReview"
        body: dict[str, Any] = {"apiVersion": "authorization.k8s.io/v1", "spec": spec}
        if user:
            namespaced, kind = f"/namespaces/{namespace}", "LocalSubjectAccessReview"
            body |= {"metadata": {"namespace": namespace}, "spec": {**spec, "user": user}}
        path = f"/apis/authorization.k8s.io/v1{namespaced}/{kind.lower()}s"
        review = self._json("POST", path, {}, {**body, "kind": kind})
        return bool(review.get("status", {}).get("allowed"))

    def _json(
        self, method: str, path: str, query: Mapping[str, Any], body: Any = None, verb: str = ""
    ) -> dict[str, Any]:
        text = self._text(method, path, query, body, verb)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ClusterError(f"{_doing(method, path, verb)}: {self.host} is not the API of Kubernetes")
        return answer

    def _text(
        self, method: str, path: str, query: Mapping[str, Any], body: Any = None, verb: str = ""
    ) -> str:
        doing = _doing(method, path, verb)
        try:
            answer, *_ = self._api.call_api(
                path,
                method,
                query_params=[(key, value) for key, value in query.items() if value not in (None, "")],
                header_params={"Accept": "application/json, */*"},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,  # a log need not be UTF-8
                _request_timeout=(min(CONNECT_TIMEOUT, self._timeout), self._timeout),
            )
            return str(answer.data.decode(errors="replace"))
        except client.ApiException as error:
            raise self._refusal(doing, error) from None  # its text holds headers
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._silence(doing, error) from None
        except (config.ConfigException, ValueError) as error:
            raise ClusterUnreachable(f"{doing} ({self.host}): {_one_line(str(error))}") from None

    def _refusal(self, doing: str, error: Any) -> ClusterError:
        if not error.status:  # what the client makes of a certificate
            return self._silence(doing, urllib3.exceptions.SSLError())
        said = _message(error.body)
        if error.status == 401:
            return ClusterForbidden(f"{doing}: {self.host} does not know the caller; log in to the cluster")
        if error.status == 403:
            return ClusterForbidden(f"{NOT_ALLOWED}{doing}{f': {said}' if said else ''}")
        if error.status == 404:
            return ClusterNotFound(f"{doing}: {said or 'not found'}")
        return refusal(error.status)(f"{doing} ({self.host}): {error.status} {said or error.reason or ''}")

    def _silence(self, doing: str, error: Exception) -> ClusterUnreachable:
        why = why_silent(error, self._timeout)
        return ClusterUnreachable(f"{doing}: the API server of Kubernetes ({self.host}): {why}")


def _doing(method: str, path: str, verb: str = "") -> str:
    """A request as the rules of a Role name it: ``list pods in namespace team-a``."""
    match = _PATH.fullmatch(path)
    if not match:
        return f"{verb or _VERBS.get(method, 'get')} {path}"
    resource = "/".join(part for part in (match["resource"], match["subresource"]) if part)
    resource += f".{match['group']}" if match["group"] else ""
    name = f" {match['name']}" if match["name"] else ""
    scope = f" in namespace {match['namespace']}" if match["namespace"] else ""
    return f"{verb or _VERBS.get(method, 'get')} {resource}{name}{scope}"


def _message(body: Any) -> str:
    """The message of a ``Status``; empty where the body is none."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        status = json.loads(text)
    except ValueError:
        return ""
    return _one_line(str(status.get("message") or "")) if isinstance(status, dict) else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:LONGEST_MESSAGE]
