"""The stream and snapshots against real pipelines: viewers of every kind, and what they cost the others."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest

from runtime.page import answers, connection, pictures, server
from tests.runtime.page.conftest import Serve
from tests.runtime.page.mjpeg import Mjpeg, Part, decoded
from tests.runtime.page.serving import Served, until
from tests.runtime.stand_in import write_model


def test_both_halves_are_of_one_frame(served: Served) -> None:
    """The stand-in gives back its input."""
    with Mjpeg(served) as viewer:
        assert viewer.head["content-type"] == "multipart/x-mixed-replace;boundary=frame"
        parts = viewer.take(12)
    shown = [decoded(part.jpeg) for part in parts]
    for picture in shown:
        assert picture.shape == (180, 640, 3)
        assert np.abs(picture[:, :320].astype(int) - picture[:, 320:]).mean() < 1
    assert np.abs(shown[0].astype(int) - shown[-1]).mean() > 2  # it moves
    indices = [part.index for part in parts]
    assert indices == sorted(set(indices))
    assert all(0 < float(part.headers["x-frame-age-ms"]) < 1000 for part in parts)
    assert {part.headers["x-frame-how"] for part in parts} == {"deblurred"}


def test_each_view_in_the_size_that_was_asked_for(served: Served) -> None:
    for query, shape in {
        "?view=output": (180, 320, 3),
        "?view=input&width=160": (90, 160, 3),
        "?view=pair&width=321&quality=30": (90, 320, 3),
        "?view=output&width=4096": (180, 320, 3),  # nothing is enlarged
        "?stream=front&other=1": (180, 320, 3),
        "?view=pair": (180, 640, 3),
    }.items():
        with Mjpeg(served, query) as viewer:
            assert decoded(viewer.take(1)[0].jpeg).shape == shape


def test_what_cannot_be_shown_is_refused(served: Served) -> None:
    wrong = ["view=all", "width=0", "width=5000", "width=1e3", "width=", "quality=0", "quality=101", "quality=-1"]
    for query in [*wrong, "width=" + "9" * 500]:
        assert served.get(f"/stream.mjpg?{query}")[0] == 400, query
    assert served.get("/stream.mjpg?stream=none")[0] == served.get("/snapshot.jpg?stream=")[0] == 404


def test_players_read_it(served: Served) -> None:
    """FFmpeg's reader of multipart, which VLC, OpenCV and others have too."""
    with av.open(f"http://127.0.0.1:{served.port}/stream.mjpg?view=output", timeout=10) as container:
        assert container.format.name == "mpjpeg"
        frames = [frame for frame, _ in zip(container.decode(video=0), range(5), strict=False)]
    assert [(frame.height, frame.width) for frame in frames] == [(180, 320)] * 5


def test_opencv_reads_it(served: Served) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    capture = cv2.VideoCapture(f"http://127.0.0.1:{served.port}/stream.mjpg?view=output")
    try:
        for _ in range(3):
            ok, picture = capture.read()
            assert ok
            assert picture.shape == (180, 320, 3)
    finally:
        capture.release()


def test_a_snapshot_has_every_pixel(serve: Serve) -> None:
    served = serve(scenes={"odd": "test://101x75@30"})
    for view, shape in {"output": (75, 101, 3), "input": (75, 101, 3), "pair": (75, 202, 3)}.items():
        status, headers, jpeg = served.get(f"/snapshot.jpg?view={view}")
        assert status == 200
        assert headers["content-type"] == "image/jpeg"
        assert f"-{view}.jpg" in headers["content-disposition"]
        assert decoded(jpeg).shape == shape


def test_strength_is_seen_by_viewers(serve: Serve, tmp_path: Path) -> None:
    served = serve(model=write_model(tmp_path / "dim.onnx", gain=0.5), scenes={"front": "test://160x90@30"})
    for strength, share in ((1.0, 0.5), (0.5, 0.75), (0.0, 1.0)):
        served.front.controls.strength = strength
        pair = decoded(served.get("/snapshot.jpg?view=pair")[2])
        assert pair[:, 160:].mean() / pair[:, :160].mean() == pytest.approx(share, abs=0.02)


