"""Which device torch computes on."""

from __future__ import annotations

import torch

from edgedeblur import ExitCode, Failure


def usable_device(asked: str) -> str:
    """`auto` becomes a GPU when there is one. Raises Failure (ENVIRONMENT) for a device that cannot be used here."""
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked.split(":")[0] not in ("cpu", "cuda"):
        raise Failure(f"--device is '{asked}'; expected auto, cpu, cuda or cuda:N")
    try:
        torch.zeros(1, device=asked)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise Failure(f"--device {asked} cannot be used here ({reason}); use cpu", ExitCode.ENVIRONMENT) from error
    return asked
