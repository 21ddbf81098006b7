from functools import partial
from pathlib import Path

import pytest

from kubecast.registry import Registry
from tests.support import bundles
from tests.support.bundles import MakeBundle


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def registry(root: Path) -> Registry:
    return Registry.open(str(root))


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    return partial(bundles.make_bundle, tmp_path / "bundles")
