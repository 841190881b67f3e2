"""`edgedeblur run` from sources that are lost while it runs, in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from runtime.live import supervised as module
from runtime.live.lost_options import LostOptions
from runtime.live.status import Status
from runtime.live.supervised import supervised
from runtime.sources.source import SourceOptions, frames_of, open_source
from runtime.stop import Stop
from tests.runtime.breaking import REFUSED, Camera, Opening, quick
from tests.runtime.rtsp_server import FOR_EVER, RtspServer
from tests.runtime.stand_in import write_model
from tests.runtime.v4l2_stub.devices import StubDevices

QUICKLY = ("--reconnect-interval", "0.05", "--reconnect-max-interval", "0.1", "--stall-timeout", "5")


class Process:
    """The command, running."""

    def __init__(self, folder: Path, *words: object, environment: Mapping[str, str] | None = None) -> None:
        self.errors = folder / "errors"
        model = write_model(folder / "stand-in.onnx")
        command = [sys.executable, "-m", "edgedeblur", "run", *map(str, words), *QUICKLY, "--model", str(model)]
        with self.errors.open("w") as errors:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)

    def wait_for(self, words: str, times: int = 1) -> None:
        """Wait until something is said."""
        self.wait(lambda: self.errors.read_text().count(words) >= times)

    def wait(self, reached: Callable[[], bool]) -> None:
        """Wait until something has happened."""
        end = time.monotonic() + 60
        while not reached():
            assert self._process.poll() is None, self.errors.read_text()
            assert time.monotonic() < end, self.errors.read_text()
            time.sleep(0.02)

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str, str]:
        """Its exit code, and what it printed and said."""
        try:
            printed, _ = self._process.communicate(timeout=60)
        finally:
            self._process.kill()
        said = self.errors.read_text()
        assert "Traceback" not in said
        return self._process.returncode, printed, said


def test_a_camera_that_is_plugged_out_and_in_again_under_another_number(tmp_path: Path) -> None:
    stub, out = StubDevices(tmp_path / "dev"), tmp_path / "out.mp4"
    link = "by-id/usb-Stub_Camera-video-index0"
    stub.camera("video0", "gone 15 400 video2", "gone 15 400 video4", rates="30", links=[link])
    uri = f"v4l2://{stub.path('v4l') / link}"
    process = Process(tmp_path, uri, out, "--json", "--input-save", tmp_path / "in.mkv", environment=stub.environment)
    process.wait_for("is back after", 2)
    time.sleep(0.3)
    process.interrupt()
    code, printed, said = process.end()
    assert code == 130
    summary: dict[str, Any] = json.loads(printed)
    assert summary["reconnects"] == 2
    assert summary["by_how"]["held"] >= 4
    assert "open video2" in stub.log()
    assert "open video4" in stub.log()
    assert f"{uri} was lost 2 times" in said
    kept = list(frames_of(open_source(str(out))))
    assert len(kept) == sum(summary["by_how"].values())
    assert float(kept[-1].time or 0) > 2 * 0.4 + 2 * 15 / 30  # the times without a camera are as long as they were


def test_a_loss_that_ends_the_run_has_its_exit_code(tmp_path: Path) -> None:
    server, out = RtspServer(FOR_EVER), tmp_path / "out.mp4"
    process = Process(tmp_path, f"rtsp://user:secret@127.0.0.1:{server.port}/live", out, "--on-lost", "exit")
    process.wait(lambda: out.exists() and out.stat().st_size > 1000)
    server.kill()
    code, printed, said = process.end()
    assert code == 4
    assert f"rtsp://127.0.0.1:{server.port}/live is lost: " in said
    assert "with --on-lost exit that ends the run" in said
    assert "secret" not in said + printed
    assert f"{len(list(frames_of(open_source(str(out)))))} delivered" in printed  # what came before is there


def test_ctrl_c_while_the_source_is_away(tmp_path: Path) -> None:
    server = RtspServer(FOR_EVER)
    process = Process(tmp_path, f"rtsp://127.0.0.1:{server.port}/live", "null://")
    process.wait_for("→")
    time.sleep(0.5)
    server.kill()
    process.wait_for("is lost")
    start = time.monotonic()
    process.interrupt()
    assert process.end()[0] == 130
    assert time.monotonic() - start < 5


def test_a_camera_keeps_its_name_when_it_is_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, uris = Camera([Opening(2), REFUSED, Opening(1000)]), list[str]()

    def open_named(uri: str, options: SourceOptions) -> object:
        uris.append(uri)
        return camera()

    monkeypatch.setattr(module, "open_source", open_named)
    monkeypatch.setattr(module, "stable_uri", lambda uri: "v4l2:///dev/v4l/by-id/usb-Camera-index0")
    source = supervised("/dev/video0", SourceOptions(), quick(), Status(), lambda text: None)
    while len(uris) < 3:
        assert source.read(Stop()) is not None
    source.close()
    assert uris == ["/dev/video0", *["v4l2:///dev/v4l/by-id/usb-Camera-index0"] * 2]


def test_a_file_is_not_supervised() -> None:
    status = Status()
    source = supervised("test://64x48", SourceOptions(), LostOptions(), status, print)
    assert not source.live
    assert status.state == "live"
    source.close()
