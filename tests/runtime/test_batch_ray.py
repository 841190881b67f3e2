"""`edgedeblur batch --ray`: a real cluster of two nodes, one of whose workers is killed in mid-file."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgedeblur import ExitCode, main
from runtime.batch import on_ray
from runtime.batch.jobs import leftovers
from tests.runtime.batches import begun, frame_count, in_mid_file, runs_on, started, wait_for
from tests.runtime.stand_in import write_model

NODES = Path(__file__).with_name("batch_ray_nodes.py")
START_S = 90  # on a busy machine
NOBODY = "127.0.0.1:9"
# By this name Ray keeps to loopback, where it would look for the machine's other address.
LOOPBACK_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed (pip install -e '.[batch]')"
)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The cluster's address; what is started here finds it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(LOOPBACK_ONLY, "0")
        command = [sys.executable, str(NODES)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as cluster:
            assert cluster.stdout is not None
            yield cluster.stdout.readline().strip()
            cluster.communicate("", timeout=START_S)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Three films of 30 frames and one that is none."""
    folder = tmp_path_factory.mktemp("films")
    words = ["run", "test://320x240", f"{folder}/a.mp4", "--frames", "30", "--model", str(model)]
    assert main(words) == 0
    for name in ("b", "c"):
        shutil.copy(folder / "a.mp4", folder / f"{name}.mp4")
    (folder / "bad.mp4").write_text("no video")
    return folder


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


def test_a_killed_workers_file_is_redone(address: str, films: Path, tmp_path: Path) -> None:
    slow, out = write_model(tmp_path / "slow.onnx", rounds=70), tmp_path / "out"
    with started(f"{films}/*.mp4", "-o", out, "--model", slow, "--ray", address) as batch:
        wait_for(lambda: begun(out), START_S)
        run = wait_for(lambda: [process for film in sorted(films.glob("?.mp4")) for process in runs_on(film)])[0]
        worker = parent_of(run)
        assert "ray::" in Path(f"/proc/{worker}/cmdline").read_text()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{run}").exists(), 10)  # it does not outlive its worker
        printed, errors = batch.communicate(timeout=120)
    assert batch.returncode == ExitCode.SOURCE, errors
    assert "3 done, 0 were finished, 1 failed" in printed
    assert "bad.mp4' is not a video" in printed
    assert [frame_count(out / f"{name}.mp4") for name in "abc"] == [30, 30, 30]
    assert not list(leftovers(out))
    assert "Traceback" not in errors

    with started(f"{films}/?.mp4", "-o", out, "--model", slow, "--ray", address) as again:
        printed, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert "0 done, 3 were finished" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_on_the_cluster_too(address: str, films: Path, tmp_path: Path, number: int) -> None:
    slow, out = write_model(tmp_path / "slow.onnx", rounds=60), tmp_path / "out"
    with started(films / "a.mp4", "-o", out, "--model", slow, "--ray", address) as batch:
        wait_for(lambda: begun(out), START_S)
        in_mid_file(films / "a.mp4", out)
        batch.send_signal(number)
        _, errors = batch.communicate(timeout=30)
    assert batch.returncode == ExitCode.INTERRUPTED
    assert "Traceback" not in errors
    wait_for(lambda: not runs_on(films / "a.mp4"), 10)
    assert not list(leftovers(out))


@pytest.mark.parametrize("words", [["--gpus", "0.5"], ["--threads", "2"]])
def test_what_no_machine_has_is_not_waited_for(address: str, films: Path, tmp_path: Path, words: list[str]) -> None:
    with started(films / "a.mp4", "-o", tmp_path / "out", "--ray", address, *words) as process:
        _, errors = process.communicate(timeout=START_S)
    assert process.returncode == ExitCode.ENVIRONMENT
    assert "cores with GPUs there: 1 with 0)" in errors
    assert "Traceback" not in errors


def test_a_machine_that_only_keeps_the_books_does_not_count() -> None:
    assert on_ray._smallest([{"memory": 1.0}, {"CPU": 0.0}, {"CPU": 16.0}, {"CPU": 8.0}]) == 8
    assert on_ray._smallest([]) == 1


@pytest.mark.parametrize("share", ["-1", "nan", "inf", "1.5", "one"])
def test_shares_of_a_gpu_that_ray_does_not_take(films: Path, tmp_path: Path, share: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["batch", str(films / "a.mp4"), "-o", str(tmp_path / "out"), "--ray", "local", f"--gpus={share}"])
    assert end.value.code == ExitCode.USAGE


@pytest.mark.parametrize("where", ["auto", NOBODY])
def test_where_there_is_no_cluster(films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", NOBODY)
    with started(films / "a.mp4", "-o", tmp_path / "out", "--ray", where) as process:
        _, errors = process.communicate(timeout=START_S)
    assert process.returncode == ExitCode.ENVIRONMENT
    assert f"no Ray cluster at '{where}'" in errors
    assert "Connection refused" in errors
    assert "ray start --head" in errors
    assert "Traceback" not in errors
