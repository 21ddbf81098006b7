"""Checks of Katib: what a search needs, where the settings call for one, and what was left behind."""

from typing import Any

import yaml

from kubecast.errors import ClusterForbidden
from kubecast.pipelines.running.defaults import APPLY, KFP_NAMESPACE, PIPELINE_ACCOUNT
from kubecast.pipelines.running.doctor.context import Context
from kubecast.pipelines.running.doctor.findings import Finding, missing, not_known, ok
from kubecast.pipelines.running.doctor.objects import level_of
from kubecast.pipelines.running.katib import orphans, refuses_early_stopping
from kubecast.tuning.heartbeat import CONFIG_MAP

GROUP = "kubeflow.org"
INJECTION = "katib.kubeflow.org/metrics-collector-injection"
CONFIG = "katib-config"
ALGORITHM = "tpe"
"""Algorithm of kubecast's searches."""

RIGHTS = (
    ("create", "experiments", GROUP, ""),
    ("get", "experiments", GROUP, ""),
    ("watch", "experiments", GROUP, ""),
    ("patch", "experiments", GROUP, ""),
    ("delete", "experiments", GROUP, ""),
    ("list", "trials", GROUP, ""),
    ("get", "suggestions", GROUP, ""),
    ("get", "workflows", "argoproj.io", ""),
    ("list", "pods", "", ""),
    ("list", "events", "", ""),
    ("patch", "configmaps", "", CONFIG_MAP),
)
"""Rights that a search by Katib uses: verb, resource, group, and the name where it is always the same."""

ROLE = "kubecast-katib"


def uses_katib(context: Context) -> bool:
    """Whether the pipeline's searches are Katib's."""
    return context.settings.pipeline.tuning.tuner == "katib"


def check_experiments(context: Context) -> Finding:
    """Check that Katib is installed."""
    if not _is_installed(context):
        return missing(
            f"the API {GROUP}/v1beta1 has no experiments: Katib is not installed",
            "install Katib 0.19, or set pipeline.tuning.tuner: optuna",
        )
    return ok("installed")


def check_collector(context: Context) -> Finding:
    """Check that Katib adds its collector to the trials of the namespace."""
    if context.namespace_labels.get(INJECTION) == "enabled":
        return ok(f"{context.namespace} has {INJECTION}=enabled")
    return missing(
        f"{context.namespace} lacks the label {INJECTION}=enabled: no trial would report its loss",
        f"kubectl label namespace {context.namespace} {INJECTION}=enabled",
    )


def check_security(context: Context) -> Finding:
    """Check that Pod Security admits the containers that Katib adds, where it enforces ``restricted``."""
    if level_of(context) != "restricted":
        return ok("the namespace does not enforce restricted")
    if refuses_early_stopping(context.settings, level_of(context)):
        return missing(
            "the namespace enforces restricted, which refuses Katib's early stopping: no trial would begin",
            "set cluster.katib.early_stopping: none",
        )
    config_map = context.get("configmaps", CONFIG, namespace=KFP_NAMESPACE)
    if config_map is None:
        return not_known(f"there is no ConfigMap {CONFIG} in {KFP_NAMESPACE}: Katib is elsewhere")
    config = yaml.safe_load(config_map.get("data", {}).get("katib-config.yaml", "")) or {}
    edit = f"kubectl --namespace {KFP_NAMESPACE} edit configmap {CONFIG}, as install-on-a-cluster says"
    if not config.get("init", {}).get("controller", {}).get("injectSecurityContext"):
        return missing(f"{CONFIG} lacks init.controller.injectSecurityContext: true", edit)
    if not _algorithm(config).get("securityContext"):
        return missing(f"{CONFIG} has no securityContext for the algorithm {ALGORITHM}", edit)
    return ok(f"{CONFIG} gives Katib's containers a security context")


def check_trial_account(context: Context) -> Finding:
    """Check that the account of the trials' pods is there."""
    name = context.settings.cluster.katib.service_account
    if context.get("serviceaccounts", name) is None:
        return missing(f"there is no service account {name} in {context.namespace}", APPLY)
    return ok(name)


def check_heartbeats(context: Context) -> Finding:
    """Check that trials can see whether somebody still waits for their search."""
    if context.get("configmaps", CONFIG_MAP) is None:
        detail = (
            f"there is no ConfigMap {CONFIG_MAP}: trials would go on where nobody waits for them any more"
        )
        return missing(detail, APPLY)
    return ok(f"{CONFIG_MAP} is there")


def check_orphans(context: Context) -> Finding | None:
    """Check that no search goes on that nobody waits for; None where there is no Katib."""
    if not _is_installed(context):
        return None
    left = orphans(context.kubernetes, context.namespace)
    if not left:
        return ok("none")
    names = ", ".join(f"{orphan.name} ({orphan.reason})" for orphan in left)
    return missing(f"nobody waits for {names}", "; ".join(orphan.command for orphan in left))


def check_rights(context: Context) -> Finding:
    """Check that the account of the runs may start experiments and read their trials."""
    account = context.account
    user = f"system:serviceaccount:{context.namespace}:{account}"
    ask = f"kubectl --namespace {context.namespace} auth can-i create experiments.{GROUP} --as={user}"
    try:
        lacking = [
            f"{verb} {resource} {name}".rstrip()
            for verb, resource, group, name in RIGHTS
            if not context.kubernetes.may(verb, resource, context.namespace, group, name, user)
        ]
    except ClusterForbidden as error:
        return not_known(str(error), f"ask somebody who may: {ask}")
    if lacking:
        return missing(f"{account} may not {', '.join(lacking)}", _binding(context))
    return ok(f"{account} may run experiments")


def _is_installed(context: Context) -> bool:
    group = context.read(f"/apis/{GROUP}/v1beta1") or {}
    return "experiments" in {each["name"] for each in group.get("resources") or []}


def _binding(context: Context) -> str:
    """The setting or command that gives the account of the runs the rights of the manifests' Role."""
    if context.account == PIPELINE_ACCOUNT:
        return APPLY
    return (
        f"set cluster.connection.service_account: {PIPELINE_ACCOUNT}; or kubectl --namespace"
        f" {context.namespace} create rolebinding {ROLE}-{context.account} --role={ROLE}"
        f" --serviceaccount={context.namespace}:{context.account}"
    )


def _algorithm(config: dict[str, Any]) -> dict[str, Any]:
    """Katib's configuration of the search algorithm that kubecast uses."""
    suggestions = config.get("runtime", {}).get("suggestions") or []
    return next((each for each in suggestions if each["algorithmName"] == ALGORITHM), {})
