"""Golden files: what PyTorch computed at export, kept beside the ONNX file so that an engine can be compared with it.

`m.golden.npz` holds `frame_0`, `sharp_0`, `frame_1`, …: uint8 (height, width, 3) BGR, and `about`, JSON with the schema
and the SHA-256 of the ONNX file. numpy alone reads it.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edgedeblur import ExitCode, Failure

Image = npt.NDArray[np.uint8]
Pair = tuple[Image, Image]  # a frame, and what the network makes of it
SCHEMA = "edgedeblur.golden/1"
LARGEST_BYTES = 1 << 30  # all frames of a file together; a small file can claim any size
# What numpy, zipfile and json raise on a file that is cut off, garbled or somebody else's.
DAMAGE = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error),
)
ADVICE = "export again with edgedeblur export, or remove the file to build without it"


def golden_path(onnx: Path) -> Path:
    """`m.onnx` → `m.golden.npz` beside it."""
    return onnx.with_suffix(".golden.npz")


def golden_bytes(onnx: bytes, pairs: Sequence[Pair]) -> bytes:
    """The golden file of the ONNX file whose content is `onnx`; the same content gives the same bytes."""
    about = {"schema": SCHEMA, "onnx_sha256": hashlib.sha256(onnx).hexdigest()}
    arrays = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for index, (frame, sharp) in enumerate(pairs):
        arrays |= {f"frame_{index}": frame, f"sharp_{index}": sharp}
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def read_golden(path: Path, onnx: Path, onnx_sha256: str) -> list[Pair]:
    """The pairs in the golden file at `path`, which belongs to the file `onnx`; empty when there is none.

    Raises Failure: MODEL when it is damaged, not one of ours or of another ONNX file, ENVIRONMENT when it cannot be
    read.
    """
    data = _content(path)
    if data is None:
        return []
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            claimed = sum(entry.file_size for entry in arrays.zip.infolist())
            if claimed > LARGEST_BYTES:
                raise ValueError(f"its frames are {claimed} bytes, more than {LARGEST_BYTES}")
            about = json.loads(arrays["about"].tobytes())
            count = sum(name.startswith("frame_") for name in arrays.files)
            pairs = [(arrays[f"frame_{index}"], arrays[f"sharp_{index}"]) for index in range(count)]
        schema, belongs = str(about["schema"]), str(about["onnx_sha256"])
    except DAMAGE as error:
        raise Failure(f"{path} is damaged or not a golden file ({error}); {ADVICE}", ExitCode.MODEL) from error
    _check(path, onnx, (schema, belongs, onnx_sha256), pairs)
    return pairs


def _content(path: Path) -> bytes | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe would wait for ever
            raise Failure(f"{path} is no regular file; expected a golden file: {ADVICE}", ExitCode.MODEL)
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}; {ADVICE}", ExitCode.ENVIRONMENT) from error


def _check(path: Path, onnx: Path, said: tuple[str, str, str], pairs: Sequence[Pair]) -> None:
    schema, belongs, onnx_sha256 = said
    if schema != SCHEMA:
        raise Failure(f"{path} has schema {schema!r}; expected '{SCHEMA}': {ADVICE}", ExitCode.MODEL)
    if belongs != onnx_sha256:
        raise Failure(
            f"{path} was stored with another {onnx.name} (SHA-256 {belongs[:12]}…; this one is {onnx_sha256[:12]}…); "
            f"{ADVICE}",
            ExitCode.MODEL,
        )
    for index, (frame, sharp) in enumerate(pairs):
        image = frame.ndim == 3 and frame.shape[2] == 3 and frame.size > 0
        if not image or not (frame.dtype == sharp.dtype == np.uint8) or frame.shape != sharp.shape:
            raise Failure(
                f"{path}: frame_{index} is {frame.dtype} {frame.shape} and sharp_{index} {sharp.dtype} {sharp.shape}; "
                f"expected uint8 (height, width, 3) both: {ADVICE}",
                ExitCode.MODEL,
            )
    if not pairs:
        raise Failure(f"{path} holds no frames; {ADVICE}", ExitCode.MODEL)
