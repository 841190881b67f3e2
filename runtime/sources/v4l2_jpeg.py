"""JpegPictures: the Motion JPEG of a V4L2 camera, with its damage found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.frame import Image
from runtime.sources.v4l2_colours import MATRICES, RANGES, fill, plane_of
from runtime.sources.v4l2_offer import Agreed
from runtime.sources.video_io import MATRIX_601, RANGE_LIMITED, bgr_of, quiet

if TYPE_CHECKING:
    import av

PATIENCE = 8  # so many damaged pictures and no whole one: that is how this camera makes them


class JpegPictures:
    """Decodes Motion JPEG; a picture with any damage is left out."""

    def __init__(self, agreed: Agreed, note: Callable[[str], None]) -> None:
        """note: told where the camera's pictures are never quite in order, and are taken as they are."""
        self._size, self._pix, self._note = agreed.size, agreed.pix, note
        self._strict, self._lenient = self._new_decoder(strict=True), self._new_decoder(strict=False)
        self._damaged = 0  # pictures, while no whole one came; -1: whole ones do come, and damage is damage
        self._whole = 0  # pictures in a row

    def bgr(self, data: bytes) -> Image | None:
        """A picture as (H, W, 3) uint8 BGR; None for one that is damaged or of another size than agreed."""
        picture = _decoded(self._strict, data)
        if picture is not None and (picture.height, picture.width) != self._size:
            picture = None
        bearable = self._damaged >= PATIENCE
        self._learn(whole=picture is not None)
        if picture is None and bearable:
            picture = _decoded(self._lenient, data)
        return None if picture is None else bgr_of(self._coloured(picture))

    def _learn(self, whole: bool) -> None:
        """What this camera's pictures are like. One whole one may be luck; many tell that it only began badly."""
        self._whole = self._whole + 1 if whole else 0
        if self._damaged < 0:
            return
        if not whole:
            self._damaged += 1
            if self._damaged == PATIENCE:
                self._note("no picture of the camera was in order: damaged ones are shown, as nothing better comes")
        elif self._damaged < PATIENCE or self._whole >= PATIENCE:
            self._damaged = -1

    def _new_decoder(self, strict: bool) -> av.VideoCodecContext:
        import av

        quiet()
        decoder = av.VideoCodecContext.create("mjpeg", "r")
        decoder.thread_count = 1  # a picture comes out when it went in
        # Rows and columns up to a whole block may be added; beyond that the header is damaged or hostile.
        most = (self._size[0] + 16) * (self._size[1] + 16)
        # Without `explode` a picture that was cut short comes out half grey and passes for whole.
        decoder.options = {**({"err_detect": "explode"} if strict else {}), "max_pixels": str(most)}
        return decoder

    def _coloured(self, picture: av.VideoFrame) -> av.VideoFrame:
        """What the driver says outright counts; else JPEG is BT.601 at full range, as its decoder knows."""
        import av

        if RANGES.get(self._pix.quantization) == RANGE_LIMITED and picture.format.name.startswith("yuvj"):
            # The format's name says full range and would be believed.
            limited = av.VideoFrame(picture.width, picture.height, picture.format.name.replace("yuvj", "yuv"))
            fill(limited, [plane_of(plane) for plane in picture.planes])
            picture = limited
            picture.color_range = RANGE_LIMITED
            picture.colorspace = MATRIX_601
        if self._pix.ycbcr_enc in MATRICES:
            picture.colorspace = MATRICES[self._pix.ycbcr_enc]
        return picture


def _decoded(decoder: av.VideoCodecContext, data: bytes) -> av.VideoFrame | None:
    import av

    try:
        pictures = decoder.decode(av.Packet(data)) if data else []
    except av.error.FFmpegError:
        return None
    return pictures[0] if pictures and not pictures[0].is_corrupt else None
