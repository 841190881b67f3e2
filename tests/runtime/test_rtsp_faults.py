"""Network cameras that do not do what they should: each ends in a message within stated seconds, without a secret."""

from __future__ import annotations

import base64
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeblur import ExitCode, Failure
from runtime.sources.address import without_credentials
from runtime.sources.source import SourceOptions, open_source
from runtime.stop import Stop
from tests.runtime.conftest import Run
from tests.runtime.rtsp_faults import RawServer, StreamServer, babbles, coded, listens, pictures, says

LIMIT_S = 0.5
UNAUTHORIZED = b'401 Unauthorized\r\n{cseq}\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
NOT_FOUND = b"404 Not Found\r\n{cseq}\r\nContent-Length: 0\r\n\r\n"

Start = Callable[[Any], Any]


@pytest.fixture
def started() -> Iterator[Start]:
    """Keeps a server until the test ends."""
    servers: list[Any] = []

    def keep(server: Any) -> Any:
        servers.append(server)
        return server

    yield keep
    for server in servers:
        server.close()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (listens, "no answer in 0.5 s"),
        (babbles, "no answer in 0.5 s"),
        (says(b"HELO dear client\r\n\r\n"), "no answer in 0.5 s"),
        (says(b"RTSP/1.0 " + UNAUTHORIZED), "check user and password: rtsp://USER:PASSWORD@HOST"),
        (says(b"RTSP/1.0 " + NOT_FOUND), "no such stream"),
        (says(b"RTSP/1.0 500 Oops\r\n{cseq}\r\n\r\n"), "5XX"),
    ],
    ids=["silence", "noise", "another protocol", "401", "404", "500"],
)
def test_servers_that_do_not_serve(started: Start, scheme: str, behave: Any, words: str) -> None:
    """Each ends within two time limits: one to connect, one to learn what the stream is."""
    server = started(RawServer(behave))
    began = time.monotonic()
    with pytest.raises(Failure) as caught:
        open_source(f"{scheme}://me:secret@127.0.0.1:{server.port}/live", SourceOptions(timeout_s=LIMIT_S))
    assert time.monotonic() - began < 2 * LIMIT_S + 1
    assert caught.value.code == ExitCode.SOURCE
    assert f"{scheme}://127.0.0.1:{server.port}/live" in str(caught.value)
    assert "secret" not in str(caught.value)
    if scheme == "rtsp":
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (UNAUTHORIZED, "check user and password"),
        (NOT_FOUND, "no such stream"),
        (b"200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello", "no video stream"),
    ],
)
def test_web_servers_that_have_no_stream(started: Start, answer: bytes, words: str) -> None:
    server = started(RawServer(says(b"HTTP/1.1 " + answer)))
    with pytest.raises(Failure, match=words) as caught:
        open_source(f"HTTP://me:secret@127.0.0.1:{server.port}/live", SourceOptions(timeout_s=LIMIT_S))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("unit", [b"\0\0\1\x41" + bytes(range(256)) * 3, bytes(range(255, 0, -1)) * 3])
def test_a_camera_that_sends_only_garbage(started: Start, unit: bytes) -> None:
    server = started(StreamServer([unit], again=True))
    began = time.monotonic()
    with pytest.raises(Failure, match=r"packets came in 0.5 s, and no whole picture|no answer") as caught:
        open_source(f"rtsp://127.0.0.1:{server.port}/live", SourceOptions(timeout_s=LIMIT_S)).read(Stop())
    assert time.monotonic() - began < 3 * LIMIT_S + 1
    assert caught.value.code == ExitCode.SOURCE


def test_a_stop_ends_a_read_that_waits(started: Start) -> None:
    server = started(StreamServer(coded(pictures(30)), hang=True))
    source = open_source(f"rtsp://127.0.0.1:{server.port}/live", SourceOptions(timeout_s=2.0))
    began, stop, frames = time.monotonic(), Stop(), 0
    threading.Timer(1.0, stop.set).start()  # the pictures last for a quarter of a second
    while source.read(stop) is not None:
        frames += 1
    assert frames > 5
    assert 1 <= time.monotonic() - began < 5
    source.close()


