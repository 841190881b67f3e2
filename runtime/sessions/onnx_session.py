"""OnnxSession: runs a model with ONNX Runtime on the CPU, the embedded default."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedeblur import ExitCode, Failure
from runtime.frame import Image, now_ns, size_text
from runtime.reaching import reaching
from runtime.sessions.session import Result
from runtime.sessions.toolkit import PLUGIN_OP

if TYPE_CHECKING:
    import onnxruntime

NOT_ONNX = {
    ".pt": "a training checkpoint; make it a model with: edgedeblur export {path}",
    ".pth": "a training checkpoint; make it a model with: edgedeblur export {path}",
}


class OnnxSession:
    """One ONNX model, `frame` uint8 (H, W, 3) BGR in and `sharp` the same out."""

    # Peak of the smallest preset at run time (106 to 136 bytes a pixel measured, the less the larger the frame); larger
    # models need more, so this refuses only frames that cannot possibly fit. What it lets through may still end in an
    # out-of-memory message.
    bytes_per_pixel = 110
    depth = 1  # ONNX Runtime takes all cores for one frame: a second would only wait

    def __init__(self, path: Path, threads: int = 0) -> None:
        """Load a model. threads: 0 lets ONNX Runtime take all cores.

        Raises: Failure (MODEL) for a file that is not such a model or needs another ONNX Runtime.
        """
        self.path = path
        self.threads = threads
        self._session = _load(path, threads)
        self._fixed_size = _check_contract(path, self._session)
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.preset = metadata.get("edgedeblur.preset", path.stem)
        self.precision = metadata.get("edgedeblur.precision", "unknown precision")
        self.min_size = _parse_size(path, metadata.get("edgedeblur.min_size", "1x1"))
        self.notes: list[str] = []
        self._results: deque[Result] = deque()

    def infer(self, frame: Image) -> Image:
        """(H, W, 3) uint8 BGR in, a new array of the same shape and type out.

        Raises: Failure (MODEL) when the model does not fit the frame, (MEMORY) when memory runs out.
        """
        if self._fixed_size and frame.shape[:2] != self._fixed_size:
            raise Failure(
                f"model '{self.path}' takes frames of {size_text(self._fixed_size)} only, these are "
                f"{size_text(frame.shape[:2])}; export one with free height and width",
                ExitCode.MODEL,
            )
        sharp: Image = self._run(frame)
        if sharp.shape != frame.shape:
            raise Failure(
                f"model '{self.path}' turned a frame of {frame.shape} into {sharp.shape}; expected the same shape",
                ExitCode.MODEL,
            )
        return sharp

    def submit(self, frame: Image) -> None:
        """Run a frame now and keep its result for `result`. Raises: as `infer`."""
        self._results.append(Result(self.infer(frame), now_ns()))

    def result(self) -> Result:
        """The oldest result that was not taken."""
        return self._results.popleft()

    def close(self) -> None:
        self._results.clear()

    def describe(self) -> str:
        import onnxruntime

        threads = f"{self.threads} threads" if self.threads else "all cores"
        return (
            f"{self.preset} {self.precision} ({self.path.name}), ONNX Runtime {onnxruntime.__version__} CPU, {threads}"
        )

    def _run(self, frame: Image) -> Image:
        try:
            (sharp,) = self._session.run(["sharp"], {"frame": frame})
        except Exception as error:  # ONNX Runtime raises many private types
            raise run_failure(f"model '{self.path}'", frame, error) from error
        return np.asarray(sharp, dtype=np.uint8)


def _load(path: Path, threads: int) -> onnxruntime.InferenceSession:
    if path.suffix in NOT_ONNX:
        raise Failure(f"'{path}' is {NOT_ONNX[path.suffix].format(path=path)}", ExitCode.MODEL)
    with reaching(str(path)):
        if path.is_dir():
            raise Failure(f"model '{path}' is a folder; give an .engine or .onnx file, or auto", ExitCode.MODEL)
        if not path.is_file():
            raise Failure(f"model '{path}' does not exist; give an .engine or .onnx file, or auto", ExitCode.MODEL)
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), session_options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many private types
        raise load_failure(f"model '{path}'", error, onnxruntime.__version__) from error


def session_options(threads: int = 0) -> onnxruntime.SessionOptions:
    """How ONNX Runtime computes our models on a CPU. threads: 0 lets it take all cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised, so nothing needs to be logged as well
    # Idle threads of the network that spin take cores from capturing and encoding. A frame of 640x360 by edge-n on two
    # cores, medians of interleaved rounds, with and without spinning: beside two busy programs 47 and 31 ms, and as
    # much processor time; on the idle machine 18 and 21 ms (the fastest rounds 17.1 and 18.5 ms) for 39 and 33 ms of
    # processor time. What spinning gains when nothing else runs is less than it loses when something does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Fused INT8 convolutions saturate on CPUs that have AVX2 but no VNNI and cost about 7 dB; without the fusion
    # the Q/DQ graph is computed as written. Models without Q/DQ are not touched by it.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def run_failure(model: str, frame: Image, error: Exception) -> Failure:
    """What stopped ONNX Runtime on a frame: MEMORY when it ran out, else MODEL. model: what to call it."""
    size = size_text((frame.shape[0], frame.shape[1]))
    if _is_memory(error):
        return Failure(f"out of memory on a frame of {size}; use smaller frames", ExitCode.MEMORY)
    return Failure(f"{model} failed on a frame of {size}: {error}", ExitCode.MODEL)


