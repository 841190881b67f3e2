"""What steps amount to: means of loss and gradient, patches a second, and the share of time spent waiting for data."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Step:
    """One optimiser step of all processes together."""

    loss: float
    gradient: float  # norm before clipping; not finite where the step was left out
    rate: float  # learning rate
    patches: int
    seconds: float
    waited: float  # seconds of these, for the batch


@dataclasses.dataclass
class Meter:
    """Sums over steps; plain numbers, so that a checkpoint can hold them."""

    steps: int = 0  # those left out are not counted, and not in the means
    loss: float = 0.0
    gradient: float = 0.0
    patches: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, step: Step) -> None:
        """Count a step."""
        self.patches += step.patches
        self.seconds += step.seconds
        self.waited += step.waited
        if math.isfinite(step.gradient):
            self.steps += 1
            self.loss += step.loss
            self.gradient += step.gradient

    def row(self) -> dict[str, float]:
        """Means a step (nan without one), patches a second and the share of time in [0, 1] that waited for data."""
        return {
            "loss": self.loss / self.steps if self.steps else float("nan"),
            "gradient": self.gradient / self.steps if self.steps else float("nan"),
            "patches_per_s": self.patches / self.seconds if self.seconds else float("nan"),
            "data_wait": self.waited / self.seconds if self.seconds else float("nan"),
        }
