"""GuardedFile: a file for a muxer that keeps what was written when the disk fills up."""

from __future__ import annotations

from pathlib import Path


class GuardedFile:
    """A binary file whose first failed write is remembered and whose later writes are ignored.

    A muxer that meets an error still goes back to patch what it wrote before, which would break a file that is
    playable up to there. Ignoring those patches leaves the fragments before the error as they are.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        # Unbuffered: an error belongs to the write that met it, and a kill loses nothing of ours.
        self._file = path.open("wb", buffering=0)

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                self._write_all(memoryview(data))
            except OSError as error:
                self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            self.error = self.error or error

    def _write_all(self, data: memoryview) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]
