"""A version of a model: as a listing has it, and in full."""

from dataclasses import dataclass, field
from datetime import datetime

from kubecast.registry.manifest import JSON, Manifest


@dataclass(frozen=True)
class Entry:
    """A version as a listing knows it, without its manifest."""

    name: str
    id: str
    created: datetime
    aliases: tuple[str, ...]
    deleting: datetime | None  # since when it is being deleted


@dataclass(frozen=True)
class Version:
    """A published version: `files` maps each path to its size and SHA-256."""

    name: str
    id: str
    created: datetime
    metadata: dict[str, JSON] = field(hash=False)
    files: dict[str, tuple[int, str]] = field(hash=False)
    aliases: tuple[str, ...]


def describe(name: str, manifest: Manifest, aliases: tuple[str, ...]) -> Version:
    """Make a version of a model from its manifest and the aliases that point at it."""
    return Version(
        name=name,
        id=manifest.version,
        created=manifest.created,
        metadata=manifest.metadata,
        files={path: (entry.size, entry.sha256) for path, entry in manifest.files.items()},
        aliases=aliases,
    )
