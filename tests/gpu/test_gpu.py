"""The GPU checks under pytest; `make gpu` runs the same ones without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.gpu.checks import CHECKS
from tests.gpu.machine import SkipCheck


@pytest.mark.gpu
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_on_gpu(check: Callable[[], dict[str, Any]]) -> None:
    try:
        check()
    except SkipCheck as reason:
        pytest.skip(str(reason))
