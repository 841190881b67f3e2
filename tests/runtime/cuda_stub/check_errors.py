"""What goes wrong, where it shows, and that nothing is left of it."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.sessions.tensorrt_session import TensorRTSession
from tests.runtime.cuda_stub import driver
from tests.runtime.cuda_stub.fixtures import SIZE, MakeEngine, frames, halved
from tests.runtime.cuda_stub.onnx_kernels import REFUSE, OnnxKernels

# Functions that a constructor calls, and which of the calls is to fail.
MAKING = [("cuInit", 1), ("cuDevicePrimaryCtxRetain", 1), ("cuCtxPushCurrent", 1)]
MAKING += [("cuStreamCreate", 1), ("cuStreamCreate", 3), ("cuMemAlloc", 1), ("cuMemAlloc", 2), ("cuMemAlloc", 5)]
MAKING += [("cuMemHostRegister", 1), ("cuMemHostRegister", 4), ("cuEventCreate", 1), ("cuEventCreate", 9)]
RUNNING = ["cuMemcpyHtoDAsync", "cuMemcpyDtoDAsync", "cuMemcpyDtoHAsync", "cuEventRecord", "cuStreamWaitEvent"]
RUNNING += ["cuEventSynchronize", "cuEventElapsedTime", "cuGraphLaunch"]
UNKNOWN, ILLEGAL_ADDRESS, LAUNCH_FAILED, OUT_OF_MEMORY = 999, 700, 719, 2


@pytest.mark.parametrize(("function", "nth"), MAKING)
def test_a_constructor_that_fails_leaves_nothing(make_engine: MakeEngine, function: str, nth: int) -> None:
    for _ in range(2 if function == "cuMemAlloc" else 1):  # PyCUDA collects garbage and tries again
        driver.fail(function, nth, OUT_OF_MEMORY)
    with pytest.raises(Failure, match=r"GPU memory ran out while.*nvidia-smi") as caught:
        TensorRTSession(make_engine())
    assert caught.value.code == ExitCode.MEMORY


def test_mapped_memory_that_cannot_be_had(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_INTEGRATED", "1")
    driver.fail("cuMemHostGetDevicePointer", 2, 801)
    with pytest.raises(Failure, match="cuMemHostGetDevicePointer failed: operation not supported") as caught:
        TensorRTSession(make_engine())
    assert caught.value.code == ExitCode.ENVIRONMENT


@pytest.mark.parametrize(("integrated", "code"), [("0", 801), ("1", 801), ("0", 304), ("0", 800)])
def test_memory_that_cannot_be_page_locked_is_copied_all_the_same(
    make_engine: MakeEngine, integrated: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUB_INTEGRATED", integrated)
    monkeypatch.setenv("STUB_REGISTERS", "0" if code == 801 else "1")
    driver.fail("cuMemHostRegister", 0, code)
    session = TensorRTSession(make_engine())
    assert "cannot be page-locked here" in session.describe()
    pictures = frames(6)
    for picture in pictures[:3]:
        session.submit(picture)
    for picture in pictures[:3]:
        np.testing.assert_array_equal(session.result().image, halved(picture))
    session.close()


@pytest.mark.parametrize("function", RUNNING)
def test_an_error_in_the_middle_keeps_the_frames_before_it(make_engine: MakeEngine, function: str) -> None:
    session = TensorRTSession(make_engine())
    pictures = frames(5)
    for picture in pictures[:3]:
        np.testing.assert_array_equal(session.infer(picture), halved(picture))
    driver.fail(function, 1, 1)
    with pytest.raises(Failure, match=r"the GPU failed while (starting|computing) a frame: cu\w+ failed") as caught:
        session.infer(pictures[3])
    assert caught.value.code == ExitCode.ENVIRONMENT
    with pytest.raises(Failure, match="the GPU failed"):  # and again, for whoever asks next
        session.submit(pictures[4])
    session.close()


def test_frames_in_flight_before_an_error_are_still_given(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    pictures = frames(3)
    driver.fail("cuEventSynchronize", 2, 1)
    for picture in pictures:
        session.submit(picture)
    np.testing.assert_array_equal(session.result().image, halved(pictures[0]))
    for _ in range(2):
        with pytest.raises(Failure, match="the GPU failed while computing"):
            session.result()
    session.close()


@pytest.mark.parametrize("code", [ILLEGAL_ADDRESS, LAUNCH_FAILED, UNKNOWN])
@pytest.mark.parametrize("function", ["cuEventSynchronize", "cuMemcpyHtoDAsync", "cuGraphLaunch"])
def test_a_lost_device_is_told_and_ends_nothing_else(make_engine: MakeEngine, function: str, code: int) -> None:
    session = TensorRTSession(make_engine())
    driver.fail(function, 1, code)
    with pytest.raises(Failure, match=r"the GPU failed while.*nvidia-smi.*start again") as caught:
        session.infer(frames(1)[0])
    assert caught.value.code == ExitCode.ENVIRONMENT
    session.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "gpu"]
    driver.reset()  # nothing can be freed in a broken context: it goes with the process


def test_a_device_that_is_lost_inside_tensorrt_is_not_the_engines_fault(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine(), graphs=False)
    driver.fail("cuLaunchHostFunc", 1, ILLEGAL_ADDRESS)
    with pytest.raises(Failure, match=r"the GPU failed while starting a frame: engine .*enqueue failed") as caught:
        session.infer(frames(1)[0])
    assert caught.value.code == ExitCode.ENVIRONMENT
    session.close()
    driver.reset()


def test_a_device_that_is_lost_while_it_is_closed(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    driver.fail("cuStreamSynchronize", 2, ILLEGAL_ADDRESS)
    session.close()
    driver.reset()


def test_a_mistake_of_ours_is_raised_as_it_is(
    make_engine: MakeEngine, kernels: OnnxKernels, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = TensorRTSession(make_engine(), graphs=False)
    monkeypatch.setattr(toolkit.IExecutionContext, "execute_async_v3", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        session.infer(frames(1)[0])
    session.close()


def test_an_engine_that_refuses_a_frame(make_engine: MakeEngine) -> None:
    with pytest.raises(Failure, match="failed on a frame: Error Code 1: Cuda Runtime") as caught:
        TensorRTSession(make_engine(work=REFUSE))
    assert caught.value.code == ExitCode.MODEL


def test_tensorrt_that_runs_out_of_memory(
    make_engine: MakeEngine, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(engine: Any, *_: Any) -> None:
        engine._logger.log(toolkit.ILogger.Severity.ERROR, "Requested amount of GPU memory: Out of memory")

    monkeypatch.setattr(toolkit.ICudaEngine, "create_execution_context", refuse)
    with pytest.raises(Failure, match=r"gives no execution context: .*GPU memory ran out") as caught:
        TensorRTSession(make_engine())
    assert caught.value.code == ExitCode.MEMORY


@pytest.mark.parametrize(
    ("wrong", "found"),
    [({"names": ["image", "sharp"]}, "image"), ({"type": "FLOAT"}, "FLOAT"), ({"names": ["frame"]}, "frame")],
    ids=["name", "type", "no output"],
)
def test_another_engine_is_refused(make_engine: MakeEngine, wrong: dict[str, Any], found: str) -> None:
    with pytest.raises(Failure, match=rf"not one of ours: found .*{found}.*expected one input 'frame'") as caught:
        TensorRTSession(make_engine(**wrong))
    assert caught.value.code == ExitCode.MODEL


def test_a_plan_that_tensorrt_refuses(make_engine: MakeEngine) -> None:
    engine = make_engine(sidecar=False)
    damaged = type(engine)(engine.path, engine.plan[:-9], engine.toolkit, None)
    with pytest.raises(Failure, match=r"cannot be loaded: .*Serialization assertion.*edgedeblur build") as caught:
        TensorRTSession(damaged)
    assert caught.value.code == ExitCode.MODEL


@pytest.mark.parametrize("missing", ["pycuda", "tensorrt"])
def test_what_is_not_installed_is_said_with_what_to_do(
    make_engine: MakeEngine, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine()
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "pycuda.driver", raising=False)
    with pytest.raises(Failure, match="Jetson") as caught:
        TensorRTSession(engine)
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_no_device(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_DEVICES", "0")
    with pytest.raises(Failure, match="no CUDA-capable device") as caught:
        TensorRTSession(make_engine())
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_closing_in_the_middle_and_twice(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    for picture in frames(3):
        session.submit(picture)
    start = time.monotonic()
    session.close()
    session.close()
    assert time.monotonic() - start < 2
    for call in (lambda: session.submit(frames(1)[0]), session.result):
        with pytest.raises(RuntimeError, match="closed"):
            call()


def test_closing_ends_the_waits_of_other_threads(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    ended = []

    def wait() -> None:
        try:
            session.result()
        except RuntimeError as error:
            ended.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    session.close()
    thread.join(5)
    assert ended == ["the session is closed"]


def test_a_session_that_nobody_closes_goes_with_its_last_reference(make_engine: MakeEngine) -> None:
    session = TensorRTSession(make_engine())
    session.submit(frames(1)[0])
    del session
    gc.collect()
    assert driver.alive() == {}


SCRIPT = """
import sys, {imports}
from pathlib import Path
import numpy as np
from runtime.sessions.engine_file import read_engine
from runtime.sessions.tensorrt_session import TensorRTSession
from tests.runtime import fake_tensorrt
from tests.runtime.cuda_stub import driver
from tests.runtime.cuda_stub.onnx_kernels import OnnxKernels
fake_tensorrt.install(OnnxKernels().launch)
atexit.register(lambda: print("left:", driver.alive()))  # runs after what is registered later
session = TensorRTSession(read_engine(Path({engine!r})))
session.submit(np.zeros((36, 52, 3), np.uint8))
{end}
"""


@pytest.mark.parametrize(
    ("end", "code"), [("", 0), ("raise KeyboardInterrupt", -2), ("sys.exit(7)", 7), ("1 / 0", 1)], ids=str
)
def test_the_end_of_the_program_frees_everything(make_engine: MakeEngine, end: str, code: int) -> None:
    script = SCRIPT.format(engine=str(make_engine().path), end=end, imports="atexit")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert done.stdout == "left: {}\n"
    assert "PyCUDA" not in done.stderr


def test_a_lost_device_ends_the_program_without_an_abort(make_engine: MakeEngine) -> None:
    end = 'driver.fail("cuEventSynchronize", 1, 700)\nsession.result()\nsession.infer(np.zeros((36, 52, 3), np.uint8))'
    script = SCRIPT.format(engine=str(make_engine().path), end=end, imports="atexit")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1, done.stderr
    assert "edgedeblur.Failure: the GPU failed while computing a frame" in done.stderr


def test_ctrl_c_while_the_engine_warms_up(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_DELAY_US", "100000")

    def interrupt() -> None:
        import _thread

        _thread.interrupt_main()

    threading.Timer(0.2, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        TensorRTSession(make_engine())


def test_pillars_of_the_stub_can_fail(tmp_path: Path) -> None:
    """A kernel that goes where no device may go is an error, not memory of ours: the checks above rest on that."""
    memory = np.zeros((*SIZE, 3), np.uint8)
    with pytest.raises(ValueError, match="it has no memory"):
        driver.kernel_memory(memory.ctypes.data, memory.shape)
