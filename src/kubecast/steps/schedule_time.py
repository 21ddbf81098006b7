"""The moment after which a run sees no rows, for runs of a schedule too."""

import logging

_LOG = logging.getLogger(__name__)

SCHEDULED = "scheduled"
"""The ``as_of`` of a run that a schedule starts: the time that the run is for."""


def resolve_as_of(as_of: str, scheduled: str) -> str:
    """Resolve the moment after which a run sees no rows.

    Kubeflow Pipelines gives a run that is started by hand its own creation in place of the time that it was
    scheduled for. So that such a run sees all rows, a schedule requests its time by ``as_of``.

    Args:
        as_of: The run's parameter: ISO date or time, ``scheduled``, or empty for none.
        scheduled: Text that Kubeflow Pipelines puts in place of
            ``PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER``; empty where there is no cluster.

    Returns:
        ISO date or time; empty: all rows are seen. They are, too, where a cluster does not know the
        placeholder, and the log warns of it.

    Example:
        >>> resolve_as_of("scheduled", "2026-11-29T02:00:00Z")
        '2026-11-29T02:00:00Z'
        >>> resolve_as_of("", "2026-11-29T02:00:17Z")
        ''
    """
    if as_of != SCHEDULED:
        return as_of
    if not scheduled or scheduled.startswith("{{"):
        _LOG.warning(
            "as_of %s: this cluster does not give the time that a run is scheduled for; all rows are seen",
            as_of,
        )
        return ""
    return scheduled
