"""`edgedeblur doctor [--camera URI]`: what this machine has and lacks, and for each red line the fix."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TypeAlias

from edgedeblur import ExitCode
from runtime.doctor import conditions, nvidia, packages, plugin, video
from runtime.doctor.camera import try_camera
from runtime.doctor.line import Colour, Line
from runtime.doctor.place import Place
from runtime.run_options import add_source_arguments, source_options

Check: TypeAlias = Callable[[Place], Iterator[Line]]
CHECKS: tuple[Check, ...] = (
    packages.python,
    packages.packages,
    packages.codecs,
    nvidia.jetpack,
    nvidia.gpu,
    nvidia.tensorrt,
    nvidia.pycuda,
    plugin.compiler,
    plugin.library,
    video.gstreamer,
    video.cameras,
    video.argus,
    video.loopback,
    conditions.power,
    conditions.memory,
    conditions.disk,
    conditions.display,
    conditions.ports,
)
PATIENCE_S = 60.0  # for all checks: each asks a few questions of at most 15 s
AT_ONCE = 4  # checks: most of them wait for a Python that starts
ESCAPES: dict[Colour, str] = {"green": "\x1b[32m", "yellow": "\x1b[33m", "red": "\x1b[31m", "grey": "\x1b[90m"}
WORDS: dict[Colour, str] = {"green": "green", "yellow": "yellow", "red": "red", "grey": "-"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgedeblur doctor`."""
    parser.formatter_class = argparse.HelpFormatter  # the defaults are said in words where there are any
    parser.add_argument("--camera", metavar="URI", help="also read frames from it for 3 s (anything that run reads)")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR", help="where outputs will go (default: the current folder)"
    )
    add_source_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print a line for each finding; ENVIRONMENT when one is red."""
    options = source_options(args)
    lines = findings(Place(out=args.output or Path.cwd()), CHECKS)
    if args.camera:
        lines += try_camera(args.camera, options)
    _print(json.dumps([asdict(line) for line in lines], indent=2) if args.json else _text(lines))
    return ExitCode.ENVIRONMENT if any(line.colour == "red" for line in lines) else ExitCode.OK


def findings(place: Place, checks: Sequence[Check], patience_s: float = PATIENCE_S) -> list[Line]:
    """What the checks find, in their order. One that fails or does not end says so, and stops no other."""
    found: dict[Check, list[Line]] = {}
    waiting: SimpleQueue[Check] = SimpleQueue()
    for check in checks:
        waiting.put(check)
    threads = [threading.Thread(target=_work, args=(place, waiting, found), daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    unanswered = f"no answer within {patience_s:.0f} s"
    return [line for check in checks for line in found.get(check, [_trouble(check, unanswered)])]


def _work(place: Place, waiting: SimpleQueue[Check], found: dict[Check, list[Line]]) -> None:
    while not waiting.empty():
        try:
            check = waiting.get(block=False)
        except Empty:  # another thread took the last one
            return
        try:
            found[check] = list(check(place))
        except Exception as error:
            found[check] = [_trouble(check, f"it cannot be told: {error!r}")]


def _trouble(check: Check, text: str) -> Line:
    name = getattr(check, "__name__", "check")
    return Line(name, "yellow", text, "a mistake of this program, or a machine unlike others: please report it")


def _text(lines: Sequence[Line]) -> str:
    colourful = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = max(len(line.subject) for line in lines)
    rows = []
    for line in lines:
        word = f"{WORDS[line.colour]:6}"
        word = f"{ESCAPES[line.colour]}{word}\x1b[0m" if colourful else word
        rows += [f"{word} {line.subject:{width}}  {line.found}"]
        if line.fix:
            rows += [f"{'':6} {'':{width}}  {'to have it' if line.colour == 'grey' else 'fix'}: {line.fix}"]
    red, yellow = (sum(line.colour == colour for line in lines) for colour in ("red", "yellow"))
    return "\n".join([*rows, "", f"{red} red, {yellow} yellow"])


def _print(text: str) -> None:
    # A camera's name may hold what the terminal cannot show.
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
