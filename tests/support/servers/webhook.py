"""A webhook that keeps the notifications it gets."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class Webhook:
    """A server that keeps what is posted to it; it runs inside a `with` statement.

    Attributes:
        answers: Statuses of the next answers; 0 is no answer while `hangs` is not set. Then all are 200.
        got: The documents that were posted.
    """

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.hangs = threading.Event()
        self.got: list[Any] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if webhook.answers and webhook.answers[0] == 0:
                    webhook.hangs.wait(10)
                    return
                self.send_response(webhook.answers.pop(0) if webhook.answers else 200)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/s3cret"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "Webhook":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hangs.set()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()
