"""README is true: its commands parse, the files it names exist, its exit codes are the program's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import edgedeblur
from edgedeblur import VERBS, ExitCode

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(?:bash|sh|console)\n(.*?)```", README, re.DOTALL)
LINES = [line.split(" #")[0].strip() for block in BLOCKS for line in block.replace("\\\n", " ").splitlines()]
COMMANDS = [line for line in LINES if line.startswith("edgedeblur ")]


def test_there_are_commands() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= set(VERBS) - {"presets"}


@pytest.mark.parametrize("command", COMMANDS)
def test_options_exist(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, verb, *rest = shlex.split(command)
    assert verb in VERBS
    with pytest.raises(SystemExit):
        edgedeblur.main([verb, "--help"])
    offered = capsys.readouterr().out
    for word in rest:
        if word.startswith("--"):
            assert re.search(rf"{re.escape(word.split('=')[0])}(?![\w-])", offered), f"{verb} has no option {word}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for line in LINES for word in re.findall(r"^make ([a-z]+)", line)} <= targets


def test_exit_codes_are_documented() -> None:
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}


def test_named_files_exist() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
