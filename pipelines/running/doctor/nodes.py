"""Checks of nodes for the tasks that request a GPU, and of the rights that ``kubecast status`` uses."""

from kubecast.pipelines.running.doctor.context import Context
from kubecast.pipelines.running.doctor.findings import Finding, missing, not_known, ok
from kubecast.pipelines.running.gpu_nodes import fitting, gpu_requests, misfits

RIGHTS = (
    ("list", "workflows", "argoproj.io"),
    ("list", "pods", ""),
    ("get", "pods/log", ""),
    ("list", "events", ""),
)
"""Rights that ``kubecast status`` uses: verb, resource and group."""


def check_nodes(context: Context) -> Finding:
    """Check that a node has the labels and the accelerators that each trainer requests."""
    requests = gpu_requests(context.settings)
    if not requests:
        return ok("no task asks for a GPU")
    nodes = context.list("nodes", namespace="")
    for misfit in misfits(requests, nodes):
        if context.settings.cluster.gpu_scale_from_zero:
            return not_known(
                f"no node fits {misfit.request} now; an autoscaler is to make one"
                " (cluster.gpu_scale_from_zero)"
            )
        return missing(misfit.detail, misfit.mend)
    shown = {str(request): len(fitting(request, nodes)) for request in requests}
    return ok(", ".join(f"{count} node{'s' * (count > 1)} with {what}" for what, count in shown.items()))


def check_rights(context: Context) -> Finding:
    """Check that this user may read why a run fails or waits."""
    lacking = [
        f"{verb} {resource}"
        for verb, resource, group in RIGHTS
        if not context.kubernetes.may(verb, resource, context.namespace, group)
    ]
    if lacking:
        return missing(
            f"you may not {', '.join(lacking)} in {context.namespace}: status would say less of a failure",
            f"kubectl --namespace {context.namespace} create rolebinding kubecast-viewers"
            " --role=kubecast-viewer --user=NAME",
        )
    return ok(f"you may read workflows, pods, logs and events in {context.namespace}")
