"""GuardedFile: a file for a muxer that keeps what was written when the disk fills up, and that one run alone writes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from edgedeblur import ExitCode, Failure

BUSY = (errno.EAGAIN, errno.EACCES)


class Taken(Failure):
    """A file that is not ours to write: another name may be free."""


class GuardedFile:
    """A binary file whose first failed write is remembered and whose later writes are ignored.

    A muxer that meets an error still goes back to patch what it wrote before, which would break a file that is
    playable up to there. Ignoring those patches leaves the fragments before the error as they are.
    """

    def __init__(self, path: Path, new: bool = False) -> None:
        """new: never take a file that is there.

        Raises: Taken for such a one and for one that is being written, OSError.
        """
        self.error: OSError | None = None
        # Emptied only once it is ours. Unbuffered: an error belongs to the write that met it, and a kill loses nothing.
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | (os.O_EXCL if new else 0) | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            raise Taken(f"output '{path}' is there already; give another name", ExitCode.ENVIRONMENT) from None
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        try:
            lock(descriptor, path)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                self._file.truncate(0)
        except BaseException:
            self._file.close()
            raise
        self._had_name = os.fstat(descriptor).st_nlink > 0

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

    @property
    def removed(self) -> bool:
        """Whether somebody deleted it meanwhile: writing goes on without an error, and nothing is kept."""
        return self._had_name and not os.fstat(self._file.fileno()).st_nlink

    def _write_all(self, data: memoryview) -> None:
        while data:
            data = data[self._file.write(data) or 0 :]


def lock(descriptor: int, path: Path) -> None:
    """Make a file ours until it is closed. Raises: Taken when it is another's."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in BUSY:
            raise Taken(
                f"'{path}' is being written by another run or output; give another name", ExitCode.ENVIRONMENT
            ) from None
        # A file system without locks (some network ones): then nobody is kept out, as everywhere else.
