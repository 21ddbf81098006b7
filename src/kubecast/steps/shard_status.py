"""How the work on a shard ended, and how many shards may fail."""

from typing import ClassVar

from kubecast.documents import Document


class ShardStatus(Document):
    """How the work on a shard ended.

    Attributes:
        shard: Its URL, of a batch; which of how many, as ``3/16``, of a fit.
        reason: Why it failed, in one line; empty where it did not.
    """

    document_name: ClassVar[str] = "a shard's status"

    shard: str
    reason: str = ""


def failures_allowed(shards: int, least: float) -> int:
    """The number of shards that may fail where a share of them must not; never all of them."""
    return min(int((1 - least) * shards + 1e-9), shards - 1)
