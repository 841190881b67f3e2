"""Damaged streams: no picture goes out that FFmpeg knows to be broken, nor one made of it; the size may change."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av
import pytest

from runtime.frame import Frame, Image
from runtime.measure.quality import psnr
from runtime.sources import rtsp_source, time_code
from runtime.sources.source import SourceOptions, frames_of, open_source
from tests.runtime.conftest import Run
from tests.runtime.rtsp_faults import StreamServer, coded, flipped, pictures, truncated

KEY_EVERY = 15
WHOLE_DB = 30.0  # a picture that went through the codec undamaged is nearer to the original than that
CLEAN = pictures(90)
UNITS = coded(CLEAN, KEY_EVERY)
Serve = Callable[..., StreamServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[StreamServer] = []

    def start(units: Sequence[bytes], **how: Any) -> StreamServer:
        servers.append(StreamServer(units, **how))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def received(server: StreamServer) -> tuple[list[Frame], int]:
    """All frames of a server, and how many were damaged."""
    source = open_source(f"rtsp://127.0.0.1:{server.port}/live", SourceOptions(timeout_s=4))
    frames = list(frames_of(source))
    return frames, source.corrupt


def numbers(frames: Sequence[Frame], originals: Sequence[Image]) -> list[int]:
    """Which pictures these are; each must be whole."""
    found = [time_code.read(frame.image) for frame in frames]
    for frame, number in zip(frames, found, strict=True):
        assert number is not None
        assert psnr(frame.image, originals[number]) > WHOLE_DB
    return [number for number in found if number is not None]


def known(units: Sequence[bytes], at: int, spoil: Callable[[bytes, int], bytes]) -> bytes:
    """Access unit `at`, damaged so that FFmpeg notices it: it does not notice all damage of such small pictures."""
    for seed in range(50):
        decoder: Any = av.CodecContext.create("h264", "r")
        decoder.thread_count = 1
        spoilt = spoil(units[at], seed)
        start = at - at % KEY_EVERY
        for unit in [*units[start:at], spoilt]:
            pictures = decoder.decode(av.Packet(unit))
        if pictures and pictures[0].is_corrupt:
            return spoilt
    raise AssertionError("FFmpeg noticed no damage")


@pytest.mark.parametrize("spoil", [flipped, lambda unit, seed: truncated(unit)], ids=["flipped", "truncated"])
def test_damage_is_left_out_up_to_the_next_key_frame(serve: Serve, spoil: Callable[[bytes, int], bytes]) -> None:
    units = list(UNITS)
    for at in (40, 63):
        units[at] = known(UNITS, at, spoil)
    frames, corrupt = received(serve(units))
    seen = numbers(frames, CLEAN)
    lost = {*range(40, 45), *range(63, 75)}
    assert seen == [number for number in range(seen[0], 90) if number not in lost]
    assert corrupt == len(lost)


def test_a_run_counts_what_was_damaged(serve: Serve, run: Run) -> None:
    units = [known(UNITS, at, flipped) if at == 63 else unit for at, unit in enumerate(UNITS)]
    server = serve(units, again=True)  # until the run has enough
    code, text = run(f"rtsp://127.0.0.1:{server.port}/live", "--frames", 100)
    assert code == 0
    counted = re.search(r"(\d+) corrupt", text)
    assert counted
    assert int(counted[1]) in (12, 24)
    assert f"{counted[1]} damaged frames were left out" in text


def test_without_key_frames_pictures_come_again_after_a_while(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtsp_source, "KEYFRAME_PATIENCE_NS", 200_000_000)
    units = coded(CLEAN, key_every=1000)
    units[20] = truncated(units[20])
    server = serve([*units, *units[1:]])  # the second round never is right, and FFmpeg does not know
    frames, corrupt = received(server)
    assert 10 < corrupt < 60
    assert len(frames) > 60


def test_a_new_size_in_mid_stream_needs_no_new_connection(serve: Serve) -> None:
    large = pictures(40, (176, 208))
    server = serve([*UNITS[:60], *coded(large, KEY_EVERY)])
    frames, corrupt = received(server)
    sizes = [frame.size for frame in frames]
    first = sizes.index((176, 208))
    assert first > 10
    assert set(sizes[:first]) == {(144, 256)}
    assert sizes[first:] == [(176, 208)] * 40
    assert numbers(frames[first:], large) == list(range(40))
    assert corrupt == 0
    assert len([request for request in server.requests if request.startswith("DESCRIBE")]) == 1
