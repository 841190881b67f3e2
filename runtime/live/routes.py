"""Routes: which input goes to which outputs, and what each stream is called."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import PurePath

from edgedeblur import Failure
from runtime.sinks.sink import place_of
from runtime.sources.address import scheme_of, without_credentials

LONGEST_NAME = 32
KIND_FIRST = ("csi", "gst", "screen", "test")  # schemes whose rest alone says little
SHARED = ("null://", "http://", "display://")  # any number of streams may go there


@dataclass(frozen=True)
class Route:
    """One input on its way to its outputs."""

    name: str  # letters, digits, `-` and `_`, unique in a run
    input: str
    outputs: tuple[str, ...]
    input_save: str = ""  # a video file of what comes in; empty: none


def routes_of(
    input: str, outputs: Sequence[str], also: Sequence[Sequence[str]] = (), input_save: str = ""
) -> list[Route]:
    """The routes of a command line. also: more inputs, each with the outputs that follow it; input_save: the file of
    each input's recording. In outputs and recordings `{name}` stands for the stream's name and `{time}` for the moment
    of the start, so that a run that is started again writes other files.

    Raises: Failure (USAGE) for two outputs in one place.
    """
    routes: list[Route] = []
    started = time.strftime("%Y%m%d-%H%M%S")
    for source, *sinks in [[input, *outputs], *also]:
        name = _unused(_name_of(source), {route.name for route in routes})
        places = [uri.replace("{name}", name).replace("{time}", started) for uri in (*sinks, input_save)]
        routes.append(Route(name, source, tuple(places[:-1] or ["null://"]), places[-1]))
    _check_places(routes)
    return routes


def _name_of(uri: str) -> str:
    """A short name for a source: the last part of its path, or its host or scheme. No user, password or query."""
    scheme, rest = scheme_of(without_credentials(uri))
    if scheme == "gst":  # by its first element, without what that is told
        rest = re.split(r"[\s!]", rest.strip())[0]
    elif scheme == "test":  # without its rate
        rest = rest.split("@")[0]
    elif scheme:
        rest = re.split(r"[?#]", rest)[0]
    path = PurePath(rest.rstrip("/"))
    last = (path.name if path.suffix[1:].isdigit() else path.stem) or scheme  # an address ends in a number, too
    name = re.sub(r"[^A-Za-z0-9_]+", "-", f"{scheme}-{last}" if scheme in KIND_FIRST else last)
    return name.strip("-")[:LONGEST_NAME] or "stream"


def _unused(name: str, taken: set[str]) -> str:
    candidates = (f"{name}-{number}" if number > 1 else name for number in count(1))
    return next(candidate for candidate in candidates if candidate not in taken)


def _check_places(routes: list[Route]) -> None:
    written = [(route.name, uri) for route in routes for uri in (*route.outputs, route.input_save) if uri]
    places = [(name if uri.startswith(SHARED) else "", place_of(uri)) for name, uri in written]
    twice = [place for _, place in {pair: None for pair in places if places.count(pair) > 1}]
    if twice:
        raise Failure(
            f"the same output twice: {', '.join(twice)}; give each its own name (of several inputs' recordings: "
            "--input-save raw-{name}.mkv)"
        )
