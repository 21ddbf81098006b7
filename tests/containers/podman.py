"""Containers by podman with runc, behind the interface that Docker has."""

import os
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

START_SECONDS = 30

# Inside a machine that may not raise its own limits, podman's defaults are refused.
_SETTINGS = """\
[containers]
netns = "host"
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""


class Podman:
    """`podman system service` on a socket of its own; use it in a `with` statement, as root.

    Attributes:
        environment: What makes a client of Docker, and podman itself, work with it.
    """

    def __enter__(self) -> "Podman":
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="podman-")))
            (folder / "containers.conf").write_text(_SETTINGS)
            socket = folder / "docker.sock"
            self.environment = {
                "CONTAINERS_CONF": str(folder / "containers.conf"),
                "DOCKER_HOST": f"unix://{socket}",
            }
            self._start(stack, socket)
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def run(self, image: str, *words: str, options: tuple[str, ...] = ()) -> str:
        """What a command prints in a new container with no network and a read-only root."""
        command = [
            "podman",
            "run",
            "--rm",
            "--network=none",
            "--read-only",
            "--tmpfs=/tmp:mode=1777",
            *options,
        ]
        done = subprocess.run(
            [*command, image, *words], env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _start(self, stack: ExitStack, socket: Path) -> None:
        address = self.environment["DOCKER_HOST"]
        service = stack.enter_context(
            subprocess.Popen(
                ["podman", "system", "service", "--time=0", address], env={**os.environ, **self.environment}
            )
        )
        stack.callback(service.terminate)
        give_up = time.monotonic() + START_SECONDS
        while not socket.exists():
            if service.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("podman system service does not start")
            time.sleep(0.05)
