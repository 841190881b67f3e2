"""Records: a small .json beside each result that says what made it, so that a batch knows what is finished."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtime.batch.jobs import Job

SCHEMA = "edgedeblur.batch/1"
DECIDES = ("schema", "input", "made_by", "output")  # the fields that must be as they would be now


def record_path(output: Path) -> Path:
    """Where the record of `output` lies."""
    return output.with_name(f"{output.name}.json")


def partial_path(job: Job) -> Path:
    """A new name for an unfinished result, beside the finished one: renaming must not cross file systems."""
    suffix = "" if job.is_folder else job.output.suffix
    return job.output.with_name(f".{secrets.token_hex(8)}.part{suffix}")


def is_ours(job: Job) -> bool:
    """Whether an earlier batch made what lies at the output; then it may be made again."""
    return _read(job.output).get("schema") == SCHEMA


def is_done(job: Job) -> bool:
    """Whether the result is there, whole, and of this input, model and options."""
    try:
        now = _deciding(job, job.output)
    except OSError:
        return False
    record = _read(job.output)
    return bool(now["input"]) and all(record.get(field) == now[field] for field in DECIDES)


def state_of_source(job: Job) -> dict[str, Any]:
    """Which state of its input a result is of: to be taken before the input is read. One that is gone is none."""
    try:
        return {"path": str(job.source), **_stamp(job.source)}
    except OSError:
        return {}


def settle(job: Job, partial: Path, read: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Move a finished result into its place, with its record.

    read: the state of the input before it was read; one that changed since is done again by the next batch. about: what
    else is worth keeping. Killed in between, there is no moment at which a record describes a result that is not whole.
    Raises: OSError, with nothing left at `partial`.
    """
    try:
        _to_disk(partial)
        record = {**_deciding(job, partial), "input": read, **about}
        _write_whole(record_path(job.output), json.dumps(record, indent=2).encode())
        _put(partial, job.output)
    except OSError:
        remove(partial)
        raise


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there, as far as that is allowed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _deciding(job: Job, output: Path) -> dict[str, Any]:
    return {"schema": SCHEMA, "input": state_of_source(job), "made_by": job.made_by, "output": _stamp(output)}


def _stamp(path: Path) -> dict[str, int]:
    """What changes when the file does, or any in the folder; renaming changes nothing. Raises: OSError."""
    entries = [entry.stat() for entry in path.iterdir() if entry.is_file()] if path.is_dir() else [path.stat()]
    return {
        "files": len(entries),
        "bytes": sum(entry.st_size for entry in entries),
        "mtime_ns": max((entry.st_mtime_ns for entry in entries), default=0),
    }


def _read(output: Path) -> dict[str, Any]:
    """{} where there is none that can be read."""
    try:
        record = json.loads(record_path(output).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _to_disk(path: Path) -> None:
    """A rename that survives a power cut must not come before the data."""
    for entry in path.iterdir() if path.is_dir() else [path]:
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_whole(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}.part.json")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _put(partial: Path, output: Path) -> None:
    if output.is_dir():  # which no rename replaces
        old = partial.with_name(f".{secrets.token_hex(8)}.part")
        output.rename(old)
        try:
            partial.rename(output)
        except OSError:
            old.rename(output)
            raise
        remove(old)
    else:
        partial.replace(output)
