"""Orphans of schedules: objects in Kubernetes that failed attempts to make a schedule left behind.

Kubeflow Pipelines makes a ScheduledWorkflow first and then the row of the recurring run. Where its database
refuses the row, the object stays: disabled, in no list of recurring runs, out of reach of its API. The object
has no description; it is known by its name, pipeline and experiment.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kubecast.errors import ClusterError
from kubecast.pipelines.running.client import Client
from kubecast.pipelines.running.defaults import KFP_NAMESPACE
from kubecast.pipelines.running.kubernetes import Kubernetes
from kubecast.pipelines.running.submitting import PipelineRef

RESOURCE = "scheduledworkflows.kubeflow.org"
MIN_AGE = timedelta(minutes=5)
"""Age from which an object's row is no longer on its way, by clocks that differ a little."""

_PREFIX = 25  # characters of a name that Kubeflow Pipelines keeps, before five random ones of Kubernetes


def remove_orphans(
    client: Client, refs: Mapping[str, PipelineRef], context: str | None, look: bool
) -> Iterator[str]:
    """Delete the disabled objects of schedules that have no recurring run.

    Args:
        client: Of Kubeflow Pipelines.
        refs: By the schedules' names.
        context: Of the kubeconfig; None: the pod's own cluster, else the current one.
        look: Whether to say how to look for them where the caller may not.

    Yields:
        What was done, or the one command that does it, in lines for people.
    """
    namespace = client.connection.namespace or KFP_NAMESPACE
    path = f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/scheduledworkflows"
    kubectl = f"kubectl --namespace {namespace}"
    try:
        kubernetes = Kubernetes.connect(context)
        objects = kubernetes.list(path)
    except ClusterError:
        if look:
            yield f"what earlier tries may have left cannot be seen from here: {kubectl} get {RESOURCE}"
        return
    # Read after the objects: one that was made before and has no row by now had none from the beginning.
    rows = {str(each.recurring_run_id) for each in client.recurring_runs()}
    names = [
        each["metadata"]["name"]
        for each in objects
        if each["metadata"]["uid"] not in rows and any(_is_of(each, name, ref) for name, ref in refs.items())
    ]
    for number, name in enumerate(names):
        try:
            kubernetes.delete(f"{path}/{name}")
        except ClusterError as error:
            yield f"left by earlier tries: {kubectl} delete {RESOURCE} {' '.join(names[number:])} ({error})"
            return
        yield f"removed    {name}, left by an earlier try"


def _is_of(item: Mapping[str, Any], name: str, ref: PipelineRef) -> bool:
    """Whether an object is a schedule's that was never enabled."""
    metadata, spec = item["metadata"], item.get("spec", {})
    made = datetime.fromisoformat(metadata["creationTimestamp"])
    return (
        re.fullmatch(rf"{re.escape(name[:_PREFIX])}[a-z0-9]{{5}}", metadata["name"]) is not None
        and not spec.get("enabled")
        and spec.get("experimentId") == ref.experiment_id
        and spec.get("pipelineId") == ref.pipeline_id
        and datetime.now(UTC) - made > MIN_AGE
    )
