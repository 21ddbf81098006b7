"""Published models: versions, their manifests, aliases and retention, over a store of files."""

from kubecast.names import check_name
from kubecast.registry.garbage_collection import Collected
from kubecast.registry.manifest import JSON, Manifest
from kubecast.registry.names import CHAMPION, VERSION_PATTERN, check_alias, split_reference
from kubecast.registry.registry import Registry
from kubecast.registry.verification import Verification
from kubecast.registry.version import Entry, Version
from kubecast.storage.store import Store

__all__ = [
    "CHAMPION",
    "JSON",
    "VERSION_PATTERN",
    "Collected",
    "Entry",
    "Manifest",
    "Registry",
    "Store",
    "Verification",
    "Version",
    "check_alias",
    "check_name",
    "split_reference",
]
