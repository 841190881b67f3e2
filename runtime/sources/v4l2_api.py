"""V4L2 as linux/videodev2.h has it on 64-bit Linux: structures, requests, and the one call they go through."""

from __future__ import annotations

import ctypes
import enum
import fcntl
from ctypes import Structure, Union, c_char, c_int, c_int32, c_long, c_uint8, c_uint32, c_ulong, c_void_p

# enum v4l2_buf_type, v4l2_memory, v4l2_field and flags, under their C names without V4L2_.
BUF_TYPE_VIDEO_CAPTURE, BUF_TYPE_VIDEO_OUTPUT = 1, 2
MEMORY_MMAP = 1
FIELD_ANY, FIELD_NONE = 0, 1
CAP_VIDEO_CAPTURE, CAP_VIDEO_OUTPUT, CAP_VIDEO_CAPTURE_MPLANE = 0x1, 0x2, 0x1000
CAP_STREAMING, CAP_DEVICE_CAPS = 0x4000000, 0x80000000
CAP_TIMEPERFRAME = 0x1000
FRMSIZE_TYPE_DISCRETE = FRMIVAL_TYPE_DISCRETE = 1
BUF_FLAG_ERROR, BUF_FLAG_TIMESTAMP_MASK, BUF_FLAG_TIMESTAMP_MONOTONIC = 0x40, 0xE000, 0x2000
PIX_FMT_PRIV_MAGIC = 0xFEEDCAFE  # in PixFormat.priv: what follows it is meant
COLORSPACE_SMPTE240M, COLORSPACE_REC709, COLORSPACE_JPEG, COLORSPACE_BT2020, COLORSPACE_DCI_P3 = 2, 3, 7, 10, 12
YCBCR_ENC_601, YCBCR_ENC_709, YCBCR_ENC_XV601, YCBCR_ENC_XV709, YCBCR_ENC_SYCC = 1, 2, 3, 4, 5
YCBCR_ENC_BT2020, YCBCR_ENC_SMPTE240M = 6, 8
QUANTIZATION_FULL_RANGE, QUANTIZATION_LIM_RANGE = 1, 2
XFER_FUNC_709 = 1
CTRL_TYPE_INTEGER, CTRL_TYPE_BOOLEAN, CTRL_TYPE_MENU, CTRL_TYPE_BITMASK, CTRL_TYPE_INTEGER_MENU = 1, 2, 3, 8, 9
CTRL_FLAG_DISABLED, CTRL_FLAG_READ_ONLY, CTRL_FLAG_INACTIVE, CTRL_FLAG_WRITE_ONLY = 0x1, 0x4, 0x10, 0x40
CTRL_FLAG_NEXT_CTRL = 0x80000000
EVENT_SOURCE_CHANGE = 5


