"""Streams sent to an RTSP server: what arrives; a server that goes away and comes back, and one that is deaf."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, now_ns
from runtime.live.backoff import Backoff
from runtime.sinks import rtsp_push
from runtime.sinks.rtp_packets import nal_units
from runtime.sinks.rtsp_address import rtsp_address, shown_output
from runtime.sinks.sink import Sink, SinkOptions, open_sink
from tests.runtime.conftest import Run, picture
from tests.runtime.rtsp_record_server import RecordServer

Record = Callable[..., RecordServer]


@pytest.fixture
def record() -> Iterator[Record]:
    servers: list[RecordServer] = []

    def start(**how: object) -> RecordServer:
        servers.append(RecordServer(**how))  # type: ignore[arg-type]
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def push() -> Iterator[Callable[..., Sink]]:
    sinks: list[Sink] = []

    def start(port: int, user: str = "", **options: object) -> Sink:
        chosen = SinkOptions(frame_rate=Fraction(50), live=True, **options)  # type: ignore[arg-type]
        sinks.append(open_sink(f"rtsp://{user}127.0.0.1:{port}/live/front", chosen))
        return sinks[-1]

    yield start
    for sink in sinks:
        sink.close()


def feed(sink: Sink, until: Callable[[], bool], size: tuple[int, int] = (36, 52), at_most_s: float = 30) -> int:
    """Give pictures 0, 1, … 50 times a second until `until`; the longest write in milliseconds."""
    index, longest, deadline = 0, 0.0, time.monotonic() + at_most_s
    while not until():
        assert time.monotonic() < deadline, f"not within {at_most_s} s: {sink.describe()}"
        image, start = picture(index % 50, size), time.perf_counter()
        sink.write(image, Frame(image, index, now_ns()))
        longest = max(longest, (time.perf_counter() - start) * 1000)
        index += 1
        time.sleep(0.02)
    return round(longest)


def test_pictures_arrive_with_their_times(record: Record, push: Callable[..., Sink]) -> None:
    server = record()
    sink = push(server.port)
    start = now_ns()
    for index in range(25):  # every fourth one comes late, as a camera's may
        image = picture(index)
        sink.write(image, Frame(image, index, start + index * 40_000_000 + (index % 4 == 3) * 7_000_000))
        time.sleep(0.03)
    sink.close()
    assert len(server.pictures) >= 10  # newest wins: on a busy machine some are dropped
    described = sink.describe()
    assert f"{len(server.pictures)} frames sent of 52x36" in described
    assert f"{25 - len(server.pictures)} dropped" in described
    known = {round((index * 40 + (index % 4 == 3) * 7) * 90): index for index in range(25)}
    first = min(known)
    for image, stamp in zip(server.pictures, server.stamps, strict=True):
        index = known[stamp - server.stamps[0] + first]
        assert abs(image.mean() - picture(index).mean()) < 3
    assert server.reports
    assert server.requests[-1].startswith("TEARDOWN")


def test_a_size_that_changes_goes_on_in_the_same_stream(record: Record, push: Callable[..., Sink]) -> None:
    server = record()
    sink = push(server.port)
    feed(sink, lambda: len(server.pictures) >= 5)
    feed(sink, lambda: server.pictures[-1].shape == (48, 100, 3), size=(48, 99))
    assert sum(request.startswith("ANNOUNCE") for request in server.requests) == 1


@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_password_is_given_and_never_shown(
    record: Record, push: Callable[..., Sink], auth: str, capfd: pytest.CaptureFixture[str]
) -> None:
    server = record(auth=auth)
    told: list[str] = []
    sink = push(server.port, "user:secret@", say=told.append)
    feed(sink, lambda: len(server.pictures) >= 3)
    sink.close()
    wrong = push(server.port, "user:other-secret@", say=told.append)
    feed(wrong, lambda: any("401" in line for line in told))
    wrong.close()
    shown = " ".join([sink.describe(), wrong.describe(), *told, *capfd.readouterr()])
    assert f"rtsp://127.0.0.1:{server.port}/live/front cannot be reached" in shown
    assert "secret" not in shown
    assert all("secret" not in request for request in server.requests)


def test_a_server_that_is_killed_and_comes_back(record: Record, push: Callable[..., Sink]) -> None:
    server = record()
    told: list[str] = []
    sink = push(server.port, say=told.append)
    for _ in range(3):
        feed(sink, lambda: len(server.pictures) >= 5)  # noqa: B023 - used at once
        server.close()
        feed(sink, lambda: "trying again" in told[-1] if told else False)
        server = record(port=server.port)
    feed(sink, lambda: len(server.pictures) >= 5)
    assert all(late > early for early, late in pairwise(server.stamps))
    assert np.abs(server.pictures[0].astype(int).mean(axis=(0, 1)) - 128).max() < 128  # whole from the first one on
    assert "sending again" in told[-1]
    assert "the connection was lost 3 times" in sink.describe()


def test_a_server_that_hangs_up_again_and_again_is_not_hammered(
    record: Record, push: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    class Hasty(Backoff):
        """Waits for next to nothing, and tells how many attempts it has counted."""

        def next_s(self) -> float:
            super().next_s()
            tries.append(self.attempts)
            return 0.01

    monkeypatch.setattr(rtsp_push, "Backoff", Hasty)
    sink = push(record(leave_after="RECORD").port)
    feed(sink, lambda: len(tries) >= 6)
    assert tries[:6] == [1, 2, 3, 4, 5, 6]
    monkeypatch.setattr(rtsp_push, "PROVEN_NS", 0)
    feed(sink, lambda: tries[-1] == 1)


def test_the_server_chooses_the_channel(record: Record, push: Callable[..., Sink]) -> None:
    server = record(channel=6)
    feed(push(server.port), lambda: len(server.pictures) >= 3)
    assert server.reports


@pytest.mark.parametrize("deaf_from", ["OPTIONS", "RECORD"])
def test_a_server_that_does_not_answer_holds_up_nothing(
    record: Record, push: Callable[..., Sink], deaf_from: str
) -> None:
    server = record(deaf_from=deaf_from)
    sink = push(server.port)
    heard = threading.Event()
    longest = [0.0]

    def beat() -> None:
        last = time.monotonic()
        while not heard.wait(0.01):
            longest[0], last = max(longest[0], time.monotonic() - last), time.monotonic()

    thread = threading.Thread(target=beat)
    thread.start()
    end = time.monotonic() + 1.5
    feed(sink, lambda: time.monotonic() > end)
    start = time.monotonic()
    sink.close()
    assert time.monotonic() - start < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "rtsp push"]
    heard.set()
    thread.join()
    assert longest[0] < 3  # no other thread stood still meanwhile
    assert "0 frames sent" in sink.describe()


def test_a_server_that_takes_nothing_costs_frames_and_no_time(record: Record, push: Callable[..., Sink]) -> None:
    server = record()
    sink = push(server.port, bitrate=50_000_000)
    feed(sink, lambda: len(server.pictures) >= 2)
    server.full.set()
    noise = np.random.default_rng(0).integers(0, 256, (4, 240, 320, 3), dtype=np.uint8)
    longest = 0.0
    for index in range(200):  # more than the sockets hold between them
        start = time.monotonic()
        sink.write(noise[index % 4], Frame(noise[index % 4], index, now_ns()))
        longest = max(longest, time.monotonic() - start)
        time.sleep(0.01)
    start = time.monotonic()
    sink.close()
    assert time.monotonic() - start < 5
    assert longest < 3
    dropped = int(sink.describe().split(" dropped")[0].split("; ")[-1])
    assert dropped > 20


def test_a_slow_link_costs_frames_and_does_not_fall_behind(record: Record, push: Callable[..., Sink]) -> None:
    server = record()
    server.slow.set()
    sink = push(server.port, bitrate=8_000_000)  # five times what the link takes
    noise = np.random.default_rng(0).integers(0, 256, (8, 240, 320, 3), dtype=np.uint8)
    end, index = time.monotonic() + 4, 0
    while time.monotonic() < end:
        sink.write(noise[index % 8], Frame(noise[index % 8], index, now_ns()))
        index += 1
        time.sleep(0.02)
    assert server.arrived_s[-1] - server.arrived_s[0] > 2
    sent_s = (server.stamps[-1] - server.stamps[0]) / 90000
    assert server.arrived_s[-1] - server.arrived_s[0] - sent_s < 1.5


def test_nobody_there(run: Run) -> None:
    start = time.monotonic()
    code, text = run("test://64x48@50", "rtsp://user:secret@127.0.0.1:9/live", "--frames", 30)
    assert code == 0
    assert time.monotonic() - start < 30
    assert "0 frames sent" in text
    assert "rtsp://127.0.0.1:9/live" in text


@pytest.mark.parametrize(
    ("uri", "served", "host", "port", "shown"),
    [
        ("rtsp://@:8554/x", True, "", 8554, "rtsp://@:8554/x"),
        ("rtsp://@/x", True, "", 8554, "rtsp://@/x"),
        ("rtsp://@127.0.0.1:9000/a/b", True, "127.0.0.1", 9000, "rtsp://@127.0.0.1:9000/a/b"),
        ("rtsp://me:pw@:8554/x", True, "", 8554, "rtsp://@:8554/x"),
        ("rtsp://host/x", False, "host", 554, "rtsp://host/x"),
        ("rtsps://me:p%40w@host/x?y=1", False, "host", 322, "rtsps://host/x?y=1"),
        ("rtsp://me:pw@[::1]:7/x", False, "::1", 7, "rtsp://[::1]:7/x"),
    ],
)
def test_what_an_address_means(uri: str, served: bool, host: str, port: int, shown: str) -> None:
    address = rtsp_address(uri)
    assert (address.served, address.host, address.port) == (served, host, port)
    assert shown_output(uri) == shown
    assert "p@w" in address.password or address.password in ("", "pw")


@pytest.mark.parametrize(
    "uri",
    [
        *("rtsp://me:se/cret@host/x", "rtsp://me:secret@host:port/x", "rtsp://me:secret@host", "rtsp://host:0/x"),
        *("rtsp://me:secret@/", "rtsps://me:secret@:8554/x", "rtsp://me:secret@:8554/../x y", "rtsp://a\n:secret@b/x"),
        *("rtsp://", f"rtsp://me:secret@{'h' * 70}/x", "rtsp://me:secret%0d%0a@host/x", "rtsp://[::1:secret@/x"),
    ],
)
def test_addresses_that_mean_nothing(uri: str) -> None:
    with pytest.raises(Failure, match="expected rtsp://@:8554/NAME") as caught:
        open_sink(uri, SinkOptions())
    assert caught.value.code == ExitCode.USAGE
    assert "cret" not in str(caught.value)


def test_nal_units_of_any_start_code() -> None:
    assert nal_units(b"\0\0\0\1g1\0\0\1h\0\x02\0\0\0\0\1e\0\0\3\1") == [b"g1", b"h\0\x02", b"e\0\0\3\1"]
    assert nal_units(b"") == nal_units(b"\0\0\1") == []
