"""Response: what a request gets, and the headers that every answer of the page has."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.page.connection import Connection
    from runtime.page.request import Request

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
WORTH_PACKING = 1024  # bytes of text
# Nothing from elsewhere, nothing inline, and no other site may put the page into a frame of its own.
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'; object-src 'none'"
EVERY_ANSWER = {
    "Server": "edgedeblur",
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address may hold the token
}


@dataclass(frozen=True)
class Response:
    """An answer: a body in one piece, or one that is sent bit by bit for as long as somebody reads it."""

    status: int
    body: bytes | Callable[[Connection], None]
    kind: str = TEXT  # its media type
    headers: dict[str, str] = field(default_factory=dict)
    done: Callable[[], None] = lambda: None  # called once, when it is sent or cannot be

    def encode(self, request: Request | None, keep_alive: bool) -> bytes:
        """The head, and the body if it is in one piece. request: None where it could not be read."""
        body = self.body if isinstance(self.body, bytes) else b""
        fields = {"Date": formatdate(usegmt=True), **EVERY_ANSWER, "Content-Type": self.kind}
        fields["Cross-Origin-Resource-Policy"] = "same-origin"
        fields["Connection"] = "keep-alive" if keep_alive else "close"
        if isinstance(self.body, bytes):
            if _packs(self.kind, body, request):
                body, fields["Content-Encoding"] = gzip.compress(body, 1, mtime=0), "gzip"
            fields["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in {**fields, **self.headers}.items()]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head if request is not None and request.method == "HEAD" else head + body


def text(status: int, message: str, **headers: str) -> Response:
    """A line for people. headers: with `_` for `-`."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, f"{message}\n".encode(errors="backslashreplace"), headers=fields)


def as_json(value: dict[str, Any], status: int = 200) -> Response:
    return Response(status, json.dumps(value, separators=(",", ":"), allow_nan=False).encode(), JSON)


def _packs(kind: str, body: bytes, request: Request | None) -> bool:
    wanted = request is not None and "gzip" in request.headers.get("accept-encoding", "")
    return wanted and len(body) >= WORTH_PACKING and not kind.startswith("image/jpeg")
