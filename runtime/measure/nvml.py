"""An NVIDIA GPU's heat, power, clocks and throttling, by NVML where the package nvidia-ml-py is installed."""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from runtime.sessions.gpu import load_driver

# Bits of nvmlClocksEventReasons that mean slower than it could be; idling and clocks that somebody set are left out.
REASONS = {
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x20: "too hot (software)",
    0x40: "too hot (hardware)",
    0x80: "power brake",
}


class Nvml:
    """The GPU that CUDA calls device 0. Each reading is None where this GPU or driver does not give it."""

    def __init__(self) -> None:
        """Raises: ImportError without the package, OSError where the driver's library does not answer."""
        self._nvml = importlib.import_module("pynvml")
        try:
            self._nvml.nvmlInit()
            self._device = _device(self._nvml)
        except self._nvml.NVMLError as error:
            raise OSError(str(error)) from error

    def name(self) -> str | None:
        name = self._ask("nvmlDeviceGetName")
        return name.decode() if isinstance(name, bytes) else name

    def celsius(self) -> float | None:
        return _scaled(self._ask("nvmlDeviceGetTemperature", self._nvml.NVML_TEMPERATURE_GPU), 1.0)

    def watts(self) -> float | None:
        return _scaled(self._ask("nvmlDeviceGetPowerUsage"), 1e-3)

    def joules(self) -> float | None:
        """Used since the driver was loaded."""
        return _scaled(self._ask("nvmlDeviceGetTotalEnergyConsumption"), 1e-3)

    def clocks_mhz(self) -> dict[str, float]:
        kinds = {"gpu": self._nvml.NVML_CLOCK_SM, "gpu memory": self._nvml.NVML_CLOCK_MEM}
        found = {name: self._ask("nvmlDeviceGetClockInfo", kind) for name, kind in kinds.items()}
        return {name: float(mhz) for name, mhz in found.items() if mhz is not None}

    def slowed_by(self) -> list[str] | None:
        """What holds it back now."""
        bits = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if bits is None:  # the name before driver 535
            bits = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return None if bits is None else [f"gpu: {reason}" for bit, reason in REASONS.items() if bits & bit]

    def _ask(self, function: str, *arguments: Any) -> Any:
        call: Callable[..., Any] | None = getattr(self._nvml, function, None)
        if call is None:
            return None
        with suppress(self._nvml.NVMLError):
            return call(self._device, *arguments)
        return None


def _device(nvml: Any) -> Any:
    """By its place on the bus: CUDA and NVML count in two orders."""
    place, cuda = ctypes.create_string_buffer(32), load_driver()
    if cuda is not None and not cuda.cuInit(0) and not cuda.cuDeviceGetPCIBusId(place, len(place), 0):
        return nvml.nvmlDeviceGetHandleByPciBusId(place.value)
    return nvml.nvmlDeviceGetHandleByIndex(0)


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale
