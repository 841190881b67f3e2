"""What to do while a live source is lost, as the user asks for it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from edgedeblur import Failure

OnLost: TypeAlias = Literal["hold", "passthrough", "blank", "exit"]
LONGEST_S = 86400.0  # a day


@dataclass(frozen=True)
class LostOptions:
    """How a live source is watched and opened again."""

    on_lost: OnLost = "hold"
    reconnect_interval_s: float = 1.0  # limit of the first wait; each further one doubles it
    reconnect_max_interval_s: float = 30.0
    reconnect_attempts: int = -1  # without lasting success; -1: for ever; 0: the first loss is the end
    stall_timeout_s: float = 3.0  # without a frame, or with one picture all the time
    wait_for_source: bool = False  # one that is not there at the start is waited for
    proven_s: float = 10.0  # a source that has been back for so long starts its waits from the first again


def add_lost_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of lost sources."""
    default = LostOptions()
    parser.add_argument(
        "--on-lost",
        choices=get_args(OnLost),
        default=default.on_lost,
        help="while a camera is lost: hold (the default) repeats the last picture, blank sends black ones, passthrough "
        "makes up none and lets what is suspicious through as it came, exit ends the run with code 4",
    )
    parser.add_argument(
        "--reconnect-interval",
        type=_seconds,
        default=default.reconnect_interval_s,
        metavar="SECONDS",
        help="longest wait before a lost camera is opened again; each further wait may be twice as long (default: 1)",
    )
    parser.add_argument(
        "--reconnect-max-interval",
        type=_seconds,
        default=default.reconnect_max_interval_s,
        metavar="SECONDS",
        help="longest wait of all (default: 30)",
    )
    parser.add_argument(
        "--reconnect-attempts",
        type=_attempts,
        default=default.reconnect_attempts,
        metavar="N",
        help="give up after so many attempts; -1 (the default): never, 0: the end of the stream is the end of the run",
    )
    parser.add_argument(
        "--stall-timeout",
        type=_seconds,
        default=default.stall_timeout_s,
        metavar="SECONDS",
        help="open a camera again that gives no new picture for so long (default: 3)",
    )
    parser.add_argument(
        "--wait-for-source", action="store_true", help="wait for a camera that is not there yet at the start"
    )


def lost_options(args: argparse.Namespace) -> LostOptions:
    """What the command line says of lost sources. Raises: Failure (USAGE) for waits that contradict each other."""
    if args.reconnect_max_interval < args.reconnect_interval:
        raise Failure(
            f"--reconnect-max-interval {args.reconnect_max_interval:g} is below --reconnect-interval "
            f"{args.reconnect_interval:g}; give the larger one as the maximum"
        )
    return LostOptions(
        args.on_lost,
        args.reconnect_interval,
        args.reconnect_max_interval,
        args.reconnect_attempts,
        args.stall_timeout,
        args.wait_for_source,
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most {LONGEST_S:g} seconds")
    return value


def _attempts(text: str) -> int:
    value = int(text)
    if value < -1:
        raise argparse.ArgumentTypeError(f"{value} is below -1; -1 tries for ever")
    return value
