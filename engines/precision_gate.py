"""The gate of a build: its graph must compute what the file computes, tried on the CPU before an engine is built.

The engine itself is compared on the device; this catches a network whose values do not fit FP16 where there is none.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgedeblur import ExitCode, Failure
from export.passes import apply_passes, passes_for
from export.passes.emulate_half import emulate_half
from export.passes.model_file import FRAME, SHARP, model_bytes, model_from_bytes
from runtime.measure.quality import MOST_DB, psnr
from runtime.sessions.onnx_session import session_options
from runtime.sessions.size_range import SizeRange, fixed_size

if TYPE_CHECKING:
    import onnxruntime

Image = npt.NDArray[np.uint8]

DEFAULT_MIN_PSNR = 45.0  # dB; the edge networks reach 63 to 66, an overflow falls far below
LARGEST = (360, 640)  # (height, width) tried, so that the gate takes seconds on a small CPU
CELLS = (1, 4, 16, 64)  # pixels on a side: the sizes of texture in the noise frame


def check_built(measured: float | None, minimum: float, found: str = "fp32") -> None:
    """Raises Failure (QUALITY) when `measured`, in dB, is under `minimum`; None was not measured.

    found: precision of the file that is built from.
    """
    if measured is not None and not measured >= minimum:  # NaN neither
        what, hint = (
            ("the FP16 graph's output", "build with --precision fp32, or with")
            if found == "fp32"
            else ("the lowered graph's output", "calibrate with --deform gather, or build with")
        )
        raise Failure(
            f"{what} is {measured:.1f} dB from the {found.upper()} file's; expected at least {minimum:g} dB: "
            f"{hint} a lower --min-psnr",
            ExitCode.QUALITY,
        )


def measure_built(
    data: bytes, path: Path, sizes: SizeRange, precision: str = "fp16", found: str = "fp32"
) -> float | None:
    """PSNR in dB between the graph that is built and the file it is made of, the lower of two frames, at most MOST_DB.

    `data` is the file at `path`, of precision `found`; `sizes` are built, the usual one is tried. None, with the reason
    printed, where ONNX Runtime is missing or cannot run them. Raises Failure (MODEL) when there is no such graph.
    """
    tried = (min(sizes.usual[0], LARGEST[0]), min(sizes.usual[1], LARGEST[1]))
    # The very graph that is built when its size is tried; else the dynamic one, whose long sums are FP32 like those of
    # the larger size.
    half = _graph(data, path, "gather", precision, tried if sizes == fixed_size(tried) else None)
    try:
        built, exact = _session(half), reference_session(data, path, found)
        lowest = min(psnr(sharp_of(built, frame), sharp_of(exact, frame)) for frame in probe_frames(tried))
    except Exception as error:  # ONNX Runtime raises many private types; without it there is ImportError
        reason = str(error).strip().split("\n")[0][:200]
        print(
            f"gate: {precision.upper()} was not compared with {found.upper()}, ONNX Runtime did not run: {reason}",
            file=sys.stderr,
        )
        return None
    return round(min(lowest, MOST_DB), 2)


def probe_frames(size: tuple[int, int]) -> tuple[Image, Image]:
    """Two (height, width, 3) frames that are always the same: noise at every scale, and ramps with hard edges."""
    return _textured_noise(size), _ramps_and_edges(size)


def _textured_noise(size: tuple[int, int]) -> Image:
    random, total = np.random.default_rng(0), np.zeros((*size, 3))
    for cell in CELLS:
        coarse = random.random((size[0] // cell + 1, size[1] // cell + 1, 3))
        total += coarse.repeat(cell, axis=0).repeat(cell, axis=1)[: size[0], : size[1]]
    return (total * (255 / len(CELLS))).astype(np.uint8)


def _ramps_and_edges(size: tuple[int, int]) -> Image:
    """Ramps of another direction in each channel; black and white squares on them, so every value is there."""
    down, across = (np.linspace(0, 255, side) for side in size)
    ramps = np.stack(np.broadcast_arrays(down[:, None], across, (down[:, None] + across) / 2), axis=-1)
    rows, columns = (np.arange(side) // 16 for side in size)
    squares = (rows[:, None] % 4 == 1) & (columns % 4 == 1)
    ramps[squares] = np.where((rows[:, None] + columns) // 4 % 2, 255.0, 0.0)[squares][:, None]
    return ramps.astype(np.uint8)


def reference_session(data: bytes, path: Path, found: str) -> onnxruntime.InferenceSession:
    """The file as it is, its FP16 rounding written out; in Gather form where ONNX Runtime lacks DeformConv (< 1.25)."""
    try:
        return _session(_graph(data, path, "native", found, None))
    except Exception as error:  # ONNX Runtime raises many private types
        if "DeformConv" not in str(error):
            raise
    return _session(_graph(data, path, "gather", found, None))


def _graph(data: bytes, path: Path, deform: str, precision: str, size: tuple[int, int] | None) -> bytes:
    model = apply_passes(model_from_bytes(data, path), passes_for(deform, precision, size))
    # Without this ONNX Runtime would not round between operators, nor ever overflow.
    return model_bytes(model if precision == "fp32" else emulate_half(model))


def _session(data: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime  # only here: finding an existing engine needs none

    return onnxruntime.InferenceSession(data, session_options(), providers=["CPUExecutionProvider"])


def sharp_of(session: Any, frame: Image) -> Image:
    """What an ONNX Runtime session makes of a frame, (height, width, 3) uint8 both."""
    return np.asarray(session.run([SHARP], {FRAME: frame})[0], dtype=np.uint8)
