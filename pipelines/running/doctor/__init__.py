"""Checks of what a cluster lacks for the runs of kubecast; nothing is changed there.

A check is a function of a ``Context`` that returns a ``Finding``, or None where there is nothing to say. Each
stands alone: what one cannot see, or fails on, keeps no other from being made.
"""

from collections.abc import Callable, Iterator
from functools import partial

from kubecast.errors import KubecastError
from kubecast.pipelines.running.doctor import katib, nodes, objects, policies, quota, service, store
from kubecast.pipelines.running.doctor.context import Context
from kubecast.pipelines.running.doctor.findings import Finding, Line, NotKnown, not_known

Check = Callable[[Context], Finding | None]

__all__ = ["Context", "Line", "examine"]


def examine(context: Context) -> Iterator[Line]:
    """Make every check that the settings call for, and yield its line once it is known."""
    for name, check in _checks(context).items():
        finding = _made(check, context)
        if finding:
            yield Line(name, finding.state, finding.detail, finding.mend)


def _checks(context: Context) -> dict[str, Check]:
    secrets: dict[str, Check] = {
        f"Secret {name}": partial(objects.check_secret, name=name, keys=keys)
        for name, keys in objects.secrets_of(context.settings.cluster).items()
    }
    return {
        "Kubeflow Pipelines": service.check_api,
        "version": service.check_version,
        "users": service.check_users,
        "access": service.check_user,
        "Kubernetes": objects.check_kubernetes,
        "namespace": objects.check_namespace,
        "Pod Security": objects.check_pod_security,
        "images": objects.check_images,
        "service account": objects.check_account,
        **secrets,
        "kfp-launcher": objects.check_launcher,
        "artifact-repositories": objects.check_repositories,
        "network policies": policies.check_policies,
        "quota": quota.check_quota,
        "GPU nodes": nodes.check_nodes,
        "rights for status": nodes.check_rights,
        **(_KATIB if katib.uses_katib(context) else {}),
        "searches left behind": katib.check_orphans,
        "store": store.check_store,
    }


_KATIB: dict[str, Check] = {
    "Katib": katib.check_experiments,
    "Katib's collector": katib.check_collector,
    "Katib's security": katib.check_security,
    "Katib's rights": katib.check_rights,
    "trials' account": katib.check_trial_account,
    "heartbeats": katib.check_heartbeats,
}


def _made(check: Check, context: Context) -> Finding | None:
    try:
        return check(context)
    except NotKnown as end:
        return end.finding
    except KubecastError as error:
        return not_known(str(error))
    except Exception as error:  # an object of a form that the check does not foresee
        return not_known(f"the check failed by itself ({type(error).__name__})")
