"""What a machine does to a run: too little memory, dead workers, damaged files, impatience; and settings for speed."""

from __future__ import annotations

import contextlib
import functools
import math
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import edgedeblur
from edgedeblur import ExitCode
from tests.training.tiny import MODEL, write_pairs
from training.checkpoint import load_network, read_checkpoint
from training.config import PRESETS
from training.data.batches import on_device
from training.errors import explained
from training.learner import Learner
from training.loop import Trainer
from training.train_config import TrainConfig

TINY = ["--patch", "32", "--batch", "2", "--val-crops", "1", "--workers", "0", "--device", "cpu", "--steps", "2"]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tiny pairs."""
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def train(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run `edgedeblur train` in this process: tiny steps of a tiny network, into tmp_path/tiny."""
    monkeypatch.setitem(PRESETS, "tiny", MODEL)
    command = ["train", *TINY, "--preset", "tiny", "--data", str(pairs), "--project", str(tmp_path)]
    return lambda *arguments: edgedeblur.main([*command, *map(str, arguments)])


def learner(**settings: Any) -> Learner:
    """edge-n on the CPU, with these settings."""
    torch.manual_seed(0)
    basis = TrainConfig("edge-n", PRESETS["edge-n"], "", 100, 2, 32, 1e-3, 0, 0, 0.9, "off", "cpu", 10, 1)
    return Learner(TrainConfig(**{**basis.__dict__, **settings}))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "the GPU has too little memory.*--batch or --patch"),
        (MemoryError(), "this machine has too little memory.*--batch or --patch, or fewer --workers"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9 bytes"),
            "this machine has too little",
        ),
    ],
)
def test_too_little_memory_names_the_setting(
    train: Callable[..., int],
    error: Exception,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def step(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(Learner, "step", step)
    assert train() == ExitCode.MEMORY
    printed = capsys.readouterr().err
    assert re.search(message, printed)
    assert not (tmp_path / "tiny").exists()


@pytest.mark.parametrize(
    ("message", "code", "hint"),
    [  # as torch words them
        (
            "Caught RuntimeError in DataLoader worker process 1.\nOriginal Traceback …\nRuntimeError: unable to "
            "allocate shared memory(shm) for file </torch_9_1_0>: No space left on device (28)",
            ExitCode.ENVIRONMENT,
            "--workers 0",
        ),
        (
            "DataLoader worker (pid 9) is killed by signal: Bus error. It is possible that dataloader's workers are "
            "out of shared memory. Please try to raise your shared memory limit.",
            ExitCode.ENVIRONMENT,
            "/dev/shm is too small",
        ),
        ("DataLoader worker (pid(s) 9) exited unexpectedly", ExitCode.MEMORY, "has died"),
    ],
)
def test_what_workers_die_of_is_explained(message: str, code: ExitCode, hint: str) -> None:
    failure = explained(RuntimeError(message))
    assert failure is not None
    assert failure.code == code
    assert hint in str(failure)


def test_a_mistake_of_ours_is_not_explained_away() -> None:
    assert explained(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


@contextlib.contextmanager
def during_step(number: int, happening: Callable[[], object]) -> Iterator[None]:
    """Let something happen before step `number` (from 1) is taken."""
    step = Learner.step
    calls = iter(range(1, 10**6))

    def disturbed(self: Learner, *arguments: Any) -> tuple[float, float]:
        if next(calls) == number:
            happening()
        return step(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "step", disturbed)
        yield


def test_a_killed_worker_is_a_message_and_no_hang(
    train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill() -> None:
        for worker in multiprocessing.active_children():
            worker.kill()

    with during_step(3, kill):
        assert train("--workers", 2, "--steps", 1000) == ExitCode.MEMORY
    assert "a process that makes samples has died" in capsys.readouterr().err


def test_workers_leave_a_signal_to_the_whole_group_to_their_parent(
    train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop() -> None:
        for process in (*multiprocessing.active_children(), multiprocessing.current_process()):
            os.kill(process.pid or 0, signal.SIGTERM)

    with during_step(3, stop):
        assert train("--workers", 2, "--steps", 1000) == ExitCode.INTERRUPTED
    assert f"saved {tmp_path}/tiny/last.pt" in capsys.readouterr().err
    assert read_checkpoint(tmp_path / "tiny" / "last.pt")["training"]["step"] == 3
    assert not multiprocessing.active_children()


def test_a_second_interrupt_says_what_is_really_saved(
    train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt_twice() -> None:
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)

    last = tmp_path / "tiny" / "last.pt"
    with during_step(2, interrupt_twice):
        assert train("--steps", 5, "--name", "unsaved") == ExitCode.INTERRUPTED
    assert "nothing was saved of 1 steps" in capsys.readouterr().err
    with during_step(3, interrupt_twice):
        assert train("--steps", 5, "--validate-every", 1) == ExitCode.INTERRUPTED
    assert f"saved {last}" in capsys.readouterr().err  # step 2 is whole, and step 3 never was
    with during_step(2, interrupt_twice):
        assert train("--steps", 5, "--resume", last) == ExitCode.INTERRUPTED
    assert f"{last} holds step 2" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [lambda last: last.write_bytes(last.read_bytes()[:1000]), Path.unlink])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    train: Callable[..., int], damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--validate-every", "1") == 0
    damage(tmp_path / "tiny" / "last.pt")
    assert train("--validate-every", "1", "--resume", "auto") == 0
    printed = capsys.readouterr().err
    assert f"going on from {tmp_path}/tiny/previous.pt" in printed
    assert "step 1 of 2" in printed
    assert read_checkpoint(tmp_path / "tiny" / "last.pt")["training"]["step"] == 2
    assert read_checkpoint(tmp_path / "tiny" / "previous.pt")["training"]["step"] == 1  # still whole
    assert (tmp_path / "tiny" / "metrics.csv").read_text().count("\n") == 3


def test_a_run_can_start_from_the_weights_of_another(
    train: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--lr", "0.01") == 0
    base = tmp_path / "tiny" / "best.pt"
    assert train("--init", base, "--name", "tuned", "--lr", "1e-8", "--ema", "0") == 0
    network, content = load_network(tmp_path / "tuned" / "last.pt")
    assert content["training"]["step"] == 2
    for name, value in load_network(base)[0].state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-3, atol=1e-6)
    assert train("--init", base, "--preset", "edge-s", "--name", "other") == ExitCode.USAGE
    assert "give --preset tiny" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_compiled_runs_have_the_same_checkpoints(
    train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))  # without a C++ compiler
    assert train() == 0
    assert train("--compile", "--name", "compiled", "--steps", "1") == 0
    assert train("--name", "compiled", "--resume", "auto") == 0  # and back
    plain, compiled = (load_network(tmp_path / name / "last.pt")[0].state_dict() for name in ("tiny", "compiled"))
    assert plain.keys() == compiled.keys()


@pytest.mark.parametrize(("before", "after"), [("off", "fp16"), ("bf16", "fp16"), ("fp16", "off")])
def test_a_run_goes_on_in_another_precision(before: str, after: str) -> None:
    saved, resumed = learner(amp=before), learner(amp=after)
    resumed.restore(saved.averaged.state_dict(), saved.state())
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert math.isfinite(resumed.step(image, image * 0.5, 1e-3, 2)[0])


@pytest.mark.parametrize("settings", [{"amp": "bf16"}, {"amp": "fp16"}, {"channels_last": True}])
def test_precision_and_layout_change_speed_and_not_what_is_learnt(settings: dict[str, Any]) -> None:
    sharp = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    blurred = torch.nn.functional.avg_pool2d(sharp, (1, 5), 1, (0, 2))
    plain, other = learner(), learner(**settings)
    losses = [[taught.step(blurred, sharp, 2e-3, 2)[0] for _ in range(12)] for taught in (plain, other)]
    assert losses[1][0] == pytest.approx(losses[0][0], rel=0.005)
    assert all(values[-1] < 0.98 * values[0] for values in losses)
    assert all(parameter.dtype == torch.float32 for parameter in other.averaged.parameters())


def test_batches_become_colour_planes_on_the_device() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), np.uint8))
    planes = on_device((images, images), "cpu")[0]
    assert planes.shape == (2, 3, 4, 6)
    assert planes[1, 0, 2, 5] == images[1, 2, 5, 2].float() / 255  # red is BGR's last
    assert planes[1, 2, 2, 5] == images[1, 2, 5, 0].float() / 255


