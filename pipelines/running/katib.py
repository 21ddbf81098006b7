"""Katib on the cluster: settings that it would refuse, and Experiments that were left behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubecast.errors import ClusterError, ClusterNotFound
from kubecast.pipelines.running.kubernetes import Kubernetes
from kubecast.settings.loading import AllSettings
from kubecast.tuning.heartbeat import ANNOTATION, RUN_LABEL, STALE_AFTER, is_stale, parse_time, utc_now


@dataclass(frozen=True)
class Orphan:
    """An Experiment that goes on although nobody waits for it.

    Attributes:
        name: Of the Experiment.
        namespace: Where it is.
        run: That it was started by.
        reason: How that is known.
    """

    name: str
    namespace: str
    run: str
    reason: str

    @property
    def command(self) -> str:
        """The command that removes it."""
        return f"kubectl delete experiment {self.name} -n {self.namespace}"


def refuses_early_stopping(settings: AllSettings, level: str) -> bool:
    """Whether a namespace refuses the container that Katib adds for early stopping.

    Args:
        settings: As the run's mode has them.
        level: Of Pod Security, that the namespace enforces; empty: none, or not known.
    """
    stops = settings.pipeline.tuning.tuner == "katib" and settings.cluster.katib.early_stopping == "median"
    return stops and level == "restricted"


def orphans(kubernetes: Kubernetes, namespace: str, now: Callable[[], datetime] = utc_now) -> list[Orphan]:
    """The Experiments of kubecast that go on although nobody waits for them.

    Args:
        kubernetes: The cluster.
        namespace: Of the runs.
        now: Returns the time, with its zone.

    Returns:
        By name; none where the cluster has no Katib.

    Raises:
        ClusterError: They cannot be listed.
    """
    try:
        experiments = kubernetes.list(f"/apis/kubeflow.org/v1beta1/namespaces/{namespace}/experiments")
    except ClusterNotFound:
        return []
    left = [
        Orphan(each["metadata"]["name"], namespace, each["metadata"]["labels"][RUN_LABEL], reason)
        for each in experiments
        if RUN_LABEL in (each["metadata"].get("labels") or {})
        and not _is_over(each)
        and (reason := _abandoned(each, now()) or _ownerless(each, kubernetes, namespace))
    ]
    return sorted(left, key=lambda orphan: orphan.name)


def _is_over(experiment: Mapping[str, Any]) -> bool:
    """Whether an Experiment has ended, or is being deleted."""
    conditions = (experiment.get("status") or {}).get("conditions") or []
    ended = any(each["type"] in ("Succeeded", "Failed") and each["status"] == "True" for each in conditions)
    return ended or bool(experiment["metadata"].get("deletionTimestamp"))


def _abandoned(experiment: Mapping[str, Any], now: datetime) -> str:
    """Why nobody can be waiting for an Experiment; empty where somebody may be."""
    metadata = experiment["metadata"]
    annotation = (metadata.get("annotations") or {}).get(ANNOTATION, "")
    last = parse_time(annotation) or parse_time(metadata.get("creationTimestamp") or "")
    if last is None or not is_stale(last, now):
        return ""
    what = "last heartbeat" if annotation else "no heartbeat since its creation"
    return (
        f"{what} {last:%Y-%m-%d %H:%M} UTC, more than {STALE_AFTER.seconds // 60} minutes ago: its task has"
        " ended, or may not patch experiments"
    )


def _ownerless(experiment: Mapping[str, Any], kubernetes: Kubernetes, namespace: str) -> str:
    """Why an Experiment's run is no more; empty where it is there, or may not be looked for."""
    for owner in experiment["metadata"].get("ownerReferences") or []:
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows/{owner['name']}"
        try:
            uid = kubernetes.get(path)["metadata"]["uid"]
        except ClusterNotFound:
            uid = None
        except ClusterError:
            continue
        if uid != owner["uid"]:
            return f"its Workflow {owner['name']} is gone"
    return ""
