"""The rights that a search by Katib needs: those that `kubecast doctor` asks for, and that the Role has."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from kmock import KubernetesEmulator, Request

from kubecast.pipelines.running.doctor.katib import RIGHTS, ROLE
from kubecast.tuning.katib import Running
from tests.support.katib import EVENTS, NAMESPACE, WORKFLOWS, end, ended, plan, searched

pytestmark = pytest.mark.slow

MANIFEST = Path(__file__).parents[3] / "manifests/components/katib/accounts.yaml"


@pytest.mark.asyncio
async def test_rights_that_doctor_asks_for_are_those_that_a_search_uses(
    kmock: KubernetesEmulator, running: Running
) -> None:
    kmock.objects[WORKFLOWS, NAMESPACE, "w-1"] = {"metadata": {"name": "w-1", "uid": "u-1"}}
    running = Running(running.api, NAMESPACE, replace(plan(), workflow="w-1"))
    listed = kmock["get", EVENTS]
    await asyncio.gather(
        searched(running), end(kmock, ended("Succeeded", "ExperimentMaxTrialsReached"), lambda: list(listed))
    )
    await asyncio.to_thread(running.delete)
    assert {right_of(request) for request in kmock} == set(RIGHTS)


def right_of(request: Request) -> tuple[str, str, str, str]:
    """As the API server authorises it; of ConfigMaps alone the name is always the same."""
    assert request.resource is not None
    verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(request.method.value, "")
    if not verb:
        verb = "watch" if "watch" in request.params else "get" if request.name else "list"
    plural, group = str(request.resource.plural), str(request.resource.group)
    return verb, plural, group, str(request.name) if plural == "configmaps" else ""


def test_role_of_the_manifests_has_these_rights() -> None:
    documents = yaml.safe_load_all(MANIFEST.read_text())
    [role] = [each for each in documents if each["kind"] == "Role"]
    assert role["metadata"]["name"] == ROLE
    for verb, resource, group, name in RIGHTS:
        assert any(
            group in rule["apiGroups"]
            and resource in rule["resources"]
            and verb in rule["verbs"]
            and rule.get("resourceNames", [""]) == [name]
            for rule in role["rules"]
        ), (verb, resource)