def test_snapshots_that_nobody_takes_fill_no_memory(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a picture of full size until it is sent."""
    monkeypatch.setattr(answers, "MOST_SNAPSHOTS", 2)
    monkeypatch.setattr(pictures, "encode_image", lambda picture, suffix: bytes(16 << 20))  # more than the kernel takes
    served = serve()
    slow = [served.connect(buffer=2048) for _ in range(2)]
    try:
        for client in slow:
            client.sendall(b"GET /snapshot.jpg?view=pair HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        assert served.get("/snapshot.jpg")[0] == 503
        assert served.get("/stats.json")[0] == 200
    finally:
        for client in slow:
            client.close()
    until(lambda: served.get("/snapshot.jpg")[0] == 200)
    served.front.camera.unplug()
    with monkeypatch.context() as impatient:
        impatient.setattr(answers, "SNAPSHOT_NS", 100_000_000)
        for method, path, status in (("GET", "", 503), ("HEAD", "", 503), ("GET", "?view=no", 400)) * 2:
            assert served.get(f"/snapshot.jpg{path}", method=method)[0] == status
    served.front.camera.plug()
    for method in ("HEAD", "GET") * 2:  # none of all these kept its place
        until(lambda method=method: served.get("/snapshot.jpg", method=method)[0] == 200)  # type: ignore[misc]


def test_streams_are_told_apart(serve: Serve) -> None:
    served = serve(scenes={"left": "test://160x90@30", "right": "test://96x64@30"})
    with Mjpeg(served, "?stream=right&view=output") as right, Mjpeg(served, "?view=output") as first:
        assert decoded(right.take(1)[0].jpeg).shape == (64, 96, 3)
        assert decoded(first.take(1)[0].jpeg).shape == (90, 160, 3)


def test_nothing_is_encoded_or_held_when_nobody_looks(served: Served) -> None:
    channel = served.page._all()[0]
    until(lambda: served.front.timing.delivered > 5)
    assert channel.pictures.encoded == 0
    with Mjpeg(served) as viewer:
        viewer.take(3)
        assert channel.newest._offer[1] is not None
    until(lambda: channel.newest.viewers == 0, 10)
    assert channel.newest._offer[1] is None
    encoded = channel.pictures.encoded
    assert encoded >= 3
    served.front.fps_over(0.3)
    assert channel.pictures.encoded == encoded
    assert not channel.pictures._encoders


def test_20_viewers_share_the_encoding(served: Served) -> None:
    channel = served.page._all()[0]
    start = threading.Barrier(20)

    def look(_: int) -> list[Part]:
        with Mjpeg(served) as viewer:
            start.wait()
            return viewer.take(10)

    alone = served.front.fps_over(1)
    with ThreadPoolExecutor(20) as readers:
        looking = [readers.submit(look, number) for number in range(20)]
        beside = served.front.fps_over(0.6)
        taken = [look.result() for look in looking]
    assert [len(parts) for parts in taken] == [10] * 20
    assert channel.pictures.encoded < 120  # and 200 were sent
    one, other = [{part.index: part.jpeg for part in parts} for parts in (taken[0], taken[-1])]
    assert any(other.get(index) == jpeg for index, jpeg in one.items())
    assert beside > 0.2 * alone  # 20 readers in this process cost more than the page does


def test_a_viewer_that_reads_a_byte_a_second_slows_nobody(served: Served) -> None:
    """It is the one that loses frames: the pipeline and the other viewer go on as before."""
    running = served.front
    alone = running.fps_over(1)
    slow = Mjpeg(served, buffer=2048)
    try:
        time.sleep(1)
        slow.socket.recv(1)
        before = running.pipeline.drops()
        with Mjpeg(served) as quick:
            start_s = time.monotonic()
            beside = running.fps_over(1)
            slow.socket.recv(1)
            indices = [part.index for part in quick.take(15)]
            took_s = time.monotonic() - start_s
        assert beside > 0.3 * alone  # a pipeline that waited would stand still
        assert len(set(indices)) == 15
        assert took_s < 20
        assert running.pipeline.drops()["sink_back_pressure"] == before["sink_back_pressure"]
    finally:
        slow.close()


def test_a_slow_viewer_gets_new_pictures_that_are_smaller(served: Served) -> None:
    """A link of 40 kB/s takes a picture of the best kind in half a second."""
    with Mjpeg(served, buffer=8192) as slow:
        sizes, ages = [], []
        start_s = time.monotonic()
        for part in slow.parts():
            sizes.append(len(part.jpeg))
            ages.append(served.front.camera.index - part.index)
            time.sleep(len(part.jpeg) / 40_000)
            if sizes[-1] < sizes[0] / 3 and len(sizes) > 5:
                break
            assert time.monotonic() - start_s < 20
    assert ages[-1] < 150  # frames of a camera with 30 a second
    assert len(sizes) < 60


def test_a_viewer_that_takes_nothing_is_left(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SEND_S", 0.5)
    monkeypatch.setattr(connection, "SLOWEST", 1 << 30)
    served = serve()
    channel = served.page._all()[0]
    with Mjpeg(served, "?view=pair&quality=100", buffer=2048):
        until(lambda: channel.newest.viewers == 1)
        until(lambda: channel.newest.viewers == 0, 15)


def test_more_viewers_than_allowed_are_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST_VIEWERS", 2)
    served = serve()
    with Mjpeg(served) as one, Mjpeg(served) as two:
        one.take(1)
        two.take(1)
        assert served.get("/stream.mjpg")[0] == 503
        assert served.get("/stats.json")[0] == 200


def test_a_lost_source_keeps_viewers_waiting_and_an_ended_one_lets_them_go(served: Served) -> None:
    with Mjpeg(served) as viewer:
        parts = viewer.parts()
        next(parts)
        served.front.camera.unplug()
        time.sleep(0.6)
        served.front.camera.plug()
        last = next(parts).index
        assert until(lambda: next(parts).index > last + 1)
        served.front.stop()
        assert sum(1 for _ in parts) < 5  # they end
    assert served.get("/stream.mjpg")[0] == 503
    assert served.get("/snapshot.jpg")[0] == 503


def test_a_snapshot_of_a_lost_source_is_not_waited_for_long(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "SNAPSHOT_NS", 300_000_000)
    served.front.camera.unplug()
    time.sleep(0.3)
    status, _, body = served.get("/snapshot.jpg")
    assert status == 503
    assert b"lost" in body
    assert served.page._all()[0].newest.viewers == 0


def test_a_change_of_size_in_mid_stream_is_followed(serve: Serve) -> None:
    served = serve(scenes={"front": "test://160x90@30"})
    with Mjpeg(served, "?view=output") as viewer:
        parts = viewer.parts()
        assert decoded(next(parts).jpeg).shape == (90, 160, 3)
        served.front.camera.cut = (60, 100)
        assert until(lambda: decoded(next(parts).jpeg).shape == (60, 100, 3))


def test_close_ends_stuck_viewers_and_clients_in_the_middle(serve: Serve) -> None:
    """Served.close() asserts that it takes less than 2.5 s."""
    served = serve()
    stuck = [Mjpeg(served, "?view=pair&quality=100", buffer=2048) for _ in range(10)]
    halves = [served.connect() for _ in range(10)]
    for half in halves:
        half.sendall(b"GET / HT")
    time.sleep(1.5)  # their links are full
    served.close()
    for viewer in stuck:
        viewer.close()
    for half in halves:
        half.close()
    with pytest.raises(ConnectionRefusedError):
        served.connect()
    served.page.close()  # again


def test_a_mistake_of_ours_is_told_once_and_ends_one_answer(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = served.page._all()[0]

    def fail(*_: object) -> None:
        raise RuntimeError("the encoder broke")

    monkeypatch.setattr(channel.pictures, "after", fail)
    for _ in range(3):
        with Mjpeg(served) as viewer:
            assert viewer.take(1) == []
        assert served.get("/snapshot.jpg")[0] == 500
    assert sorted(served.said) == [
        "the page failed at /snapshot.jpg: RuntimeError: the encoder broke",
        "the page failed at /stream.mjpg: RuntimeError: the encoder broke",
    ]
    assert served.get("/stats.json")[0] == 200
    assert server.MOST_CONNECTIONS > answers.MOST_VIEWERS  # the numbers can always be asked for
