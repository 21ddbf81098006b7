"""A registry of container images: the Distribution that Debian packages as docker-registry."""

import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

PROGRAM = Path(__file__).parents[2] / "output/docker-registry/usr/bin/docker-registry"  # prepare.sh
START_SECONDS = 30

_SETTINGS = """\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: {address}}}
"""


class ImageRegistry:
    """One server, on this machine and without TLS; use it in a `with` statement.

    Attributes:
        address: What stands before the slash of an image's reference.
        environment: What makes podman and buildah do without TLS.
    """

    def __enter__(self) -> "ImageRegistry":
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="image-registry-")))
            port = _free_port()
            self.address = f"127.0.0.1:{port}"
            insecure = f'[[registry]]\nlocation = "{self.address}"\ninsecure = true\n'
            (folder / "registries.conf").write_text(insecure)
            self.environment = {"CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf")}
            (folder / "config.yml").write_text(
                _SETTINGS.format(folder=folder / "images", address=self.address)
            )
            command = [str(PROGRAM), "serve", str(folder / "config.yml")]
            server = stack.enter_context(subprocess.Popen(command))
            stack.callback(server.terminate)
            _wait(server, port)
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait(server: "subprocess.Popen[bytes]", port: int) -> None:
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("docker-registry does not start") from None
        time.sleep(0.05)
