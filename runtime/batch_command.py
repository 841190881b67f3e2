"""`edgedeblur batch 'videos/*.mp4' -o OUT/`: many files, here or on a Ray cluster; goes on where it ended."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shlex
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.batch.alone import alone
from runtime.batch.attempt import Outcome
from runtime.batch.here import run_here
from runtime.batch.jobs import Job, jobs_of, model_stamp
from runtime.batch.on_ray import RayOptions, run_on_ray
from runtime.batch.records import is_done, is_ours
from runtime.run_options import add_model_arguments, positive
from runtime.sessions.models import SHIPPED
from runtime.sinks.output_path import make_folder

MOST_IN_A_ROW = 3  # failures that are no fault of the files: then the rest would fail, too
CORES_OF_A_RUN = 4  # more help little at the sizes that are usual
# Options of `run` that a batch has itself, or that make files beside the one that it keeps.
NOT_FOR_FILES = {"also", "force", "input_save", "json", "model", "output_split", "rebuild", "threads"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `edgedeblur batch`."""
    parser.formatter_class = argparse.HelpFormatter  # the defaults are said in words where there are any
    parser.add_argument("input", nargs="+", help="videos, folders of pictures, or patterns ('videos/**/*.mp4')")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the results")
    add_model_arguments(parser)
    parser.add_argument(
        "--options",
        type=shlex.split,
        default=[],
        metavar="WORDS",
        help="more options of edgedeblur run, in one pair of quotes: --options='--view side-by-side --strength 0.8'",
    )
    parser.add_argument(
        "--workers", type=positive, help="files at a time (default: one for four cores; on Ray as many as have room)"
    )
    parser.add_argument(
        "--ray",
        metavar="WHERE",
        help="work on a Ray cluster whose machines see the same files under the same names: auto (the running cluster "
        "of this machine), local (this machine alone) or HOST:PORT",
    )
    parser.add_argument(
        "--gpus",
        type=_gpus,
        metavar="SHARE",
        help="GPUs that a file takes on Ray, e.g. 0.5 (default: 1 with an engine, else 0)",
    )
    parser.add_argument("--force", action="store_true", help="write over files in OUT that no batch has made")
    parser.add_argument("--dry-run", action="store_true", help="list what would be done")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """Do what is not done. Raises: Failure; what is finished then stays."""
    jobs = _jobs(args)
    waiting = [job for job in jobs if not is_done(job)]
    finished = len(jobs) - len(waiting)
    if args.dry_run:
        places = [_shown(f"{job.source} → {job.output}") for job in waiting]
        _print("\n".join([*places, f"{finished} are finished"]))
        return ExitCode.OK
    _refuse_strangers(waiting, args.force)
    make_folder(args.output)
    with alone(args.output):
        outcomes = _work(waiting, args)
    return _report(outcomes, finished, len(waiting), args.json)


def _gpus(word: str) -> float:
    """As Ray takes them."""
    share = float(word)  # a ValueError is argparse's to tell
    if not (0 <= share <= 1 or (1 < share < math.inf and share.is_integer())):
        raise argparse.ArgumentTypeError(f"'{word}' is no share; expected 0, a part of a GPU such as 0.5, or 1, 2, …")
    return share


