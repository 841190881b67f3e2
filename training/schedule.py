"""Learning rate over a run: a short linear warm-up, then half a cosine."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, peak: float, final: float = 1e-6) -> float:
    """Rate for step 0 … steps-1; warms up over the first 2 % (at most 500 steps), ends at `final`."""
    warm_up = max(1, min(500, steps // 50))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return final + (peak - final) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