def load_failure(model: str, error: Exception, version: str) -> Failure:
    """Why ONNX Runtime `version` cannot load it: MEMORY when it ran out, else MODEL. model: what to call it."""
    if _is_memory(error):
        return Failure(f"out of memory while loading {model}; end other programs first", ExitCode.MEMORY)
    return Failure(_load_message(model, str(error), version), ExitCode.MODEL)


def _is_memory(error: Exception) -> bool:
    found = re.search(r"bad_alloc|allocat|out of memory", str(error), re.IGNORECASE)
    return isinstance(error, MemoryError) or found is not None


def _load_message(model: str, error: str, version: str) -> str:
    if PLUGIN_OP in error:  # first: its name holds that of the standard operator
        return (
            f"{model} uses {PLUGIN_OP}, the operator of our TensorRT plugin, which runs only in a TensorRT "
            "engine; give the .onnx as it was exported, or make one with: edgedeblur export CHECKPOINT.pt"
        )
    if "DeformConv" in error:
        return (
            f"{model} uses DeformConv, which ONNX Runtime {version} lacks (1.25 or newer has it, on Python 3.11 "
            "or newer); upgrade, or use the .gather.onnx form of the model (--deform gather)"
        )
    if re.search(r"protobuf|ModelProto|does not have a graph|No graph was found", error, re.IGNORECASE):
        return f"{model} is not a whole ONNX model (damaged, empty or another kind of file); copy or export it again"
    return f"ONNX Runtime {version} cannot load {model}: {error.splitlines()[0]}"


def _check_contract(path: Path, session: onnxruntime.InferenceSession) -> tuple[int, int] | None:
    """The fixed (height, width) of the model, None where both are free."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    found = [f"{node.name} {node.type} {node.shape}" for node in (*inputs, *outputs)]
    ok = len(inputs) == len(outputs) == 1 and inputs[0].name == "frame" and outputs[0].name == "sharp"
    for node in (*inputs, *outputs):
        ok = ok and node.type == "tensor(uint8)" and len(node.shape) == 3 and node.shape[2] == 3
    if not ok:
        raise Failure(
            f"'{path}' is an ONNX model but not one of ours: found {'; '.join(found)}; expected one input 'frame' and "
            "one output 'sharp', both uint8 [height, width, 3]; make one with: edgedeblur export CHECKPOINT.pt",
            ExitCode.MODEL,
        )
    height, width = inputs[0].shape[:2]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _parse_size(path: Path, text: str) -> tuple[int, int]:
    parts = text.split("x")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise Failure(f"'{path}' says edgedeblur.min_size is '{text}'; expected HEIGHTxWIDTH", ExitCode.MODEL)
    return int(parts[0]), int(parts[1])
