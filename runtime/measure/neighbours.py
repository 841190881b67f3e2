"""Neighbours: how much of the processor other programs took meanwhile, which every number of a shared machine needs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from runtime.measure.sensors import text_of

STAT = Path("/proc/stat")


@dataclass(frozen=True)
class ProcessorTime:
    """Seconds since the start of the machine, all cores together."""

    total: float
    busy: float  # of all programs, this one too
    stolen: float  # what a hypervisor gave to other machines
    ours: float

    def since(self, before: ProcessorTime) -> dict[str, float] | None:
        """Shares of all the time there was: others, stolen; None where too little passed to say."""
        total = self.total - before.total
        if total <= 0.05:  # the kernel counts in hundredths of a second
            return None
        others = (self.busy - before.busy) - (self.ours - before.ours)
        return {"others": max(0.0, others) / total, "stolen": max(0.0, self.stolen - before.stolen) / total}


def processor_time(stat: Path = STAT) -> ProcessorTime | None:
    """None where the kernel does not say."""
    line = text_of(stat).partition("\n")[0].split()
    if len(line) < 9 or line[0] != "cpu":
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    user, nice, system, idle, waiting, interrupts, soft, stolen = (int(field) / ticks for field in line[1:9])
    busy = user + nice + system + interrupts + soft
    return ProcessorTime(busy + idle + waiting + stolen, busy, stolen, time.process_time())
