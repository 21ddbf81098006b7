"""Bundles to publish, of a few small files."""

from collections.abc import Callable
from pathlib import Path

MakeBundle = Callable[..., Path]


def make_bundle(folder: Path, label: str = "first", **extra: bytes) -> Path:
    """Write a bundle to the folder of its label; ``extra`` are files by their paths."""
    bundle = folder / label
    files = {
        "evaluated/model.json": f"evaluated {label}".encode(),
        "evaluated/members/arima/state.npz": b"\0" * 1000,
        "production/model.json": f"final {label}".encode(),
        "report.html": b"<html></html>",
        **extra,
    }
    for path, content in files.items():
        (bundle / path).parent.mkdir(parents=True, exist_ok=True)
        (bundle / path).write_bytes(content)
    return bundle
