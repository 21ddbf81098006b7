"""Published models: versions, their manifests, aliases and retention, over a store of files."""

from kubecast.names import check_name
from kubecast.registry.manifest import JSON, Manifest
from kubecast.registry.names import VERSION_PATTERN, check_alias
from kubecast.registry.registry import Registry, Version
from kubecast.registry.store import Store

__all__ = [
    "JSON",
    "VERSION_PATTERN",
    "Manifest",
    "Registry",
    "Store",
    "Version",
    "check_alias",
    "check_name",
]
