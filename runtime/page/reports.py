"""Reports: the numbers of all streams and of the machine, read at most once a second however many ask."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from runtime.page.channel import Channel

SCHEMA = 1
FRESH_S = 0.9  # pages ask once a second
PATIENCE_S = 1.0

Telemetry = Callable[[], Mapping[str, Any]]
Value = TypeVar("Value")


class Shared(Generic[Value]):
    """A value that is dear to read. One thread reads it; if that takes long, the others get the last one."""

    def __init__(self, read: Callable[[], Value], first: Value) -> None:
        """first: what is given until there is anything."""
        self._read, self._value = read, first
        self._reading = threading.Lock()
        self._at_s = -math.inf

    def get(self) -> Value:
        """Raises: what `read` raises."""
        if time.monotonic() - self._at_s > FRESH_S and self._reading.acquire(timeout=PATIENCE_S):
            try:
                if time.monotonic() - self._at_s > FRESH_S:  # another thread may just have read it
                    self._value = self._read()
                    self._at_s = time.monotonic()
            finally:
                self._reading.release()
        return self._value


class Reports:
    """What /stats.json, /metrics and /health are made of."""

    def __init__(self, channels: Callable[[], Sequence[Channel]], telemetry: Telemetry | None) -> None:
        self._channels = channels
        self._started_s = time.monotonic()
        self._telemetry = telemetry or dict
        self._device: Shared[dict[str, Any]] = Shared(self._read_device, {})
        self._streams: Shared[list[dict[str, Any]]] = Shared(self._read_streams, [])

    def stats(self) -> dict[str, Any]:
        """What the page shows; times in milliseconds where they say nothing else."""
        viewers = sum(channel.newest.viewers for channel in self._channels())
        pictures = sum(channel.pictures.encoded for channel in self._channels())
        seconds = sum(channel.pictures.seconds for channel in self._channels())
        return {
            "schema": SCHEMA,
            "uptime_s": time.monotonic() - self._started_s,
            "streams": self._streams.get(),
            "device": self._device.get() or None,
            "page": {"viewers": viewers, "pictures": pictures, "encode_s": seconds},
        }

    def health(self, name: str | None = None) -> tuple[bool, dict[str, Any]]:
        """Whether all streams, or the one of that name, are well, and how each is."""
        asked = [channel for channel in self._channels() if name in (None, channel.stream.name)]
        streams = {
            channel.stream.name: {
                "ok": channel.is_ok,
                "state": channel.stream.status.state,
                "reason": channel.stream.status.reason,
            }
            for channel in asked
        }
        return bool(asked) and all(channel.is_ok for channel in asked), streams

    def _read_streams(self) -> list[dict[str, Any]]:
        return [_finite({**channel.stream.stats(), "views": list(channel.views)}) for channel in self._channels()]

    def _read_device(self) -> dict[str, Any]:
        try:
            return _finite(dict(self._telemetry()))  # type: ignore[no-any-return]
        except Exception as error:  # of the device's drivers: no reason to hide all other numbers
            return {"unreadable": {"device": f"{type(error).__name__}: {error}"}}


def _finite(value: Any) -> Any:
    """With null for numbers that JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
