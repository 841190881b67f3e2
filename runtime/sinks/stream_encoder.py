"""StreamEncoder: pictures into H.264 for a network, with a bit rate that links bear; begins anew with each size."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from edgedeblur import ExitCode, Failure
from runtime.frame import Image
from runtime.sinks.encoder import Coding, Converter, open_encoder, working
from runtime.sinks.rtp_packets import CLOCK_RATE, PPS, SPS, nal_units

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext

BITS_A_PIXEL, LEAST_BITS = 0.15, 2_000_000  # 4.1 Mbit/s at 1280x720 and 30 frames/s
KEYFRAME_S = 1  # between two pictures from which a viewer can start


class StreamEncoder:
    """One encoder after another, as sizes come."""

    def __init__(self, names: Sequence[str], rate: Fraction, bitrate: int | None) -> None:
        """names: encoders to try, best first. bitrate: bits a second; None: by size and rate."""
        self.name = ""
        self.size = (0, 0)  # (height, width) of the last picture
        self.parameters = (b"", b"")  # SPS and PPS of the stream, once a picture was encoded
        self._names, self._rate, self._bitrate = names, rate, bitrate
        self._convert = Converter()
        self._codec: VideoCodecContext | None = None
        self._key_tick = 0

    def encode(self, picture: Image, tick: int) -> list[tuple[int, list[bytes]]]:
        """(H, W, 3) uint8 BGR at `tick` of 1/90000 s: what is ready, as (tick, NAL units).

        Raises: Failure (ENVIRONMENT) when it cannot be encoded.
        """
        import av

        size = (picture.shape[0], picture.shape[1])
        if self._codec is None or size != self.size:
            self._begin(size)
        assert self._codec is not None  # just begun
        coded = self._convert(picture)
        coded.pts, coded.time_base = tick, Fraction(1, CLOCK_RATE)
        if tick - self._key_tick >= KEYFRAME_S * CLOCK_RATE:
            coded.pict_type = 1  # intra
            self._key_tick = tick
        try:
            packets = self._codec.encode(coded)
        except (av.error.FFmpegError, OSError) as error:
            raise Failure(f"the stream cannot be encoded: {error.strerror}", ExitCode.ENVIRONMENT) from error
        ready = [(tick if packet.pts is None else packet.pts, nal_units(bytes(packet))) for packet in packets]
        found = {unit[0] & 0x1F: unit for _, units in ready for unit in units}
        if SPS in found and PPS in found:
            self.parameters = found[SPS], found[PPS]
        return ready

    def restart(self) -> None:
        """Let the next picture be one from which a viewer can start."""
        self._codec = None

    def _begin(self, size: tuple[int, int]) -> None:
        bitrate = self._bitrate or stream_bitrate(size, self._rate)
        coding = Coding(self._rate, Fraction(1, CLOCK_RATE), bitrate)
        if size != self.size:
            self.name = working(self._names, size, coding)
        self._codec, self.size = open_encoder(self.name, size, coding), size


def stream_bitrate(size: tuple[int, int], rate: Fraction) -> int:
    """Bits a second for a (height, width) where nobody asks for another."""
    return max(LEAST_BITS, round(BITS_A_PIXEL * size[0] * size[1] * float(rate)))
