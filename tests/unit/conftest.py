from collections.abc import Callable
from pathlib import Path

import pytest

from kubecast.registry import Registry

MakeBundle = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(root: Path) -> Registry:
    return Registry.open(str(root))


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    def make(label: str = "first", **extra: bytes) -> Path:
        bundle = tmp_path / "bundles" / label
        files = {
            "evaluated/model.json": f"judged {label}".encode(),
            "evaluated/members/arima/state.npz": b"\0" * 1000,
            "production/model.json": f"final {label}".encode(),
            "report.html": b"<html></html>",
            **extra,
        }
        for path, content in files.items():
            (bundle / path).parent.mkdir(parents=True, exist_ok=True)
            (bundle / path).write_bytes(content)
        return bundle

    return make
