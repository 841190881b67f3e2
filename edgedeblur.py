"""The one command: `edgedeblur VERB …`. Each verb imports its stage only when it is called."""

from __future__ import annotations

import argparse
import contextlib
import enum
import importlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType

VERBS = {
    "train": ("training.train_command", "train a network on pairs, or on blur made from sharp photographs or video"),
    "val": ("training.evaluation.val_command", "measure models on whole frames: quality, flicker, time and cost"),
    "explain": ("training.explain.explain_command", "draw the maps and filters behind a deblurred frame"),
    "ablate": ("training.explain.ablate_command", "train the network without each of its parts and compare"),
    "synth": ("training.synthesis.synth_command", "show or write the pairs that the virtual camera makes"),
    "presets": ("training.presets_command", "list the networks of the family with their parameters and MACs"),
    "export": ("export.export_command", "turn a checkpoint into ONNX and prove that it computes the same"),
    "calibrate": ("calibration.calibrate_command", "make an INT8 graph from frames and refuse it if it loses quality"),
    "build": ("engines.build_command", "build a TensorRT or TensorRT-RTX engine for one frame size or a range"),
    "inspect": ("engines.inspect_command", "print what an engine is, how it was built and its layers"),
    "run": ("runtime.run_command", "camera, video or pictures in, sharp frames out"),
    "profile": ("runtime.profile_command", "measure frame age, rate, stages and what surrounds the network costs"),
    "compare": ("runtime.compare_command", "say what differs between two profiles, and whether beyond their spread"),
    "batch": ("runtime.batch_command", "deblur many files, here or on a Ray cluster; finished ones are skipped"),
    "triton": ("runtime.triton_command", "write a model for NVIDIA's Triton server, which serves many cameras"),
    "doctor": ("runtime.doctor_command", "what this machine has and lacks, and how to put it right"),
}


class ExitCode(enum.IntEnum):
    """What the process tells its caller; documented in README.md."""

    OK = 0
    USAGE = 2
    ENVIRONMENT = 3  # a package, permission, disk or device that this machine lacks
    SOURCE = 4  # the input cannot be opened or read
    MODEL = 5  # a model or engine that is corrupt or does not fit this program or machine
    QUALITY = 6  # a result was refused because it is worse than its gate allows
    MEMORY = 7
    INTERRUPTED = 130


class Failure(Exception):
    """Something a user can act on: `main` prints its message without a traceback and exits with its code.

    The message says what was found, what was expected and what to do next.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code


def main(arguments: Sequence[str] | None = None, package: str = "") -> int:
    """Run one verb and return the exit code. `package` keeps only that stage's verbs (`python -m runtime …`)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    verbs = {verb: entry for verb, entry in VERBS.items() if entry[0].startswith(package)}
    if len(verbs) == 1:
        arguments = [*verbs, *arguments]
    name = " ".join(["edgedeblur", *arguments[:1]])
    try:
        with _sigterm_as_interrupt():
            if not arguments or arguments[0] not in verbs:
                return _usage(arguments, verbs, package)
            return _run_verb(arguments[0], arguments[1:])
    except Failure as failure:
        print(f"{name}: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except MemoryError as error:
        print(f"{name}: out of memory ({error}); try a smaller frame or batch", file=sys.stderr)
        return ExitCode.MEMORY
    except BrokenPipeError:
        messages_lost = _nobody_reads(sys.stderr.fileno())
        for stream in (sys.stdout, sys.stderr)[: 2 if messages_lost else 1]:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        # `edgedeblur … | head`: the reader has what it wanted. With `2>&1` a message in mid-work may have been the end.
        return ExitCode.ENVIRONMENT if messages_lost else ExitCode.OK
    except OSError as error:  # the last resort: stages name what they were doing where they know it
        print(f"{name}: {error.filename or 'the output'}: {error.strerror or error}", file=sys.stderr)
        return ExitCode.ENVIRONMENT


def _nobody_reads(descriptor: int) -> bool:
    """Whether it is a pipe that the other side has closed."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(events & select.POLLERR for _, events in poll.poll(0))


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """`systemctl stop` ends a verb as Ctrl-C does: what was begun is cleaned up. Only a main thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Adds an option's default to its help, unless there is none or the help says it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        said = action.default in (None, []) or "(default: " in (action.help or "")
        return action.help if said else super()._get_help_string(action)


def _run_verb(verb: str, arguments: Sequence[str]) -> int:
    module_name, summary = VERBS[verb]
    try:
        command = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        stage = module_name.split(".")[0]
        if str(error.name).startswith(stage):  # ours: a broken checkout, not a missing extra
            raise
        extra = {"training": "[train]", "export": "[export]", "calibration": "[engines]", "engines": "[engines]"}
        raise Failure(
            f"the Python package '{error.name}' is not installed and '{verb}' needs it; "
            f"install it with: pip install -e '.{extra.get(stage, '')}'",
            ExitCode.ENVIRONMENT,
        ) from error
    parser = argparse.ArgumentParser(prog=f"edgedeblur {verb}", description=summary, formatter_class=_HelpFormatter)
    command.add_arguments(parser)
    # Intermixed: an option may stand between the input and the outputs.
    code = int(command.run(parser.parse_intermixed_args(arguments)))
    sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
    return code


def _usage(arguments: list[str], verbs: dict[str, tuple[str, str]], package: str) -> int:
    prog = f"python -m {package}" if package else "edgedeblur"
    asked = arguments[0] if arguments else "--help"
    out = sys.stdout if asked in ("-h", "--help") else sys.stderr
    if asked not in ("-h", "--help"):
        print(f"{prog}: no verb '{asked}'; expected one of: {', '.join(verbs)}", file=out)
    print(f"usage: {prog} VERB [options]    ({prog} VERB --help lists a verb's options)\n", file=out)
    for verb, (_, summary) in verbs.items():
        print(f"  {verb:10} {summary}", file=out)
    out.flush()
    return ExitCode.OK if out is sys.stdout else ExitCode.USAGE


if __name__ == "__main__":
    # Run as a file this module is `__main__`; the stages import it as `edgedeblur`, and Failure must be one class.
    sys.exit(importlib.import_module("edgedeblur").main())
