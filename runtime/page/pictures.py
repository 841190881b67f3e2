"""Pictures: the newest frame of one stream as JPEG, encoded once for all who want it in one form."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from runtime.frame import How, Image
from runtime.measure.timing import Delivery
from runtime.page.jpeg import JpegEncoder
from runtime.page.newest import Newest
from runtime.sinks.image_sink import encode_image
from runtime.views import blend

VIEWS = ("pair", "output", "input")  # pair: the input left, the output right, of one frame
UNUSED = 150  # offers after which a form that nobody asked for is forgotten
MOST_FORMS = 32  # kept, as many as there may be viewers: a client that asks for ever new ones fills no memory


@dataclass(frozen=True)
class Form:
    """How a viewer wants to see the stream."""

    view: str  # one of VIEWS
    width: int | None  # of the whole picture at most, pixels; None: every pixel there is, as good as it gets
    quality: int = 100  # 1 to 100


@dataclass(frozen=True)
class Picture:
    """One frame, ready to be sent."""

    jpeg: bytes
    number: int  # of the offer; larger for newer ones
    index: int  # of the frame
    captured_ns: int  # CLOCK_MONOTONIC
    how: How


class Pictures:
    """Encodes on the threads of those who ask, one at a time, so that many viewers cost no more than one thread."""

    def __init__(self, newest: Newest, strength: Callable[[], float]) -> None:
        """strength: what is shown of the output, as everything else that leaves the program."""
        self.encoded = 0
        self.seconds = 0.0  # processor time of all of it
        self._newest, self._strength = newest, strength
        self._encoding = threading.Lock()
        self._encoders: dict[Form, JpegEncoder] = {}
        self._done: dict[Form, Picture] = {}
        self._number, self._spent_s = 0, 0.0  # what the offer cost that is being encoded

    def after(self, number: int, every: int, form: Form, until_ns: int) -> Picture | None:
        """The newest picture after `number`, of every `every`-th offer; None where none comes by `until_ns`."""
        found, item = self._newest.after(number, every, until_ns)
        if item is None:
            return None
        with self._encoding:
            done = self._done.get(form)
            if done is None or done.number < found:
                done = self._done[form] = self._encode(form, found, item)
                self._forget_unused(found)
            return done

    def forget(self) -> None:
        """Nobody looks any more: nothing is kept, of whatever size the pictures were."""
        with self._encoding:
            self._encoders.clear()
            self._done.clear()

    def _encode(self, form: Form, number: int, item: Delivery) -> Picture:
        start_s = time.thread_time()
        images = _images(form.view, item, self._strength())
        if form.width is None:
            jpeg = encode_image(images[0] if len(images) == 1 else np.hstack(images), ".jpg")
        else:
            jpeg = self._encoder(form, form.width, item.frame.size).encode(images)
        self._count(number, time.thread_time() - start_s)
        return Picture(jpeg, number, item.frame.index, item.frame.captured_ns, item.how)

    def _encoder(self, form: Form, width: int, size: tuple[int, int]) -> JpegEncoder:
        """Kept from picture to picture. size: (height, width) of the frames."""
        encoder = self._encoders.get(form)
        if encoder is None or encoder.size != size:
            encoder = self._encoders[form] = JpegEncoder(size, 2 if form.view == "pair" else 1, width, form.quality)
        return encoder

    def _count(self, number: int, seconds: float) -> None:
        self.encoded += 1
        self.seconds += seconds
        self._spent_s = self._spent_s + seconds if number == self._number else seconds
        self._number = number
        self._newest.spent(self._spent_s)

    def _forget_unused(self, number: int) -> None:
        """Forms that nobody asked for since `number` - UNUSED; of too many, those asked for longest ago."""
        oldest_first = sorted(self._done, key=lambda form: self._done[form].number)
        unused = [form for form in oldest_first if self._done[form].number < number - UNUSED]
        for form in {*unused, *oldest_first[:-MOST_FORMS]}:
            del self._done[form]
            self._encoders.pop(form, None)


def _images(view: str, item: Delivery, strength: float) -> list[Image]:
    before, sharp = item.frame.image, item.sharp
    if view == "input" or sharp is None:
        return [before, before] if view == "pair" else [before]
    after = blend(before, sharp, strength)
    return [before, after] if view == "pair" else [after]
