"""Which sources are supervised: all that are live. Cameras are found again by a name that they keep."""

from __future__ import annotations

import re
from collections.abc import Callable

from runtime.live.lost_options import LostOptions
from runtime.live.status import Status
from runtime.live.supervised_source import Supervised, SupervisedSource
from runtime.sources.address import without_credentials
from runtime.sources.source import Source, SourceOptions, open_source
from runtime.sources.v4l2_identity import stable_uri
from runtime.stop import Stop

MAY_READ_FILES = re.compile(r"gst://", re.IGNORECASE)  # only once it is open is it known whether it is live
LIVE = re.compile(r"(?:v4l2|csi|rtsps?|https?|gst|screen)://|/dev/|test://.*@", re.IGNORECASE)
NOISY = re.compile(
    r"(?:v4l2|csi)://|/dev/", re.IGNORECASE
)  # sensors: streams and screens may show one picture for hours


def supervised(
    uri: str,
    options: SourceOptions,
    lost: LostOptions,
    status: Status,
    say: Callable[[str], None],
    stop: Stop | None = None,
) -> Source:
    """Open what `uri` names, and open it again whenever it is lost, if it is live. stop: ends a long opening.

    Raises: Failure as `open_source` does, for a live source unless it is to be waited for.
    """
    opened = None
    if not LIVE.match(uri) or (MAY_READ_FILES.match(uri) and not lost.wait_for_source):
        opened = open_source(uri, options)
        if not opened.live:
            status.change("live")
            return opened
    status.may_stand_still = not NOISY.match(uri)
    subject = Supervised(_Place(uri, options, opened).open, without_credentials(uri), bool(NOISY.match(uri)))
    return SupervisedSource(subject, lost, status, say, stop)


class _Place:
    """Where a source is found: /dev/videoN may be another camera when this one is plugged in again."""

    def __init__(self, uri: str, options: SourceOptions, opened: Source | None = None) -> None:
        """opened: the source, where it is open already."""
        self._uri, self._options, self._opened = uri, options, opened

    def open(self) -> Source:
        opened, self._opened = self._opened, None
        source = opened or open_source(self._uri, self._options)
        self._uri = stable_uri(self._uri)
        return source
