"""A webhook that keeps the notifications it gets."""

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.support.servers.threaded import ThreadedServer


class Webhook(ThreadedServer):
    """A server that keeps what is posted to it; it runs inside a `with` statement.

    Attributes:
        answers: Statuses of the next answers; 0 is no answer until the server ends. Then all are 200.
        got: The documents that were posted.
    """

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.got: list[Any] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                if webhook.answers and webhook.answers[0] == 0:
                    webhook.closing.wait(10)
                    return
                self.send_response(webhook.answers.pop(0) if webhook.answers else 200)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        super().__init__(Handler)
        self.url = f"{self.host}/services/s3cret"
