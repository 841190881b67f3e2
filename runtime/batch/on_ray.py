"""A batch on a Ray cluster whose machines see the same files: each file is a task; those of lost workers are redone."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
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
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        threads = options.threads or min(MOST_THREADS, _smallest(machines))
        _check_room(machines, threads, options.gpus)
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
        why = (str(error) or repr(error)).splitlines()[0]
        raise Failure(
            f"no Ray cluster at '{address}': {why}; start one with `ray start --head` here and "
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


def _smallest(machines: Sequence[Mapping[str, float]]) -> int:
    """Processor cores of the smallest machine that offers any: often the one that only keeps the books does not."""
    return min((int(machine["CPU"]) for machine in machines if machine.get("CPU", 0) >= 1), default=1)


def _check_room(machines: Sequence[Mapping[str, float]], threads: int, gpus: float) -> None:
    """Ray waits without a word for a machine that could take a file. Raises: Failure (ENVIRONMENT) if there is none."""
    offers = [(int(machine.get("CPU", 0)), machine.get("GPU", 0.0)) for machine in machines]
    if not any(cores >= threads and share >= gpus for cores, share in offers):
        found = ", ".join(f"{cores} with {share:g}" for cores, share in sorted(set(offers), reverse=True))
        raise Failure(
            f"no machine of the cluster has the {threads} cores and {gpus:g} GPUs that each file is to have (cores "
            f"with GPUs there: {found or 'none'}); give fewer --threads or --gpus, or start Ray there with --num-gpus",
            ExitCode.ENVIRONMENT,
        )


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
