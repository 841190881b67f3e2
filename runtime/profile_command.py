"""`edgedeblur profile [URI]`: how old, how fast and how steady frames come out, and what everything around costs."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from fractions import Fraction
from pathlib import Path

from edgedeblur import ExitCode, Failure
from runtime.frame import now_ns
from runtime.measure.profiles.profiling import HELD_FRAMES, ProfileOptions, ProfileResult, hold, profile
from runtime.measure.profiles.soak import soak, soak_text
from runtime.report.as_text import report_text
from runtime.report.files import check_files, write_file, write_files
from runtime.run_options import (
    add_model_arguments,
    add_source_arguments,
    first_size,
    model_options,
    positive,
    seconds,
    source_options,
)
from runtime.sessions.models import open_session
from runtime.sources.source import open_source
from runtime.stop import Stop, stop_on_signals

SCENE, SOAK_SCENE = "test://640x360", "test://64x48"
LONGEST_MS = 3_600_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgedeblur profile`."""
    parser.formatter_class = argparse.HelpFormatter  # the defaults are said in words where there are any
    parser.add_argument("input", nargs="?", help=f"where the frames come from (default: {SCENE})")
    add_model_arguments(parser)
    how = parser.add_argument_group("how")
    how.add_argument(
        "--mode",
        choices=("paced", "saturated"),
        help="paced: at a camera's pace (default for cameras); saturated: back to back from memory (default for files)",
    )
    how.add_argument("--frames", type=positive, help="frames in one repeat (default, saturated: 60)")
    how.add_argument("--duration", type=seconds, metavar="S", help="seconds in one repeat (default, paced: 7)")
    how.add_argument("--repeats", type=positive, default=5, help="repeats, 3 or more show the spread (default: 5)")
    how.add_argument(
        "--warm-up", type=_milliseconds, default=200.0, metavar="MS", help="left out at the start (default: 200)"
    )
    how.add_argument(
        "--budget", type=_milliseconds, metavar="MS", help="deadline of a frame (default: 1 / source rate)"
    )
    how.add_argument(
        "--percentile", type=_percentiles, default="50,90,95,99", metavar="P,…", help="(default: 50,90,95,99)"
    )
    more = parser.add_argument_group("more to measure")
    more.add_argument("--overhead", action="store_true", help="what the page and recording cost beside a bare loop")
    more.add_argument("--memory-frames", type=int, default=0, help="also run so many frames and watch the memory")
    more.add_argument(
        "--soak",
        type=positive,
        metavar="N",
        help=f"instead: N frames (of {SOAK_SCENE}), watched for what grows or leaks",
    )
    more.add_argument("--pairs", type=Path, metavar="DIR", help="folder of blurred/sharp pairs: PSNR beside the speed")
    out = parser.add_argument_group("output")
    out.add_argument("--json", action="store_true", help="print JSON")
    out.add_argument("--save", type=Path, metavar="F.json", help="write the report as JSON, for edgedeblur compare")
    out.add_argument("--report", type=Path, metavar="F.html", help="write the report as one page with plots")
    out.add_argument("--export-times", type=Path, metavar="F", help="write every frame's times, .csv or .json")
    out.add_argument(
        "--layers", type=Path, metavar="F.json", help="layers for the page: edgedeblur inspect --times --json"
    )
    out.add_argument("--force", action="store_true", help="write over files that are there")
    add_source_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print; what was measured before an interruption or an error is printed too.

    Raises: Failure as the source, the model and the files do.
    """
    launched_ns, stop = now_ns(), Stop()
    options = _options(args, launched_ns)
    layers = check_files(args)
    if args.soak is not None:
        return _soak(args, options, stop)
    session, why = open_session(model_options(args), lambda: first_size(options.uri, options.source))
    load_s = (now_ns() - launched_ns) / 1e9
    with closing(session), stop_on_signals(stop):
        for note in session.notes:
            _say(f"note: {note}")
        result = profile(session, f"{session.describe()} ({why})", load_s, options, stop, _say)
    if layers is not None:
        result.report["layers"] = layers
    _tell(args, result)
    if result.error is not None:
        raise result.error
    return ExitCode.INTERRUPTED if stop.signal_name else ExitCode.OK


def _soak(args: argparse.Namespace, options: ProfileOptions, stop: Stop) -> int:
    """Raises: Failure (QUALITY) where something grew."""
    if args.report or args.export_times:
        raise Failure("--soak prints its own table; --report and --export-times are for the profile")
    session, _ = open_session(model_options(args), lambda: first_size(options.uri, options.source))
    with closing(session), stop_on_signals(stop):
        held = hold(open_source(options.uri, options.source), session, HELD_FRAMES, stop)
        result = soak(session, held, args.soak, stop, _say)
    if args.save is not None:
        write_file(args.save, (json.dumps(result, indent=1) + "\n").encode(), _say)
    print(json.dumps(result, indent=2) if args.json else soak_text(result), flush=True)
    if stop.signal_name:
        return ExitCode.INTERRUPTED
    broken = [check["name"] for check in result["checks"] if not check["passed"]]
    if broken:
        raise Failure(f"not steady over {result['frames']} frames: {', '.join(broken)}", ExitCode.QUALITY)
    return ExitCode.OK


def _tell(args: argparse.Namespace, result: ProfileResult) -> None:
    """Write the files, and print whatever becomes of them."""
    try:
        write_files(args, result.report, result.stamps, _say)
    finally:
        report = result.report
        print(json.dumps(report, indent=2) if args.json else report_text(report), flush=True)


def _options(args: argparse.Namespace, launched_ns: int) -> ProfileOptions:
    if args.memory_frames < 0:
        raise Failure("--memory-frames is at least 0")
    return ProfileOptions(
        uri=args.input or (SCENE if args.soak is None else SOAK_SCENE),
        source=source_options(args),
        launched_ns=launched_ns,
        mode=args.mode,
        frames=args.frames,
        duration_s=args.duration,
        repeats=args.repeats,
        warm_up_ms=args.warm_up,
        budget_ms=args.budget,
        percentiles=args.percentile,
        overhead=args.overhead,
        memory_frames=args.memory_frames,
        pairs=args.pairs,
    )


def _milliseconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= LONGEST_MS:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to {LONGEST_MS} milliseconds")
    return value


def _percentiles(text: str) -> tuple[Fraction, ...]:
    try:
        values = sorted({Fraction(part) for part in text.split(",")} | {Fraction(50)})
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of percentiles like 50,90,99.9") from None
    if not (values[0] > 0 and values[-1] < 100):
        raise argparse.ArgumentTypeError(f"'{text}': percentiles lie between 0 and 100")
    return tuple(values)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
