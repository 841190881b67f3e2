"""One size or a range: what the command line may say, what is refused, and that ranges become engines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgedeblur
from edgedeblur import ExitCode, Failure
from engines.sizes import check_sizes, name_of_sizes, parse_sizes
from runtime.sessions.models import WEIGHTS
from runtime.sessions.size_range import SizeRange, fixed_size
from tests.engines.conftest import Build

RANGE = ("--min-size", "32x48", "--opt-size", "61x90", "--max-size", "64x128")


@pytest.mark.parametrize(("preset", "precision"), [("edge-n", "fp32"), ("edge-s", "fp16")])
def test_a_range_becomes_one_engine(build: Build, tmp_path: Path, preset: str, precision: str) -> None:
    """The Gather form with free sizes, built for real; the name, the key parts and the tensors say the range."""
    result = build(WEIGHTS / f"{preset}.onnx", "--engine-dir", str(tmp_path), "--precision", precision, *RANGE, size="")
    engine = Path(result["engine"])
    assert engine.name.startswith(f"{preset}.32x48_61x90_64x128.b1.{precision}.rtx")
    assert engine.read_bytes().startswith(b"vtrt")
    parts = result["key_parts"]
    assert [parts[name] for name in ("min_size", "size", "max_size")] == [[32, 48], [61, 90], [64, 128]]
    assert [io["shape"] for io in result["io"]] == [[-1, -1, 3]] * 2
    assert result["build"]["warnings"] == []
    assert result["rebuild"][:6] == list(RANGE)
    assert json.loads(engine.with_suffix(".json").read_text())["key_parts"] == parts


def test_ranges_are_told_apart(build: Build, tmp_path: Path) -> None:
    def key(*sizes: str) -> str:
        return str(build(WEIGHTS / "edge-n.onnx", "--engine-dir", str(tmp_path), *sizes, size="")["key"])

    other_best, as_trtexec = ("--opt-size", "32x48"), ("--minShapes", "frame:32x48x3", "--maxShapes", "frame:64x128x3")
    assert key(*as_trtexec) == key("--min-size", "32x48", "--max-size", "64x128")
    assert key(*as_trtexec, *other_best) != key(*as_trtexec)


def test_a_range_of_one_size_is_that_size() -> None:
    assert parse_sizes(None, "61x90", None, "61x90") == parse_sizes("61x90", None, None, None) == fixed_size((61, 90))
    assert name_of_sizes(fixed_size((61, 90))) == "61x90"


def test_the_largest_size_is_the_usual_one_unless_said() -> None:
    assert parse_sizes(None, "61x90", None, "720x1280") == SizeRange((61, 90), (720, 1280), (720, 1280))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no frame size is given; expected --size HxW, or --min-size HxW and --max-size HxW"),
        (("--min-size", "64x96"), "half a range is given"),
        (("--opt-size", "64x96"), "half a range is given"),
        (("--size", "64x96", "--max-size", "64x96"), "give one of the two"),
        (("--min-size", "64x96", "--max-size", "61x128"), "do not grow"),
        (("--min-size", "64x96", "--max-size", "128x90"), "do not grow"),
        (("--min-size", "64x96", "--opt-size", "63x200", "--max-size", "128x200"), "do not grow"),
        (("--min-size", "64x96", "--opt-size", "64x201", "--max-size", "128x200"), "do not grow"),
        (("--min-size", "4x96", "--max-size", "128x200"), "--min-size is 4x96; this model takes 5x5"),
        (("--min-size", "64x96", "--max-size", "128x20000"), "--max-size is 128x20000; expected at most 16384"),
        (("--min-size", "wide", "--max-size", "128x200"), "--min-size is 'wide'; expected HEIGHTxWIDTH"),
        (("--min-size", "frame:64x96", "--max-size", "128x200"), "--min-size is 'frame:64x96'"),
    ],
)
def test_sizes_that_do_not_fit(
    onnx_file: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edgedeblur.main(["build", str(onnx_file), *words]) == ExitCode.USAGE
    assert message in capsys.readouterr().err


def test_height_comes_first() -> None:
    sizes = SizeRange((32, 48), (32, 48), (64, 128))
    assert sizes.takes((64, 128))
    assert not sizes.takes((128, 64))
    with pytest.raises(Failure, match="9x17"):
        check_sizes(sizes, {"edgedeblur.min_size": "9x170"})
