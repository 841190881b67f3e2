"""How streams travel: RTSP over TCP and UDP from a real server, JPEG pictures and segments over HTTP."""

from __future__ import annotations

import functools
import http.server
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from edgedeblur import ExitCode, Failure
from runtime.frame import now_ns
from runtime.gst_import import import_gst
from runtime.sinks.image_sink import encode_image
from runtime.sources import time_code
from runtime.sources.source import SourceOptions, open_source
from runtime.stop import Stop
from tests.runtime.rtsp_faults import RawServer, pictures

STREAM = (
    "( videotestsrc is-live=true ! video/x-raw,width=176,height=96,framerate=60/1 ! "
    "x264enc tune=zerolatency key-int-max=20 ! rtph264pay name=pay0 )"
)


@pytest.fixture(scope="module")
def gst_port() -> Iterator[int]:
    """The port of GStreamer's RTSP server, which offers /live."""
    try:
        library, glib = import_gst("GstRtspServer"), import_gst("GLib")
    except Failure as failure:
        pytest.skip(str(failure))
    context = glib.MainContext.new()
    loop = glib.MainLoop.new(context, False)
    server, factory = library.RTSPServer.new(), library.RTSPMediaFactory.new()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory.set_launch(STREAM)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(context)
    thread = threading.Thread(target=loop.run, daemon=True)
    thread.start()
    yield server.get_bound_port()
    loop.quit()
    thread.join(5)


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_real_server(gst_port: int, transport: str) -> None:
    source = open_source(f"RTSP://127.0.0.1:{gst_port}/live", SourceOptions(rtsp_transport=transport))
    assert source.frame_rate == 60
    began_ns = now_ns()
    frames = [source.read(Stop()) for _ in range(30)]
    source.close()
    assert all(frame is not None and frame.size == (96, 176) for frame in frames)
    assert now_ns() - began_ns > 20 / 60 * 1e9  # they are those of now: none comes out of a buffer
    assert source.corrupt == 0


def test_pictures_over_http() -> None:
    coded = [encode_image(image, ".jpg") for image in pictures(20, (96, 160))]

    def motion_jpeg(client: socket.socket, ended: threading.Event) -> None:
        client.recv(65536)
        client.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n")
        for jpeg in coded:
            head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            client.sendall(head.encode() + jpeg + b"\r\n")
            ended.wait(0.02)
        ended.wait(5)

    server = RawServer(motion_jpeg)
    source = open_source(f"http://me:secret@127.0.0.1:{server.port}/video.mjpg")
    assert source.live
    assert source.frame_rate is None  # what FFmpeg says of these is made up
    assert "secret" not in source.describe()
    seen = []
    while 18 not in seen:
        frame = source.read(Stop())
        assert frame is not None
        seen.append(time_code.read(frame.image))
    assert seen == list(range(seen[0] or 0, 19))
    source.close()
    server.close()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in a folder: a video, and a playlist of segments of 0.3 s."""
    for name, options in (("clip.mp4", {}), ("live.m3u8", {"hls_time": "0.3", "hls_list_size": "0"})):
        with av.open(str(tmp_path / name), "w", options=options) as container:
            stream: Any = container.add_stream("libx264", rate=30, options={"g": "9", "tune": "zerolatency"})
            stream.height, stream.width, stream.pix_fmt = 96, 160, "yuv420p"
            for index, image in enumerate(pictures(45, (96, 160))):
                picture = av.VideoFrame.from_ndarray(image, format="bgr24")
                picture.pts = index
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    playlist = tmp_path / "live.m3u8"
    (tmp_path / "whole.m3u8").write_text(playlist.read_text())
    playlist.write_text(playlist.read_text().replace("#EXT-X-ENDLIST\n", ""))  # more is to come
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def test_segments_are_played_at_their_pace(web: str) -> None:
    source = open_source(f"{web}/live.m3u8", SourceOptions(timeout_s=3.0))
    frames = []
    for _ in range(20):
        frame = source.read(Stop())
        assert frame is not None
        frames.append(frame)
    source.close()
    numbers = [time_code.read(frame.image) for frame in frames]
    assert all(number is not None for number in numbers)
    assert all((late or 0) - (early or 0) == 1 for early, late in pairwise(numbers))
    assert frames[-1].captured_ns - frames[0].captured_ns > 19 / 30 * 1e9 * 0.8


@pytest.mark.parametrize("name", ["clip.mp4", "whole.m3u8"])
def test_recordings_are_no_cameras(web: str, name: str) -> None:
    with pytest.raises(Failure, match=f"curl -LO '{web}/{name}'") as caught:
        open_source(f"{web}/{name}")
    assert caught.value.code == ExitCode.USAGE
