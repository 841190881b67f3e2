"""A pytest plugin for the check_*.py beside it, which run in a process of their own where the stub has the devices."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.frame import Frame
from runtime.sources import v4l2_device
from runtime.sources.source import SourceOptions
from runtime.sources.v4l2_source import V4l2Source, open_v4l2
from runtime.stop import Stop
from tests.runtime.v4l2_stub.devices import StubDevices

Open = Callable[..., V4l2Source]


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubDevices]:
    """Devices of this process, in the place of /dev; at the end nothing of them may be open, mapped or streaming."""
    devices = StubDevices(tmp_path / "dev")
    monkeypatch.setenv("V4L2_STUB", str(devices.folder))
    monkeypatch.setattr(v4l2_device, "DEVICES", devices.folder)
    before = len(os.listdir("/proc/self/fd"))
    yield devices
    gc.collect()
    assert "memfd:v4l2-stub" not in Path("/proc/self/maps").read_text()
    assert len(os.listdir("/proc/self/fd")) == before
    assert not [line for line in devices.log() if line.endswith(" streaming")]  # closed without STREAMOFF
    assert devices.log().count("open video0") == devices.log().count("close video0")


@pytest.fixture
def opened(stub: StubDevices) -> Iterator[Open]:
    """Opens a camera of the stub, with what `SourceOptions` takes; closed at the end."""
    sources: list[V4l2Source] = []

    def make(name: str = "video0", **options: Any) -> V4l2Source:
        sources.append(open_v4l2(f"v4l2://{stub.path(name)}", SourceOptions(**options)))
        return sources[-1]

    yield make
    for source in sources:
        source.close()


def read(source: V4l2Source, count: int) -> list[Frame]:
    """The next frames."""
    frames = [source.read(Stop()) for _ in range(count)]
    return [frame for frame in frames if frame is not None]
