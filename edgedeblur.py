"""The one command: `edgedeblur VERB …`. Each verb imports its stage only when it is called."""

from __future__ import annotations

import argparse
import enum
import importlib
import os
import sys
from collections.abc import Sequence

VERBS = {
    "train": ("training.train_command", "train a network on your pairs, or on blur made from your sharp photographs"),
    "val": ("training.val_command", "measure PSNR and SSIM of a .pt or .onnx model on blurred/sharp pairs"),
    "presets": ("training.presets_command", "list the networks of the family with their parameters and MACs"),
    "export": ("export.export_command", "turn a checkpoint into ONNX and prove that it computes the same"),
    "calibrate": ("calibration.calibrate_command", "make an INT8 graph from frames and refuse it if it loses quality"),
    "build": ("engines.build_command", "build a TensorRT or TensorRT-RTX engine for one frame size"),
    "inspect": ("engines.inspect_command", "print what an engine is, how it was built and its layers"),
    "run": ("runtime.run_command", "camera, video or pictures in, sharp frames out"),
    "profile": ("runtime.profile_command", "measure the pipeline against a bare loop around the model"),
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
    if not arguments or arguments[0] not in verbs:
        return _usage(arguments, verbs, package)
    try:
        return _run_verb(arguments[0], arguments[1:])
    except Failure as failure:
        print(f"edgedeblur {arguments[0]}: {failure}", file=sys.stderr)
        return failure.code
    except KeyboardInterrupt:
        print(f"edgedeblur {arguments[0]}: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except MemoryError as error:
        print(f"edgedeblur {arguments[0]}: out of memory ({error}); try a smaller frame or batch", file=sys.stderr)
        return ExitCode.MEMORY
    except BrokenPipeError:  # `edgedeblur … | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK


def _run_verb(verb: str, arguments: Sequence[str]) -> int:
    module_name, summary = VERBS[verb]
    try:
        command = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        stage = module_name.split(".")[0]
        if str(error.name).startswith(stage):  # ours: a broken checkout, not a missing extra
            raise
        extra = {"training": "[train]", "export": "[export]", "calibration": "[export]", "engines": "[engines]"}
        raise Failure(
            f"the Python package '{error.name}' is not installed and '{verb}' needs it; "
            f"install it with: pip install -e '.{extra.get(stage, '')}'",
            ExitCode.ENVIRONMENT,
        ) from error
    parser = argparse.ArgumentParser(
        prog=f"edgedeblur {verb}", description=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    command.add_arguments(parser)
    return int(command.run(parser.parse_args(arguments)))


def _usage(arguments: list[str], verbs: dict[str, tuple[str, str]], package: str) -> int:
    prog = f"python -m {package}" if package else "edgedeblur"
    asked = arguments[0] if arguments else "--help"
    out = sys.stdout if asked in ("-h", "--help") else sys.stderr
    if asked not in ("-h", "--help"):
        print(f"{prog}: no verb '{asked}'; expected one of: {', '.join(verbs)}", file=out)
    print(f"usage: {prog} VERB [options]    ({prog} VERB --help lists a verb's options)\n", file=out)
    for verb, (_, summary) in verbs.items():
        print(f"  {verb:10} {summary}", file=out)
    return ExitCode.OK if out is sys.stdout else ExitCode.USAGE


if __name__ == "__main__":
    # Run as a file this module is `__main__`; the stages import it as `edgedeblur`, and Failure must be one class.
    sys.exit(importlib.import_module("edgedeblur").main())
