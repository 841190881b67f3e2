"""engines/README.md is true: its commands run, the files it names exist, its limits are the program's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import edgedeblur
from engines.parity import MIN_PSNR
from engines.precision_gate import DEFAULT_MIN_PSNR

ROOT = Path(__file__).parents[2]
README = (ROOT / "engines" / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


def test_commands_run(rtx: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand, from the checkout's root, but that engines go elsewhere; the last one has a test of its own."""
    monkeypatch.chdir(ROOT)
    assert COMMANDS.pop() == "python -m tests.engines.api_names"
    for command in COMMANDS:
        program, *words = shlex.split(command.replace("build/engines", str(tmp_path)))
        assert program == "edgedeblur"
        assert edgedeblur.main(words) == 0, command
    assert len(list(tmp_path.rglob("*.engine"))) == 4


def test_named_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / "engines" / target).exists(), target


def test_limits() -> None:
    text = " ".join(README.split())
    assert f"at least {DEFAULT_MIN_PSNR:g} dB (FP16" in text
    assert f"FP32 must reach {MIN_PSNR['fp32']:g} dB, FP16 {MIN_PSNR['fp16']:g} dB" in text
    assert f"INT8 {MIN_PSNR['int8']:g} dB" in text
