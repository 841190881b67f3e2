"""What a model is to Triton, and what its server must have, read from an engine's sidecar or out of an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from edgedeblur import ExitCode, Failure
from runtime.sessions.engine_check import mismatch
from runtime.sessions.engine_file import EngineFile, read_engine
from runtime.sessions.onnx_session import load_failure, session_options
from runtime.triton_config import FREE, TritonModel

LOADER = Path(__file__).with_name("triton_plugin.cpp")
# The model, the files below its folder by name, and notes for who serves it.
Found: TypeAlias = tuple[TritonModel, dict[str, bytes], list[str]]


@dataclass(frozen=True)
class Wanted:
    """What the user says of a model; see TritonModel."""

    name: str
    instances: int = 1
    queue: int = 0
    queue_ms: int = 0


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model."""

    name: str
    mode: str  # input or output
    dtype: str
    shape: tuple[int, ...]  # FREE sides


def from_engine(path: Path, wanted: Wanted, folder: Path) -> Found:
    """folder: where the model will lie.

    Raises: Failure (MODEL) for an engine that Triton cannot load, or that is not what its sidecar says.
    """
    engine = read_engine(path)
    _check_engine(engine)
    parts = engine.key_parts
    dims = _frame_dims(path, _engine_tensors(engine))
    usual = _usual(parts.get("size")) if FREE in dims else None
    model = TritonModel(wanted.name, "tensorrt", dims, usual, "gpu", wanted.instances, wanted.queue, wanted.queue_ms)
    files, notes = (
        {f"1/{model.file}": engine.plan},
        [
            f"the server needs TensorRT {parts.get('toolkit_version')} and the GPU that the engine was built for "
            f"({parts.get('gpu')}, compute capability {_text(parts.get('sm'))})"
        ],
    )
    if engine.plugin is not None:
        files |= {"plugin.so": engine.plugin.read_bytes(), "load_plugin.cpp": LOADER.read_bytes()}
        notes += [_plugin_note(folder)]
    return model, files, notes


def from_onnx(path: Path, wanted: Wanted, kind: str) -> Found:
    """kind: gpu or cpu. Raises: Failure (MODEL) for a file that is not one of ours."""
    dims = _frame_dims(path, _onnx_tensors(path))
    model = TritonModel(wanted.name, "onnxruntime", dims, None, kind, wanted.instances, wanted.queue, wanted.queue_ms)
    notes = [
        "the server needs ONNX Runtime 1.25 or newer for a model with DeformConv; older ones take the .gather.onnx form"
    ]
    return model, {f"1/{model.file}": path.read_bytes()}, notes


def _check_engine(engine: EngineFile) -> None:
    if engine.toolkit != "tensorrt":
        raise Failure(
            f"'{engine.path}' is an engine of TensorRT-RTX, and Triton loads those of TensorRT; build one with: "
            "edgedeblur build MODEL.onnx --toolkit tensorrt, or give --model MODEL.onnx",
            ExitCode.MODEL,
        )
    if engine.sidecar is None:
        raise Failure(
            f"'{engine.path}' has no .json beside it, which says what sizes it takes; copy it along with the engine",
            ExitCode.MODEL,
        )
    differences = engine.hash_differences()
    if differences:
        raise mismatch(engine, differences)


def _engine_tensors(engine: EngineFile) -> list[Tensor]:
    tensors = (engine.sidecar or {}).get("io")
    try:
        return [_tensor(tensor) for tensor in tensors or []]
    except (TypeError, ValueError, LookupError) as error:
        raise Failure(
            f"'{engine.path.with_suffix('.json')}' does not say what goes in and out ({error!r}); build the engine "
            "again with --force",
            ExitCode.MODEL,
        ) from error


def _tensor(fields: Mapping[str, Any]) -> Tensor:
    return Tensor(fields["name"], fields["mode"], fields["dtype"], tuple(int(side) for side in fields["shape"]))


def _onnx_tensors(path: Path) -> list[Tensor]:
    """Raises: Failure (MODEL) for a file that ONNX Runtime cannot load here."""
    if not path.is_file():
        raise Failure(f"model '{path}' does not exist or is no file; give an .onnx file", ExitCode.MODEL)
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(path), session_options(1), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises many private types
        raise load_failure(f"model '{path}'", error, onnxruntime.__version__) from error
    sides = {"input": session.get_inputs(), "output": session.get_outputs()}
    return [
        Tensor(node.name, mode, node.type.removeprefix("tensor(").removesuffix(")"), _shape(node.shape))
        for mode, nodes in sides.items()
        for node in nodes
    ]


def _shape(shape: list[Any]) -> tuple[int, ...]:
    """Sides that are free have a name, or none at all."""
    return tuple(side if isinstance(side, int) else FREE for side in shape)


def _frame_dims(path: Path, tensors: list[Tensor]) -> tuple[int, int, int]:
    """(height, width, 3), FREE sides. Raises: Failure (MODEL) unless it is frame in, frame out."""
    ends = [(tensor.name, tensor.mode, tensor.dtype, len(tensor.shape), tensor.shape[-1:]) for tensor in tensors]
    expected = [("frame", "input", "uint8", 3, (3,)), ("sharp", "output", "uint8", 3, (3,))]
    if ends != expected or any(side != FREE and side < 1 for side in tensors[0].shape):
        found = "; ".join(f"{tensor.mode} {tensor.name} {tensor.dtype} {list(tensor.shape)}" for tensor in tensors)
        raise Failure(
            f"'{path}' is not one of our models: found {found or 'nothing'}; expected input 'frame' and output "
            "'sharp', both uint8 [height, width, 3]; make one with: edgedeblur export CHECKPOINT.pt",
            ExitCode.MODEL,
        )
    height, width, channels = tensors[0].shape
    return height, width, channels


def _usual(size: object) -> tuple[int, int] | None:
    """(height, width) of a sidecar; None where it has something else there."""
    whole = isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)
    return (size[0], size[1]) if isinstance(size, list) and whole else None


def _plugin_note(folder: Path) -> str:
    loader = folder / "load_plugin"
    return (
        "the engine needs our plugin, which lies beside it; Triton registers it through a small library that is "
        f"compiled once where TensorRT's headers are: g++ -shared -fPIC -o {loader}.so {loader}.cpp -lnvinfer -ldl; "
        f"then add --backend-config=tensorrt,plugins={loader}.so, or start the server with LD_PRELOAD={loader}.so. An "
        "engine built with --deform gather needs none of this"
    )


def _text(sm: object) -> str:
    return " ".join(map(str, sm)) if isinstance(sm, list) else str(sm)
