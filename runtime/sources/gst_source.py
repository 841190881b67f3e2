"""GstSource: frames of a GStreamer pipeline, also that of a camera on a Jetson's camera connector."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from edgedeblur import ExitCode, Failure
from runtime.frame import Frame, Image, now_ns, size_text
from runtime.gst_import import import_gst
from runtime.sources import gst_errors
from runtime.sources.address import without_credentials
from runtime.sources.gst_picture import FORMATS, image_of
from runtime.sources.source import Source, SourceOptions
from runtime.stop import POLL_S, Stop

SINK = "appsink name=edgedeblur max-buffers=1 drop=true sync=false enable-last-sample=false"
CONVERTED = f"videoconvert ! video/x-raw,format=(string){{{','.join(FORMATS)}}}"  # leaves what fits as it is
STAMP_WINDOW_NS = 10**10  # a stamp within 10 s of now is on our clock
END_PATIENCE_S = 3.0  # how long a pipeline may take to stop before it is left behind


class GstSource:
    """A pipeline whose last element hands its pictures to us.

    A live pipeline, one with a camera in it, gives its newest picture; another, such as one that reads a file, gives
    all of them. Raises: Failure as `open_gst`, when it does not start.
    """

    inputs: tuple[Path, ...] = ()
    time_base: Fraction | None = None

    def __init__(self, name: str, description: str, timeout_s: float) -> None:
        """name: for messages, without credentials. description: as gst-launch-1.0 takes it, with SINK at its end."""
        self.corrupt = self.missed = self.superseded = 0
        self.notes: list[str] = []
        self.frame_rate: Fraction | None = None
        self._gst, self._video = import_gst("Gst"), import_gst("GstVideo")
        self._name, self._timeout_s = name, timeout_s
        self._is_argus = name.startswith("csi://")
        self._pipeline: Any = self._parsed(description)
        self._sink: Any = self._pipeline.get_by_name("edgedeblur")
        self._bus: Any = self._pipeline.get_bus()
        self._failure: Failure | None = None  # what the pipeline told, until the pictures before it are taken
        self._index = self._pulled = 0
        try:
            self.live = self._start()
            self._first: Any = self._pull(Stop())  # a pipeline that does not work says so now, not once it is needed
        except BaseException:
            self.close()
            raise
        assert self._first is not None  # `_pull` raises where there is none
        info = self._video.VideoInfo.new_from_caps(self._first.get_caps())
        self._size = info.height, info.width  # of the first picture
        self.frame_rate = Fraction(info.fps_n, info.fps_d) if info.fps_n else None

    def describe(self) -> str:
        pace = f"{float(self.frame_rate):.2f} frames/s" if self.frame_rate else "unknown rate"
        return f"{self._name}, GStreamer {size_text(self._size)}, {pace}"

    def read(self, stop: Stop) -> Frame | None:
        """The next frame; None at the end of the pipeline or once `stop` is set.

        Raises: Failure (SOURCE) when the pipeline fails or gives nothing for too long.
        """
        until_ns = now_ns() + int(self._timeout_s * 1e9)
        while now_ns() < until_ns:
            sample = self._pull(stop) if self._first is None else self._take_first()
            if sample is None or stop.is_set():
                return None
            arrival_ns = now_ns()
            if (image := self._image(sample)) is not None:
                return self._frame(image, sample, arrival_ns)
            self.corrupt += 1
        raise gst_errors.silent(self._name, self._index, self._is_argus, self._timeout_s)

    def _image(self, sample: Any) -> Image | None:
        """The picture of a sample; None where its source says that it is damaged, or it is not all there."""
        if sample.get_buffer().has_flags(self._gst.BufferFlags.CORRUPTED):
            return None
        try:
            return image_of(sample, self._gst, self._video)
        except ValueError:
            return None

    def _frame(self, image: Image, sample: Any, arrival_ns: int) -> Frame:
        captured_ns, stamped = self._captured(sample, arrival_ns)
        pts = sample.get_buffer().pts
        time = Fraction(pts, 10**9) if not self.live and pts != self._gst.CLOCK_TIME_NONE else None
        frame = Frame(image, self._index, captured_ns, stamped, time)
        self._index += 1
        return frame

    def close(self) -> None:
        """Stop the pipeline, so that the next one finds the camera free. May be called again."""
        pipeline, self._pipeline = self._pipeline, None
        self._first = self._sink = self._bus = None  # its descriptors go with the last that knows it
        if pipeline is None:
            return
        if not _within(END_PATIENCE_S, lambda: pipeline.set_state(self._gst.State.NULL)):
            self.notes.append(f"{self._name} did not stop in {END_PATIENCE_S:g} s and was left behind")

    def _parsed(self, description: str) -> Any:
        context = self._gst.ParseContext.new()
        try:
            return self._gst.parse_launch_full(description, context, self._gst.ParseFlags.FATAL_ERRORS)
        except import_gst("GLib").Error as error:
            raise gst_errors.not_parsed(self._name, error, context.get_missing_elements() or []) from None

    def _start(self) -> bool:
        """Let the pipeline run; whether it is live. Raises: Failure when it cannot, or hangs in its driver."""
        state = self._gst.State
        results: list[Any] = []

        def prepare() -> None:
            self._pipeline.set_state(state.PAUSED)
            # A live one has nothing to wait for; another is paused once it has its first picture.
            results.append(self._pipeline.get_state(int(self._timeout_s * 1e9))[0])

        if not _within(2 * self._timeout_s, prepare):
            raise gst_errors.silent(self._name, 0, self._is_argus, 2 * self._timeout_s)
        self._listen()
        live: bool = results[0] == self._gst.StateChangeReturn.NO_PREROLL
        self._sink.set_property("drop", live)
        if not _within(self._timeout_s, lambda: self._pipeline.set_state(state.PLAYING)):
            raise gst_errors.silent(self._name, 0, self._is_argus, self._timeout_s)
        return live

    def _take_first(self) -> Any:
        """The sample that the pipeline was opened with; of a live one the newest, since nobody read it meanwhile."""
        sample, self._first = self._first, None
        while self.live and (newer := self._sink.emit("try-pull-sample", 0)) is not None:
            sample = newer
        self._pulled = self._sink.get_property("stats").get_value("rendered")  # what came before was not superseded
        return sample

    def _pull(self, stop: Stop) -> Any:
        """The next sample; None at the end or once `stop` is set. Raises: Failure (SOURCE)."""
        until_ns = now_ns() + int(self._timeout_s * 1e9)
        sample = self._sink.emit("try-pull-sample", 0)
        waited = sample is None
        self._listen()
        while sample is None and not stop.is_set():
            if self._failure is not None:
                raise self._failure
            if self._sink.get_property("eos"):
                return self._ended()
            if now_ns() > until_ns:
                raise gst_errors.silent(self._name, self._index, self._is_argus, self._timeout_s)
            sample = self._sink.emit("try-pull-sample", int(POLL_S * 1e9))
            self._listen()
        if sample is not None:
            self._count(waited)
        return sample

    def _ended(self) -> None:
        if self._is_argus and not self._index:  # its element ends the stream where it finds no camera
            raise Failure(f"{self._name} gave no picture{gst_errors.argus_advice()}", ExitCode.SOURCE)
        if not self._pulled:
            raise Failure(f"{self._name} ended without a picture; check its source", ExitCode.SOURCE)
        self.notes.append(f"{self._name} ended")

    def _count(self, waited: bool) -> None:
        """Count what the sink dropped: all that it got, less what we took and what may wait in it."""
        self._pulled += 1
        got = self._sink.get_property("stats").get_value("rendered")
        if self.live:
            self.superseded = max(self.superseded, got - self._pulled - (0 if waited else 1))

    def _listen(self) -> None:
        """Keep the pipeline's first error; what else it tells is dropped, so that it does not pile up."""
        message = self._bus.pop_filtered(self._gst.MessageType.ERROR)
        if message is not None and self._failure is None:
            error, details = message.parse_error()
            self._failure = gst_errors.broke(self._name, self._index, self._is_argus, error, details or "")

    def _captured(self, sample: Any, arrival_ns: int) -> tuple[int, bool]:
        """When a picture was captured, and whether its buffer says so: most pipelines run on the clock that we use."""
        clock, pts = self._pipeline.get_clock(), sample.get_buffer().pts
        if self.live and pts != self._gst.CLOCK_TIME_NONE and self._is_ours(clock):
            running_ns = sample.get_segment().to_running_time(self._gst.Format.TIME, pts)
            stamp_ns = self._pipeline.get_base_time() + running_ns
            if 0 <= arrival_ns - stamp_ns < STAMP_WINDOW_NS:
                return stamp_ns, True
        return arrival_ns, False

    def _is_ours(self, clock: Any) -> bool:
        kind = clock.find_property("clock-type") if clock is not None else None
        return kind is not None and clock.get_property("clock-type") == self._gst.ClockType.MONOTONIC


