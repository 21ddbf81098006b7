"""An API server of Kubernetes that kmock plays, for searches by Katib."""

import pytest
from kmock import KubernetesEmulator

from kubecast import retrying
from kubecast.tuning.heartbeat import CONFIG_MAP
from kubecast.tuning.katib import Running, client, waiting
from tests.support.katib import CONFIG_MAPS, NAMESPACE, RESOURCES, running_on


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAUSE", 0.01)
    monkeypatch.setattr(waiting, "PAUSE", 0.01)
    monkeypatch.setattr(waiting, "WATCHING", 1)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults are waited for, though not for long."""
    monkeypatch.setenv(retrying.VARIABLE, "2")
    monkeypatch.setattr(retrying, "LONGEST_PAUSE", 0.1)


@pytest.fixture
def running(kmock: KubernetesEmulator, quick: None) -> Running:
    for known in RESOURCES:
        kmock.resources[known] = {"namespaced": True}
    kmock.objects[CONFIG_MAPS, NAMESPACE, CONFIG_MAP] = {"metadata": {"name": CONFIG_MAP}}
    return running_on(str(kmock.url))
