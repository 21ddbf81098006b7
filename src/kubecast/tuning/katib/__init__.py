"""A search by Katib: an Experiment whose trials are Jobs that run ``kubecast trial``.

The Experiment is named after the run and what is searched, so that a task that is tried again adopts it.
"""

from kubecast.tuning.katib.client import connect
from kubecast.tuning.katib.manifest import Plan
from kubecast.tuning.katib.waiting import Running, deleted_when_stopped

__all__ = ["Plan", "Running", "connect", "deleted_when_stopped"]
