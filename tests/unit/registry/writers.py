"""What the writer processes of the kill and race tests run."""

from contextlib import suppress
from datetime import timedelta
from multiprocessing.synchronize import Barrier
from pathlib import Path

from kubecast.errors import Conflict, NotFound
from kubecast.registry import Registry
from kubecast.registry import registry as module

NAME = "demand"


def publish_all(root: Path, bundles: Path, acknowledged: Path, max_versions: int) -> None:
    """Publish each bundle that is not acknowledged yet, move the champion to it, and acknowledge it."""
    module.DELETE_GRACE = timedelta(0)
    registry = Registry.open(str(root))
    for bundle in sorted(bundles.iterdir()):
        receipt = acknowledged / bundle.name
        if not receipt.exists():
            version = registry.publish(NAME, bundle, {"bundle": bundle.name}, max_versions)
            promote(registry, version.id)
            draft = acknowledged.with_suffix(".draft")  # a kill while it is written leaves no receipt
            draft.write_text(version.id)
            draft.replace(receipt)


def promote(registry: Registry, version: str) -> None:
    """Point the champion at the version, unless another process moved it or retired the version."""
    with suppress(Conflict, NotFound):
        registry.set_alias(NAME, "champion", version, registry.aliases(NAME).get("champion"))


def claim(root: Path, version: str, start: Barrier, won: Path) -> None:
    """Try to be the one that makes the champion."""
    registry = Registry.open(str(root))
    start.wait()
    try:
        registry.set_alias(NAME, "champion", version, None)
    except Conflict:
        return
    won.touch()
