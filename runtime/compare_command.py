"""`edgedeblur compare A.json B.json`: what is faster in the second report, and whether that is more than its spread."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.measure.profiles.comparison import CANNOT_TELL, FEWEST_REPEATS, WORSE, Compared, compare, differing_fields
from runtime.measure.profiles.profile_report import SCHEMA
from runtime.measure.summary import SCHEMA as RUN_SCHEMA

COMPARE_SCHEMA = "edgedeblur.compare/1"
WANTED = "expected what edgedeblur profile --save or run --json wrote"
# What --fail-slower looks at: what each mode is about, and the network.
GATED = {"paced": ("age_p50", "inference_p50"), "saturated": ("fps", "inference_p50")}
NOT_GATED = ("mode", "size", "device", "cpu", "cores", "gpu", "power_mode", "source_rate")

FOOTNOTE = (
    "Medians over the repeats. By chance: how often dealing the same repeats to A and B at random sets them apart so.",
    "B differs from 0.05 down (3 repeats against 3: where none overlap, 0.1): one line in twenty does so by luck.",
    "Repeats lie within one run; two runs an hour apart may differ more: compare A with A again first.",
)

Report = Mapping[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgedeblur compare`."""
    parser.formatter_class = argparse.HelpFormatter
    parser.add_argument("a", type=Path, metavar="A.json", help="the report to compare with")
    parser.add_argument("b", type=Path, metavar="B.json", help="the report that is asked about")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--fail-slower",
        type=_percent,
        metavar="PERCENT",
        help="exit with code 6 where B is slower by more than this and by more than the spread of the repeats",
    )


def run(args: argparse.Namespace) -> int:
    """Print the comparison.

    Raises: Failure (USAGE) for files that are no reports, or that cannot be held against each other for --fail-slower;
    (QUALITY) where B is slower than that allows.
    """
    a, b = read_report(args.a), read_report(args.b)
    loud, explains = differing_fields(a, b)
    compared = compare(a, b)
    if args.json:
        print(json.dumps(_as_json(args, loud, explains, compared), indent=2), flush=True)
    else:
        print("\n".join(_text(args, a, b, loud, explains, compared)), flush=True)
    if args.fail_slower is not None:
        _refuse_slower(args, a, loud, compared)
    return ExitCode.OK


def read_report(path: Path) -> dict[str, Any]:
    """Raises: Failure (USAGE) for a file that is no report of ours."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise Failure(f"'{path}' cannot be read: {why}; {WANTED}") from error
    if isinstance(found, dict) and isinstance(found.get("streams"), list):
        raise Failure(f"'{path}' holds {len(found['streams'])} streams; a comparison is of one: run each alone")
    if not isinstance(found, dict) or found.get("schema") not in (SCHEMA, RUN_SCHEMA) or not _is_whole(found):
        schema = found.get("schema") if isinstance(found, dict) else None
        raise Failure(f"'{path}' is no report (schema {schema!r}); {WANTED}")
    return found


def _is_whole(report: Report) -> bool:
    """Whether its parts have the shapes that a comparison reads; whoever edits one is told that it is none."""
    repeats, header = report.get("repeats", []), report.get("header", {})
    if not isinstance(repeats, list) or not isinstance(header, dict):
        return False
    parts = [report, *repeats]
    return isinstance(header.get("versions", {}), dict) and all(
        isinstance(part, dict)
        and isinstance(part.get("ms"), dict)
        and all(isinstance(row, dict) for row in part["ms"].values())
        for part in parts
    )


def _refuse_slower(args: argparse.Namespace, a: Report, loud: Report, compared: Sequence[Compared]) -> None:
    unlike = [name for name in NOT_GATED if name in loud]
    if unlike:
        raise Failure(f"--fail-slower: the reports differ in {', '.join(unlike)}; measure both alike")
    gated = [row for row in compared if row.metric.name in GATED.get(str(a.get("mode")), ("age_p50", "fps"))]
    if any(row.verdict == CANNOT_TELL for row in gated):
        raise Failure(f"--fail-slower needs {FEWEST_REPEATS} repeats in both reports; give profile --repeats 5")
    slower = [row for row in gated if row.verdict == WORSE and 100 * _loss(row) > args.fail_slower]
    if slower:
        words = ", ".join(f"{row.metric.title} by {100 * _loss(row):.1f} %" for row in slower)
        raise Failure(
            f"'{args.b}' is slower than '{args.a}': {words}; allowed are {args.fail_slower:g} %", ExitCode.QUALITY
        )


def _loss(row: Compared) -> float:
    """How much longer it takes, relative."""
    if not (row.a and row.b):
        return 0.0
    return row.a / row.b - 1 if row.metric.more_is_better else row.b / row.a - 1


def _as_json(args: argparse.Namespace, loud: Report, explains: Report, compared: Sequence[Compared]) -> Report:
    return {
        "schema": COMPARE_SCHEMA,
        "a": str(args.a),
        "b": str(args.b),
        "comparable": not loud,
        "not_comparable_because": {name: list(pair) for name, pair in loud.items()},
        "also_differs": {name: list(pair) for name, pair in explains.items()},
        "metrics": [row.as_json() for row in compared],
    }


def _text(
    args: argparse.Namespace, a: Report, b: Report, loud: Report, explains: Report, compared: Sequence[Compared]
) -> Iterator[str]:
    yield f"A  {args.a}: {a.get('source')}, {_repeats(a)}"
    yield f"B  {args.b}: {b.get('source')}, {_repeats(b)}"
    if loud:
        yield ""
        yield "SPEED IS NOT COMPARABLE: these are two different things, and the figures only stand side by side"
        yield from (f"  {name}: {_plain(pair[0])} | {_plain(pair[1])}" for name, pair in loud.items())
    if explains:
        yield "also different:"
        yield from (f"  {name}: {_plain(pair[0])} | {_plain(pair[1])}" for name, pair in explains.items())
    yield ""
    yield f"{'':38}{'A':>12}{'B':>12}{'change':>10}   {'B is':24}by chance"
    for row in compared:
        title = f"{row.metric.title}{', ' + row.metric.unit if row.metric.unit else ''}"
        change = "-" if row.change is None else f"{100 * row.change:+.1f} %"
        chance = "-" if row.chance is None else f"{row.chance:.3f}"
        yield f"{title:38}{row.a:>12.3f}{row.b:>12.3f}{change:>10}   {row.verdict:24}{chance}"
    yield ""
    yield from FOOTNOTE


def _repeats(report: Report) -> str:
    count = len(report.get("repeats") or ())
    if not count:
        return "no repeats"
    at = report.get("header", {}).get("at")
    return f"{count} repeats, {at}" if at else f"{count} repeats"


def _plain(value: object) -> str:
    return "n/a" if value is None else str(value)


def _percent(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1000 percent")
    return value