def test_steps_left_out_are_counted_in_table_and_end(
    train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    learn = Trainer._learn
    monkeypatch.setattr(Trainer, "_learn", lambda self, blurred, *rest: learn(self, blurred / self.state.step, *rest))
    assert train("--steps", "3") == 0  # the first step divides by 0
    assert "1 steps were left out" in capsys.readouterr().err
    header, row = (line.split(",") for line in (tmp_path / "tiny" / "metrics.csv").read_text().splitlines())
    assert dict(zip(header, row, strict=True))["skipped"] == "1"


def test_tensorboard_gets_curves_and_pictures(train: Callable[..., int], tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    assert train("--steps", "26") == 0
    events = reader.EventAccumulator(str(tmp_path / "tiny")).Reload()
    assert {"train/loss", "train/rate", "train/gradient", "train/patches_per_s", "train/data_wait"} <= set(
        events.Tags()["scalars"]
    )
    assert [point.step for point in events.Scalars("validation/psnr")] == [26]
    (image,) = events.Images("blurred|output|sharp/0")
    assert (image.height, image.width) == (32, 3 * 32)


def test_without_tensorboard_one_line_says_so(
    train: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train("--steps", "26", "--validate-every", "13") == 0
    assert capsys.readouterr().err.count("no TensorBoard logs: pip install tensorboard") == 1