def _jobs(args: argparse.Namespace) -> list[Job]:
    _check_words(args.options)
    words = ["--rebuild", args.rebuild, *args.options]
    made_by = {**model_stamp(args.model), "options": args.options}
    is_file = args.model not in ("auto", *SHIPPED)
    words += ["--model", os.path.abspath(args.model) if is_file else args.model]
    if not args.ray:
        words += ["--threads", str(args.threads or max(1, (os.cpu_count() or 1) // _workers(args)))]
    return jobs_of(args.input, args.output, words, made_by)


def _check_words(words: Sequence[str]) -> None:
    """What `run` would not take is said now, not by every file. Raises: SystemExit, as argparse does."""
    from runtime import run_command

    parser = argparse.ArgumentParser(prog="edgedeblur batch --options", usage="OPTIONS OF edgedeblur run")
    run_command.add_arguments(parser)
    taken = vars(parser.parse_intermixed_args(["input", "output", *words]))
    given = {name for name, value in taken.items() if value != parser.get_default(name)}
    refused = [f"--{name.replace('_', '-')}" for name in sorted(given & NOT_FOR_FILES)]
    if refused or taken["output"] != ["output"]:
        raise Failure(f"--options takes what changes the pictures; {', '.join(refused) or 'outputs'} is not for it")


def _refuse_strangers(jobs: Sequence[Job], force: bool) -> None:
    for job in jobs:
        if job.output.exists() and not is_ours(job) and not force:
            raise Failure(
                f"'{job.output}' is there and no batch has made it; give another -o, or --force to replace it"
            )


def _workers(args: argparse.Namespace) -> int:
    return int(args.workers or max(1, (os.cpu_count() or 1) // CORES_OF_A_RUN))


def _work(jobs: Sequence[Job], args: argparse.Namespace) -> list[Outcome]:
    """Do the jobs and tell of each; ends early where nothing works any more."""
    outcomes: list[Outcome] = []
    gpus = args.gpus if args.gpus is not None else float(args.model.endswith((".engine", ".plan")))
    options = RayOptions(args.ray, args.workers, args.threads or None, gpus)
    began, in_a_row = time.monotonic(), 0
    with contextlib.closing(run_on_ray(jobs, options) if args.ray else run_here(jobs, _workers(args))) as results:
        for outcome in results:
            outcomes.append(outcome)
            _say(_line(outcome, len(outcomes), len(jobs), time.monotonic() - began))
            in_a_row = 0 if outcome.code in (ExitCode.OK, ExitCode.SOURCE) else in_a_row + 1
            if in_a_row == MOST_IN_A_ROW:
                break
    return outcomes


def _line(outcome: Outcome, number: int, count: int, elapsed_s: float) -> str:
    left_s = elapsed_s / number * (count - number)
    where = "" if outcome.host in ("", socket.gethostname()) else f" on {outcome.host}"
    if outcome.code != ExitCode.OK:
        what = f"failed{where}: {outcome.text}"
    else:
        pace = f", {outcome.frames / outcome.seconds:.1f} frames/s" if outcome.seconds else ""
        what = f"{outcome.frames} frames in {outcome.seconds:.1f} s{pace}{where}"
        what += f" ({outcome.text})" if outcome.text else ""
    return f"[{number}/{count}, {_duration(left_s)} left] {outcome.job.source.name}: {what}"


def _report(outcomes: Sequence[Outcome], finished: int, wanted: int, as_json: bool) -> int:
    failed = [outcome for outcome in outcomes if outcome.code != ExitCode.OK]
    stopped = len(outcomes) < wanted
    summary: dict[str, Any] = {
        "done": len(outcomes) - len(failed),
        "finished_before": finished,
        "not_tried": wanted - len(outcomes),
        "failed": [
            {"input": str(outcome.job.source), "code": outcome.code, "reason": outcome.text} for outcome in failed
        ],
    }
    _print(json.dumps(summary, indent=2) if as_json else _text(summary))
    if stopped:
        raise Failure(
            f"stopped after {MOST_IN_A_ROW} failures in a row that are not the files' fault, with "
            f"{summary['not_tried']} files not tried: {outcomes[-1].text}; put that right and give the same command "
            "again",
            next((code for code in ExitCode if code == outcomes[-1].code), ExitCode.ENVIRONMENT),
        )
    return ExitCode.SOURCE if failed else ExitCode.OK


def _text(summary: dict[str, Any]) -> str:
    lines = [f"{summary['done']} done, {summary['finished_before']} were finished, {len(summary['failed'])} failed"]
    failed = [_shown(f"failed: {entry['input']}: {entry['reason']}") for entry in summary["failed"]]
    return "\n".join([*lines, *failed])


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _shown(text: str) -> str:
    """A line of text in which nothing steers the terminal: file names may hold anything."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"  # it may not have a letter; stderr escapes by itself
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _say(text: str) -> None:
    print(_shown(text), file=sys.stderr, flush=True)
