"""Where pairs come from: sets on disk, sharp videos, or sharp photographs that a virtual camera blurs."""

from __future__ import annotations

import dataclasses
import os
import sys
import zlib
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.data.datasets import SHAPES, PairSet, find_pairs, is_pairs
from training.data.folder_pairs import FolderPairs, usable
from training.data.photographs import read_photos
from training.data.pictures import SUFFIXES, files
from training.data.video_frames import SUFFIXES as VIDEO_SUFFIXES
from training.data.video_pairs import VideoConfig, VideoPairs, read_clips, split_targets, targets_of
from training.synthesis.deadleaves import dead_leaves
from training.synthesis.synth import Scene, SynthConfig, draw_scene, rendered

Image = NDArray[np.uint8]
Item = TypeVar("Item")
_DEFAULT = SynthConfig()
# Validation is about blur: one crop that was sharp before would outweigh ten blurred ones in a mean of decibels.
_BLURRED = SynthConfig(sharp_share=0.0)
_MOVING = VideoConfig(anywhere_share=0.0)


class SyntheticPairs:
    """Pairs made on the fly from sharp photographs."""

    def __init__(self, photos: dict[str, Image], config: SynthConfig = _DEFAULT) -> None:
        """photos: by name."""
        self.photos, self.names = list(photos.values()), list(photos)
        self.config = config

    @property
    def marks(self) -> list[str]:
        """What tells these photographs from others of the same names."""
        named = zip(self.names, self.photos, strict=True)
        # Every 16th row: there may be gigabytes.
        return [f"{name} {photo.shape} {zlib.crc32(photo[::16].tobytes())}" for name, photo in named]

    def sample(self, rng: np.random.Generator, patch: int) -> tuple[Image, Image]:
        """A new (blurred, sharp) pair, (patch, patch, 3) uint8 BGR."""
        return rendered(self.scene(rng, patch))

    def scene(self, rng: np.random.Generator, patch: int) -> Scene:
        """The same pair before it is rendered: the cheap part, so that a GPU can do the rest for a whole batch."""
        return draw_scene(self.photos, rng, dataclasses.replace(self.config, size=(patch, patch)))


Pairs = SyntheticPairs | FolderPairs | VideoPairs


def open_pairs(
    data: Path | None, patch: int, validation: Path | None = None, variant: str = "blur"
) -> tuple[Pairs, Pairs]:
    """Training and validation pairs of a set of pairs, of sharp videos or photographs; dead leaves without `data`.

    data, validation: a folder, or one video. A divided set is trained on by its train split and validated on by its val
    or test split. Elsewhere, without `validation`, a twentieth is held out: of the sequences, of the pictures, or the
    end of each video; at least one. variant: of the blurred pictures of `data`, as in `find_pairs`.
    Pairs and videos that are too small for the patch are left out, and told of.
    Raises Failure: (SOURCE) when there is nothing to train on, (USAGE) for a variant that is not there.
    """
    if data is None:
        leaves = {str(index): dead_leaves(np.random.default_rng(index)) for index in range(24)}
        return _held_out_photos(leaves)
    if variant != "blur" and (_is_video(data) or not is_pairs(data)):
        raise Failure(f"--variant is {variant}; {data} has no blurred frames to choose from")
    if validation is not None:
        return _whole(data, patch, variant, "train"), _whole(validation, patch, "blur", "val")
    if _is_video(data):
        training, held_out = split_targets(read_clips(data, patch))
        return VideoPairs(training), VideoPairs(held_out, _MOVING)
    if is_pairs(data):
        found = usable(find_pairs(data, "train", variant), patch)
        if found.serves("val"):
            return _announced(found), _announced(usable(find_pairs(data, "val", variant), patch))
        return _held_out_pairs(found)
    return _held_out_photos(_read_photos(data, patch))


def _whole(data: Path, patch: int, variant: str, split: str) -> Pairs:
    """All of a video, of the photographs, or of the split of a set."""
    training = split == "train"
    if _is_video(data):
        targets = [target for clip in read_clips(data, patch) for target in targets_of(clip)]
        return VideoPairs(targets, VideoConfig() if training else _MOVING)
    if is_pairs(data):
        return _announced(usable(find_pairs(data, split, variant), patch))
    return SyntheticPairs(_read_photos(data, patch), _DEFAULT if training else _BLURRED)


def _is_video(data: Path) -> bool:
    """A file, or a folder of videos. Raises Failure (SOURCE) when it is neither, or has pictures beside its videos."""
    if os.path.isfile(data):
        return True
    if not os.path.isdir(data):
        raise Failure(f"{data} is not a folder, nor a video; check its name", ExitCode.SOURCE)
    videos = files(data, VIDEO_SUFFIXES)
    if not videos or is_pairs(data):
        return False
    if photos := files(data, SUFFIXES):
        raise Failure(
            f"{data} holds {len(videos)} videos and {len(photos)} pictures; expected one kind: move the others into a "
            "folder of their own",
            ExitCode.SOURCE,
        )
    return True


def _held_out_pairs(found: PairSet) -> tuple[Pairs, Pairs]:
    """Every 20th sequence, or picture where there is one sequence only: neighbouring frames show the same."""
    folders = {pair.name: pair.name.rpartition("/")[0] for pair in found.pairs}
    groups = folders if len({*folders.values()}) > 1 else {name: name for name in folders}
    training, validation = _hold_out(list(dict.fromkeys(groups.values())))
    kept = (
        tuple(pair for pair in found.pairs if groups[pair.name] in part) for part in (set(training), set(validation))
    )
    training_set, validation_set = (dataclasses.replace(found, pairs=pairs) for pairs in kept)
    return _announced(training_set), _announced(validation_set)


def _announced(found: PairSet) -> FolderPairs:
    print(f"{found.layout}: {len(found.pairs)} pairs", file=sys.stderr)
    return FolderPairs(found)


def _held_out_photos(photos: dict[str, Image]) -> tuple[Pairs, Pairs]:
    kept, held_out = _hold_out(list(photos))
    training, validation = ({name: photos[name] for name in names} for names in (kept, held_out))
    return SyntheticPairs(training), SyntheticPairs(validation, _BLURRED)


def _hold_out(items: list[Item]) -> tuple[list[Item], list[Item]]:
    """(to train on, to validate on)."""
    if len(items) == 1:
        print("there is one picture only: it is trained and validated on, and the figures flatter", file=sys.stderr)
        return items, items
    return [item for index, item in enumerate(items) if index % 20], items[::20]


def _read_photos(folder: Path, patch: int) -> dict[str, Image]:
    if not files(folder, SUFFIXES):
        raise Failure(
            f"{folder} holds no pictures, videos or pairs that are understood; expected sharp photographs like *.png, "
            f"sharp videos like *.mp4, or pairs:{SHAPES}",
            ExitCode.SOURCE,
        )
    return read_photos(folder, dataclasses.replace(_DEFAULT, size=(patch, patch)))
