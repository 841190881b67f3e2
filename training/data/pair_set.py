"""What a set of pairs is, and which blurred picture belongs to which sharp one."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edgedeblur import ExitCode, Failure
from training.data.pictures import SUFFIXES, files

SPLITS = ("train", "val", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Pair:
    """One blurred picture and its sharp one.

    name: unique within the set, like `GOPR0384_11_00/000001`. sequence: pairs of one sequence are consecutive frames,
    in the set's order; "" where pictures have no order to speak of.
    """

    name: str
    sequence: str
    blurred: Path
    sharp: Path


@dataclasses.dataclass(frozen=True)
class Layout:
    """A recognised folder. splits: what reads a variant's pairs, by split; by "" where the folder is not divided.

    unread: for people, a line for each place with other pairs, which are not read.
    """

    name: str
    splits: Mapping[str, Callable[[str], list[Pair]]]
    unread: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Group:
    """Pictures that lie together: where, what is expected there, and what their pairs' names begin with."""

    folder: Path
    expected: str
    lead: str = ""
    ordered: bool = False  # consecutive frames

    def pair(self, name: str, blurred: Path, sharp: Path) -> Pair:
        """One pair of the group."""
        full = f"{self.lead}/{name}" if self.lead else name
        return Pair(text(full), text(self.lead) if self.ordered else "", blurred, sharp)

    def matched(self, blurred: dict[str, Path], sharp: dict[str, Path]) -> list[Pair]:
        """Pairs of equal names, sorted by `counted`. Raises Failure (SOURCE) for lone names, and without any pair."""
        for lone, lacking in ((blurred.keys() - sharp.keys(), "sharp"), (sharp.keys() - blurred.keys(), "blurred")):
            if lone:
                raise Failure(
                    f"{self.folder}: {len(lone)} of {len(blurred.keys() | sharp.keys())} names are without a partner, "
                    f"first '{text(min(lone))}' (no {lacking} picture); expected {self.expected}: "
                    "copy what is missing or remove the lone pictures",
                    ExitCode.SOURCE,
                )
        if not blurred:
            raise Failure(f"{self.folder}: found no pictures; expected {self.expected}", ExitCode.SOURCE)
        return [self.pair(name, blurred[name], sharp[name]) for name in sorted(blurred, key=counted)]


def pictures_by_name(folder: Path, start: str = "", end: str = "") -> dict[str, Path]:
    """Pictures of a folder whose stem starts and ends so, by the rest of it; none where there is no such folder.

    Raises Failure (SOURCE) when two have one name.
    """
    paths = files(folder, SUFFIXES) if os.path.isdir(folder) else []
    fitting = (path for path in paths if path.stem.startswith(start) and path.stem.endswith(end))
    return by_name((path.stem.removeprefix(start).removesuffix(end), path) for path in fitting)


def by_name(paths: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Named paths as a dictionary. Raises Failure (SOURCE) when two have one name."""
    found: dict[str, Path] = {}
    for name, path in paths:
        if name in found:
            raise Failure(f"{found[name]} and {path} have one name; keep one of them", ExitCode.SOURCE)
        found[name] = path
    return found


def checked_variant(variant: str, name: str, variants: tuple[str, ...] = ("blur",)) -> str:
    """The variant. Raises Failure (USAGE) when a set has no such kind of blurred pictures."""
    if variant not in variants:
        raise Failure(f"--variant is {variant}; {name} has: {', '.join(variants)}")
    return variant


def counted(name: str) -> list[tuple[int, str]]:
    """Key that sorts frames as they were counted: 2 before 10, with leading zeros or without."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def text(name: str) -> str:
    """A file name, escaped where it is no valid text: names are hashed, printed and written to JSON."""
    return name.encode("utf-8", "backslashreplace").decode()
