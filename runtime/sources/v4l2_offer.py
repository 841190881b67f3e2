"""What a V4L2 camera offers, and what is settled with it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from ctypes import Structure
from dataclasses import dataclass
from fractions import Fraction

from edgedeblur import ExitCode, Failure
from runtime.frame import MAX_SIDE
from runtime.sources import v4l2_api as api
from runtime.sources.v4l2_api import Request
from runtime.sources.v4l2_device import Device
from runtime.sources.v4l2_modes import CODECS, DEFAULT_RATE, DEFAULT_SIZE, Mode, Size

NO_SIGNAL = (errno.ENOLINK, errno.ENOLCK, errno.ERANGE)
MOST_PARTS = 1001  # of 30000/1001 frames/s; drivers reckon with 32 bits
MOST_ENTRIES = 1000  # of one list: a driver that never ends its list must not hang us


@dataclass(frozen=True)
class Agreed:
    """What camera and program settled on."""

    codec: str
    size: Size
    rate: Fraction | None  # frames a second; None where the driver does not say
    pix: api.PixFormat  # as the driver filled it


def codecs_of(device: Device) -> list[str]:
    """Every format that a camera offers, by V4L2's four letters, also those that are not read here."""
    start = api.FormatDescription(type=api.BUF_TYPE_VIDEO_CAPTURE)
    return [api.fourcc_name(entry.pixelformat) for entry in _listed(device, Request.ENUM_FMT, start)]


def modes_of(device: Device, near: Size | None = None, rate: Fraction | None = None) -> list[Mode]:
    """Every mode of a camera that can be read here.

    near, rate: of a camera that takes any size or rate in a range, the nearest to these is listed beside its ends; one
    that lists no sizes is taken to have `near`, or, without it, the size that it is set to.
    """
    return [
        Mode(codec, size, tuple(_rates(device, codec, size, rate)))
        for codec in codecs_of(device)
        if codec in CODECS
        for size in _sizes(device, codec, near)
    ]


def agree(device: Device, mode: Mode, rate: Fraction | None) -> Agreed:
    """Ask a camera for a mode; it may give another size or rate.

    Raises: OSError as the driver refuses, Failure (SOURCE) where it gives another format.
    """
    wanted = api.Format(type=api.BUF_TYPE_VIDEO_CAPTURE)
    wanted.fmt.pix.height, wanted.fmt.pix.width = mode.size
    wanted.fmt.pix.pixelformat, wanted.fmt.pix.field = api.fourcc(mode.codec), api.FIELD_NONE
    device.call(Request.S_FMT, wanted)
    pix = wanted.fmt.pix
    given = api.fourcc_name(pix.pixelformat)
    if given != mode.codec or not (0 < pix.height <= MAX_SIDE and 0 < pix.width <= MAX_SIDE):
        raise Failure(
            f"camera {device.path} was asked for {mode.codec} and gives {given} {pix.width}x{pix.height}, which cannot "
            "be read; try another --input-codec or size",
            ExitCode.SOURCE,
        )
    return Agreed(given, (pix.height, pix.width), _set_rate(device, rate), pix)


def take_signal(device: Device) -> None:
    """Have an HDMI or SDI receiver take the size of what is plugged into it; others are left as they are.

    Raises: OSError (ENOLINK, ENOLCK, ERANGE) where there is no signal that it can take.
    """
    timings = api.DvTimings()
    try:
        device.call(Request.QUERY_DV_TIMINGS, timings)
    except OSError as error:
        if error.errno in NO_SIGNAL:
            raise
        return
    device.call(Request.S_DV_TIMINGS, timings)


def _set_rate(device: Device, rate: Fraction | None) -> Fraction | None:
    """Ask for a rate, in frames a second; the one that the driver set, None where it does not say."""
    wanted = api.StreamParameters(type=api.BUF_TYPE_VIDEO_CAPTURE)
    if not device.asks(Request.G_PARM, wanted):
        return None
    capture = wanted.parm.capture
    given = _rate_of(capture.timeperframe)
    if rate is not None and capture.capability & api.CAP_TIMEPERFRAME:
        near = rate.limit_denominator(MOST_PARTS)
        capture.timeperframe = api.Fraction(near.denominator, near.numerator)
        if device.asks(Request.S_PARM, wanted):
            given = _rate_of(capture.timeperframe)
    return given


def _sizes(device: Device, codec: str, near: Size | None) -> Iterator[Size]:
    start = api.FrameSize(pixel_format=api.fourcc(codec))
    known = False
    for entry in _listed(device, Request.ENUM_FRAMESIZES, start):
        known = True
        step = entry.stepwise
        least, most = (step.min_height, step.min_width), (step.max_height, step.max_width)
        if entry.type == api.FRMSIZE_TYPE_DISCRETE:
            yield (step.max_width, step.min_width)  # a discrete size lies where a range has its first two fields
        else:
            wish, steps = near or DEFAULT_SIZE, (step.step_height, step.step_width)
            between = tuple(_nearest(*side) for side in zip(wish, least, most, steps, strict=True))
            yield from {least, (between[0], between[1]), most}
    if not known:
        now = api.Format(type=api.BUF_TYPE_VIDEO_CAPTURE)
        device.call(Request.G_FMT, now)
        yield near or (now.fmt.pix.height, now.fmt.pix.width)


def _nearest(value: int, least: int, most: int, step: int) -> int:
    """The multiple of `step` above `least`, up to `most`, nearest to a value."""
    step = max(step, 1)
    steps = round((min(max(value, least), most) - least) / step)
    return least + min(steps, max(most - least, 0) // step) * step


def _rates(device: Device, codec: str, size: Size, near: Fraction | None) -> list[Fraction]:
    start = api.FrameInterval(pixel_format=api.fourcc(codec), height=size[0], width=size[1])
    found = set()
    for entry in _listed(device, Request.ENUM_FRAMEINTERVALS, start):
        fastest, slowest = _rate_of(entry.stepwise.min), _rate_of(entry.stepwise.max)
        found.add(fastest)
        if entry.type != api.FRMIVAL_TYPE_DISCRETE:
            found.add(slowest)
            if fastest and slowest and slowest <= (near or DEFAULT_RATE) <= fastest:
                found.add(near or DEFAULT_RATE)
    return sorted((rate for rate in found if rate is not None), reverse=True)


def _rate_of(interval: api.Fraction) -> Fraction | None:
    """Frames a second of a time per frame."""
    if not interval.numerator or not interval.denominator:
        return None
    return Fraction(interval.denominator, interval.numerator)


def _listed(device: Device, request: Request, entry: Structure) -> Iterator[Structure]:
    """The entries of one of a driver's lists; each is valid until the next one is asked for."""
    for index in range(MOST_ENTRIES):
        entry.index = index
        if not device.asks(request, entry):
            return
        yield entry
