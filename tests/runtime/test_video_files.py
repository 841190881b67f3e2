"""Video in and out: times, colours, sizes, damage."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.frame import Frame, Image
from runtime.sinks.image_sink import encode_image
from runtime.sinks.sink import SinkOptions, open_sink
from runtime.sinks.video_sink import VideoSink
from runtime.sources.image_source import read_image
from runtime.sources.source import frames_of, open_source
from tests.runtime.conftest import Run, picture, write_video
from tests.runtime.pictures import write_png

BARS = ((255, 255, 255), (0, 255, 255), (255, 255, 0), (0, 255, 0), (255, 0, 255), (0, 0, 255), (255, 0, 0), (0, 0, 0))


def bars(size: tuple[int, int]) -> Image:
    """Eight colour bars, (H, W, 3) uint8 BGR."""
    edges = np.arange(size[1]) * len(BARS) // size[1]
    return np.ascontiguousarray(np.broadcast_to(np.array(BARS, np.uint8)[edges], (*size, 3)))


def middles(image: Image) -> Image:
    """The colour in the middle of each bar."""
    step = image.shape[1] / len(BARS)
    return image[image.shape[0] // 2, [int((place + 0.5) * step) for place in range(len(BARS))]]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_uneven_frame_times_are_kept_exactly(tmp_path: Path, run: Run, suffix: str) -> None:
    base = Fraction(1, 12800)
    ticks = np.cumsum([0, 512, 100, 1900, 512, 513, 511, 30, 4000, 512, 256, 256])
    times = [int(tick) * base for tick in ticks]
    source, target = write_video(tmp_path / f"in{suffix}", times, base), tmp_path / f"out{suffix}"
    assert run(source, target)[0] == 0
    frames = list(frames_of(open_source(str(target))))
    assert [frame.time for frame in frames] == times
    for index, frame in enumerate(frames):
        assert abs(frame.image.astype(float).mean() - picture(index).mean()) < 2


@pytest.mark.parametrize("uri", ["test://64x48@29.9999999999", "test://64x48@0.000000000001", "pictures"])
def test_rates_too_fine_for_an_encoder(tmp_path: Path, run: Run, uri: str) -> None:
    write_png(tmp_path / "in" / "0.png", picture(0))
    rate = ["--input-rate", "29.97000000001"] if uri == "pictures" else []
    assert run(tmp_path / "in" if rate else uri, tmp_path / "out.mp4", "--frames", 1, *rate)[0] == 0
    assert len(list(frames_of(open_source(str(tmp_path / "out.mp4"))))) == 1


def test_sound_that_is_not_copied_is_told(tmp_path: Path, run: Run, video: Path) -> None:
    with av.open(str(tmp_path / "loud.mkv"), "w") as container:
        pictures, sound = container.add_stream("mpeg4", rate=30), container.add_stream("pcm_s16le", rate=8000)
        pictures.height, pictures.width = 36, 52
        for _ in range(3):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(picture(0), format="bgr24")))
        beep = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        beep.sample_rate = 8000
        container.mux(sound.encode(beep))
        container.mux([*pictures.encode(None), *sound.encode(None)])
    code, text = run(tmp_path / "loud.mkv")
    assert code == 0
    assert "note: the sound of" in text
    assert "the sound of" not in run(video)[1]


def test_matroska_keeps_times_to_the_millisecond(tmp_path: Path, run: Run, video: Path) -> None:
    assert run(video, tmp_path / "out.mkv")[0] == 0
    for index, frame in enumerate(frames_of(open_source(str(tmp_path / "out.mkv")))):
        assert frame.time is not None
        assert abs(frame.time - Fraction(index, 30)) <= Fraction(1, 1000)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.fractions(-2, 2), min_size=1, max_size=8))
def test_times_always_grow_whatever_the_source_says(
    tmp_path_factory: pytest.TempPathFactory, times: list[Fraction]
) -> None:
    path = write_video(tmp_path_factory.mktemp("times") / "t.mp4", times)
    found = [frame.time for frame in frames_of(open_source(str(path)))]
    assert len(found) == len(times)
    assert all(late > early for early, late in pairwise(float(time or 0) for time in found))


def test_duration_and_rate_are_in_the_header(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", [Fraction(i, 30) for i in range(60)], Fraction(1, 15360))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.frames == 60
        assert container.duration == pytest.approx(2_000_000, abs=40_000)
        assert stream.average_rate == 30


@pytest.mark.parametrize("size", [(64, 160), (720, 1280)])
def test_colour_bars_survive_a_round_trip(tmp_path: Path, size: tuple[int, int]) -> None:
    sink = VideoSink(tmp_path / "bars.mp4", SinkOptions())
    for index in range(2):
        sink.write(bars(size), Frame(bars(size), index, 0, time=Fraction(index, 30)))
    sink.close()
    (first, _) = frames_of(open_source(str(tmp_path / "bars.mp4")))
    assert np.abs(middles(first.image).astype(int) - np.array(BARS)).max() <= 4
    with av.open(str(tmp_path / "bars.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_range, codec.color_primaries, codec.color_trc) == (1, 1, 1, 1)


def untagged(path: Path, image: Image, matrix: int) -> Path:
    """One lossless limited-range 4:4:4 frame that does not say by which matrix it was made."""
    coded = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(
        format="yuv444p", dst_colorspace=matrix, src_color_range=2, dst_color_range=1
    )
    coded.colorspace, coded.pts = 2, 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv444p"
        container.mux(stream.encode(coded))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("size", "matrix"), [((64, 160), 5), ((720, 1280), 1)], ids=["sd-601", "hd-709"])
def test_untagged_colours_follow_the_size(tmp_path: Path, size: tuple[int, int], matrix: int) -> None:
    (frame,) = frames_of(open_source(str(untagged(tmp_path / "untagged.mkv", bars(size), matrix))))
    assert np.abs(middles(frame.image).astype(int) - np.array(BARS)).max() <= 4


@pytest.mark.parametrize("size", [(64, 160), (720, 1280)])
def test_a_full_range_picture_is_read_as_one(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "bars.jpg").write_bytes(encode_image(bars(size), ".jpg"))
    assert np.abs(middles(read_image(tmp_path / "bars.jpg")).astype(int) - np.array(BARS)).max() <= 4


@pytest.mark.parametrize("size", [(35, 52), (36, 51), (17, 31)])
def test_odd_sizes_are_padded_and_told(tmp_path: Path, run: Run, size: tuple[int, int]) -> None:
    folder = tmp_path / "in"
    sink = open_sink(f"{folder}/")
    for index in range(3):
        sink.write(picture(index, size), Frame(picture(index, size), index, 0))
    code, text = run(folder, tmp_path / "odd.mp4")
    assert code == 0
    assert "even sides" in text
    frames = list(frames_of(open_source(str(tmp_path / "odd.mp4"))))
    assert [frame.size for frame in frames] == [(size[0] + size[0] % 2, size[1] + size[1] % 2)] * 3
    assert np.abs(frames[1].image[: size[0], : size[1]].astype(int) - picture(1, size)).mean() < 2


def rotated(path: Path, degrees: int) -> Path:
    """A copy of a video with a display matrix in its track header, as a phone writes it."""
    data = bytearray(path.read_bytes())
    place = data.rindex(b"tkhd") + 4 + 40
    c, s = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = [c << 16, s << 16, 0, -s << 16, c << 16, 0, 0, 0, 1 << 30]
    data[place : place + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in matrix)
    turned = path.with_name(f"turned{degrees}.mp4")
    turned.write_bytes(data)
    return turned


@pytest.mark.parametrize(("degrees", "turns"), [(0, 0), (90, 3), (180, 2), (270, 1)])
def test_a_rotated_video_comes_out_upright(tmp_path: Path, video: Path, degrees: int, turns: int) -> None:
    plain = next(frames_of(open_source(str(video)))).image
    turned = next(frames_of(open_source(str(rotated(video, degrees))))).image
    assert (turned == np.rot90(plain, turns)).all()


def test_a_truncated_video_gives_what_it_holds(tmp_path: Path, run: Run) -> None:
    whole = write_video(tmp_path / "whole.mp4", [Fraction(i, 30) for i in range(90)])
    # An ordinary file with its index in front, as cameras and web sites give it, and its end missing.
    cut = tmp_path / "cut.mp4"
    with av.open(str(whole)) as old, av.open(str(cut), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    cut.write_bytes(cut.read_bytes()[: int(cut.stat().st_size * 0.7)])
    code, text = run(cut, tmp_path / "out.mp4")
    assert code == 0
    assert "cut short" in text
    kept = len(list(frames_of(open_source(str(tmp_path / "out.mp4")))))
    assert 20 < kept < 90


def test_ffmpeg_never_calls_python_from_its_threads(video: Path) -> None:
    for frame in frames_of(open_source(str(video))):
        assert frame.size == (36, 52)
        break  # leaving a file early closes it while its threads still decode: with a log level set that could hang
    assert av.logging.get_level() is None


def test_damaged_packets_are_counted(tmp_path: Path, run: Run) -> None:
    whole = write_video(tmp_path / "whole.mp4", [Fraction(i, 30) for i in range(60)], size=(72, 104))
    data = bytearray(whole.read_bytes())
    rng = np.random.default_rng(5)
    start = data.index(b"mdat") + 3000
    for place in rng.integers(start, len(data) - 4000, 60):
        data[place] ^= 0xFF
    (tmp_path / "hurt.mp4").write_bytes(data)
    code, text = run(tmp_path / "hurt.mp4", tmp_path / "out.mp4")
    assert code in (0, 4), text
    assert "damaged" in text or "cut short" in text
