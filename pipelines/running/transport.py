"""Failures of HTTP requests to a cluster as this project's errors."""

from collections.abc import Mapping

import urllib3

from kubecast.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterNotFound,
    ClusterUnreachable,
)

_REFUSALS: dict[int, type[ClusterError]] = {
    401: ClusterForbidden,
    403: ClusterForbidden,
    404: ClusterNotFound,
    409: ClusterConflict,
    **dict.fromkeys((429, 502, 503, 504), ClusterUnreachable),
}
_SILENCE = (
    (urllib3.exceptions.NewConnectionError, "cannot be reached"),  # by its class a time-out, too
    (urllib3.exceptions.TimeoutError, "no answer in {:g} s"),
    (urllib3.exceptions.SSLError, "its certificate is not trusted, or it does not speak TLS"),
    (Exception, "the connection was lost, or its address cannot be read"),
)


def refusal(status: int) -> type[ClusterError]:
    """The error for an HTTP status."""
    return _REFUSALS.get(status, ClusterError)


def why_silent(error: Exception, timeout: float, advice: Mapping[type[Exception], str] | None = None) -> str:
    """Why there is no answer.

    Args:
        error: Raised by urllib3 or the operating system.
        timeout: Seconds that the request could take.
        advice: What to add, by the exceptions ``NewConnectionError``, ``TimeoutError`` and ``SSLError``.
    """
    reason = getattr(error, "reason", None) or error
    kind, why = next(each for each in _SILENCE if isinstance(reason, each[0]))
    return why.format(timeout) + (advice or {}).get(kind, "")
