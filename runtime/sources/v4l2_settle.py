"""What a V4L2 camera is asked for by the options of a run, and what it gives then."""

from __future__ import annotations

from edgedeblur import ExitCode, Failure
from runtime.frame import size_text
from runtime.sources import v4l2_api as api
from runtime.sources.source import SourceOptions
from runtime.sources.v4l2_device import Device
from runtime.sources.v4l2_modes import DEFAULT_RATE, DEFAULT_SIZE, RATE_TOLERANCE, choose, codec_of, known_codecs
from runtime.sources.v4l2_offer import Agreed, agree, codecs_of, modes_of


def settle(device: Device, options: SourceOptions) -> tuple[Agreed, list[str]]:
    """Set a camera to the mode that suits the options best; what came of it, and what the user should know.

    Raises: OSError as the driver refuses, Failure (USAGE) for a format that is not read here, (SOURCE) where the camera
    has none that is.
    """
    wish = (options.height, options.width) if options.height and options.width else None
    codec = codec_of(options.codec) if options.codec else None
    modes = [mode for mode in modes_of(device, wish, options.rate) if codec in (None, mode.codec)]
    if not modes:
        raise Failure(
            f"camera {device.path} sends {', '.join(codecs_of(device)) or 'no format at all'}; expected "
            f"{codec or 'one of: ' + ', '.join(known_codecs())}",
            ExitCode.SOURCE,
        )
    mode, rate = choose(modes, wish or DEFAULT_SIZE, options.rate or DEFAULT_RATE)
    agreed = agree(device, mode, rate or options.rate)  # a driver that lists no rates may take one all the same
    return agreed, _remarks(device.path, agreed, options)


def _remarks(path: str, agreed: Agreed, options: SourceOptions) -> list[str]:
    remarks = []
    wish = (options.height, options.width)
    if options.height and options.width and agreed.size != wish:
        remarks.append(f"camera {path} gives {size_text(agreed.size)}, not {options.width}x{options.height}")
    if options.rate and not agreed.rate:
        remarks.append(f"camera {path} does not say at which rate it sends: {float(options.rate):.2f} frames/s or not")
    if options.rate and agreed.rate and abs(agreed.rate / options.rate - 1) > RATE_TOLERANCE:
        remarks.append(
            f"camera {path} gives {float(agreed.rate):.2f} frames/s, not {float(options.rate):.2f}: it is as near as "
            f"{agreed.codec} {size_text(agreed.size)} comes"
        )
    if agreed.pix.field not in (api.FIELD_ANY, api.FIELD_NONE):
        remarks.append(f"camera {path} sends interlaced pictures: what moves has combs at its edges")
    return remarks
