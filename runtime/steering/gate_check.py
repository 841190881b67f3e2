"""`python -m runtime.steering.gate_check --data PAIRS`: what the gate costs in quality and saves in time.

PAIRS is a folder with blur/ and sharp/ that hold pictures of the same names. Frames that were sharp belong into both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.measure.quality import psnr
from runtime.sessions.session import Session
from runtime.steering.gated_session import TO_STAY_OPEN, Gate, is_sharp
from runtime.steering.pairs import add_pair_arguments, open_for, read_pairs

MOST_DB = 60.0  # counted for a frame: beyond it nobody sees a difference, and equal pictures have no number at all
MOST_DROP_DB = 0.05


@dataclass(frozen=True)
class Verdict:
    """One frame with and without the gate."""

    name: str
    sharp: bool  # it bypasses the network
    input_db: float  # PSNR of the frame against its sharp picture
    output_db: float  # of the network's output
    gate_ms: float
    network_ms: float

    @property
    def lost_db(self) -> float:
        """What bypassing the network costs; where it gains, that makes up for no other frame."""
        return max(0.0, self.output_db - self.input_db) if self.sharp else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and judge: exit code 6 where the gate costs more than it may."""
    args = _parser().parse_args(arguments)
    try:
        return _run(args)
    except Failure as failure:
        print(f"gate_check: {failure}", file=sys.stderr)
        return failure.code


def check_gate(session: Session, folder: Path, video: bool) -> list[Verdict]:
    """Every pair of `folder` through gate and network.

    video: the pairs are consecutive frames. Otherwise each is judged as if sharp frames came before it, which is the
    most that the gate lets pass.
    Raises: Failure (SOURCE) for a folder that holds no pairs, and as the session does.
    """
    gate = Gate()
    verdicts = []
    for name, blurred, reference in read_pairs(folder):
        start = time.perf_counter()
        sharp = gate.lets_pass(blurred) if video else is_sharp(blurred, TO_STAY_OPEN)
        judged = time.perf_counter()
        output = session.infer(blurred)
        done = time.perf_counter()
        before, after = (min(MOST_DB, psnr(image, reference)) for image in (blurred, output))
        verdicts.append(Verdict(name, sharp, before, after, (judged - start) * 1000, (done - judged) * 1000))
    return verdicts


def summary_of(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Means over all frames; PSNR in dB, times in milliseconds."""
    gated = [verdict for verdict in verdicts if verdict.sharp]
    gate_ms, network_ms = (statistics.median(times) for times in zip(*map(_times, verdicts), strict=True))
    share = len(gated) / len(verdicts)
    return {
        "frames": len(verdicts),
        "gated": len(gated),
        "input_db": statistics.fmean(verdict.input_db for verdict in verdicts),
        "without_gate_db": statistics.fmean(verdict.output_db for verdict in verdicts),
        "with_gate_db": statistics.fmean(v.input_db if v.sharp else v.output_db for v in verdicts),
        "lost_db": statistics.fmean(verdict.lost_db for verdict in verdicts),
        "worst_db": max(verdict.lost_db for verdict in verdicts),
        "gate_ms": gate_ms,
        "network_ms": network_ms,
        "saved_share": share - gate_ms / network_ms,
    }


def _run(args: argparse.Namespace) -> int:
    with closing(open_for(args.data, args.model, args.threads)) as session:
        verdicts = check_gate(session, args.data, args.video)
        summary = {"model": session.describe(), **summary_of(verdicts)}
    if args.json:
        print(json.dumps({**summary, "frames_gated": [v.name for v in verdicts if v.sharp]}, indent=2))
    else:
        print(_text(summary))
    return ExitCode.QUALITY if summary["lost_db"] > args.max_psnr_drop else ExitCode.OK


def _text(summary: dict[str, Any]) -> str:
    s = summary
    return "\n".join(
        (
            f"model    {s['model']}",
            f"gated    {s['gated']} of {s['frames']} frames ({s['gated'] / s['frames']:.1%})",
            f"PSNR     {s['input_db']:.2f} dB input, {s['without_gate_db']:.2f} dB without the gate, "
            f"{s['with_gate_db']:.2f} dB with it (equal frames count {MOST_DB:g} dB)",
            f"lost     {s['lost_db']:.4f} dB, mean over all frames of what the gated ones would have gained; "
            f"at most {s['worst_db']:.2f} dB on one",
            f"time     gate {s['gate_ms']:.2f} ms and network {s['network_ms']:.2f} ms a frame (medians): "
            f"{s['saved_share']:.1%} saved",
        )
    )


def _times(verdict: Verdict) -> tuple[float, float]:
    return verdict.gate_ms, verdict.network_ms


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runtime.steering.gate_check",
        description="measure what the gate (--gate auto) costs in PSNR and saves in time, on pairs",
    )
    add_pair_arguments(parser)
    parser.add_argument("--video", action="store_true", help="the pairs are consecutive frames of one video")
    parser.add_argument(
        "--max-psnr-drop",
        type=float,
        default=MOST_DROP_DB,
        help="exit with 6 where more dB are lost on the mean (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
