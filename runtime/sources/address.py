"""Addresses: the scheme of a URI, and what of it may be shown to people."""

from __future__ import annotations

import re

LOCAL = ("test", "file", "v4l2", "csi", "screen")  # schemes without users, in which an `@` is something else
# What cameras call the parts of a query, or of a GStreamer description, that are nobody's business.
SECRETS = (
    r"(user(?:[-_]?(?:name|id))?|usr|login\w*|pass(?:word|wd)?|user-pw|psw|pwd|pw|token|auth\w*|\w*key|secret|sig\w*)"
)


def scheme_of(uri: str) -> tuple[str, str]:
    """The scheme in small letters, empty where there is none, and what follows it."""
    parts = re.match(r"([a-z][a-z0-9+.-]*)://", uri, re.IGNORECASE)
    return (parts[1].lower(), uri[parts.end() :]) if parts else ("", uri)


def without_credentials(uri: str) -> str:
    """What may be shown of a URI: without its user and password, and `***` for secrets in its query.

    The user ends with the last `@`, since a password may itself hold `@` or `/`. Schemes that have no users stay as
    they are: `test://96x64@30`. What is no URI at all, perhaps a misspelt one, loses what looks like `user:password@`.
    """
    scheme, rest = scheme_of(uri)
    if scheme in LOCAL:
        return uri
    if scheme == "gst":
        return uri[: len(uri) - len(rest)] + hidden(rest)
    shown = rest.rpartition("@")[2] if scheme else re.sub(r"^.*:.*@", "***@", rest, flags=re.DOTALL)
    return uri[: len(uri) - len(rest)] + hidden(shown)


def hidden(text: str) -> str:
    """A text without the users and secrets of the addresses in it."""
    text = re.sub(r"(://)[^\s\"']*@", r"\1", text)
    return re.sub(rf"\b{SECRETS}=(\"[^\"]*\"|[^&#\s]*)", r"\1=***", text, flags=re.IGNORECASE)
