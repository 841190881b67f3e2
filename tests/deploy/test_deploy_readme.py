"""deploy/README.md is true: its commands have the options they use, and the files it names are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import edgedeblur

ROOT = Path(__file__).parents[2]
README = (ROOT / "deploy" / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [line for line in LINES if line.startswith("edgedeblur ")]


def test_there_are_commands() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} == {"triton", "batch"}


@pytest.mark.parametrize("command", [*COMMANDS, "edgedeblur doctor --camera /dev/video0", "edgedeblur run x --also y"])
def test_options_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, verb, *rest = shlex.split(command)
    with pytest.raises(SystemExit):
        edgedeblur.main([verb, "--help"])
    offered = capsys.readouterr().out
    for word in rest:
        if word.startswith("-"):
            assert re.search(rf"{re.escape(word)}(?![\w-])", offered), f"{verb} has no option {word}"


def test_files_exist() -> None:
    named = re.findall(r"(?<![\w/])((?:deploy|runtime)/[\w./-]+)", README)
    assert {"deploy/Dockerfile", "deploy/edgedeblur.service", "deploy/edgedeblur.env"} <= set(named)
    assert all((ROOT / name.rstrip(".")).exists() for name in named)
