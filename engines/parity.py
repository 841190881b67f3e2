"""The engine on the device against what its file computes: golden outputs of the export, and ONNX Runtime on this CPU.

Golden frames are small. At the engine's own sizes ONNX Runtime, which runs the very file, gives the reference, after it
was itself compared with the golden outputs where there are any.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgedeblur import ExitCode, Failure
from engines.precision_gate import probe_frames, reference_session, sharp_of
from engines.sizes import text_of
from export.passes.golden_file import Image, Pair
from runtime.measure.quality import MOST_DB, psnr
from runtime.sessions.engine_file import EngineFile
from runtime.sessions.gpu import Gpu
from runtime.sessions.size_range import Size, SizeRange

# dB from the reference that an engine of each precision must reach; 48.1 is one grey level in the root mean square.
# With FP16's rounding written out ONNX Runtime reaches 63 to 66: FP32 (at worst TF32, which multiplies as FP16 does)
# must come nearer than an FP16 whose sums are rounded, too. INT8: two right programs of one graph are about as far
# apart as it is from FP32 (edge-n: 53 both), because rounding otherwise before a quantisation moves a whole step.
MIN_PSNR = {"fp32": 54.0, "fp16": 48.1, "int8": 40.0}
SAME_PSNR = 60.0  # between ONNX Runtime and the golden outputs, as at export


class Engine(Protocol):
    """What is compared: a loaded engine, or anything else that makes sharp frames."""

    def infer(self, frame: Image) -> Image: ...


@dataclass(frozen=True)
class Reference:
    """One frame, what is right for it, and who says so."""

    name: str
    pair: Pair


@dataclass(frozen=True)
class Parity:
    """How near an engine came to its references; `worst` is the lowest of all frames in dB."""

    worst: float
    worst_frame: str
    frames: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {"psnr": self.worst, "worst_frame": self.worst_frame, "frames": list(self.frames)}

    @staticmethod
    def from_json(found: Any) -> Parity:
        """What `as_json` gave. Raises TypeError, ValueError or KeyError for anything else."""
        return Parity(float(found["psnr"]), str(found["worst_frame"]), tuple(map(str, found["frames"])))


@contextlib.contextmanager
def running(file: EngineFile) -> Iterator[Engine]:
    """An engine of this GPU that need not be a file yet, loaded and ready. Raises Failure as TensorRTSession does.

    Whoever built it in this process has loaded its plugin: TensorRT takes no second one of its name, so none is loaded.
    """
    from runtime.sessions.tensorrt_session import TensorRTSession  # builds without a device need none of it

    sidecar = None if file.sidecar is None else {**file.sidecar, "plugin": None}
    with contextlib.closing(TensorRTSession(dataclasses.replace(file, sidecar=sidecar))) as session:
        yield session


def why_not_here(gpu: Gpu | None, sm: Sequence[str]) -> str | None:
    """Why an engine for the compute capabilities `sm` cannot run on this machine; None when it can."""
    if gpu is None:
        return "this machine has no GPU"
    if sm and str(gpu.sm) not in sm:
        return f"it is for sm{', sm'.join(sm)} and this GPU, {gpu.name}, is sm{gpu.sm}"
    if importlib.util.find_spec("pycuda") is None:
        return "PyCUDA, which runs engines, is not installed (pip install -e '.[gpu]')"
    return None


def references(data: bytes, onnx: Path, found: str, golden: Sequence[Pair], sizes: SizeRange) -> list[Reference]:
    """What an engine for `sizes`, made of the file `onnx` with content `data` and precision `found`, must give.

    Golden frames that the engine takes, and two frames of each of its sizes by ONNX Runtime. Raises Failure
    (ENVIRONMENT) when ONNX Runtime cannot run the file, or computes something else than the golden outputs, and no
    golden frame is of the engine's sizes.
    """
    fitting = [
        Reference(f"golden frame {index} ({text_of(_size(pair[0]))})", pair)
        for index, pair in enumerate(golden)
        if sizes.takes(_size(pair[0]))
    ]
    try:
        return [*fitting, *_computed(data, onnx, found, golden, sizes)]
    except Failure as failure:
        if fitting:
            return fitting
        raise failure


def measure(engine: Engine, expected: Sequence[Reference]) -> Parity:
    """Run `engine` on every frame of `expected`, at least one."""
    found = [(min(psnr(engine.infer(item.pair[0]), item.pair[1]), MOST_DB), item.name) for item in expected]
    worst, worst_frame = min(found)
    return Parity(round(worst, 2), worst_frame, tuple(name for _, name in found))


def check_parity(parity: Parity, precision: str, minimum: float | None) -> None:
    """Raises Failure (QUALITY) when the engine is further from its references than `precision` explains.

    minimum: dB that the user asked for instead of MIN_PSNR.
    """
    least = MIN_PSNR[precision] if minimum is None else minimum
    if not parity.worst >= least:  # NaN neither
        raise Failure(
            f"the engine computes something else than the file it was built from: {parity.worst:.1f} dB on "
            f"{parity.worst_frame}, expected at least {least:g} dB; it was not kept. Try --deform gather, another "
            "--precision or --toolkit, or accept it with a lower --min-psnr",
            ExitCode.QUALITY,
        )


def _computed(data: bytes, onnx: Path, found: str, golden: Sequence[Pair], sizes: SizeRange) -> list[Reference]:
    try:
        session = reference_session(data, onnx, found)
        worst = min((psnr(sharp_of(session, frame), sharp) for frame, sharp in golden), default=MOST_DB)
        if worst < SAME_PSNR:
            raise Failure(
                f"ONNX Runtime on this machine is {worst:.1f} dB from the golden outputs of {onnx.name}",
                ExitCode.ENVIRONMENT,
            )
        frames = [frame for size in _tried(sizes) for frame in probe_frames(size)]
        return [
            Reference(f"probe frame {index} ({text_of(_size(frame))})", (frame, sharp_of(session, frame)))
            for index, frame in enumerate(frames)
        ]
    except Failure:
        raise
    except Exception as error:  # ONNX Runtime raises many private types; without it there is ImportError
        reason = str(error).strip().split("\n")[0][:200]
        raise Failure(f"ONNX Runtime does not run {onnx.name} here: {reason}", ExitCode.ENVIRONMENT) from error


def _tried(sizes: SizeRange) -> list[Size]:
    return sorted({sizes.smallest, sizes.usual, sizes.largest})


def _size(frame: Image) -> Size:
    return frame.shape[0], frame.shape[1]
