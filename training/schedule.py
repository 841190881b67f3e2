"""What changes over a run: the learning rate, and the size of the crops. A run is counted in steps or in seconds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the run: the side of its square crops in pixels, and how many of them make a batch."""

    patch: int
    batch: int


def learning_rate(done: float, total: float, peak: float, final: float = 1e-6) -> float:
    """A linear warm-up over the first 2 % (at most 500), then half a cosine to `final`, or `peak` if lower.

    done, total: of the run, both in steps or both in seconds.
    """
    warm_up = min(500.0, total / 50)
    if done < warm_up:
        return peak * min(1.0, (done + 1) / warm_up)
    final = min(final, peak)
    progress = min(1.0, (done - warm_up) / (total - warm_up))
    return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2


def stages_of(patches: Sequence[int], batch: int) -> list[Stage]:
    """One stage a patch, the last with `batch` crops, the others with about as many pixels a batch.

    Small crops first (progressive learning; Zamir et al., Restormer, CVPR 2022): many scenes early, wide context late.
    """
    return [Stage(patch, max(1, batch * patches[-1] ** 2 // patch**2)) for patch in patches]


def stage_at(stages: Sequence[Stage], done: float, total: float) -> Stage | None:
    """The stage that a run is in, all of them being equally long; None when it is over."""
    return stages[int(len(stages) * done // total)] if done < total else None