class Capability(Structure):
    _fields_ = (
        ("driver", c_char * 16),
        ("card", c_char * 32),
        ("bus_info", c_char * 32),
        ("version", c_uint32),
        ("capabilities", c_uint32),
        ("device_caps", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class FormatDescription(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("flags", c_uint32),
        ("description", c_char * 32),
        ("pixelformat", c_uint32),
        ("mbus_code", c_uint32),
        ("reserved", c_uint32 * 3),
    )


class StepwiseSize(Structure):
    """A discrete size is its first two fields: width, height."""

    _fields_ = tuple((f"{end}_{side}", c_uint32) for side in ("width", "height") for end in ("min", "max", "step"))


class FrameSize(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("type", c_uint32),
        ("stepwise", StepwiseSize),
        ("reserved", c_uint32 * 2),
    )


class Fraction(Structure):
    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class StepwiseInterval(Structure):
    """A discrete interval is its first field."""

    _fields_ = (("min", Fraction), ("max", Fraction), ("step", Fraction))


class FrameInterval(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("pixel_format", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("type", c_uint32),
        ("stepwise", StepwiseInterval),
        ("reserved", c_uint32 * 2),
    )


class PixFormat(Structure):
    _fields_ = tuple(
        (name, c_uint32)
        for name in (
            "width",
            "height",
            "pixelformat",
            "field",
            "bytesperline",
            "sizeimage",
            "colorspace",
            "priv",
            "flags",
            "ycbcr_enc",
            "quantization",
            "xfer_func",
        )
    )


class _FormatUnion(Union):
    _fields_ = (("pix", PixFormat), ("raw_data", c_uint8 * 200), ("alignment", c_void_p))


class Format(Structure):
    _fields_ = (("type", c_uint32), ("fmt", _FormatUnion))


class CaptureParameters(Structure):
    _fields_ = (
        ("capability", c_uint32),
        ("capturemode", c_uint32),
        ("timeperframe", Fraction),
        ("extendedmode", c_uint32),
        ("readbuffers", c_uint32),
        ("reserved", c_uint32 * 4),
    )


class _ParametersUnion(Union):
    _fields_ = (("capture", CaptureParameters), ("raw_data", c_uint8 * 200))


class StreamParameters(Structure):
    _fields_ = (("type", c_uint32), ("parm", _ParametersUnion))


class RequestBuffers(Structure):
    _fields_ = (
        ("count", c_uint32),
        ("type", c_uint32),
        ("memory", c_uint32),
        ("capabilities", c_uint32),
        ("flags", c_uint8),
        ("reserved", c_uint8 * 3),
    )


class Timeval(Structure):
    _fields_ = (("tv_sec", c_long), ("tv_usec", c_long))


class Timecode(Structure):
    _fields_ = (("type", c_uint32), ("flags", c_uint32), ("digits", c_uint8 * 4), ("userbits", c_uint8 * 4))


class _MemoryUnion(Union):
    _fields_ = (("offset", c_uint32), ("userptr", c_ulong))


class Buffer(Structure):
    _fields_ = (
        ("index", c_uint32),
        ("type", c_uint32),
        ("bytesused", c_uint32),
        ("flags", c_uint32),
        ("field", c_uint32),
        ("timestamp", Timeval),
        ("timecode", Timecode),
        ("sequence", c_uint32),
        ("memory", c_uint32),
        ("m", _MemoryUnion),
        ("length", c_uint32),
        ("reserved2", c_uint32),
        ("request_fd", c_int32),
    )


class QueryControl(Structure):
    _fields_ = (
        ("id", c_uint32),
        ("type", c_uint32),
        ("name", c_char * 32),
        ("minimum", c_int32),
        ("maximum", c_int32),
        ("step", c_int32),
        ("default_value", c_int32),
        ("flags", c_uint32),
        ("reserved", c_uint32 * 2),
    )


class Control(Structure):
    _fields_ = (("id", c_uint32), ("value", c_int32))


class _EventUnion(Union):
    _fields_ = (("changes", c_uint32), ("data", c_uint8 * 64), ("alignment", ctypes.c_int64))


class Event(Structure):
    _fields_ = (
        ("type", c_uint32),
        ("u", _EventUnion),
        ("pending", c_uint32),
        ("sequence", c_uint32),
        ("timestamp", Timeval),
        ("id", c_uint32),
        ("reserved", c_uint32 * 8),
    )


class EventSubscription(Structure):
    _fields_ = (("type", c_uint32), ("id", c_uint32), ("flags", c_uint32), ("reserved", c_uint32 * 5))


class DvTimings(Structure):
    """What an HDMI or SDI receiver sees; passed on as it comes."""

    _fields_ = (("type", c_uint32), ("data", c_uint8 * 128))


def _request(to_driver: bool, from_driver: bool, number: int, kind: type[Structure | c_int]) -> int:
    return from_driver << 31 | to_driver << 30 | ctypes.sizeof(kind) << 16 | ord("V") << 8 | number


class Request(enum.IntEnum):
    """The requests, under their C names without VIDIOC_."""

    QUERYCAP = _request(False, True, 0, Capability)
    ENUM_FMT = _request(True, True, 2, FormatDescription)
    G_FMT = _request(True, True, 4, Format)
    S_FMT = _request(True, True, 5, Format)
    REQBUFS = _request(True, True, 8, RequestBuffers)
    QUERYBUF = _request(True, True, 9, Buffer)
    QBUF = _request(True, True, 15, Buffer)
    DQBUF = _request(True, True, 17, Buffer)
    STREAMON = _request(True, False, 18, c_int)
    STREAMOFF = _request(True, False, 19, c_int)
    G_PARM = _request(True, True, 21, StreamParameters)
    S_PARM = _request(True, True, 22, StreamParameters)
    G_CTRL = _request(True, True, 27, Control)
    S_CTRL = _request(True, True, 28, Control)
    QUERYCTRL = _request(True, True, 36, QueryControl)
    ENUM_FRAMESIZES = _request(True, True, 74, FrameSize)
    ENUM_FRAMEINTERVALS = _request(True, True, 75, FrameInterval)
    S_DV_TIMINGS = _request(True, True, 87, DvTimings)
    DQEVENT = _request(False, True, 89, Event)
    SUBSCRIBE_EVENT = _request(True, False, 90, EventSubscription)
    QUERY_DV_TIMINGS = _request(False, True, 99, DvTimings)


def call(descriptor: int, request: Request, argument: Structure | c_int) -> None:
    """One ioctl; the driver's answer is in `argument`. Raises: OSError, with the request's name as its `filename`."""
    while True:
        try:
            fcntl.ioctl(descriptor, request, argument)
        except InterruptedError:  # by a signal: Python repeats other calls by itself, and not this one
            continue
        except OSError as error:
            error.filename = f"VIDIOC_{request.name}"
            raise
        return


def fourcc(name: str) -> int:
    """The number of a pixel format by its four letters."""
    return int.from_bytes(name.encode("ascii"), "little")


def fourcc_name(number: int) -> str:
    """The four letters of a pixel format; what cannot be printed is a `?`."""
    letters = (number & 0x7FFFFFFF).to_bytes(4, "little")  # the top bit marks big-endian formats
    return "".join(chr(letter) if 32 <= letter < 127 else "?" for letter in letters).strip()
