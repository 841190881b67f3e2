"""What `val` makes of its rows: summaries, the growing CSV, the picture of worst and best frames."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgedeblur import ExitCode, Failure
from training.evaluation.gallery import Gallery, _text
from training.evaluation.outputs import RowsFile, check_output
from training.evaluation.report import PAIRS, frame_line, method_table
from training.evaluation.rows import INPUT, Measured, Row
from training.evaluation.summary import by_method, by_sequence
from training.whole_files import replacing

Image = NDArray[np.uint8]


def rows_of(sequence: str, psnr: dict[str, list[float]], **others: list[float]) -> list[Row]:
    """Rows of methods with these PSNRs over the frames, all with the same other values."""
    return [
        Row(
            sequence, f"{sequence}/{index}", method, {"psnr": value, **{key: row[index] for key, row in others.items()}}
        )
        for method, values in psnr.items()
        for index, value in enumerate(values)
    ]


def test_means_medians_and_roots() -> None:
    rows = rows_of("", {INPUT: [20, 22, 27], "m": [21, 25, 29]}, ms=[5, 900, 7], flicker=[3, 4, 0])
    summary = by_method(rows)["m"]
    assert summary["psnr"] == pytest.approx(25)
    assert summary["gain"] == pytest.approx(2)
    assert summary["psnr_lowest"] == 21
    assert summary["psnr_std"] == pytest.approx(np.std([21, 25, 29]))
    assert summary["ms"] == 7  # a stall is the machine's
    assert summary["flicker"] == pytest.approx(np.sqrt(25 / 3))
    assert summary["frames"] == 3
    assert list(by_method(rows)) == [INPUT, "m"]


def test_a_value_is_averaged_over_the_frames_that_have_it() -> None:
    rows = [Row("a", "0", INPUT, {"psnr": 20}), Row("a", "1", INPUT, {"psnr": 30, "flicker": 2})]
    assert by_method(rows)[INPUT] == pytest.approx(
        {"frames": 2, "psnr": 25, "psnr_lowest": 20, "psnr_std": 5, "flicker": 2}
    )


def test_only_videos_are_sequences() -> None:
    video = rows_of("a", {INPUT: [20, 21]}, flicker=[1, 1])
    shot, pictures = [Row("b", "b/0", INPUT, {"psnr": 30})], rows_of("", {INPUT: [40, 41]})
    assert {name: summary[INPUT]["psnr"] for name, summary in by_sequence([*video, *shot, *pictures]).items()} == {
        "a": 20.5
    }


def test_tables_leave_out_what_nothing_has_and_dash_what_one_lacks() -> None:
    table = method_table({INPUT: {"psnr": 20.0}, "m": {"psnr": 21.0, "gain": 1.0, "gmacs": 7.214}}, PAIRS)
    head, first, second = (line.split() for line in table.splitlines())
    assert head == ["PSNR", "gain", "GMACs"]
    assert first == [INPUT, "20.000", "-", "-"]
    assert second == ["m", "21.000", "+1.000", "7.21"]


def test_long_names_keep_their_end_and_columns_stand_under_each_other() -> None:
    short, long = ([Row("", name, "model.onnx", {"psnr": 31.5})] for name in ("a", f"{'x' * 60}/000123"))
    lines = [frame_line(rows, PAIRS) for rows in (short, long)]
    assert "/000123 " in lines[1]
    assert len({len(line) for line in lines}) == 1


def test_the_csv_grows_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    file = RowsFile(path, ("psnr", "ms"))
    assert path.read_text() == "sequence,frame,method,psnr,ms\n"
    file.add([Row("s", 'a,"b"/1', INPUT, {"psnr": 20.123456789})])
    file.add([Row("s", "a/2", "m", {"psnr": 21.0, "ms": 3.0, "ssim": 1.0})])
    with path.open(newline="") as opened:
        rows = list(csv.reader(opened))[1:]
    assert rows == [["s", 'a,"b"/1', INPUT, "20.123456789", ""], ["s", "a/2", "m", "21.0", "3.0"]]


def test_nothing_is_written_over_unasked_or_where_it_cannot_be(tmp_path: Path) -> None:
    there = tmp_path / "a.csv"
    there.write_text("mine")
    with pytest.raises(Failure, match="is there already; give another name, or --force"):
        check_output(there, ".csv", force=False)
    check_output(there, ".csv", force=True)
    check_output(tmp_path / "b.csv", ".csv", force=False)
    (tmp_path / "folder.csv").mkdir()
    for path, message, code in (
        (tmp_path / "a.txt", r"ends in \.csv", ExitCode.USAGE),
        (tmp_path / "folder.csv", "is a folder", ExitCode.USAGE),
        (tmp_path / "none" / "a.csv", "none is not a folder; create it", ExitCode.ENVIRONMENT),
    ):
        with pytest.raises(Failure, match=message) as caught:
            check_output(path, ".csv", force=True)
        assert caught.value.code == code
    assert there.read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_is_named() -> None:
    with pytest.raises(Failure, match="cannot write /dev/full: No space left") as caught:
        RowsFile(Path("/dev/full"), ("psnr",))
    assert caught.value.code == ExitCode.ENVIRONMENT


def test_a_file_that_cannot_be_replaced_stays_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.png" / "inside").mkdir(parents=True)
    with pytest.raises(Failure, match=r"cannot write .*a\.png"), replacing(tmp_path / "a.png") as partial:
        partial.write_bytes(b"new")
    assert os.listdir(tmp_path) == ["a.png"]


RED = np.array([40, 40, 230])
FRAME = (400, 700)
CROP = (288, 384)


def measured(name: str, error_before: int, error_after: int, at: tuple[int, int]) -> Measured:
    """A grey frame whose output is off by `error_after` in a patch, and whose input is off by `error_before` there."""
    sharp = np.full((*FRAME, 3), 100, np.uint8)
    pictures = {INPUT: sharp.copy(), "m": sharp.copy(), "sharp": sharp}
    for method, error in ((INPUT, error_before), ("m", error_after)):
        pictures[method][at[0] : at[0] + 40, at[1] : at[1] + 40] += np.uint8(error)
    psnr = {INPUT: 40.0 - error_before, "m": 40.0 - error_after}
    return Measured([Row("", name, method, {"psnr": value}) for method, value in psnr.items()], pictures)


def crops(picture: Image, strip: int) -> list[Image]:
    """Input, output and sharp of one strip of a gallery."""
    height, width = 60 + CROP[0] + 6, CROP[1] + 6
    top = strip * height + 60
    return [picture[top : top + CROP[0], column * width : column * width + CROP[1]] for column in (1, 2, 3)]


def test_the_gallery_shows_worst_and_best_at_full_resolution_where_they_differ() -> None:
    gallery = Gallery(["m"])
    for name, before, after in (("worse", 20, 60), ("better", 60, 20), ("much better", 90, 10), ("same", 30, 30)):
        gallery.add(measured(name, before, after, at=(330, 620)))
    picture = gallery.picture()
    assert picture.shape == (4 * (60 + CROP[0] + 6), 4 * (CROP[1] + 6), 3)
    # Two worst, worst first, then two best, best first; each known by the levels of its patch.
    for strip, (before, after) in enumerate(((20, 60), (30, 30), (90, 10), (60, 20))):
        shown = crops(picture, strip)
        assert [int(crop.max()) - 100 for crop in shown] == [before, after, 0]
        assert [int((crop > 100).all(axis=2).sum()) for crop in shown] == [1600, 1600, 0]  # pixel for pixel
    where = picture[60 : 60 + CROP[0], : CROP[1]]
    assert (where == RED).all(axis=2).any()


def test_the_gallery_keeps_three_of_each_and_shows_no_frame_twice() -> None:
    for count, strips in ((1, 1), (3, 3), (5, 5), (9, 6)):
        gallery = Gallery(["m"])
        for index in range(count):
            gallery.add(measured(str(index), 50, 40 - index, at=(0, 0)))
        assert gallery.picture().shape[0] == strips * (60 + CROP[0] + 6)


@pytest.mark.parametrize("count", [3, 6, 8])
def test_frames_that_gain_the_same_are_shown_once(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def titled(text: str, width: int) -> Image:
        shown.append(text)
        return _text(text, width)

    monkeypatch.setattr("training.evaluation.gallery._text", titled)
    gallery = Gallery(["m"])
    for index in range(count):
        gallery.add(measured(str(index), 20, 20, at=(0, 0)))
    gallery.picture()
    frames = [text.partition(": ")[2].partition(",")[0] for text in shown if text.startswith(("worst", "best"))]
    worst, best = min(3, count // 2), min(3, count - count // 2)
    assert frames == [*map(str, range(worst)), *map(str, range(count - 1, count - 1 - best, -1))]


def test_frames_smaller_than_a_crop_and_long_names_fit() -> None:
    gallery = Gallery(["m"])
    whole = measured("n" * 300, 30, 20, at=(10, 10))
    gallery.add(Measured(whole.rows, {name: image[:30, :47] for name, image in whole.pictures.items()}))
    small = crops(gallery.picture(), 0)[1][:30, :47]
    assert np.array_equal(small, whole.pictures["m"][:30, :47])
