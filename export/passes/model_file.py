"""Read and write the project's ONNX files: every failure names the file, what is wrong with it and the next command."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import onnx_ir as ir

from edgedeblur import ExitCode, Failure
from export.passes.whole_files import cannot_write, check_regular, temporary_name, write_durably, write_whole

SCHEMA_KEY = "edgedeblur.schema"
PRECISION_KEY = "edgedeblur.precision"
DEFORM_KEY = "edgedeblur.deform"
MIN_SIZE_KEY = "edgedeblur.min_size"
CALIBRATION_KEY = "edgedeblur.calibration"
FRAME, SHARP = "frame", "sharp"


def load_model(path: Path) -> ir.Model:
    """Read one of our ONNX files.

    Raises Failure: MODEL when the file is missing, corrupt or not one of ours, ENVIRONMENT when it cannot be read.
    """
    return model_from_bytes(read_model_bytes(path), path)


def read_model_bytes(path: Path) -> bytes:
    """The file's bytes. Raises Failure: MODEL when there is no such file, ENVIRONMENT when it cannot be read."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is no regular file" if path.exists() else "does not exist"
        raise Failure(f"{path} {found}; expected an ONNX file: make one with edgedeblur export", ExitCode.MODEL)
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}", ExitCode.ENVIRONMENT) from error


def model_from_bytes(data: bytes, path: Path) -> ir.Model:
    """Decode and check `data`, which was read from `path` (the name that messages show).

    Raises Failure (MODEL) when it is no ONNX model or not a graph of ours.
    """
    try:
        proto = onnx.load_model_from_string(data)
        onnx.checker.check_model(proto)
        model = ir.serde.deserialize_model(proto)
    except Exception as error:  # protobuf's DecodeError has no name in onnx; checker and onnx_ir raise yet others
        reason = str(error).strip().split("\n")[0][:200] or "it has no graph"
        raise Failure(
            f"{path} is not a valid ONNX model ({len(data)} bytes: {reason}); export it again: edgedeblur export",
            ExitCode.MODEL,
        ) from error
    _check_ours(model, path)
    return model


def smallest_size(metadata: Mapping[str, str]) -> tuple[int, int]:
    """The smallest (height, width) a model takes, by its metadata. Raises Failure (MODEL) when that is no size."""
    text = metadata.get(MIN_SIZE_KEY, "1x1")
    size = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text)
    if size is None:
        raise Failure(f"the model's {MIN_SIZE_KEY} is '{text}'; expected HEIGHTxWIDTH: export it again", ExitCode.MODEL)
    return int(size[1]), int(size[2])


def parse_size(text: str, option: str = "--size") -> tuple[int, int]:
    """`720x1280`, or trtexec's `frame:720x1280x3`, → (height, width). Raises Failure (USAGE), naming `option`."""
    match = re.fullmatch(r"(frame:)?(\d{1,9})[xX](\d{1,9})(?(1)[xX]3)", text.strip())
    if match is None:
        raise Failure(f"{option} is '{text}'; expected HEIGHTxWIDTH in pixels, such as 720x1280")
    return int(match[2]), int(match[3])


def save_model(model: ir.Model, path: Path, beside: Callable[[bytes], Mapping[Path, bytes]] = lambda _: {}) -> None:
    """Write the whole of `model` to `path`, or leave what is there. Raises Failure (ENVIRONMENT) when it cannot.

    beside: from the file's content, other files to write together with it, all or none.
    """
    data = model_bytes(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    write_whole({path: data, **beside(data)})


def check_onnx_output(path: Path, source: Path, force: bool) -> None:
    """Refuse an output that cannot or must not be written, before any work is done; makes and changes nothing.

    Raises Failure: USAGE when `path` does not end in .onnx, is `source` itself, or exists without `force`;
    ENVIRONMENT when it is no regular file or its folder cannot be written.
    """
    if path.suffix != ".onnx":
        raise Failure(f"the output is {path}; expected a name that ends in .onnx")
    try:
        exists = check_regular(path)
        if os.path.realpath(path) == os.path.realpath(source) or (exists and _same_file(path, source)):
            raise Failure(f"the output {path} is the input {source} itself; give another name")
        if exists and not force:
            raise Failure(f"{path} is there already; give another name, or add --force to write over it")
        try_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def _same_file(path: Path, source: Path) -> bool:
    return os.path.exists(source) and path.samefile(source)


def try_folder(folder: Path, length: int = 0) -> None:
    """Raises OSError when no file, with a name of `length` bytes, can be written in `folder`.

    A folder that is not there yet says nothing: the nearest one above it that is there is tried.
    """
    while not os.path.lexists(folder):
        folder = folder.parent
    # Trying is the only test that also knows read-only mounts and the administrator's rights.
    trial = temporary_name(folder / "trial")
    trial = folder / trial.name.ljust(length, "_")
    write_durably(trial, b"")
    trial.unlink()


def model_bytes(model: ir.Model) -> bytes:
    """`model` as the bytes of an ONNX file, checked in full: types and shapes included.

    Raises Failure (MODEL) when the checker refuses it, which is a defect of a pass and says which node.
    """
    proto = ir.serde.serialize_model(model)
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Failure(f"a graph pass made an invalid model: {error}; please report this", ExitCode.MODEL) from error
    data: bytes = proto.SerializeToString()
    return data


def _check_ours(model: ir.Model, path: Path) -> None:
    """A graph of ours takes `frame` uint8 (height, width, 3) and says its schema."""
    if SCHEMA_KEY not in model.metadata_props:
        raise Failure(
            f"{path} is an ONNX model, but not one that edgedeblur made (no '{SCHEMA_KEY}' in its metadata); "
            "expected a file from edgedeblur export",
            ExitCode.MODEL,
        )
    found = [f"{value.name} {value.dtype} {value.shape}" for value in model.graph.inputs]
    ours = [value for value in model.graph.inputs if value.name == FRAME and value.dtype == ir.DataType.UINT8]
    if len(model.graph.inputs) != 1 or not ours or ours[0].shape is None or len(ours[0].shape) != 3:
        raise Failure(
            f"{path} takes {', '.join(found) or 'no input'}; expected one input '{FRAME}' uint8 [height, width, 3]: "
            "export it again with edgedeblur export",
            ExitCode.MODEL,
        )
