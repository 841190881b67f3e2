"""Request: one HTTP request, read strictly. Everything in it came from somebody who may mean harm."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

METHODS = ("GET", "HEAD", "POST")
LONGEST_TARGET = 2048  # bytes
MOST_HEADERS = 64
MOST_PARAMETERS = 16
MOST_BODY = 4096  # bytes

REQUEST_LINE = re.compile(r"([A-Z]{1,16}) ([!-~]+) HTTP/(\d)\.(\d)")
HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
ONCE = ("host", "content-length", "content-type", "origin", "authorization")  # twice could mean two things


class BadRequest(Exception):
    """A request that is answered with an error, after which the connection ends."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    method: str  # one of METHODS
    path: str  # as it was sent, not decoded: the addresses of the page need no escapes
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    keep_alive: bool = False
    body: bytes = b""

    @property
    def body_length(self) -> int:
        """Bytes that come after the head. Raises: BadRequest for a body that is not taken."""
        if "transfer-encoding" in self.headers:
            raise BadRequest(501, "a body needs a Content-Length")
        text = self.headers.get("content-length", "")
        if not text and self.method == "POST":
            raise BadRequest(411, "a body needs a Content-Length")
        if text and not re.fullmatch(r"\d{1,18}", text, re.ASCII):
            raise BadRequest(400, "Content-Length is not a number")
        length = int(text or 0)
        if length > MOST_BODY:
            raise BadRequest(413, f"a body has at most {MOST_BODY} bytes")
        if length and self.method != "POST":
            raise BadRequest(400, "only POST has a body")
        return length


def parse_head(head: bytes) -> Request:
    """The request line and headers, up to and without the blank line. Raises: BadRequest."""
    line, *lines = head.decode("latin-1").split("\r\n")
    parts = REQUEST_LINE.fullmatch(line)
    if not parts:
        raise BadRequest(400, "this is not an HTTP request")
    method, target, major, minor = parts.groups()
    if major != "1":
        raise BadRequest(505, "expected HTTP/1.1 or HTTP/1.0")
    if method not in METHODS:
        raise BadRequest(405, f"expected one of the methods {', '.join(METHODS)}")
    if len(target) > LONGEST_TARGET:
        raise BadRequest(414, f"an address has at most {LONGEST_TARGET} bytes")
    if not target.startswith("/"):
        raise BadRequest(400, "an address starts with '/'")
    headers = _headers(lines)
    if minor != "0" and "host" not in headers:
        raise BadRequest(400, "HTTP/1.1 needs a Host")
    path, _, query = target.partition("?")
    connection = headers.get("connection", "").lower()
    keep_alive = "close" not in connection and (minor != "0" or "keep-alive" in connection)
    return Request(method, path, _parameters(query), headers, keep_alive)


def _headers(lines: list[str]) -> dict[str, str]:
    if len(lines) > MOST_HEADERS:
        raise BadRequest(431, f"a request has at most {MOST_HEADERS} headers")
    headers: dict[str, str] = {}
    for line in lines:
        parts = HEADER.fullmatch(line)
        if not parts:
            raise BadRequest(400, "a header is not of the form Name: value")
        name, value = parts[1].lower(), parts[2]
        if name in headers and name in ONCE:
            raise BadRequest(400, f"the header {name} is there twice")
        joint = "; " if name == "cookie" else ", "
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    return headers


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS, errors="strict")
    except ValueError:  # too many, or not UTF-8
        raise BadRequest(400, f"an address has at most {MOST_PARAMETERS} parameters, in UTF-8") from None
    if len({name for name, _ in pairs}) < len(pairs):
        raise BadRequest(400, "a parameter is there twice")
    return dict(pairs)
