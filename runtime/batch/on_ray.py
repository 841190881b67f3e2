"""A batch on a Ray cluster whose machines see the same files: each file is a task; those of lost workers are redone."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.batch.attempt import GRACE_S, TRIES, Outcome, try_job
from runtime.batch.jobs import Job

MOST_THREADS = 4  # a file's share of a machine, where nobody says
LOOPBACK = "127.0.0.1"
CONNECT_S = 5.0
WAIT_S = 0.5  # how long Ctrl-C may have to wait for Ray


@dataclass(frozen=True)
class RayOptions:
    """Where, and what each file takes."""

    address: str  # auto: the cluster that this machine belongs to; local: one of this machine alone; or HOST:PORT
    workers: int | None = None  # files at a time; None: as many as the cluster has room for
    threads: int | None = None  # processor cores for a file; None: up to 4
    gpus: float = 0.0  # GPUs for a file


def run_on_ray(jobs: Sequence[Job], options: RayOptions) -> Generator[Outcome]:
    """The outcome of each job, as they finish. Closing the iterator cancels what runs.

    Raises: Failure (ENVIRONMENT) where Ray is not installed or no cluster answers.
    """
    ray = _import_ray()
    with _connected(ray, options.address):
        threads = options.threads or min(MOST_THREADS, _smallest_node(ray))
        task = ray.remote(num_cpus=threads, num_gpus=options.gpus, max_retries=TRIES)(try_job)
        waiting, running = deque(jobs), dict[Any, Job]()
        try:
            while waiting or running:
                while waiting and (options.workers is None or len(running) < options.workers):
                    job = waiting.popleft()
                    running[task.remote(_with_threads(job, threads))] = job
                for ref in ray.wait(list(running), timeout=WAIT_S)[0]:
                    yield _outcome(ray, ref, running.pop(ref))
        finally:
            for ref in running:
                ray.cancel(ref, force=True)
            if running:  # their processes end with the workers, and then nobody writes any more
                ray.wait(list(running), num_returns=len(running), timeout=GRACE_S)


def _with_threads(job: Job, threads: int) -> Job:
    """ONNX Runtime takes as many cores as Ray sets aside, and not the whole machine."""
    return Job(job.source, job.output, (*job.words, "--threads", str(threads)), job.made_by)


def _outcome(ray: Any, ref: Any, job: Job) -> Outcome:
    try:
        outcome: Outcome = ray.get(ref)
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        return Outcome(job, ExitCode.ENVIRONMENT, f"its worker was lost, or failed: {lines[-1].strip()}")
    return outcome


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    alone = {"num_cpus": os.cpu_count(), "include_dashboard": False, "_node_ip_address": LOOPBACK}
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _check_reachable(_known_address(address))
        ray.init(address, log_to_driver=False, logging_level="ERROR", **(alone if address == "local" else {}))
    except (OSError, RuntimeError, ValueError) as error:
        raise Failure(
            f"no Ray cluster at '{address}': {str(error).splitlines()[0]}; start one with `ray start --head` here and "
            "`ray start --address=HOST:6379` on the others, or use --ray local, or leave --ray out",
            ExitCode.ENVIRONMENT,
        ) from error
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray sets its own, which ends the program without cleaning up
    try:
        yield
    finally:
        ray.shutdown()


def _known_address(address: str) -> str:
    """Where Ray will look for the cluster; empty where it only finds out by itself."""
    if address != "auto":
        return address
    current = Path(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")  # written by `ray start`
    try:
        return os.environ.get("RAY_ADDRESS") or current.read_text().strip()
    except OSError:
        return ""


def _check_reachable(address: str) -> None:
    """Ray itself waits for minutes for a machine that does not answer, and then ends the program. Raises: OSError."""
    place = re.fullmatch(r"(?:ray://)?\[?([^/\]]+?)\]?:(\d+)", address)
    if place:
        socket.create_connection((place[1], int(place[2])), CONNECT_S).close()


def _smallest_node(ray: Any) -> int:
    """Processor cores of the smallest machine that has any."""
    return min((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=1) or 1


def _import_ray() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is sent anywhere
    try:
        import ray
    except ModuleNotFoundError as error:
        raise Failure(
            "--ray needs the Python package 'ray', which is not installed; install it on every machine with: "
            "pip install -e '.[batch]'. Without --ray the batch runs on this machine alone",
            ExitCode.ENVIRONMENT,
        ) from error
    return ray
