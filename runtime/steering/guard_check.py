"""`python -m runtime.steering.guard_check --data PAIRS`: how far from its limits the guard sees honest outputs.

The network's outputs must be trusted, for blurred and for sharp inputs; and so must the true sharp pictures, which a
network without a fault would give.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import Image
from runtime.sessions.session import Session
from runtime.steering.pairs import add_pair_arguments, open_for, read_pairs
from runtime.steering.trust import Sign, distrust, signs

KINDS = ("output", "output of the sharp one", "sharp picture")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and judge: exit code 6 where anything is distrusted."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime.steering.guard_check",
        description="measure how far from the limits of --guard a network's outputs and true sharp pictures are",
    )
    add_pair_arguments(parser)
    args = parser.parse_args(arguments)
    try:
        with closing(open_for(args.data, args.model, args.threads)) as session:
            return _report(session, args.data)
    except Failure as failure:
        print(f"guard_check: {failure}", file=sys.stderr)
        return failure.code


def _report(session: Session, folder: Path) -> int:
    largest: dict[tuple[str, str], Sign] = {}
    alarms, times_ms = [], []
    for name, kind, before, after in _judged(session, folder):
        start = time.perf_counter()
        fault = distrust(before, after)
        times_ms.append((time.perf_counter() - start) * 1000)
        if fault:
            alarms.append(f"distrusted: {name}, {kind}: {fault}")
        for sign in signs(before, after):
            largest[sign.name, kind] = max(sign, largest.get((sign.name, kind), sign), key=lambda one: one.value)
    print("\n".join([*_table(largest), *alarms]))
    print(f"{len(times_ms)} judged, {len(alarms)} distrusted; {statistics.median(times_ms):.2f} ms each (median)")
    return ExitCode.QUALITY if alarms else ExitCode.OK


def _judged(session: Session, folder: Path) -> Iterator[tuple[str, str, Image, Image]]:
    """(name, kind, before, after)."""
    for name, blurred, sharp in read_pairs(folder):
        pairs = ((blurred, session.infer(blurred)), (sharp, session.infer(sharp)), (blurred, sharp))
        for kind, pair in zip(KINDS, pairs, strict=True):
            yield name, kind, *pair


def _table(largest: dict[tuple[str, str], Sign]) -> Iterator[str]:
    yield f"{'largest value':46}{'limit':>8}" + "".join(f"{kind:>26}" for kind in KINDS)
    for name in dict.fromkeys(name for name, _ in largest):
        row = [largest.get((name, kind)) for kind in KINDS]
        limit = next(sign.limit for sign in row if sign is not None)
        yield f"{name:46}{limit:>8g}" + "".join(f"{sign.value if sign else 0.0:>26.2f}" for sign in row)


if __name__ == "__main__":
    sys.exit(main())
