"""The V4L2 cameras of this machine with all that they offer, as data."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from runtime.sources import v4l2_api as api
from runtime.sources.v4l2_controls import controls_of
from runtime.sources.v4l2_device import DEVICES, Device, capture_nodes
from runtime.sources.v4l2_identity import LINKS, stable_uri
from runtime.sources.v4l2_modes import Mode
from runtime.sources.v4l2_offer import codecs_of, modes_of


@dataclass(frozen=True)
class Setting:
    """A control of a camera that can be set."""

    name: str  # as v4l2-ctl has it
    minimum: int
    maximum: int
    default: int
    inactive: bool  # another control does it automatically


@dataclass(frozen=True)
class Camera:
    """One video node that frames can be read from."""

    path: str
    uri: str  # that stays when it is plugged in again, where there is one
    problem: str = ""  # why it cannot be asked; nothing else is known then
    name: str = ""
    driver: str = ""
    bus: str = ""
    codecs: tuple[str, ...] = ()  # V4L2's four letters, also of formats that are not read here
    modes: tuple[Mode, ...] = ()  # codec, (height, width), frames a second; of ranges the ends and a usual one
    settings: tuple[Setting, ...] = ()


def cameras(devices: Path = DEVICES, links: Path = LINKS) -> list[Camera]:
    """Every camera, by number; one that is in use tells what it offers, too."""
    return [_ask(path, stable_uri(path, links)) for path in capture_nodes(devices)]


def _ask(path: str, uri: str) -> Camera:
    try:
        with closing(Device(path)) as device:
            return Camera(
                path,
                uri,
                name=device.name,
                driver=device.driver,
                bus=device.bus,
                codecs=tuple(codecs_of(device)),
                modes=tuple(modes_of(device)),
                settings=tuple(_setting(name, control) for name, control in controls_of(device).items()),
            )
    except OSError as error:
        return Camera(path, uri, problem=error.strerror or str(error))


def _setting(name: str, control: api.QueryControl) -> Setting:
    inactive = bool(control.flags & api.CTRL_FLAG_INACTIVE)
    return Setting(name, control.minimum, control.maximum, control.default_value, inactive)
