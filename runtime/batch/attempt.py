"""Attempt: `edgedeblur run` on one file, in a process of its own, with a result that is whole or not there."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from edgedeblur import ExitCode
from runtime.batch.child import child_command
from runtime.batch.jobs import Job
from runtime.batch.records import is_done, partial_path, remove, settle, state_of_source
from runtime.stop import POLL_S

TRIES = 3  # of a file whose process was killed from outside; an error of its own is not tried again
GRACE_S = 2.0  # for a run to end by itself before it is killed


@dataclass(frozen=True)
class Outcome:
    """How one file went."""

    job: Job
    code: int  # an ExitCode; below 0 the signal that killed the run
    text: str  # why it failed, or what was noted
    frames: int = 0
    seconds: float = 0.0
    host: str = ""

    @property
    def killed(self) -> bool:
        return self.code < 0


class Attempt:
    """A run that was started."""

    def __init__(self, job: Job) -> None:
        """Raises: OSError where the folder of the result cannot be made or no process be started."""
        self.job = job
        self.partial = partial_path(job)
        self._read = state_of_source(job)
        self._began = time.monotonic()
        job.output.parent.mkdir(parents=True, exist_ok=True)
        self._files = ExitStack()  # what the run prints; a pipe would have to be read meanwhile
        self._said, self._summary = map(self._files.enter_context, (_temporary(), _temporary()))
        target = f"{self.partial}/" if job.is_folder else str(self.partial)
        self._process = subprocess.Popen(
            child_command([str(job.source), target, "--json", *job.words]),
            stdin=subprocess.DEVNULL,
            stdout=self._summary,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for us, who know what to clean up
        )

    def poll(self) -> Outcome | None:
        """How it went, with the result in its place; None while it runs."""
        code = self._process.poll()
        if code is None:
            return None
        with self._files:
            said, summary = _text(self._said), _text(self._summary)
        if code == ExitCode.OK:
            return self._settle(said, summary)
        remove(self.partial)
        return self._outcome(code, _reason(said, code))

    def end(self) -> None:
        """Ask the run to end; `kill` follows."""
        self._process.terminate()

    def kill(self) -> None:
        """End it and what it started, and take its half-made result away."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._files.close()
        remove(self.partial)

    def ended(self) -> bool:
        return self._process.poll() is not None

    def _settle(self, said: str, summary: str) -> Outcome:
        notes = [line.removeprefix("note: ") for line in said.splitlines() if line.startswith("note: ")]
        if state_of_source(self.job) != self._read:
            notes.append("it changed while it was read: the next batch does it again")
        about = _about(summary)
        frames = int(about.get("delivered", 0))
        seconds = round(time.monotonic() - self._began, 3)
        kept = {"model": about.get("model"), "frames": frames, "seconds": seconds, "notes": notes}
        try:
            settle(self.job, self.partial, self._read, kept)
        except OSError as error:
            return self._outcome(ExitCode.ENVIRONMENT, f"the result cannot be kept: {error.strerror}")
        return self._outcome(ExitCode.OK, "; ".join(notes), frames)

    def _outcome(self, code: int, text: str, frames: int = 0) -> Outcome:
        return Outcome(self.job, code, text, frames, time.monotonic() - self._began, socket.gethostname())


def end_all(attempts: Iterable[Attempt]) -> None:
    """End runs that nobody waits for any more, all within the same few seconds."""
    attempts = list(attempts)
    for attempt in attempts:
        attempt.end()
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and not all(attempt.ended() for attempt in attempts):
        time.sleep(POLL_S)
    for attempt in attempts:
        attempt.kill()


def try_job(job: Job) -> Outcome:
    """Do one file, again where its process is killed; what an earlier try has finished is left as it is.

    Raises: OSError as `Attempt` does.
    """
    for tried in range(1, TRIES + 1):
        if is_done(job):  # by a worker that was killed before it could tell
            return Outcome(job, ExitCode.OK, "finished by a worker that was lost", host=socket.gethostname())
        attempt = Attempt(job)
        try:
            while (outcome := attempt.poll()) is None:
                time.sleep(POLL_S)
        except BaseException:
            end_all([attempt])
            raise
        if not outcome.killed or tried == TRIES:
            return outcome
    raise AssertionError("the loop returns")


def _temporary() -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile())  # closed with the attempt


def _about(summary: str) -> dict[str, Any]:
    try:
        about = json.loads(summary)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def _reason(said: str, code: int) -> str:
    """The last thing that `run` said, which is why it failed."""
    if code < 0:
        return f"its process was killed by {signal.Signals(-code).name}; if memory ran out, use fewer --workers"
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1].removeprefix("edgedeblur run: ") if lines else f"exit code {code} without a word"


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")
