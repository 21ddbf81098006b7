"""What `kubectl kustomize` makes of every overlay."""

import json
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

KUBERNETES = ("1.32", "1.37")  # of clusters in use: the oldest and the newest
ROOT = Path(__file__).parents[2]
RENDERED = ROOT / os.environ.get("RENDERED", "output/manifests")
SCHEMAS = Path(__file__).parent / "schemas"
OVERLAYS = sorted(
    path.name
    for folder in ("manifests", "tests/manifests")
    for path in (ROOT / folder / "overlays").iterdir()
)
NAMESPACES = {
    "dev": "kubecast",
    "multi-user": "team-forecasting",
    "production": "kubecast",
    "standalone": "kubeflow",
    "store-keys": "kubecast",
}
SHARED = {"multi-user", "standalone"}  # whose namespace others own and use too
# What Kubeflow Pipelines makes in its own namespace and in Profiles, by Secret and key.
OF_KFP = {("mlpipeline-minio-artifact", "accesskey"), ("mlpipeline-minio-artifact", "secretkey")}
OWN_PODS = {"matchLabels": {"app.kubernetes.io/name": "kubecast"}}

KFP_EDIT = {
    "apiGroup": "rbac.authorization.k8s.io",
    "kind": "ClusterRole",
    "name": "kubeflow-pipelines-edit",
}

Object = dict[str, Any]


# --- what the network is open for -----------------------------------------------------------------------


def exists(key: str) -> Object:
    return {"matchExpressions": [{"key": key, "operator": "Exists"}]}


def elsewhere(namespace: str, key: str, value: str) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {key: value}},
    }


def tcp(*numbers: int) -> list[Object]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def egress(pods: Object, *rules: tuple[list[Object], list[Object]]) -> Object:
    return {
        "podSelector": pods,
        "policyTypes": ["Egress"],
        "egress": [{"to": peers, "ports": ports} for peers, ports in rules],
    }


def ingress(pods: Object, *rules: tuple[list[Object], list[Object]]) -> Object:
    return {
        "podSelector": pods,
        "policyTypes": ["Ingress"],
        "ingress": [{"from": peers, "ports": ports} for peers, ports in rules],
    }


