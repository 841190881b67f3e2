"""A batch on this machine: so many runs at a time."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from pathlib import Path

from edgedeblur import ExitCode
from runtime.batch.attempt import TRIES, Attempt, Outcome, end_all
from runtime.batch.jobs import Job
from runtime.stop import POLL_S


def run_here(jobs: Sequence[Job], workers: int) -> Generator[Outcome]:
    """The outcome of each job, as they finish. Closing the iterator ends what runs and removes what is half made."""
    waiting, running = deque(jobs), list[Attempt]()
    tries: Counter[Path] = Counter()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                tries[job.output] += 1
                try:
                    running.append(Attempt(job))
                except OSError as error:
                    yield Outcome(job, ExitCode.ENVIRONMENT, f"it cannot be begun: {error.strerror or error}")
            for attempt in list(running):
                if (outcome := attempt.poll()) is None:
                    continue
                running.remove(attempt)
                if outcome.killed and tries[attempt.job.output] < TRIES:
                    waiting.append(attempt.job)
                else:
                    yield outcome
            time.sleep(POLL_S)
    finally:
        end_all(running)
