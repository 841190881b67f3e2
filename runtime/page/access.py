"""Access: who may see the page. On loopback this machine, elsewhere whoever knows the token; no other site."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from runtime.frame import now_ns
from runtime.page.request import Request
from runtime.page.response import Response, text
from runtime.stop import Stop

COOKIE_DAYS = 30
WRONG_TOKEN_S = 0.5  # what a wrong guess costs
LOOPBACK_HOST = re.compile(r"(localhost|127(\.\d{1,3}){3})\.?(:\d{1,5})?", re.IGNORECASE)


class Access:
    """Decides for each request; holds the one secret of the page."""

    def __init__(self, token: str | None, loopback: bool, stop: Stop) -> None:
        """loopback: only this machine can connect. Elsewhere a missing token is made here."""
        self.made = token is None and not loopback
        self.token = secrets.token_urlsafe(24) if self.made else token
        self._loopback = loopback
        self._stop = stop

    def refuse_stranger(self, request: Request) -> Response | None:
        """The answer to a request that another site had a browser make, None for all others."""
        # A site whose name was pointed at 127.0.0.1 (DNS rebinding) is of the same origin; its name gives it away.
        if self._loopback and not LOOPBACK_HOST.fullmatch(request.headers.get("host", "localhost")):
            return text(421, "this page is served to this machine only: open it as http://localhost:PORT or by number")
        site = request.headers.get("sec-fetch-site", "none")
        if site == "same-origin":  # as the browser sees it, whatever a proxy in between makes of the Host
            return None
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if request.method == "POST" and origin is not None and origin.partition("://")[2].lower() != host.lower():
            return text(403, "only the page itself may change something")
        if site == "none":
            return None
        # Another page may link to this one, and show its picture where it knows the token.
        is_link = request.headers.get("sec-fetch-mode") == "navigate" and request.method != "POST"
        if is_link or (request.method != "POST" and self.is_told(request)):
            return None
        return text(403, "another site's page may not use this one")

    def knows(self, request: Request) -> bool:
        """Whether the request may see everything; a wrong token costs time."""
        if self.token is None or self.is_told(request) or self._has_cookie(request):
            return True
        if "token" in request.query or "authorization" in request.headers:
            self._stop.wait_until(now_ns() + int(WRONG_TOKEN_S * 1e9))
        return False

    def is_told(self, request: Request) -> bool:
        """Whether the token itself comes with the request."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        told = (request.query.get("token", ""), bearer.strip() if scheme.lower() == "bearer" else "")
        return self.token is not None and any(_same(text, self.token) for text in told)

    def cookie(self, request: Request) -> dict[str, str]:
        """The header that lets a browser in again, where it came with the token in the address."""
        if self.token is None or not _same(request.query.get("token", ""), self.token):
            return {}
        kept = f"Path=/; HttpOnly; SameSite=Strict; Max-Age={COOKIE_DAYS * 86400}"
        return {"Set-Cookie": f"{self._cookie_name(request)}={self._cookie_value()}; {kept}"}

    def _has_cookie(self, request: Request) -> bool:
        name = self._cookie_name(request)
        pairs = [pair.strip().partition("=") for pair in request.headers.get("cookie", "").split(";")]
        return any(_same(value, self._cookie_value()) for key, _, value in pairs if key == name)

    def _cookie_name(self, request: Request) -> str:
        """Browsers keep one jar for all ports of a host, which may be pages of several runs."""
        port = request.headers.get("host", "").rpartition(":")[2]
        return f"edgedeblur-{port if port.isdigit() and port.isascii() else 80}"

    def _cookie_value(self) -> str:
        """Made from the token and no way back to it."""
        return hashlib.sha256(f"edgedeblur page {self.token}".encode()).hexdigest()


def _same(one: str, other: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(one.encode(), other.encode())
