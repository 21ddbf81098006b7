"""The examples in docstrings: each runs, and prints what stands below it."""

import doctest
import importlib
from pathlib import Path

import pytest

import kubecast

SOURCE = Path(kubecast.__file__).parent
MODULES = [
    ".".join(("kubecast", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module_run(module: str) -> None:
    failed, attempted = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert attempted
    assert not failed
