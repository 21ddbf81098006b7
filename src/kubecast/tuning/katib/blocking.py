"""Blockages that keep the trials of an Experiment from their begin, from the state of their pods.

Katib's algorithm is a Deployment, a trial is a Job. Where the API server refuses a pod of either, nothing but
an event ``FailedCreate`` of the ReplicaSet or the Job says so: the Experiment goes on "running".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kubecast.tuning.katib.trials import has_ended

TRIAL_LABEL, SUGGESTION_LABEL = "katib.kubeflow.org/trial", "katib.kubeflow.org/suggestion"
LONGEST_MESSAGE = 500
AT_ONCE = timedelta(0)
REFUSED = timedelta(seconds=15)  # a conflict that the next attempt of the controller settles is over by then
IMAGE = timedelta(minutes=5)  # after which an image that cannot be pulled is taken to stay so

# A pod's reason to wait: what it has in common with others, and how long that may pass by itself.
_WAITING = {
    "ErrImagePull": ("image", IMAGE),  # and the next one take turns
    "ImagePullBackOff": ("image", IMAGE),
    "InvalidImageName": ("name", AT_ONCE),
    "CreateContainerConfigError": ("secret", IMAGE),
}


@dataclass(frozen=True)
class Blockage:
    """A cause that keeps every trial from its begin.

    Attributes:
        cause: Stays the same while it lasts.
        message: For a person, with what mends it.
        patience: How long it may last.
    """

    cause: str
    message: str
    patience: timedelta


def find_blockage(
    experiment: Mapping[str, Any],
    trials: Iterable[Mapping[str, Any]],
    pods: Iterable[Any],
    events: Iterable[Any],
) -> Blockage | None:
    """Look for what keeps every trial from its begin.

    Args:
        experiment: As Katib has it.
        trials: Of the Experiment.
        pods: Of its trials and of its algorithm.
        events: Warnings of its namespace.
    """
    trials, pods = list(trials), list(pods)
    own = [pod for pod in pods if TRIAL_LABEL in (pod.metadata.labels or {}) and pod.status.phase != "Failed"]
    name = str(experiment["metadata"]["name"])
    if any(pod.status.phase in ("Running", "Succeeded") for pod in own):
        return None
    if own:
        # An image that one node cannot pull is that trial's failure, once another has had it.
        return None if any(map(has_ended, trials)) else _waiting_pod(name, own)
    open_trials = {trial["metadata"]["name"] for trial in trials if not has_ended(trial)}
    algorithm_runs = any(SUGGESTION_LABEL in (pod.metadata.labels or {}) for pod in pods)
    since = _time(experiment["metadata"].get("creationTimestamp"))
    for event in sorted(events, key=_time_of, reverse=True):
        of_trial = event.involved_object.name in open_trials
        if (
            _refuses(event, name)
            and (of_trial or not algorithm_runs)
            and (since is None or _time_of(event) >= since)  # events outlive an Experiment of the same name
        ):
            return _refusal(name, event, of_trial)
    return None


def _waiting_pod(name: str, pods: Iterable[Any]) -> Blockage | None:
    for pod in pods:
        for status in pod.status.container_statuses or []:
            waiting = status.state.waiting if status.state else None
            if waiting and waiting.reason in _WAITING:
                cause, patience = _WAITING[waiting.reason]
                message = (
                    f"trials of {name} cannot begin: pod {pod.metadata.name}, {waiting.reason}:"
                    f" {waiting.message}; check cluster.images, image_pull_secrets and secrets"
                )
                return Blockage(cause, message, patience)
    return None


def _refuses(event: Any, name: str) -> bool:
    """Whether an event is about an object that the API server did not let in."""
    owner, message = event.involved_object.name or "", event.message or ""
    if owner != name and not owner.startswith(f"{name}-"):
        return False
    if event.reason == "ReconcileError":  # Katib's own, of conflicts too
        return "is forbidden" in message or "denied the request" in message
    return event.reason in ("FailedCreate", "ReplicaSetCreateError")


def _refusal(name: str, event: Any, of_trial: bool) -> Blockage:
    text = " ".join((event.message or "").split())
    owner = event.involved_object
    message = (
        f"trials of {name} cannot begin: {event.reason} of {owner.kind} {owner.name}:"
        f" {text[:LONGEST_MESSAGE]}; {_cure(text, of_trial, owner)}"
    )
    patience = AT_ONCE if "violates PodSecurity" in text else REFUSED
    return Blockage("refusal", message, patience)


def _cure(text: str, of_trial: bool, owner: Any) -> str:
    if "early-stopping" in text:
        return "set cluster.katib.early_stopping: none"
    if "violates PodSecurity" in text:
        setting = (
            "init.controller.injectSecurityContext" if of_trial else "securityContext of runtime.suggestions"
        )
        return f"set {setting} in Katib's ConfigMap katib-config (docs/how-to/install-on-a-cluster.md)"
    if "exceeded quota" in text:
        return "raise the ResourceQuota, or begin when it has room"
    return f"see kubectl describe {owner.kind.lower()} {owner.name}"


def _time_of(event: Any) -> datetime:
    """The time that an event was seen last."""
    time = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return time or datetime.max.replace(tzinfo=UTC)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