def open_gst(uri: str, options: SourceOptions) -> Source:
    """Open gst://PIPELINE, a description as gst-launch-1.0 takes it, without a sink.

    Raises: Failure (USAGE) for what is no pipeline, (ENVIRONMENT) where GStreamer or an element is not installed,
    (SOURCE) for one that does not give a picture in time.
    """
    description = re.sub(r"\s*!\s*appsink\b[^!]*$", "", uri.removeprefix("gst://").strip())
    return _open(without_credentials(f"gst://{description}"), f"{description} ! {CONVERTED}", options)


def open_csi(uri: str, options: SourceOptions) -> Source:
    """Open csi://N, camera N of a Jetson. Raises: Failure as `open_gst`."""
    parts = re.fullmatch(r"csi://(\d{1,2})", uri)
    if not parts:
        raise Failure(f"'{uri}' is not a CSI camera; expected csi://N, for example csi://0")
    return _open(uri, csi_pipeline(int(parts[1]), options), options)


def csi_pipeline(number: int, options: SourceOptions) -> str:
    """The pipeline of camera `number` up to the sink: all of it on the camera's and the copying hardware."""
    wanted = f",width={options.width},height={options.height}" if options.width and options.height else ""
    rate = f",framerate={options.rate.numerator}/{options.rate.denominator}" if options.rate else ""
    return (
        f"nvarguscamerasrc sensor-id={number} ! video/x-raw(memory:NVMM){wanted}{rate},format=NV12 ! "
        "nvvidconv ! video/x-raw,format=BGRx"
    )


def _open(name: str, description: str, options: SourceOptions) -> Source:
    try:
        import_gst("GstVideo")
    except Failure as failure:
        from runtime.sources.gst_opencv import open_through_opencv

        return open_through_opencv(name, f"{description} ! {SINK}", options, failure)
    return GstSource(name, f"{description} ! {SINK}", options.timeout_s)


def _within(seconds: float, call: Callable[[], object]) -> bool:
    """Run a call that may hang in a driver; False if it did not come back, and is left behind."""
    thread = threading.Thread(target=call, name="gst-state", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