RUNS = exists("workflows.argoproj.io/workflow")
TRIALS, SUGGESTIONS = exists("katib.kubeflow.org/trial"), exists("katib.kubeflow.org/suggestion")
WITH_STORE = {
    "matchExpressions": [
        {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["database", "object-store"]},
        {"key": "katib.kubeflow.org/suggestion", "operator": "DoesNotExist"},
    ]
}
DATABASE, SERVER = (
    {"app.kubernetes.io/name": "kubecast-postgres"},
    {"app.kubernetes.io/name": "kubecast-seaweedfs"},
)
DB_MANAGER = elsewhere("kubeflow", "katib.kubeflow.org/component", "db-manager")
API_SERVER: tuple[list[Object], list[Object]] = (
    [{"ipBlock": {"cidr": cidr}} for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")],
    tcp(443, 6443),
)
OUTSIDE: tuple[list[Object], list[Object]] = (
    [
        {
            "ipBlock": {
                "cidr": "0.0.0.0/0",
                "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"],
            }
        }
    ],
    tcp(443),
)
EVERYWHERE = {
    "default-deny": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    "dns": egress(
        {}, ([elsewhere("kube-system", "k8s-app", "kube-dns")], [{"protocol": "UDP", "port": 53}, *tcp(53)])
    ),
    "pipeline-to-kfp": egress(
        RUNS,
        ([elsewhere("kubeflow", "app", "ml-pipeline")], tcp(8888, 8887)),
        ([elsewhere("kubeflow", "component", "metadata-grpc-server")], tcp(8080)),
    ),
    "pipeline-to-api-server": egress(RUNS, API_SERVER),
    "object-store": egress(WITH_STORE, OUTSIDE),
    "katib-trials": egress(TRIALS, ([DB_MANAGER], tcp(6789)), ([{"podSelector": SUGGESTIONS}], tcp(6788))),
}
SEARCH = {
    "katib-suggestions": {
        **ingress(
            SUGGESTIONS,
            ([elsewhere("kubeflow", "katib.kubeflow.org/component", "controller")], tcp(6789, 6788)),
            ([{"podSelector": TRIALS}], tcp(6788)),
        ),
        "egress": egress(SUGGESTIONS, ([DB_MANAGER], tcp(6789)), API_SERVER)["egress"],
        "policyTypes": ["Ingress", "Egress"],
    }
}
POSTGRES = {
    "pipeline-to-postgres": egress(RUNS, ([{"podSelector": {"matchLabels": DATABASE}}], tcp(5432))),
    "postgres": ingress({"matchLabels": DATABASE}, ([{"podSelector": RUNS}], tcp(5432))),
}
SEAWEEDFS = {
    "object-store": egress(WITH_STORE, OUTSIDE, ([{"podSelector": {"matchLabels": SERVER}}], tcp(8333))),
    "seaweedfs": ingress(
        {"matchLabels": SERVER},
        ([{"podSelector": {}}, elsewhere("kubeflow", "app", "ml-pipeline-ui")], tcp(8333)),
    ),
}
KFP_STORE = {
    "multi-user": egress(OWN_PODS, OUTSIDE, ([elsewhere("kubeflow", "app", "seaweedfs")], tcp(8333))),
    "standalone": egress(
        OWN_PODS, OUTSIDE, ([{"podSelector": {"matchLabels": {"app": "seaweedfs"}}}], tcp(8333))
    ),
}
POLICIES = {
    "dev": EVERYWHERE | SEARCH | POSTGRES | SEAWEEDFS,
    "production": EVERYWHERE | SEARCH | POSTGRES,
    "store-keys": EVERYWHERE | SEARCH | POSTGRES,
} | {
    overlay: {name: {**spec, "podSelector": OWN_PODS} for name, spec in EVERYWHERE.items()}
    | {"object-store": store}
    for overlay, store in KFP_STORE.items()
}


# --- reading what was rendered --------------------------------------------------------------------------


@cache
def objects(overlay: str) -> list[Object]:
    return list(yaml.safe_load_all((RENDERED / f"{overlay}.yaml").read_text(encoding="utf-8")))


