"""Controls of a V4L2 camera by the names that v4l2-ctl has for them: exposure, gain, focus."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterator, Sequence
from ctypes import c_int32, c_uint32

from edgedeblur import ExitCode, Failure
from runtime.sources import v4l2_api as api
from runtime.sources.v4l2_api import Request
from runtime.sources.v4l2_device import Device

SETTABLE = (
    api.CTRL_TYPE_INTEGER,
    api.CTRL_TYPE_BOOLEAN,
    api.CTRL_TYPE_MENU,
    api.CTRL_TYPE_BITMASK,
    api.CTRL_TYPE_INTEGER_MENU,
)
MOST_CONTROLS = 1000


def control_name(text: str) -> str:
    """`Exposure, Auto` as v4l2-ctl spells it: exposure_auto."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def controls_of(device: Device) -> dict[str, api.QueryControl]:
    """The controls of a camera that can be set, by name. Raises: OSError where it is gone."""
    return {control_name(control.name.decode("latin-1")): control for control in _all(device)}


def set_controls(device: Device, wanted: Sequence[tuple[str, int]]) -> list[str]:
    """Set controls, one after the other: whether one takes a value may depend on those before it.

    Returns what the user should know. Raises: Failure (USAGE) for a name or value that the camera does not have,
    (SOURCE) where it refuses one.
    """
    there = controls_of(device) if wanted else {}
    notes = []
    for name, value in wanted:
        if name not in there:
            raise Failure(_unknown(device, name, list(there)))
        control = there[name]
        if not _takes(control, value):
            raise Failure(
                f"control {name} of camera {device.path} takes {control.minimum} to {control.maximum} (default "
                f"{control.default_value}), not {value}"
            )
        set_to = _set(device, name, control, value)
        if set_to != value:
            notes.append(f"camera {device.path} set {name} to {set_to}, not {value}")
    return notes


def _all(device: Device) -> Iterator[api.QueryControl]:
    last = 0
    for _ in range(MOST_CONTROLS):
        control = api.QueryControl(id=last | api.CTRL_FLAG_NEXT_CTRL)
        if not device.asks(Request.QUERYCTRL, control) or control.id == last:
            return
        last = control.id
        if control.type in SETTABLE and not control.flags & (api.CTRL_FLAG_DISABLED | api.CTRL_FLAG_READ_ONLY):
            yield control


def _takes(control: api.QueryControl, value: int) -> bool:
    if control.type == api.CTRL_TYPE_BITMASK:  # its maximum is the bits that there are
        return 0 <= value < 2**32 and not value & ~c_uint32(control.maximum).value
    return bool(control.minimum <= value <= control.maximum)


def _set(device: Device, name: str, control: api.QueryControl, value: int) -> int:
    """Set one control; what the driver made of the value."""
    setting = api.Control(id=control.id, value=value)
    try:
        device.call(Request.S_CTRL, setting)
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise
        raise Failure(
            f"camera {device.path} refuses {name}={value}: {error.strerror}; a control that is done automatically "
            "takes no value: switch that off first (v4l2-ctl --list-ctrls-menus shows both)",
            ExitCode.SOURCE,
        ) from error
    if not control.flags & api.CTRL_FLAG_WRITE_ONLY:
        device.asks(Request.G_CTRL, setting)
    return value if setting.value == c_int32(value).value else setting.value


def _unknown(device: Device, name: str, there: list[str]) -> str:
    close = difflib.get_close_matches(name, there, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"it has: {', '.join(there) or 'none'}"
    return f"camera {device.path} has no control '{name}'; {hint}"
