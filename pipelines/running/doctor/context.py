"""Context of the checks: the settings, Kubeflow Pipelines and the API server of Kubernetes."""

from functools import cached_property
from typing import Any

from kubecast.errors import ClusterError, ClusterForbidden, ClusterNotFound, ConfigError, KubecastError
from kubecast.pipelines.running.client import Client, Health
from kubecast.pipelines.running.connection import connect
from kubecast.pipelines.running.defaults import account_of, namespace_of
from kubecast.pipelines.running.doctor.findings import NotKnown
from kubecast.pipelines.running.kubernetes import Kubernetes
from kubecast.settings.loading import AllSettings

_ROOTS = {"networkpolicies": "/apis/networking.k8s.io/v1"}  # others: the core's


class Context:
    """Settings and clients that every check is given.

    Attributes:
        settings: With the options that say how the cluster is reached on top.
        namespace: Of the runs.
    """

    def __init__(
        self, settings: AllSettings, kfp: Client | KubecastError, kubernetes: Kubernetes | ClusterError
    ) -> None:
        """Take what is reached or, in its place, why it is not."""
        self.settings = settings
        self.namespace = namespace_of(settings.cluster.connection)
        self._kfp, self._kubernetes = kfp, kubernetes
        self._answers: dict[str, dict[str, Any] | None] = {}

    @classmethod
    def connect(cls, settings: AllSettings) -> "Context":
        """Reach both, by the settings, the environment and the kubeconfig.

        Raises:
            ConfigError: How Kubeflow Pipelines is reached is set, and cannot be used.
        """
        connection = settings.cluster.connection
        kfp: Client | KubecastError
        kubernetes: Kubernetes | ClusterError
        try:
            kfp = Client(connect(connection))
        except ConfigError as error:
            if connection.host:
                raise
            kfp = error
        try:
            kubernetes = Kubernetes.connect(connection.context)
            kubernetes.get("/version")
        except ClusterError as error:
            kubernetes = error
        return cls(settings, kfp, kubernetes)

    @property
    def kfp(self) -> Client:
        """Kubeflow Pipelines.

        Raises:
            KubecastError: There is no address, or it cannot be used.
        """
        if isinstance(self._kfp, KubecastError):
            raise self._kfp
        return self._kfp

    @property
    def kubernetes(self) -> Kubernetes:
        """The API server of Kubernetes.

        Raises:
            NotKnown: It is not reached.
        """
        if isinstance(self._kubernetes, ClusterError):
            raise NotKnown("the API server of Kubernetes is not reached")
        return self._kubernetes

    @property
    def kubernetes_error(self) -> str:
        """Why the API server of Kubernetes is not reached; empty where it is."""
        return str(self._kubernetes) if isinstance(self._kubernetes, ClusterError) else ""

    @cached_property
    def answer(self) -> Health | KubecastError:
        """The health of Kubeflow Pipelines, requested once, or why it does not answer."""
        try:
            return self.kfp.health()
        except KubecastError as error:
            return error

    @property
    def health(self) -> Health:
        """The health of Kubeflow Pipelines.

        Raises:
            NotKnown: It is not reached.
        """
        if isinstance(self.answer, KubecastError):
            raise NotKnown("Kubeflow Pipelines is not reached")
        return self.answer

    @property
    def multi_user(self) -> bool | None:
        """Whether Kubeflow Pipelines has several users; None where that is not known."""
        return self.answer.multi_user if isinstance(self.answer, Health) else None

    @property
    def account(self) -> str:
        """The service account of the runs' pods."""
        return account_of(self.settings.cluster.connection, self.multi_user)

    @cached_property
    def namespace_labels(self) -> dict[str, str]:
        """The labels of the namespace.

        Raises:
            NotKnown: There is no such namespace, or this user may not read it.
        """
        namespace = self.get("namespaces", self.namespace, namespace="")
        if namespace is None:
            raise NotKnown(f"there is no namespace {self.namespace}")
        return dict(namespace["metadata"].get("labels") or {})

    def get(self, resource: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        """An object, or None where there is none of that name.

        Args:
            resource: Its plural.
            name: Its name.
            namespace: Default: that of the runs; empty: it is in none.

        Raises:
            NotKnown: This user may not read it, or the API server does not answer.
        """
        scope, option = self._scope(namespace)
        try:
            return self.read(f"{_root(resource)}{scope}/{resource}/{name}")
        except ClusterForbidden as error:
            raise NotKnown(str(error), _ask_somebody(f"kubectl{option} get {resource} {name}")) from None

    def read(self, path: str) -> dict[str, Any] | None:
        """What the API server has at a path, requested once; None where it has nothing there.

        Raises:
            NotKnown: The API server is not reached.
        """
        if path not in self._answers:
            try:
                self._answers[path] = self.kubernetes.get(path)
            except ClusterNotFound:
                self._answers[path] = None
        return self._answers[path]

    def list(self, resource: str, namespace: str | None = None) -> list[dict[str, Any]]:
        """Every object of a kind.

        Raises:
            NotKnown: This user may not list them, or the API server does not answer.
        """
        scope, option = self._scope(namespace)
        try:
            return self.kubernetes.list(f"{_root(resource)}{scope}/{resource}")
        except ClusterForbidden as error:
            raise NotKnown(str(error), _ask_somebody(f"kubectl{option} get {resource}")) from None

    def _scope(self, namespace: str | None) -> tuple[str, str]:
        name = self.namespace if namespace is None else namespace
        return (f"/namespaces/{name}", f" --namespace {name}") if name else ("", "")


def _root(resource: str) -> str:
    return _ROOTS.get(resource, "/api/v1")


def _ask_somebody(command: str) -> str:
    return f"ask somebody who may: {command}"
