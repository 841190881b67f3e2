"""JitCache: kernels that TensorRT-RTX compiled on this GPU, kept on the disk for the next start."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from runtime.sessions.engine_file import EngineFile
from runtime.sessions.user_cache import user_cache

LARGEST_BYTES = 100 * 2**20  # TensorRT-RTX asks that a cache be kept below this


class JitCache:
    """One engine's cache: beside the engine, or in the user's cache where that folder cannot be written."""

    def __init__(self, engine: EngineFile) -> None:
        """Nothing is read yet."""
        self.notes: list[str] = []
        beside = engine.path.with_name(f"{engine.path.name}.jit")
        name = f"{engine.path.stem}.{hashlib.sha256(engine.plan).hexdigest()[:8]}.jit"
        self._places = (beside, user_cache() / "jit" / name)
        self._cache: Any = None
        self._saved = b""

    def load_into(self, config: Any) -> None:
        """Give `config` (an IRuntimeConfig) a cache, with what earlier runs compiled where TensorRT takes it."""
        self._cache = config.create_runtime_cache()
        for place in self._places:
            with contextlib.suppress(OSError):
                data = place.read_bytes()
                if self._cache.deserialize(data):
                    self._saved = data
                    break
                self.notes.append(f"{place} is damaged or from another GPU or version: kernels are compiled again")
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Write what is new, whole or not at all. A cache that cannot be kept costs the next start, not this run."""
        if self._cache is None:
            return
        serialized = self._cache.serialize()
        if serialized is None:
            self._note("compiled kernels are not kept and the next start is slow, too: TensorRT-RTX gives none")
            return
        data = bytes(serialized)
        if data == self._saved or not data:
            return
        if len(data) > LARGEST_BYTES:
            self._note(f"compiled kernels are not kept: {len(data) >> 20} MiB, at most {LARGEST_BYTES >> 20} are")
            return
        failed: OSError | None = None
        for place in self._places:
            try:
                _write_whole(place, data)
            except OSError as error:
                failed = failed or error
            else:
                self._saved = data
                return
        self._note(f"compiled kernels are not kept and the next start is slow, too: {failed}")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _write_whole(place: Path, data: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise
