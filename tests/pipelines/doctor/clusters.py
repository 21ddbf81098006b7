"""Clusters made of what the manifests hold, and settings that fit them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from kubecast.pipelines.running.doctor import Context, Line, examine
from kubecast.settings.loading import AllSettings, load_settings

ROOT = Path(__file__).parents[3]
RECORDED = json.loads((ROOT / "tests/recordings/healthz.json").read_text())
NAMESPACE = "kubecast"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
POLICIES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/networkpolicies"
KATIB = ["pipeline.tuning.tuner=katib"]

Examine = Callable[..., dict[str, Line]]


def manifests(*names: str) -> list[dict[str, Any]]:
    paths = [ROOT / "manifests" / name for name in names]
    return [each for path in paths for each in yaml.load_all(path.read_text(), yaml.CSafeLoader)]


def secret(name: str, *keys: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {key: "c2VjcmV0" for key in keys}}


def katib_config(inject: bool = True, context: bool = True) -> dict[str, Any]:
    algorithm = {"algorithmName": "tpe"} | ({"securityContext": {"runAsNonRoot": True}} if context else {})
    config = {
        "init": {"controller": {"injectSecurityContext": inject}},
        "runtime": {"suggestions": [{"algorithmName": "random"}, algorithm]},
    }
    return {"metadata": {"name": "katib-config"}, "data": {"katib-config.yaml": yaml.safe_dump(config)}}


def settings(host: str, url: str, *overrides: str) -> AllSettings:
    keys = "{AWS_ACCESS_KEY_ID: accesskey, AWS_SECRET_ACCESS_KEY: secretkey}"
    healthy = [
        f"cluster.connection.host={host}",
        f"cluster.connection.namespace={NAMESPACE}",
        "cluster.connection.service_account=kubecast-pipeline",
        "cluster.image_repository=registry.example.com/team",
        "cluster.image_tag=1.2-abc",
        f"cluster.secrets=[{{secret: kubecast-object-store, variables: {keys}}}]",
        f"training.model_registry.path={url}",
    ]
    return load_settings(None, [*healthy, *overrides])


def lines(given: AllSettings) -> dict[str, Line]:
    found = list(examine(Context.connect(given)))
    assert len({line.check for line in found}) == len(found)
    for line in found:
        assert "\n" not in line.detail + line.mend
        assert line.mend or line.state != "missing"
        assert "c2VjcmV0" not in line.detail + line.mend
    return {line.check: line for line in found}


def states(found: dict[str, Line]) -> dict[str, str]:
    """Those that are not ok."""
    return {name: line.state for name, line in found.items() if line.state != "ok"}
