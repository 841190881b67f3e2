"""PageOptions: the address of the page, and the token that opens it."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgedeblur import Failure

LOOPBACK = "127.0.0.1"
TOKEN_VARIABLE = "EDGEDEBLUR_TOKEN"
LEAST_TOKEN, LONGEST_TOKEN = 16, 128  # characters
FORMS = (
    "http://@:8080 (this machine only), http://@0.0.0.0:8080 (every network of this machine) or http://@ADDRESS:PORT"
)


@dataclass(frozen=True)
class PageOptions:
    """Where the page is served, and to whom."""

    host: str = LOOPBACK  # a name or an IPv4 address of this machine
    port: int = 8080  # 0: any that is free
    token: str | None = field(default=None, repr=False)  # None: loopback needs none, else one is made

    def __post_init__(self) -> None:
        """Raises: Failure (USAGE) for a token that is too easy to guess or that an address cannot hold."""
        if self.token is None:
            return
        if not LEAST_TOKEN <= len(self.token) <= LONGEST_TOKEN or not re.fullmatch(r"[A-Za-z0-9._~-]+", self.token):
            raise Failure(
                f"the page's token has {len(self.token)} characters; expected {LEAST_TOKEN} to {LONGEST_TOKEN} "
                "letters, digits and . _ ~ - only; make one with: openssl rand -hex 16"
            )


def add_page_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of an output `http://@:8080`."""
    parser.add_argument(
        "--preview-token",
        metavar="TOKEN",
        help=f"what the page asks for before it shows anything; {TOKEN_VARIABLE} in the environment says it without "
        "showing it to other users of this machine (default: none for this machine, else one is made and printed)",
    )


def page_options(uri: str, token: str | None = None, environment: Mapping[str, str] = os.environ) -> PageOptions:
    """What `http://@[HOST]:PORT` means. token: of the command line, which goes before that of the environment.

    Raises: Failure (USAGE) for another form of address and for a token that is too short.
    """
    parts = re.fullmatch(r"http://@([A-Za-z0-9.-]{0,253}):([0-9]{1,5})/?", uri)
    if not parts or int(parts[2]) > 65535:
        raise Failure(f"'{uri}' is no address for the page; expected {FORMS}")
    if token is None:
        token = environment.get(TOKEN_VARIABLE) or None
    return PageOptions(parts[1] or LOOPBACK, int(parts[2]), token)
