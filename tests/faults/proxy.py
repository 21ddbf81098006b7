"""A proxy between an S3 client and its server that does one harm to chosen requests."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Harm = Literal[
    "drop request",  # the connection closes before the server has seen the request
    "drop reply",  # the server has acted, and the connection closes without an answer
    "cut reply",  # half of the answer's body, and the connection closes
    "flip bit",  # one bit in the middle of the answer's body
    "stall",  # no answer until the proxy ends; the server has acted
    "fail",  # 503 without asking the server
    "forget If-Match",  # the server sees the request without this header
    "forget If-None-Match",
]


@dataclass
class Proxy:
    """Where it listens, what it does to which requests, and what it saw.

    A request is harmed if its method is `method`, its path holds `part`, and fewer than `times` were.
    """

    endpoint: str
    harm: Harm | None = None
    method: str = "GET"
    part: str = ""
    times: int = 1
    seen: list[tuple[str, str]] = field(default_factory=list)
    harmed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    def set(self, harm: Harm, method: str, part: str = "", times: int = 1) -> None:
        """Harm the next `times` requests of this kind."""
        with self._lock:
            self.harm, self.method, self.part, self.times, self.harmed = harm, method, part, times, 0
            self.seen.clear()

    def take(self, method: str, path: str) -> Harm | None:
        """Note a request, and say what to do to it."""
        with self._lock:
            self.seen.append((method, path))
            chosen = method == self.method and self.part in path
            if not chosen or self.harmed >= self.times:
                return None
            self.harmed += 1
            return self.harm


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a client may keep its connection open for as long as it lives
    block_on_close = False
    proxy: Proxy
    target: int


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        harm = self.server.proxy.take(self.command, self.path)
        if harm == "drop request":
            self.close_connection = True
        elif harm == "fail":
            self.reply(503, {}, b"")
        else:
            self.forward(body, harm)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815 http.server's names

    def forward(self, body: bytes, harm: Harm | None) -> None:
        try:
            status, headers, content = self.ask(body, harm)
        except (OSError, http.client.HTTPException):  # the server was killed or is paused
            self.close_connection = True
            return
        if harm == "stall":
            self.server.proxy.ended.wait()
        if harm in ("drop reply", "stall"):
            self.close_connection = True
            return
        if harm == "flip bit":
            content[len(content) // 2] ^= 1
        self.close_connection = harm == "cut reply"
        self.reply(status, headers, content[: len(content) // 2] if harm == "cut reply" else content)

    def ask(self, body: bytes, harm: Harm | None) -> tuple[int, dict[str, str], bytearray]:
        headers = dict(self.headers.items())
        if harm and harm.startswith("forget "):
            headers = {
                name: value for name, value in headers.items() if f"forget {name}".lower() != harm.lower()
            }
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=30)) as server:
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            return answer.status, dict(answer.getheaders()), bytearray(answer.read())

    def reply(self, status: int, headers: dict[str, str], content: bytes | bytearray) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # the client has given up
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Run a proxy to a server on this machine's `port`."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.target = port
    server.proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.proxy
    finally:
        server.proxy.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
