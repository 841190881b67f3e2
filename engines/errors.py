"""What TensorRT says, kept while it works, and translated when it fails."""

from __future__ import annotations

import sys
from typing import Any

from edgedeblur import ExitCode, Failure

# (a part of TensorRT's message, what it means for the user and what to do, exit code); the first match wins.
CAUSES = (
    (
        "version tag",
        "the engine was made by another TensorRT: build it again here with edgedeblur build",
        ExitCode.MODEL,
    ),
    (
        "serialization assertion",
        "the engine was made by another TensorRT, or is damaged: build it again",
        ExitCode.MODEL,
    ),
    ("out of memory", "memory ran out: close other programs, add swap, or lower --workspace", ExitCode.MEMORY),
    ("cudaerrormemoryallocation", "GPU memory ran out: close other programs or lower --workspace", ExitCode.MEMORY),
    ("insufficient workspace", "the workspace is too small: raise --workspace", ExitCode.MEMORY),
    (
        "could not find any implementation",
        "usually memory ran out while kernels were tried: close other programs, add swap, raise --workspace",
        ExitCode.MEMORY,
    ),
    (
        "plugin not found",
        "the graph uses our plugin's operator and the plugin is not loaded: give build the canonical ONNX file",
        ExitCode.MODEL,
    ),
    ("no importer registered", "the graph has an operator that this TensorRT does not know", ExitCode.MODEL),
    (
        "turing",
        "TensorRT-RTX has no FP32 matrix product for Turing: leave 75 out of --compute-capability",
        ExitCode.MODEL,
    ),
    ("unsupported", "the graph uses something that this TensorRT does not support", ExitCode.MODEL),
    ("no cuda-capable device", "TensorRT found no GPU, or its driver is too old", ExitCode.ENVIRONMENT),
    ("insufficient driver", "the NVIDIA driver is older than this TensorRT needs: update it", ExitCode.ENVIRONMENT),
)


class Messages:
    """TensorRT's messages of one build: errors and warnings are kept, `verbose` prints them all as they come."""

    def __init__(self, trt: Any, verbose: bool = False) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.logger = _logger(trt, self, verbose)


def _logger(trt: Any, messages: Messages, verbose: bool) -> Any:
    severity = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]  # the base class exists only once a toolkit is chosen
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, level: Any, message: str) -> None:
            if level in (severity.INTERNAL_ERROR, severity.ERROR):
                messages.errors.append(message)
            # TensorRT-RTX says the same of every layer of a kind: once is enough.
            elif level == severity.WARNING and message not in messages.warnings:
                messages.warnings.append(message)
            if verbose and level != severity.VERBOSE:
                print(f"[{level.name}] {message}", file=sys.stderr, flush=True)

    return Logger()


def build_failure(doing: str, messages: list[str]) -> Failure:
    """The Failure for what TensorRT said while `doing` something."""
    said = " | ".join(" ".join(message.split())[:400] for message in messages[:3]) or "nothing"
    lowered = " ".join(messages).lower()
    for part, meaning, code in CAUSES:
        if part in lowered:
            return Failure(f"{doing} failed: {meaning}. TensorRT said: {said}", code)
    return Failure(f"{doing} failed; TensorRT said: {said}. Try another --precision or --toolkit", ExitCode.MODEL)
