"""Names of V4L2 cameras that stay: /dev/videoN is handed out anew whenever a camera is plugged in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

LINKS = Path("/dev/v4l")


def stable_uri(uri: str, folder: Path = LINKS) -> str:
    """The URI through the link of udev that points at a camera, so that it is found again under another number.

    uri: v4l2:///dev/videoN or /dev/videoN. folder: where by-id and by-path are. The link by the camera's own name and
    serial number is taken, or, where two cameras of one kind share a number, that of the port it is plugged into. The
    same URI where there is no link, for a URI that is a link already and for one of another kind.
    """
    path = uri.removeprefix("v4l2://")
    if "://" in path or not path.startswith("/") or os.path.realpath(path) != os.path.abspath(path):
        return uri
    by_id, by_path = dict(_links(folder / "by-id")), dict(_links(folder / "by-path"))
    # Twins fight for one link by id: the camera that lost has only its port, and the link may go to either of them.
    twins = any("usb" in link.name and target not in by_id for target, link in by_path.items())
    links = {**by_id, **by_path} if twins else {**by_path, **by_id}
    link = links.get(os.path.realpath(path))
    return f"v4l2://{link}" if link else uri


def _links(folder: Path) -> Iterator[tuple[str, Path]]:
    """(what it points at, link) of each link in a folder, which goes with the last camera."""
    with suppress(OSError):
        for link in sorted(folder.iterdir(), reverse=True):  # of several to one node the first by name is kept
            yield os.path.realpath(link), link
