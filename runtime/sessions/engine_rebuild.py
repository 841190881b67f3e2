"""An engine that may be run: checked, and built again where it is not for this machine and that can be mended."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import edgedeblur
from edgedeblur import ExitCode, Failure
from runtime.sessions.engine_check import build_command, engine_dir, machine_differences, mismatch, this_machine
from runtime.sessions.engine_file import Difference, EngineFile, is_there, read_engine

REBUILD = ("auto", "never")
BUILD_PATIENCE_S = 5.0  # how long a build that is ended may take over it


def usable_engine(path: Path, rebuild: str, say: Callable[[str], None]) -> EngineFile:
    """The engine at `path`, or the one built in its place.

    rebuild: "auto" builds again from the ONNX file that the sidecar names, "never" refuses. say: prints a note.
    Raises: Failure (MODEL) naming every field that differs, with both values and the next command; (ENVIRONMENT)
    without a GPU or the toolkit; what the build ends with.
    """
    engine = read_engine(path)
    if engine.sidecar is None:
        this_machine(engine.toolkit)
        say(f"'{path}' has no sidecar ({path.with_suffix('.json').name}): nothing could be checked before running it")
        return engine
    differences = _differences(engine)
    if not differences:
        return engine
    if rebuild == "never" or engine.rebuild is None or engine.onnx is None or not is_there(engine.onnx):
        raise mismatch(engine, differences)
    this_machine(engine.toolkit)  # without a GPU a new engine would not run either
    say(f"'{path}' cannot be used: {'; '.join(map(str, differences))}. Building it again: {build_command(engine)}")
    built = read_engine(_build(engine, engine.onnx, engine.rebuild))
    if left := _differences(built):
        raise mismatch(built, left)
    return built


def _differences(engine: EngineFile) -> list[Difference]:
    """Hashes first: of a file that is not what was built, nothing else is looked at."""
    return engine.hash_differences() or machine_differences(engine, this_machine(engine.toolkit))


def _build(engine: EngineFile, onnx: Path, words: list[str]) -> Path:
    """Run `edgedeblur build`, whose progress goes to stderr. Its engine gets a name of its own: none is replaced."""
    build = ["build", str(onnx.resolve()), *words, "--engine-dir", str(engine_dir(engine, onnx))]
    command = [sys.executable, "-m", "edgedeblur", *build, "--json"]
    here = str(Path(edgedeblur.__file__).parent)  # a checkout need not be installed
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        try:
            said, _ = process.communicate()
        except BaseException:
            _end(process)
            raise
    if process.returncode in (ExitCode.INTERRUPTED, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    if process.returncode:
        raise _build_failure(engine, process.returncode, f"edgedeblur {shlex.join(build)}")
    return Path(json.loads(said)["engine"])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Asked once, a build cleans up when TensorRT is through with its step; asked again, at once."""
    for end in (process.terminate, process.terminate, process.kill):
        end()
        with suppress(subprocess.TimeoutExpired):
            process.wait(BUILD_PATIENCE_S)
            return


def _build_failure(engine: EngineFile, code: int, command: str) -> Failure:
    if code == -signal.SIGKILL:
        return Failure(
            f"building '{engine.path}' again was killed (SIGKILL), as the system does when memory runs out; end other "
            f"programs, or build it with less: {command} --workspace 1",
            ExitCode.MEMORY,
        )
    return Failure(
        f"building '{engine.path}' again failed, see above; the command was: {command}",
        ExitCode(code) if code in list(ExitCode) else ExitCode.MODEL,
    )
