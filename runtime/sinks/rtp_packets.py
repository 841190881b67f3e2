"""RTP: H.264 pictures cut into packets (RFC 6184), and the sender's report that says when they were captured."""

from __future__ import annotations

import re
import struct

PAYLOAD_TYPE = 96
CLOCK_RATE = 90000  # ticks a second of an RTP time stamp
MOST_BYTES = 1400  # of payload in one packet
NTP_EPOCH_S = 2_208_988_800  # seconds from 1900 to 1970
SPS, PPS = 7, 8  # types of NAL units: what a decoder must know before the first picture


def nal_units(picture: bytes) -> list[bytes]:
    """The NAL units of one coded picture with start codes (Annex B of H.264)."""
    # A unit never ends with a zero byte; zeros before a start code belong to that.
    return [unit.rstrip(b"\0") for unit in re.split(b"\0\0\1", picture) if unit.rstrip(b"\0")]


class RtpStream:
    """Numbers the packets of one stream."""

    def __init__(self, source: int) -> None:
        """source: 32 bits that tell this stream from others (SSRC)."""
        self._source = source
        self._number = 0
        self._packets = self._bytes = 0

    def packets(self, units: list[bytes], stamp: int) -> list[bytes]:
        """One picture. stamp: its time in ticks, of which 32 bits are sent."""
        payloads = [payload for unit in units for payload in _payloads(unit)]
        made = []
        for payload in payloads:
            marker = 0x80 if payload is payloads[-1] else 0
            header = struct.pack(
                "!BBHII", 0x80, marker | PAYLOAD_TYPE, self._number & 0xFFFF, stamp & 0xFFFFFFFF, self._source
            )
            made.append(header + payload)
            self._number += 1
            self._bytes += len(payload)
        self._packets += len(payloads)
        return made

    def report(self, wall_s: float, stamp: int) -> bytes:
        """A sender's report (RFC 3550): the picture with this stamp was captured at `wall_s`, seconds since 1970."""
        seconds, fraction = divmod(int((wall_s + NTP_EPOCH_S) * 2**32), 2**32)
        counts = self._packets & 0xFFFFFFFF, self._bytes & 0xFFFFFFFF
        words = self._source, seconds & 0xFFFFFFFF, fraction, stamp & 0xFFFFFFFF, *counts
        name = b"edgedeblur"
        description = struct.pack("!IBB", self._source, 1, len(name)) + name
        description += b"\0" * (4 - len(description) % 4)
        return (
            struct.pack("!BBH6I", 0x80, 200, 6, *words)
            + struct.pack("!BBH", 0x81, 202, len(description) // 4)
            + description
        )


def _payloads(unit: bytes) -> list[bytes]:
    """A NAL unit as it is, or in fragments (FU-A) where it is too long for one packet."""
    if len(unit) <= MOST_BYTES:
        return [unit]
    parts = [unit[start : start + MOST_BYTES - 2] for start in range(1, len(unit), MOST_BYTES - 2)]
    indicator, kind = (unit[0] & 0xE0) | 28, unit[0] & 0x1F
    last = len(parts) - 1
    return [
        bytes((indicator, kind | (0x80 if place == 0 else 0) | (0x40 if place == last else 0))) + part
        for place, part in enumerate(parts)
    ]
