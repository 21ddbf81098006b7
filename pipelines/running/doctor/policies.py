"""Check of network policies: whether they let a run's pods reach what every run needs."""

from collections.abc import Mapping
from typing import Any

from kubecast.pipelines.running.doctor.context import Context
from kubecast.pipelines.running.doctor.findings import Finding, missing, ok

_POD = {"app.kubernetes.io/name": "kubecast", "workflows.argoproj.io/workflow": "any"}
_NEEDED = {
    "DNS": (53,),
    "the API of Kubeflow Pipelines": (8887,),
    "its metadata": (8080,),
    "the API server of Kubernetes": (443, 6443),
}
"""By what is reached, the port of the pod behind it, or one of several."""


def check_policies(context: Context) -> Finding:
    """Check that some policy opens each port; where it leads to is not looked at."""
    policies = [policy for policy in context.list("networkpolicies") if _holds(policy)]
    if not policies:
        return ok("no policy cuts a run's pods off")
    rules = [rule for policy in policies for rule in policy["spec"].get("egress") or []]
    closed = {
        name: ports
        for name, ports in _NEEDED.items()
        if not any(_opens(rule, port) for rule in rules for port in ports)
    }
    if closed:
        names = ", ".join(f"{name} (port {' or '.join(map(str, ports))})" for name, ports in closed.items())
        return missing(
            f"{policies[0]['metadata']['name']} cuts a run's pods off, and no policy opens {names}",
            f"kubectl --namespace {context.namespace} apply --filename manifests/base/network-policies.yaml",
        )
    return ok(f"{len(policies)} hold for a run's pods, and open {', '.join(_NEEDED)}")


def _holds(policy: Mapping[str, Any]) -> bool:
    """Whether a policy holds for what a run's pods send."""
    spec = policy["spec"]
    types = spec.get("policyTypes") or (["Egress"] if "egress" in spec else [])
    return "Egress" in types and selects(spec.get("podSelector") or {}, _POD)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector of Kubernetes selects these labels."""
    matched = (selector.get("matchLabels") or {}).items() <= labels.items()
    return matched and all(_meets(each, labels) for each in selector.get("matchExpressions") or [])


def _meets(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or []
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(expression["operator"], False)


def _opens(rule: Mapping[str, Any], port: int) -> bool:
    ports = rule.get("ports")
    return not ports or any(_is_in(each, port) for each in ports)


def _is_in(opened: Mapping[str, Any], port: int) -> bool:
    first = opened.get("port", port)
    if isinstance(first, str):  # by a name that only the pod knows
        return True
    return bool(first <= port <= opened.get("endPort", first))
