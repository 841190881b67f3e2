"""RtspAddress: an rtsp:// output's URI, taken apart: served here (`rtsp://@:8554/NAME`) or sent to a server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from edgedeblur import Failure

SERVED_PORT, RTSP_PORT, RTSPS_PORT = 8554, 554, 322
FORMS = "rtsp://@:8554/NAME to serve it here, rtsp://HOST:8554/NAME to send it to a server (e.g. MediaMTX)"


@dataclass(frozen=True)
class RtspAddress:
    """Where a stream goes."""

    served: bool  # by us; else sent to HOST
    secure: bool  # over TLS
    host: str  # empty: every interface of this machine
    port: int
    name: str  # without its first slash
    user: str
    password: str

    @property
    def url(self) -> str:
        """As a server is asked for it, without credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"rtsp{'s' * self.secure}://{host}:{self.port}/{self.name}"

    @property
    def shown(self) -> str:
        """As the user wrote it, without credentials."""
        return self.url.replace("://", "://@", 1) if self.served else self.url


def rtsp_address(uri: str) -> RtspAddress:
    """Take `rtsp://[USER:PASSWORD@][HOST][:PORT]/NAME` apart; no host, or nothing before the `@`, is served here.

    Raises: Failure (USAGE) for another form.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise _not_understood(uri) from None
    served = "@" in parts.netloc and (not parts.hostname or not parts.username)
    name = parts.path.strip("/") + (f"?{parts.query}" if parts.query else "")
    named = re.fullmatch(r"[\w.~/-]+" if served else r"[^\s#]+", name, re.ASCII)
    if not named or not (served or parts.hostname) or not _same_length(uri, parts) or port == 0:
        raise _not_understood(uri)
    secure = parts.scheme == "rtsps"
    if served and secure:
        raise Failure(f"{shown_output(uri)}: streams are served without TLS; expected {FORMS}")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not (user + password).isprintable():
        raise _not_understood(uri)
    default = SERVED_PORT if served else RTSPS_PORT if secure else RTSP_PORT
    host = parts.hostname or ""
    if served and host == "localhost":  # which is the loopback of IPv6 alone on some machines
        host = "127.0.0.1"
    return RtspAddress(served, secure, host, default if port is None else port, name, user, password)


def shown_output(uri: str) -> str:
    """An output's URI without user and password, for messages; others are as they were."""
    # Up to the last @, since a password may itself hold one, or a slash. `@:8554` and `@127.0.0.1` mean something.
    credentials = re.match(r"^((?!file:)[a-z][a-z0-9+.-]*://)(.+)@([^@]*)$", uri, re.IGNORECASE | re.DOTALL)
    if not credentials:
        return uri
    served = credentials[3].startswith((":", "/")) or not credentials[3]
    return f"{credentials[1]}{'@' * served}{credentials[3]}"


def _same_length(uri: str, parts: SplitResult) -> bool:
    """urlsplit drops line breaks without a word."""
    return len(parts.geturl()) == len(uri)


def _not_understood(uri: str) -> Failure:
    return Failure(f"output '{shown_output(uri)}' is not understood; expected {FORMS}")
