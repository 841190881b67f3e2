"""A camera tried for a few seconds: whether frames come, how many, how old, and what is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from edgedeblur import Failure
from runtime.doctor.line import Line
from runtime.frame import Frame, now_ns, size_text
from runtime.sources.address import without_credentials
from runtime.sources.source import Source, SourceOptions, open_source
from runtime.stop import Stop

READ_S = 3.0
PATIENCE_S = 20.0  # for all of it: opening may take seconds, and a driver that hangs is left behind
TOO_SLOW = 0.8  # of the rate that the camera announces


@dataclass(frozen=True)
class Advice:
    """What helps cameras of one kind."""

    slow: str  # where fewer frames come than the camera announces
    lossy: str


OWN_SETTINGS = "more light, or a fixed exposure in the camera's own settings"
ELSEWHERE = Advice(OWN_SETTINGS, "a better cable or link, or smaller pictures by the camera's own settings")
ADVICE = {  # by how addresses of that kind begin
    ("v4l2://", "/dev/"): Advice(
        "more light, or --input-control exposure_dynamic_framerate=0 (older kernels: exposure_auto_priority=0), or "
        "--input-codec mjpeg",
        "another cable or port, a smaller --input-width and --input-height, or --input-codec mjpeg",
    ),
    ("rtsp://", "rtsps://"): Advice(
        OWN_SETTINGS, "a wired network, smaller pictures by the camera's own settings, or --rtsp-transport tcp"
    ),
}


@dataclass
class Trial:
    """What came of it; written by one thread, read once that has ended."""

    opened_s: float = 0.0
    about: str = ""
    frames: int = 0
    seconds: float = 0.0
    announced: float | None = None  # frames a second
    sizes: set[tuple[int, int]] = field(default_factory=set)
    stamped: bool = False
    ages_ms: list[float] = field(default_factory=list)
    missed: int = 0
    corrupt: int = 0
    notes: list[str] = field(default_factory=list)
    error: str = ""


def try_camera(uri: str, options: SourceOptions, seconds: float = READ_S, patience_s: float = PATIENCE_S) -> list[Line]:
    """Open a source and read frames for `seconds`."""
    stop, trial = Stop(), Trial()
    thread = threading.Thread(target=_try, args=(uri, options, seconds, stop, trial), name="trial", daemon=True)
    thread.start()
    thread.join(patience_s)
    if thread.is_alive():
        stop.set()
        text = f"{without_credentials(uri)} did not answer within {patience_s:.0f} s: its driver hangs"
        return [Line("camera", "red", text, _unhang(uri))]
    return list(_lines(uri, trial))


def _try(uri: str, options: SourceOptions, seconds: float, stop: Stop, trial: Trial) -> None:
    began = now_ns()
    try:
        source = open_source(uri, options)
        trial.opened_s = (now_ns() - began) / 1e9
        trial.about = source.describe()
        try:
            _read(source, seconds, stop, trial)
        finally:
            source.close()
    except Failure as failure:
        trial.error = str(failure)
    except Exception as error:  # a check must not end the doctor
        trial.error = f"{type(error).__name__}: {error}"


def _read(source: Source, seconds: float, stop: Stop, trial: Trial) -> None:
    began = now_ns()
    try:
        while (now_ns() - began) / 1e9 < seconds and (frame := source.read(stop)) is not None:
            _note(frame, trial)
    finally:
        trial.seconds = (now_ns() - began) / 1e9
        trial.announced = float(source.frame_rate) if source.frame_rate and source.live else None
        trial.missed, trial.corrupt, trial.notes = source.missed, source.corrupt, list(source.notes)


def _note(frame: Frame, trial: Trial) -> None:
    trial.frames += 1
    trial.sizes.add(frame.size)
    trial.stamped |= frame.sensor_stamped
    trial.ages_ms.append((now_ns() - frame.captured_ns) / 1e6)


def _lines(uri: str, trial: Trial) -> Iterator[Line]:
    if trial.error:
        yield Line("camera", "red", trial.error, _look(uri))
    if not trial.about:
        return
    yield Line("camera", "green", f"{trial.about}, opened in {trial.opened_s:.1f} s")
    if not trial.frames:
        if not trial.error:
            yield Line("frames", "red", f"none within {trial.seconds:.1f} s", _look(uri))
        return
    yield _pace(uri, trial)
    ages = sorted(trial.ages_ms)
    if trial.stamped:
        yield Line(
            "stamps", "green", f"by the driver; a frame is {ages[(len(ages) - 1) // 2]:.1f} ms old when it is ours"
        )
    else:
        yield Line("stamps", "grey", "none: the age of frames counts from their arrival")
    if trial.missed or trial.corrupt:
        text = f"{trial.missed} frames lost on the way, {trial.corrupt} damaged"
        yield Line("losses", "yellow", text, _advice(uri).lossy)
    else:
        yield Line("losses", "green", "none")
    for note in trial.notes:
        yield Line("note", "grey", note)


def _pace(uri: str, trial: Trial) -> Line:
    fps = trial.frames / trial.seconds
    sizes = ", ".join(size_text(size) for size in sorted(trial.sizes))
    text = f"{trial.frames} of {sizes} in {trial.seconds:.1f} s: {fps:.1f} frames/s"
    if trial.announced is None:
        return Line("frames", "green", text)
    text += f", announced {trial.announced:g}"
    if fps < TOO_SLOW * trial.announced:
        return Line("frames", "yellow", text, _advice(uri).slow)
    return Line("frames", "green", text)


def _advice(uri: str) -> Advice:
    return next((advice for schemes, advice in ADVICE.items() if uri.startswith(schemes)), ELSEWHERE)


def _look(uri: str) -> str:
    """Where to look further, by the kind of source."""
    if uri.startswith("csi://"):
        return "sudo systemctl restart nvargus-daemon; journalctl -u nvargus-daemon -n 20"
    if uri.startswith(("v4l2://", "/dev/")):
        return "v4l2-ctl --list-devices; sudo dmesg | tail"
    return "check the address, and that the camera is on and in this network"


def _unhang(uri: str) -> str:
    if uri.startswith(("v4l2://", "/dev/")):
        return "unplug it and plug it in again; sudo dmesg | tail"
    return _look(uri)
