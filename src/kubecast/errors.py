"""Every error that kubecast raises on purpose, in one tree.

    KubecastError
    ├── InputError                what the user gave cannot be used (exit status 2)
    │   ├── ConfigError           a settings file, an option or a parameter
    │   ├── DataError             a data file or the panel made from it
    │   └── InvalidName           a model name, version or alias that is not allowed
    ├── ModelError                one model could not be fitted; the others go on
    ├── ShardError                too few shards of the series were worked on
    ├── TuningError               a search cannot go on: its database or Katib fails
    │   └── TuningUnavailable     *
    ├── RegistryError             reading from or publishing to the registry
    │   ├── NotFound              no such model, version or alias (exit status 2)
    │   ├── IntegrityError        a stored file is missing, foreign or altered
    │   ├── Conflict              another writer won; nothing was overwritten
    │   └── StoreError            the store underneath
    │       ├── StoreUnreachable  *
    │       ├── StoreTimeout      *
    │       ├── StoreBusy         *
    │       ├── StoreForbidden
    │       ├── BucketNotFound
    │       ├── StoreFull
    │       └── StoreUnsafe       the store ignores conditional writes
    └── ClusterError              Kubeflow Pipelines or Kubernetes refuses or fails
        ├── ClusterUnreachable    no answer, or none in time
        ├── ClusterForbidden      it does not know the caller, or does not allow it
        ├── ClusterNotFound       no such run, schedule or pipeline (exit status 2)
        └── ClusterConflict       somebody else made or changed it first

* is Unavailable too: a fault that may pass, which `kubecast.retrying` tries again.
A message is one line: what was found, where (file, row, key), and what is allowed. It
shows no secret of a URL.
"""

import re

from kubecast.masking import masked

_DECORATION = re.compile(r"\x1b\[\d*m|↳")  # colours and arrows of Delta Lake


class KubecastError(Exception):
    """Root of every error raised on purpose; ``exit_status`` is what the command exits with."""

    exit_status = 1

    def __str__(self) -> str:
        return masked(super().__str__())


class Unavailable(KubecastError):
    """It does not work now and may work later; everything else is not tried again.

    No address, connection refused or broken, no answer in time, an answer of 429, 500, 502, 503 or 504.
    """


class InputError(KubecastError):
    """An input of the user cannot be used."""

    exit_status = 2


class ConfigError(InputError):
    """A settings file, an option or a parameter is wrong."""


class DataError(InputError):
    """A data file, or the panel made from it, is wrong."""


class InvalidName(InputError):
    """A model name, version or alias is not allowed."""


class ModelError(KubecastError):
    """A model could not be fitted or cannot forecast; the others go on without it."""


class ShardError(KubecastError):
    """Of the shards that series are divided into, more failed than the settings allow."""


class TuningError(KubecastError):
    """A search for better settings cannot go on: its database or Katib fails."""


class TuningUnavailable(TuningError, Unavailable):
    """The database of a study, or the API server with Katib, cannot be used now."""


class RegistryError(KubecastError):
    """The registry cannot do what it was called for."""


class NotFound(RegistryError):
    """There is no such model, version or alias."""

    exit_status = 2


class IntegrityError(RegistryError):
    """A stored file is missing, altered, or not what its manifest says."""


class Conflict(RegistryError):
    """Another writer won the race; nothing was overwritten."""


class StoreError(RegistryError):
    """The object store underneath failed."""


class StoreUnreachable(StoreError, Unavailable):
    """The store does not answer at its address."""


class StoreTimeout(StoreError, Unavailable):
    """The store answered too slowly."""


class StoreBusy(StoreError, Unavailable):
    """The store answers that it cannot do it now."""


class StoreForbidden(StoreError):
    """The credentials do not allow the operation."""


class BucketNotFound(StoreError):
    """The bucket or folder does not exist."""


class StoreFull(StoreError):
    """No space is left; what was published before is intact."""


class StoreUnsafe(StoreError):
    """The store ignores conditional writes, so a registry on it could lose versions."""


class ClusterError(KubecastError):
    """Kubeflow Pipelines or Kubernetes cannot do what it was called for."""


class ClusterUnreachable(ClusterError):
    """Kubeflow Pipelines or Kubernetes does not answer at its address, or not in time."""


class ClusterUnavailable(ClusterUnreachable, Unavailable):
    """The API server of Kubernetes cannot answer a task now."""


class ClusterForbidden(ClusterError):
    """Kubeflow Pipelines or Kubernetes does not know the caller, or does not allow the call."""


class ClusterNotFound(ClusterError):
    """Kubeflow Pipelines or Kubernetes has no such run, schedule, pipeline or object."""

    exit_status = 2


class ClusterConflict(ClusterError):
    """Somebody else made or changed it first."""


def one_line(error: object, most: int = 200) -> str:
    """What a library says, in one line of at most so many characters."""
    return " ".join(_DECORATION.sub("", str(error)).split())[:most]