def of_kind(overlay: str, *kinds: str) -> list[Object]:
    return [item for item in objects(overlay) if item["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Object:
    (found,) = (item for item in of_kind(overlay, kind) if item["metadata"]["name"] == name)
    return found


def pods(overlay: str) -> list[Object]:
    return [
        item["spec"]["template"]["spec"] for item in objects(overlay) if "template" in item.get("spec", {})
    ]


def containers(overlay: str) -> Iterator[Object]:
    for pod in pods(overlay):
        yield from pod.get("initContainers", []) + pod["containers"]


def scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (str(key), *scalars(item))
    elif isinstance(value, list):
        for item in value:
            yield from scalars(item)
    else:
        yield str(value)


pytestmark = pytest.mark.parametrize("overlay", OVERLAYS)


def test_every_object_is_what_its_schema_allows(overlay: str) -> None:
    for item in objects(overlay):
        schema = SCHEMAS / f"{item['kind']}.json"
        if schema.exists():
            jsonschema.validate(item, json.loads(schema.read_text(encoding="utf-8")))
        else:
            for version in KUBERNETES:
                kubernetes_validate.validate(item, version, strict=True)


def test_everything_is_in_one_namespace_and_no_name_comes_twice(overlay: str) -> None:
    places = {item["metadata"].get("namespace") for item in objects(overlay) if item["kind"] != "Namespace"}
    names = [(item["kind"], item["metadata"]["name"]) for item in objects(overlay)]
    assert places == {NAMESPACES[overlay]}
    assert len(names) == len(set(names))


def test_only_an_overlay_with_its_own_namespace_makes_one(overlay: str) -> None:
    made = of_kind(overlay, "Namespace")
    assert [item["metadata"]["name"] for item in made] == ([] if overlay in SHARED else ["kubecast"])
    for item in made:
        labels = item["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert labels["katib.kubeflow.org/metrics-collector-injection"] == "enabled"


def test_the_overlays_with_servers_of_their_own_render_their_pods(overlay: str) -> None:
    assert len(pods(overlay)) == {"dev": 2, "production": 1, "store-keys": 1}.get(overlay, 0)


def test_pods_meet_pod_security_restricted(overlay: str) -> None:
    for pod in pods(overlay):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert not any("hostPath" in volume for volume in pod.get("volumes", []))
    for container in containers(overlay):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"} & context.keys()


def test_containers_request_and_limit_cpu_and_memory(overlay: str) -> None:
    for container in containers(overlay):
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}


def test_images_carry_the_tag_of_a_version(overlay: str) -> None:
    for container in containers(overlay):
        assert re.fullmatch(r"[a-z0-9.]+/[a-z0-9/-]+:\d+\.\d+(\.\d+)?", container["image"])


def test_secrets_are_given_by_reference_only(overlay: str) -> None:
    assert not of_kind(overlay, "Secret")
    secret = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY|CREDENTIAL")
    for container in containers(overlay):
        for variable in container.get("env", []):
            if secret.search(variable["name"]) and not variable["name"].endswith("_FILE"):
                assert variable.keys() == {"name", "valueFrom"}, variable["name"]
    for item in objects(overlay):
        text = " ".join(scalars(item))
        assert not re.search(r"://[^/\s:]+:[^/\s@]+@", text), "a URL with a password"
        assert not re.search(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b|BEGIN [A-Z ]*PRIVATE KEY", text)


def test_production_takes_the_password_of_its_database_from_a_vault(overlay: str) -> None:
    examples = of_kind(overlay, "ExternalSecret")
    made = [(item["spec"]["target"]["name"], item["spec"]["data"][0]["secretKey"]) for item in examples]
    from_production = overlay in {"production", "store-keys"}
    assert made == ([("kubecast-postgres", "password")] if from_production else [])


def test_rights_end_at_the_namespace_and_name_what_they_give(overlay: str) -> None:
    assert not of_kind(overlay, "ClusterRole", "ClusterRoleBinding")
    roles = of_kind(overlay, "Role")
    assert roles
    for role in roles:
        for rule in role["rules"]:
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]
            if {"secrets", "configmaps"} & set(rule["resources"]):
                ours = rule.get("resourceNames") == ["kubecast-heartbeats"]
                assert rule["verbs"] == (["patch"] if ours else ["get"])
                assert rule["resourceNames"]
    for binding in of_kind(overlay, "RoleBinding"):
        subjects = [(subject["name"], subject["namespace"]) for subject in binding["subjects"]]
        if binding["metadata"]["name"] == "kubecast-submitter":
            assert subjects == [("kubecast-submitter", NAMESPACES[overlay])]
            assert binding["roleRef"] == KFP_EDIT
            continue
        assert binding["roleRef"]["kind"] == "Role"
        assert binding["roleRef"]["name"] in {role["metadata"]["name"] for role in roles}
        assert subjects == [("kubecast-pipeline", NAMESPACES[overlay])]


def test_runs_may_read_their_workflow_and_nothing_else_of_argo(overlay: str) -> None:
    rules = named(overlay, "Role", "kubecast-pipeline")["rules"]
    argo = {rule["resources"][0]: rule["verbs"] for rule in rules if rule["apiGroups"] == ["argoproj.io"]}
    assert argo == {"workflows": ["get"], "workflowtaskresults": ["create", "patch"]}


def test_a_ci_job_submits_by_an_account_of_its_own_where_pipelines_has_users(overlay: str) -> None:
    accounts = [item["metadata"]["name"] for item in of_kind(overlay, "ServiceAccount")]
    bindings = [item["metadata"]["name"] for item in of_kind(overlay, "RoleBinding")]
    several_users = overlay != "standalone"
    assert ("kubecast-submitter" in accounts) is ("kubecast-submitter" in bindings) is several_users


def test_katib_gets_the_rights_that_its_client_uses(overlay: str) -> None:
    given = {
        resource: sorted(rule["verbs"])
        for rule in named(overlay, "Role", "kubecast-katib")["rules"]
        for resource in rule["resources"]
    }
    assert given == {
        "experiments": ["create", "delete", "get", "list", "patch", "watch"],
        "trials": ["get", "list", "watch"],
        "suggestions": ["get"],
        "pods": ["list"],
        "events": ["list"],
        "workflows": ["get"],
        "configmaps": ["patch"],
    }


def test_a_viewer_reads_runs_and_no_secret_and_is_nobody_yet(overlay: str) -> None:
    rules = named(overlay, "Role", "kubecast-viewer")["rules"]
    assert all(sorted(rule["verbs"]) == ["get", "list", "watch"] for rule in rules)
    resources = {resource for rule in rules for resource in rule["resources"]}
    assert resources == {"workflows", "pods", "pods/log", "events"}
    bound = [item["roleRef"]["name"] for item in of_kind(overlay, "RoleBinding")]
    assert "kubecast-viewer" not in bound


def test_only_the_pods_of_a_run_hold_a_token(overlay: str) -> None:
    accounts = of_kind(overlay, "ServiceAccount")
    with_token = [
        item["metadata"]["name"] for item in accounts if item["automountServiceAccountToken"] is not False
    ]
    assert with_token == ["kubecast-pipeline"]
    assert "kubecast-trial" in {item["metadata"]["name"] for item in accounts}


def test_the_network_is_open_for_what_is_named_and_no_more(overlay: str) -> None:
    found = {item["metadata"]["name"]: item["spec"] for item in of_kind(overlay, "NetworkPolicy")}
    assert found == POLICIES[overlay]


def test_policies_in_a_shared_namespace_hold_for_own_pods_alone(overlay: str) -> None:
    selectors = [policy["spec"]["podSelector"] for policy in of_kind(overlay, "NetworkPolicy")]
    assert (selectors.count(OWN_PODS) == len(selectors)) == (overlay in SHARED)


def test_a_shared_namespace_keeps_its_owners_settings_and_room(overlay: str) -> None:
    kinds = {"Namespace", "ConfigMap", "ResourceQuota", "LimitRange"}
    found = [item for item in of_kind(overlay, *kinds) if item["metadata"]["name"] != "kubecast-heartbeats"]
    assert {item["kind"] for item in found} == (set() if overlay in SHARED else kinds)


def test_every_overlay_has_the_heartbeats_that_trials_read(overlay: str) -> None:
    heartbeats = named(overlay, "ConfigMap", "kubecast-heartbeats")
    assert "data" not in heartbeats  # what is applied once more leaves those of searches that go on


def test_a_quota_has_a_limit_range_beside_it(overlay: str) -> None:
    quotas, ranges = of_kind(overlay, "ResourceQuota"), of_kind(overlay, "LimitRange")
    assert len(quotas) == (0 if overlay in SHARED else 2)
    assert len(ranges) == (0 if overlay in SHARED else 1)
    for item in ranges:
        (limit,) = item["spec"]["limits"]
        assert limit["default"].keys() == limit["defaultRequest"].keys() == {"cpu", "memory"}


def test_the_launcher_may_read_the_secret_that_it_is_told_of(overlay: str) -> None:
    for settings in (item for item in of_kind(overlay, "ConfigMap") if "providers" in item.get("data", {})):
        provider = yaml.safe_load(settings["data"]["providers"])["s3"]["default"]
        credentials = provider["credentials"]
        assert credentials["fromEnv"] is (overlay == "production")
        if not credentials["fromEnv"]:
            (rule,) = (
                rule
                for rule in named(overlay, "Role", "kubecast-pipeline")["rules"]
                if rule["resources"] == ["secrets"]
            )
            assert credentials["secretRef"]["secretName"] in rule["resourceNames"]
        assert settings["data"]["defaultPipelineRoot"].startswith("s3://")


def test_argo_archives_no_log_where_the_store_of_pipelines_has_no_keys(overlay: str) -> None:
    found = [
        item for item in of_kind(overlay, "ConfigMap") if item["metadata"]["name"] == "artifact-repositories"
    ]
    assert len(found) == (0 if overlay in SHARED else 1)
    for item in found:
        (key,) = item["data"]
        chosen = item["metadata"]["annotations"]["workflows.argoproj.io/default-artifact-repository"]
        assert chosen == key
        assert yaml.safe_load(item["data"][key]) == {"archiveLogs": False}


def settings_of(overlay: str) -> Object:
    """The settings file for an overlay; nothing for one of the tests."""
    path = ROOT / "configs" / "clusters" / f"{overlay}.yaml"
    assert path.exists() is (ROOT / "manifests" / "overlays" / overlay).exists()
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["cluster"]) if path.exists() else {}


def secrets_of_pods(overlay: str) -> set[tuple[str, str]]:
    """Secret and key, of each that a server of the overlay reads."""
    variables = [variable for each in containers(overlay) for variable in each.get("env", [])]
    references = [variable["valueFrom"]["secretKeyRef"] for variable in variables if "valueFrom" in variable]
    volumes = [volume["secret"] for pod in pods(overlay) for volume in pod["volumes"] if "secret" in volume]
    return {(found["name"], found["key"]) for found in references} | {
        (found["secretName"], item["key"]) for found in volumes for item in found["items"]
    }


def test_settings_of_an_overlay_name_its_account_and_secrets(overlay: str) -> None:
    if not (settings := settings_of(overlay)):
        return
    accounts = {item["metadata"]["name"] for item in of_kind(overlay, "ServiceAccount")}
    assert settings["connection"]["service_account"] in accounts
    assert settings["connection"].get("namespace", "kubeflow") == NAMESPACES[overlay]
    secrets = settings.get("secrets", []) + settings.get("tuning", {}).get("secrets", [])
    named = {(each["secret"], key) for each in secrets for key in each["variables"].values()}
    assert named == (OF_KFP if overlay in SHARED else secrets_of_pods(overlay))


def test_settings_of_an_overlay_name_the_store_that_its_launcher_writes_to(overlay: str) -> None:
    environment = settings_of(overlay).get("environment", {})
    if "AWS_ENDPOINT_URL" not in environment:
        return
    providers = named(overlay, "ConfigMap", "kfp-launcher")["data"]["providers"]
    launcher = yaml.safe_load(providers)["s3"]["default"]
    assert environment["AWS_ENDPOINT_URL"] == f"http://{launcher['endpoint']}"
    assert (environment["AWS_ALLOW_HTTP"], environment["AWS_REGION"]) == ("true", launcher["region"])
    name, _, port = launcher["endpoint"].partition(":")
    assert [each["port"] for each in named(overlay, "Service", name)["spec"]["ports"]] == [int(port)]


def test_settings_of_an_overlay_name_its_database(overlay: str) -> None:
    environment = settings_of(overlay).get("tuning", {}).get("environment", {})
    if "KUBECAST_OPTUNA_URL" not in environment:
        return
    (container,) = named(overlay, "StatefulSet", "kubecast-postgres")["spec"]["template"]["spec"][
        "containers"
    ]
    made = {variable["name"]: variable["value"] for variable in container["env"]}
    url = f"postgresql://{made['POSTGRES_USER']}@kubecast-postgres/{made['POSTGRES_DB']}"
    assert environment["KUBECAST_OPTUNA_URL"] == url
    ports = named(overlay, "Service", "kubecast-postgres")["spec"]["ports"]
    assert [each["port"] for each in ports] == [5432]