@pytest.mark.parametrize(
    "uri",
    [
        "RTSP://me:secret@127.0.0.1:{port}/live",
        "rtsp://me:se@cret@127.0.0.1:{port}/live",
        "Rtsps://me:se/cret@127.0.0.1:{port}/live",
        "http://me:secret@127.0.0.1:{port}/v.mjpg",
        "HTTPS://me:secret@127.0.0.1:{port}/v.m3u8",
        "rtps://me:secret@127.0.0.1:{port}/live",
        "RSTP://me:sec/ret@127.0.0.1:{port}/live",
        "rtsp:/me:secret@127.0.0.1:{port}/live",
        "rtsp:me:se*cret@127.0.0.1:{port}/live",
        "rtsp//me:se/cr@et@127.0.0.1:{port}/live",
        "me:secret@127.0.0.1:{port}/live",
        "file://me:secret@127.0.0.1:{port}/live",
        "rtsp://127.0.0.1:{port}/live?user=me&password=secret&channel=1",
        "rtsp://127.0.0.1:{port}/user=me&pwd=secret&channel=1.sdp",
        "gst://rtspsrc location=rtsp://me:secret@127.0.0.1:{port}/live ! fakenonsense",
        "gst://rtspsrc location=rtsp://127.0.0.1:{port} user-id=me user-pw=secret ! fakenonsense",
    ],
)
def test_no_message_tells_a_password(run: Run, uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, text = run(uri.format(port=port))
    assert code in (ExitCode.USAGE, ExitCode.SOURCE, ExitCode.ENVIRONMENT)
    assert not any(part in text for part in ("secret", "se@cret", "cret@", "cret", "ret@", "me:"))


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("test://96x64@30", "test://96x64@30"),
        ("TEST://96x64@30", "TEST://96x64@30"),
        ("clip@2x.mp4", "clip@2x.mp4"),
        ("C:clip.mp4", "C:clip.mp4"),
        ("RTSPS://user:p@ss/w@host/a", "RTSPS://host/a"),
        ("rtsp://host/cam?channel=1&Password=x&subtype=0", "rtsp://host/cam?channel=1&Password=***&subtype=0"),
        (
            "http://host/video.cgi?loginuse=a&loginpas=b&rate=0",
            "http://host/video.cgi?loginuse=***&loginpas=***&rate=0",
        ),
        ("user:pass@host/a", "***@host/a"),
        ("gst://videotestsrc pattern=ball", "gst://videotestsrc pattern=ball"),
        (
            'gst://rtspsrc location=rtsp://u:p@h/a user-pw="x y" ! a',
            "gst://rtspsrc location=rtsp://h/a user-pw=*** ! a",
        ),
    ],
)
def test_what_is_shown_of_an_address(uri: str, shown: str) -> None:
    assert without_credentials(uri) == shown


@given(st.sampled_from(["rtsp", "RTSPS", "Http", "rstp", "x-y.z"]), st.text(min_size=1), st.text(min_size=1))
def test_whatever_the_password_is_it_is_not_shown(scheme: str, user: str, password: str) -> None:
    assert without_credentials(f"{scheme}://{user}:{password}@host:554/a") == f"{scheme}://host:554/a"


@pytest.mark.parametrize(
    ("user", "meant"),
    [("me:secret", "me:secret"), ("me:se/cr?e#t", "me:se/cr?e#t"), ("me:p%40ss", "me:p@ss"), ("me:p@ss", "me:p@ss")],
)
def test_the_camera_is_told_the_password_that_was_meant(started: Start, user: str, meant: str) -> None:
    seen: list[bytes] = []

    def asks(client: socket.socket, ended: threading.Event) -> None:
        while request := client.recv(65536):
            lines = request.split(b"\r\n")
            seen.extend(base64.b64decode(line.split()[-1]) for line in lines if line.startswith(b"Authorization"))
            number = next(line for line in lines if line.startswith(b"CSeq"))
            client.sendall(b"RTSP/1.0 " + UNAUTHORIZED.replace(b"{cseq}", number))

    server = started(RawServer(asks))
    with pytest.raises(Failure, match="401"):
        open_source(f"rtsp://{user}@127.0.0.1:{server.port}/live", SourceOptions(timeout_s=LIMIT_S))
    assert set(seen) == {meant.encode()}
