"""An engine of containers, a store, and runs of compiled pipelines in the real images."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.containers.podman import Podman
from tests.containers.running import KUBECAST, MODELS, TAG, USER, Finished, call, without_retries
from tests.support.servers.seaweed import Seaweed


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    with Podman() as service:
        yield service


@pytest.fixture(scope="session")
def store() -> Iterator[dict[str, str]]:
    """The overlay's own store: the variables that an S3 client needs, here and in every container."""
    with Seaweed(as_shipped=True) as server, pytest.MonkeyPatch.context() as patch:
        variables = server.environment()
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tasks exchange artifacts; they run as another user than the one who made it, of group 0."""
    root = tmp_path_factory.mktemp("root")
    for folder in (root, *list(root.parents)[:2]):
        folder.chmod(0o755)
    root.chmod(0o2775)
    os.chown(root, -1, 0)
    return root


@pytest.fixture(scope="session")
def run(
    podman: Podman, store: dict[str, str], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Finished]:
    """Compile a pipeline and run it in containers."""
    folder = tmp_path_factory.mktemp("compiled")

    def run(
        mode: str,
        overrides: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
        fails: bool = False,
        **arguments: Any,
    ) -> Finished:
        compiled, outputs = folder / f"{mode}.yaml", folder / f"{mode}.json"
        named = ("cluster.image_repository=localhost", f"cluster.image_tag={TAG}", "cluster.gpu=false")
        settings = (*named, f"pipeline.models={json.dumps(MODELS)}", *overrides)
        call(
            *(KUBECAST, "compile", "--preset", "quick", "--output", str(compiled)),
            *("--mode", mode),
            *(word for setting in settings for word in ("--set", setting)),
        )
        without_retries(compiled)
        runner = {
            "user": USER,
            "read_only": True,
            "tmpfs": {"/tmp": "mode=1777"},  # noqa: S108
            "network_mode": "host",
            "environment": {**store, **(variables or {})},
        }
        job = {
            "compiled": str(compiled),
            "arguments": arguments,
            "root": str(root),
            "runner": runner,
            "outputs": str(outputs),
        }
        words = sys.executable, "-m", "tests.containers.docker_run", json.dumps(job)
        log = call(*words, fails=fails, **podman.environment)
        return Finished({} if fails else json.loads(outputs.read_text()), log)

    return run
