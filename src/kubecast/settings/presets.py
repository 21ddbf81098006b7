"""Settings that come with kubecast, from ``configs/``: presets, and what each overlay needs."""

from pathlib import Path
from typing import Literal

from kubecast.config.validation import nearest
from kubecast.errors import ConfigError

CONFIGS = Path(__file__).parent / "configs"

Preset = Literal["quick", "balanced", "cluster"]
Overlay = Literal["dev", "production", "multi-user", "standalone"]

_PRESETS = {"quick": CONFIGS / "quick", "balanced": CONFIGS / "balanced", "cluster": CONFIGS}
_OVERLAYS = {path.stem: path for path in sorted((CONFIGS / "clusters").glob("*.yaml"))}


def preset_folder(name: str) -> Path:
    """The settings files of a preset: ``quick``, ``balanced`` or ``cluster``, which is every default.

    Raises:
        ConfigError: There is no such preset.
    """
    return _named(_PRESETS, name, "preset")


def overlay_file(name: str) -> Path:
    """The ``cluster.yaml`` that an overlay of ``manifests/overlays/`` needs.

    Raises:
        ConfigError: There is no such overlay.
    """
    return _named(_OVERLAYS, name, "overlay")


def _named(paths: dict[str, Path], name: str, what: str) -> Path:
    if name not in paths:
        raise ConfigError(f"unknown {what} {name}; {nearest(name, paths)}")
    return paths[name]
