"""What calibration found, kept under the hash of what it was found from: ranges, and the results of a search.

A cache saves time and nothing else: one that is damaged, foreign or cannot be written costs a line on stderr.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgedeblur import Failure
from export.passes.whole_files import cannot_write, check_regular, write_whole
from runtime.frame import Image

SCHEMA = "edgedeblur.ranges/1"  # another number when a method of ranges.py begins to find other ranges
ADVICE = "calibration goes on without it"


@dataclass(frozen=True)
class CacheKey:
    """What ranges depend on: SHA-256 of the model, the frames and the preprocessing, and the method's name."""

    model: str
    frames: str
    preprocessing: str
    method: str

    @property
    def name(self) -> str:
        """Begins the names of the files; all of the key is inside them."""
        return f"{self.model[:8]}-{self.frames[:8]}-{self.preprocessing[:8]}-{self.method}"


def key_of(model: bytes, frames: Sequence[Image], preprocessing: Mapping[str, Any], method: str) -> CacheKey:
    """The key of an ONNX file's bytes, (H, W, 3) uint8 frames in their order, and settings that JSON can hold."""
    pictures = hashlib.sha256()
    for frame in frames:  # the shape first: it says how many bytes follow
        pictures.update(f"{frame.dtype} {frame.shape}\n".encode())
        pictures.update(np.ascontiguousarray(frame).data)
    return CacheKey(_sha256(model), pictures.hexdigest(), _sha256(_canonical(preprocessing)), method)


def versions() -> dict[str, str]:
    """Versions of what computes ranges: told, never compared."""
    found = {}
    for package in ("edgedeblur", "numpy", "onnxruntime"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # a checkout that was never installed
            found[package] = "unknown"
    return found


def load_ranges(folder: Path, key: CacheKey) -> dict[str, float] | None:
    """Name of an activation → largest magnitude represented; None when they are not there or cannot be used."""
    path = folder / f"{key.name}.json"
    try:
        return _ranges(json.loads(path.read_bytes()), key) if check_regular(path) else None
    except (Failure, OSError, ValueError, RecursionError) as error:
        _say(f"not used: {path}: {_reason(error)}; the activations are observed again")
        return None


def save_ranges(folder: Path, key: CacheKey, ranges: Mapping[str, float]) -> None:
    """Write the ranges, whole or not at all, in place of what was there under the same name.

    JSON with sorted keys; numbers come back bit for bit. A folder that cannot be written to is told, not raised.
    Raises ValueError for a range that is not finite.
    """
    numbers = {name: float(value) for name, value in ranges.items()}
    content = {"schema": SCHEMA, "key": asdict(key), "versions": versions(), "ranges": numbers}
    data = json.dumps(content, sort_keys=True, indent=1, allow_nan=False).encode() + b"\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole({folder / f"{key.name}.json": data}, ADVICE)
    except Failure as failure:
        _say(str(failure))
    except OSError as error:
        _say(str(cannot_write(folder, error, ADVICE)))


class Journal:
    """Results of a search, kept as they are measured: a search that was interrupted goes on where it was.

    One JSON object a line; several processes may append to one file. `budget_independent_context` says what else the
    results depend on (frames of evaluation, other layers …); lines of another context are left alone.
    """

    def __init__(self, folder: Path, key: CacheKey, budget_independent_context: str) -> None:
        self._path = folder / f"{key.name}.search.jsonl"
        self._context = _sha256(_canonical([SCHEMA, asdict(key), budget_independent_context]))
        self._writable = True
        self._results: dict[str, dict[str, float]] = {}
        try:
            self._read()
        except (Failure, OSError) as error:  # a folder, a pipe, not ours to read: nothing to append to either
            self._writable = False
            _say(f"not used: {self._path}: {_reason(error)}; everything is measured again")

    def get(self, what: str) -> dict[str, float] | None:
        """The result of measuring `what`; None when it was not."""
        found = self._results.get(what)
        return None if found is None else dict(found)

    def put(self, what: str, result: Mapping[str, float]) -> None:
        """Keep a result; on the disk, too, before this returns. After a failure to write, in memory alone."""
        numbers = {name: float(value) for name, value in result.items()}
        self._results[what] = numbers
        if self._writable:
            try:
                self._append({"context": self._context, "what": what, "result": numbers})
            except OSError as error:
                self._writable = False
                _say(str(cannot_write(self._path, error, ADVICE)))

    def _read(self) -> None:
        if not check_regular(self._path):
            return
        damaged = 0
        for line in self._path.read_bytes().split(b"\n"):
            try:
                record = json.loads(line or b"{}")
                if record.get("context") == self._context:
                    self._results[str(record["what"])] = _numbers(record["result"])
            except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
                damaged += 1
        if damaged:
            _say(f"not used: {self._path}: {damaged} damaged line(s); what they held is measured again")

    def _append(self, record: Mapping[str, Any]) -> None:
        # The newline comes first, so that a line that was torn by a crash or a full disk spoils no other; and all in
        # one write: with O_APPEND it cannot mix with another process's.
        line = b"\n" + _canonical(record)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o666)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)


def _numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """A journal line's result. Raises ValueError when one of its values is not finite."""
    numbers = {str(name): float(value) for name, value in result.items()}
    if not numbers or not all(map(math.isfinite, numbers.values())):
        raise ValueError("a result is empty or not finite")
    return numbers


def _ranges(content: Any, key: CacheKey) -> dict[str, float]:
    """The ranges of a cache file's JSON. Raises ValueError that says what does not fit."""
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise ValueError(f"expected a file of schema {SCHEMA}")
    parts, ranges = content.get("key"), content.get("ranges")
    if not isinstance(parts, dict) or not isinstance(ranges, dict):
        raise ValueError("expected a key and ranges")
    others = [part for part, value in asdict(key).items() if parts.get(part) != value]
    if others:
        raise ValueError(f"it belongs to another {', '.join(others)}")
    for name, value in ranges.items():
        if not isinstance(value, float) or not 0 <= value < math.inf:
            raise ValueError(f"the range of {name!r} is {value!r}; expected a number from 0 on")
    return ranges


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
