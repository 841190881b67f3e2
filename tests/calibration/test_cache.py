"""The cache: found again under the same key alone, and never the reason why a calibration fails."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calibration.cache import CacheKey, Journal, key_of, load_ranges, save_ranges
from runtime.frame import Image
from tests.full_disk import full_disk

KEY = CacheKey("a" * 64, "b" * 64, "c" * 64, "mse")
# The same file name, another key.
NEIGHBOUR = dataclasses.replace(KEY, frames="b" * 63 + "0")
RANGES = {"conv/9": 0.1, "conv/10": 3.0, "ä": 0.0}
ROOT = Path(__file__).parents[2]


def frame(height: int, width: int, seed: int = 0) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def one_line(capsys: pytest.CaptureFixture[str], *words: str) -> None:
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def journal_path(folder: Path) -> Path:
    return folder / f"{KEY.name}.search.jsonl"


def test_the_key_is_the_same_for_the_same_and_another_for_anything_else() -> None:
    frames = [frame(4, 6), frame(4, 6, 1)]
    key = key_of(b"model", frames, {"deform": "native", "size": (4, 6)}, "mse")
    wide = np.concatenate((frames[0], frames[0]), axis=1)
    assert key == key_of(b"model", [wide[:, :6], frames[1].copy()], {"size": [4, 6], "deform": "native"}, "mse")
    settings_ = {"deform": "native", "size": (4, 6)}
    changed = frames[1].copy()
    changed[3, 5, 2] ^= 1
    others = {
        key_of(b"Model", frames, settings_, "mse"),
        key_of(b"model", frames[::-1], settings_, "mse"),
        key_of(b"model", frames[:1], settings_, "mse"),
        key_of(b"model", [], settings_, "mse"),
        key_of(b"model", [frames[0], changed], settings_, "mse"),
        key_of(b"model", [one.reshape(6, 4, 3) for one in frames], settings_, "mse"),
        key_of(b"model", [np.concatenate(frames)], settings_, "mse"),
        key_of(b"model", frames, {**settings_, "deform": "gather"}, "mse"),
        key_of(b"model", frames, settings_, "minmax"),
    }
    assert len(others) == 9
    assert key not in others
    assert key.name == f"{key.model[:8]}-{key.frames[:8]}-{key.preprocessing[:8]}-mse"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(ranges=st.dictionaries(st.text(), st.floats(0, allow_infinity=False), max_size=5))
def test_ranges_come_back_bit_for_bit(ranges: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cache") / "not" / "there yet"
    assert load_ranges(folder, KEY) is None
    save_ranges(folder, KEY, ranges)
    assert load_ranges(folder, KEY) == ranges
    assert [path.name for path in folder.iterdir()] == [f"{KEY.name}.json"]


def test_the_file_says_what_it_is_and_is_the_same_for_the_same(tmp_path: Path) -> None:
    save_ranges(tmp_path / "a", KEY, RANGES)
    save_ranges(tmp_path / "b", KEY, {name: RANGES[name] for name in sorted(RANGES)})
    text, same = ((tmp_path / folder / f"{KEY.name}.json").read_text() for folder in "ab")
    assert text == same
    content = json.loads(text)
    assert content["schema"] == "edgedeblur.ranges/1"
    assert content["key"] == dataclasses.asdict(KEY)
    assert content["versions"].keys() == {"edgedeblur", "numpy", "onnxruntime"}
    assert content["ranges"] == RANGES


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_range_that_is_not_finite_is_never_written(value: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_ranges(tmp_path, KEY, {"x": value})
    assert not list(tmp_path.iterdir())


def test_nothing_there_is_nothing_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert load_ranges(tmp_path, KEY) is None
    assert Journal(tmp_path / "no", KEY, "").get("x") is None
    assert capsys.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def edited(change: Callable[[dict[str, object]], object]) -> Callable[[bytes], bytes]:
    def edit(data: bytes) -> bytes:
        content = json.loads(data)
        change(content)
        return json.dumps(content).encode()

    return edit


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[:-3], "delimiter"),
        (lambda data: b"", "Expecting value"),
        (lambda data: b"\xff" + data, "decode"),
        (lambda data: b"[" * 100_000, "recursion"),
        (lambda data: b"null", "schema"),
        (edited(lambda content: content.update(schema="edgedeblur.ranges/0")), "schema edgedeblur.ranges/1"),
        (edited(lambda content: content.pop("ranges")), "a key and ranges"),
        (edited(lambda content: content.update(key=[])), "a key and ranges"),
        (edited(lambda content: content.update(ranges={"x": -1.0})), "'x' is -1.0"),
        (edited(lambda content: content.update(ranges={"x": float("nan")})), "'x' is nan"),
        (edited(lambda content: content.update(ranges={"x": float("inf")})), "'x' is inf"),
        (edited(lambda content: content.update(ranges={"x": "3.0"})), "'x' is '3.0'"),
        (edited(lambda content: content.update(ranges={"x": True})), "'x' is True"),
    ],
)
def test_a_damaged_file_is_told_and_replaced(
    damage: Callable[[bytes], bytes], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_ranges(tmp_path, KEY, RANGES)
    path = tmp_path / f"{KEY.name}.json"
    path.write_bytes(damage(path.read_bytes()))
    assert load_ranges(tmp_path, KEY) is None
    one_line(capsys, str(path), told, "observed again")
    save_ranges(tmp_path, KEY, RANGES)
    assert load_ranges(tmp_path, KEY) == RANGES
    assert capsys.readouterr() == ("", "")


def test_a_neighbours_file_is_not_taken_for_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_ranges(tmp_path, NEIGHBOUR, RANGES)
    assert load_ranges(tmp_path, KEY) is None
    one_line(capsys, "another frames")


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("obstacle", [make_folder, os.mkfifo])
def test_what_is_no_file_is_told(
    obstacle: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    obstacle(tmp_path / f"{KEY.name}.json")
    obstacle(journal_path(tmp_path))
    assert load_ranges(tmp_path, KEY) is None
    one_line(capsys, "expected the name of a file")
    save_ranges(tmp_path, KEY, RANGES)
    one_line(capsys, "expected the name of a file")
    journal = Journal(tmp_path, KEY, "")
    one_line(capsys, "measured again")
    journal.put("x", {"db": 1.0})
    assert journal.get("x") == {"db": 1.0}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("folder", ["/proc/calibration", "{tmp}/file/calibration"])
def test_a_folder_that_cannot_be_made_stops_nothing(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    place = Path(folder.format(tmp=tmp_path))
    save_ranges(place, KEY, RANGES)
    one_line(capsys, "cannot be written", "goes on without it")
    assert load_ranges(place, KEY) is None
    journal = Journal(place, KEY, "")
    capsys.readouterr()
    for step in range(3):
        journal.put("x", {"step": step})
    assert journal.get("x") == {"step": 2.0}
    assert capsys.readouterr().err.count("\n") <= 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes to read-only folders, too")
def test_a_read_only_folder_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    save_ranges(tmp_path, KEY, RANGES)
    one_line(capsys, "Permission denied")
    Journal(tmp_path, KEY, "").put("x", {})
    one_line(capsys, "Permission denied")


def test_a_full_disk_keeps_the_ranges_that_were_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_ranges(tmp_path, KEY, RANGES)
    with full_disk(100):
        save_ranges(tmp_path, KEY, {"other": 1.0})
    one_line(capsys, "cannot be written", "goes on without it")
    assert load_ranges(tmp_path, KEY) == RANGES
    assert len(list(tmp_path.iterdir())) == 1


def test_a_journal_goes_on_where_it_was(tmp_path: Path) -> None:
    journal = Journal(tmp_path, KEY, "frames 1")
    journal.put("a", {"db": 0.1, "worst": float("inf")})
    journal.put("b\n", {"db": 2})
    journal.put("a", {"db": 0.3})
    Journal(tmp_path, KEY, "frames 2").put("a", {"db": 99.0})
    Journal(tmp_path, NEIGHBOUR, "frames 1").put("a", {"db": 98.0})
    found = Journal(tmp_path, KEY, "frames 1")
    assert found.get("a") == {"db": 0.3}
    assert found.get("b\n") == {"db": 2.0}
    assert found.get("c") is None
    assert Journal(tmp_path, KEY, "frames 2").get("a") == {"db": 99.0}


def test_what_a_journal_hands_out_is_a_copy(tmp_path: Path) -> None:
    journal = Journal(tmp_path, KEY, "")
    result = {"db": 1.0}
    journal.put("a", result)
    result["db"] = 2.0
    first = journal.get("a")
    assert first == {"db": 1.0}
    first["db"] = 3.0
    assert journal.get("a") == {"db": 1.0}


def test_a_line_torn_anywhere_spoils_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = journal_path(tmp_path)
    first = Journal(tmp_path, KEY, "")
    first.put("before", {"db": 1.0})
    whole = path.stat().st_size
    first.put("torn", {"db": 2.0})
    data = path.read_bytes()
    for size in range(whole, len(data)):
        path.write_bytes(data[:size])
        journal = Journal(tmp_path, KEY, "")
        assert journal.get("torn") is None
        journal.put("after", {"db": 3.0})
        capsys.readouterr()
        again = Journal(tmp_path, KEY, "")
        assert [again.get(what) for what in ("before", "torn", "after")] == [{"db": 1.0}, None, {"db": 3.0}]
        assert capsys.readouterr().err.count("damaged line") == (size > whole + 1)


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"[]", b"7", b'{"context": {context}}', b'{"context": {context}, "what": "a", "result": [1]}']
)
def test_foreign_lines_are_told_once_and_skipped(
    line: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(tmp_path, KEY, "").put("a", {"db": 1.0})
    path = journal_path(tmp_path)
    context = json.dumps(json.loads(path.read_bytes())["context"]).encode()
    path.write_bytes(path.read_bytes() + 2 * (b"\n" + line.replace(b"{context}", context)))
    assert Journal(tmp_path, KEY, "").get("a") == {"db": 1.0}
    one_line(capsys, "2 damaged", str(path))


def test_a_full_disk_tears_a_line_and_the_search_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(tmp_path, KEY, "")
    journal.put("a", {"db": 1.0})
    with full_disk(journal_path(tmp_path).stat().st_size + 20):
        journal.put("b", {"db": 2.0})
        journal.put("c", {"db": 3.0})
    one_line(capsys, "cannot be written", "No space left", "goes on without it")
    assert journal.get("c") == {"db": 3.0}
    again = Journal(tmp_path, KEY, "")
    assert (again.get("a"), again.get("b")) == ({"db": 1.0}, None)
    one_line(capsys, "1 damaged")
    again.put("b", {"db": 2.0})
    assert Journal(tmp_path, KEY, "").get("b") == {"db": 2.0}


WRITER = """
import sys
from pathlib import Path
from calibration.cache import CacheKey, Journal
journal = Journal(Path(sys.argv[1]), CacheKey("a" * 64, "b" * 64, "c" * 64, "mse"), "")
print("ready", flush=True)
sys.stdin.readline()
for number in range(300):
    journal.put(f"{sys.argv[2]} {number} {'x' * (number * 7)}", {"number": number})
"""


def test_two_processes_write_one_journal(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), name], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in "ab"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    found = Journal(tmp_path, KEY, "")
    for name in "ab":
        for number in range(300):
            assert found.get(f"{name} {number} {'x' * (number * 7)}") == {"number": number}


@pytest.mark.parametrize("result", [{}, {"drop_db": float("nan")}, {"drop_db": float("inf")}, {"drop_db": "much"}, 3])
def test_a_journal_line_without_finite_numbers_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], result: object
) -> None:
    key = CacheKey("a" * 64, "b" * 64, "c" * 64, "mse")
    Journal(tmp_path, key, "context").put("layer", {"drop_db": 0.5})
    path = next(tmp_path.glob("*.search.jsonl"))
    record = json.loads(path.read_text().strip())
    path.write_text(json.dumps({**record, "result": result}))
    assert Journal(tmp_path, key, "context").get("layer") is None
    assert "1 damaged line" in capsys.readouterr().err
