"""What `kfp_api` says over HTTP: a request as it came in, and the answer as it goes out."""

import email
import email.policy
import json
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

PREFIX = "/apis/v2beta1"


@dataclass(frozen=True)
class Request:
    """What came in; `form` is the file of an upload."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    headers: dict[str, str]
    form: bytes = b""

    @property
    def line(self) -> str:
        """The method and the path below the API's own."""
        return f"{self.method} {self.path.removeprefix(PREFIX)}"


class Api(Protocol):
    """What answers."""

    def answer(self, request: Request) -> tuple[int, str, str, dict[str, str]] | None:
        """Status, content type, body and headers; None for no answer at all."""


def handler_of(api: Api) -> type[BaseHTTPRequestHandler]:
    """What reads requests, and writes the answers of an API."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            answer = api.answer(self._request())
            self.close_connection = True
            if answer is None:
                return
            status, content_type, body, headers = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body.encode())))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = do_DELETE = handle_any  # noqa: N815  http.server's names

        def _request(self) -> Request:
            url = urllib.parse.urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "")
            form = raw if kind.startswith("multipart/") else b""
            return Request(
                method=self.command,
                path=urllib.parse.unquote(url.path),
                query=dict(urllib.parse.parse_qsl(url.query)),
                body=json.loads(raw) if raw and not form else None,
                headers={name.lower(): value for name, value in self.headers.items()},
                form=_file(kind, form) if form else b"",
            )

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    return Handler


def _file(kind: str, form: bytes) -> bytes:
    message = email.message_from_bytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + form, policy=email.policy.HTTP
    )
    part = next(part for part in message.iter_parts() if part.get_filename())
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content
