"""Steering: a session with what was asked for around it, from the command line's words."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from edgedeblur import Failure
from runtime.sessions.session import Session
from runtime.steering.gated_session import GatedSession
from runtime.steering.guarded_session import GuardedSession
from runtime.steering.ladder_session import LadderSession

FASTEST = 1000.0  # frames a second
SLOWEST = 0.1


@dataclass(frozen=True)
class SteeringOptions:
    """What may be done to frames instead of the whole network."""

    target_fps: float | None = None  # frames a second that must be kept up with; None: whatever comes
    ladder: tuple[str, ...] = ()  # smaller models, as `--model` names them, the best first
    gate: bool = False
    guard: bool = True


@dataclass(frozen=True, eq=False)
class Steering:
    """A session that steers itself, and what is to be known of it."""

    session: Session
    guarded: GuardedSession | None = None
    ladder: LadderSession | None = None
    gated: GatedSession | None = None

    def admit(self) -> bool:
        """For `PipelineOptions.admit`."""
        return self.ladder is None or self.ladder.admit()

    def keep_all(self) -> None:
        """No frame of the source may be lost: to be called before the first one of a file."""
        if self.ladder is not None:
            self.ladder.keep_all()

    def describe(self) -> str:
        """One line for people; empty where nothing is steered."""
        ladder = self.ladder
        parts = [
            ladder and f"{ladder.target_fps:g} frames/s by {', '.join(rung.text for rung in ladder.usable)}",
            self.gated and "sharp frames bypass the network",
            self.guarded and "the input goes out where the output is not to be trusted",
        ]
        return "; ".join(part for part in parts if part)

    def counts(self) -> dict[str, int | str]:
        """What was done so far, of what is on: `rung`, `steps`, `sharp`, `guarded`."""
        counts: dict[str, int | str] = {}
        if self.ladder is not None:
            counts |= {"rung": self.ladder.rung.text, "steps": self.ladder.steps}
        if self.gated is not None:
            counts["sharp"] = self.gated.sharp
        if self.guarded is not None:
            counts["guarded"] = self.guarded.guarded
        return counts


def steered(
    session: Session, options: SteeringOptions, open_more: Callable[[str], Session], say: Callable[[str], None]
) -> Steering:
    """`session` with what `options` ask for around it; the very session where they ask for nothing.

    open_more: opens a model of the ladder; all of them are opened now, and stay in memory. say: told what happens.
    Raises: as `open_more`; what it opened before is closed then, `session` is not.
    """
    guarded = gated = ladder = None
    if options.target_fps is not None:
        session = ladder = LadderSession([session, *_opened(options.ladder, open_more)], options.target_fps, say)
    if options.guard:
        session = guarded = GuardedSession(session, say)
    if options.gate:
        session = gated = GatedSession(session)
    return Steering(session, guarded, ladder, gated)


def add_steering_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say what may be done to frames instead of the whole network."""
    parser.add_argument(
        "--target-fps",
        type=_rate,
        metavar="FPS",
        help="do less for each frame while so many frames a second are not reached: the models of --ladder, smaller "
        "sizes, every 2nd or 3rd frame, frames as they came; and more again when there is time",
    )
    parser.add_argument(
        "--ladder",
        type=_models,
        default=(),
        metavar="MODEL,…",
        help="smaller models for --target-fps, the best first; all of them stay in memory",
    )
    parser.add_argument(
        "--gate",
        choices=("auto", "off"),
        default="off",
        help="auto: frames that are sharp already bypass the network (default: off)",
    )
    parser.add_argument(
        "--guard",
        choices=("on", "off"),
        default="on",
        help="on: the input goes out wherever the network's output is not to be trusted (default: on)",
    )


def steering_options(args: argparse.Namespace) -> SteeringOptions:
    """What the command line asks for. Raises: Failure (USAGE) for a ladder without a target."""
    if args.ladder and args.target_fps is None:
        raise Failure(
            "--ladder says what to take when --target-fps is not reached; give that too, e.g. --target-fps 30"
        )
    return SteeringOptions(args.target_fps, args.ladder, args.gate == "auto", args.guard == "on")


def _opened(models: tuple[str, ...], open_more: Callable[[str], Session]) -> list[Session]:
    with ExitStack() as opened:
        sessions = [_closing(opened, open_more(model)) for model in models]
        opened.pop_all()
        return sessions


def _closing(stack: ExitStack, session: Session) -> Session:
    stack.callback(session.close)
    return session


def _rate(text: str) -> float:
    value = float(text)
    if not SLOWEST <= value <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text} is not from {SLOWEST:g} to {FASTEST:g} frames/s")
    return value


def _models(text: str) -> tuple[str, ...]:
    models = tuple(model.strip() for model in text.split(","))
    if not all(models):
        raise argparse.ArgumentTypeError(f"'{text}' has an empty name in it; expected e.g. edge-n,small.onnx")
    return models
