"""`edgedeblur calibrate` from end to end: what it writes, what it refuses, and that it loses nothing on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnx_ir as ir
import pytest

import edgedeblur
from calibration.frames.choose import Sample, Selection
from calibration.frames.coverage import features_of, half_luma
from calibration.graph.compute import macs_by_precision
from calibration.measure.quality import decibels
from calibration.measure.sets import EvaluationSet, measured, worst_mean_drop
from calibration.observers.watch import open_session
from export.passes.emulate_half import emulate_half
from export.passes.model_file import load_model
from runtime.frame import Image
from runtime.sources.address import without_credentials
from tests.calibration.small_graphs import frame_model, frames, residual_graph, weights

Paths = Callable[[str], Path]
SOURCE = "test://96x64"
WEIGHTS = Path(edgedeblur.__file__).parent / "runtime" / "weights"


def calibrate(*words: object) -> int:
    return edgedeblur.main(["calibrate", *map(str, words)])


@pytest.fixture(scope="module")
def quantised(exported: Paths, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """edge-n with random weights as INT8, the default layers."""
    output = tmp_path_factory.mktemp("int8") / "edge-n.int8.onnx"
    words = (exported("edge-n"), "--data", SOURCE, "--frames", 4, "-o", output, "--evaluations", 0)
    assert calibrate(*words, "--max-psnr-drop", 2) == 0
    return output


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A graph of ours that takes milliseconds."""
    path = tmp_path / "small.onnx"
    onnx.save(residual_graph(), path)
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Six frames of 48x64."""
    return write_pictures(tmp_path / "album", frames(6, (48, 64)))


def write_pictures(folder: Path, pictures: Sequence[Image]) -> Path:
    folder.mkdir()
    for place, picture in enumerate(pictures):
        cv2.imwrite(str(folder / f"{place}.png"), picture)
    return folder


def write_loud(path: Path) -> Path:
    """A graph that FP16 alone spoils: the first layer's output lies above 20000, where FP16 goes in steps of 16."""
    eye = np.eye(3, dtype=np.float32)[:, :, np.newaxis, np.newaxis]
    arrays, nodes = {}, []
    for name, x, y, factor, offset in (
        ("stem", "image", "loud", 256, 20_000),
        ("back", "loud", "quiet", 1 / 256, -20_000 / 256),
        ("head", "quiet", "residual_image", -1 / 2, 0),
    ):
        parameters = {f"network.{name}.weight": factor * eye, f"network.{name}.bias": np.full(3, offset, np.float32)}
        nodes.append(onnx.helper.make_node("Conv", [x, *parameters], [y], name=f"n_{name}"))
        arrays.update(parameters)
    onnx.save(frame_model(nodes, arrays), path)
    return path


def write_relabelled(source: Path, path: Path, changes: dict[str, str] | None) -> None:
    """A copy with other metadata; None: without any."""
    model = onnx.load(source)
    about = {item.key: item.value for item in model.metadata_props}
    onnx.helper.set_model_props(model, {} if changes is None else {**about, **changes})
    onnx.save(model, path)


def report_of(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(output.with_suffix(".report.json").read_text())
    return content


def test_the_graph_is_strongly_typed_int8_and_fp16(quantised: Path) -> None:
    model = onnx.load(quantised)
    onnx.checker.check_model(model, full_check=True)
    assert [opset.version for opset in model.opset_import if not opset.domain] == [19]
    about = {item.key: item.value for item in model.metadata_props}
    assert about["edgedeblur.precision"] == "int8"
    assert about["edgedeblur.deform"] == "gather"
    assert json.loads(about["edgedeblur.calibration"])["frames"] == 4
    share = macs_by_precision(load_model(quantised))
    assert share["int8"] > 0.7 * sum(share.values())
    assert 0 < share["fp32"] < 0.02 * sum(share.values())
    scales = {item.name: onnx.numpy_helper.to_array(item) for item in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            assert scales[node.input[1]].dtype == np.float16


def test_plan_report_and_graph_agree(quantised: Path) -> None:
    plan = json.loads(quantised.with_suffix(".plan.json").read_text())
    report = report_of(quantised)
    layers = {layer["name"]: layer["precision"] for layer in report["layers"]}
    assert layers == {layer["name"]: layer["precision"] for layer in plan["layers"]}
    assert layers["encoders.0.stem"] == layers["decoders.0.head"] == "fp16"
    assert layers["encoders.0.stages.2.0.content_aware.filter.filter"] == "int8"
    assert {name for name, precision in layers.items() if name.endswith("offset")} <= {
        name for name, precision in layers.items() if precision == "fp16"
    }
    graph = onnx.load(quantised)
    makers = {name: node.op_type for node in graph.graph.node for name in node.output}
    for node in graph.graph.node:
        if node.name in layers and not node.name.endswith(".skip"):
            quantises = makers.get(node.input[1]) == "DequantizeLinear"
            assert quantises == (layers[node.name] == "int8"), node.name
    assert report["passed"]
    rows = {row["precision"]: row for row in report["quality"][0]["rows"]}
    assert list(rows) == ["fp32", "fp16", "int8"]
    assert report["quality"][0]["truth"], "test:// has sharp frames"
    assert rows["fp32"]["drop_db"] == 0 < rows["fp16"]["psnr_to_fp32"]
    assert rows["int8"]["psnr_to_fp32"] < rows["fp16"]["psnr_to_fp32"]
    page = quantised.with_suffix(".report.html").read_text()
    assert "encoders.0.stem" in page.replace("<wbr>", "")


def test_the_figures_of_the_report_are_those_of_the_file(small: Path, album: Path, tmp_path: Path) -> None:
    """Measured again from the file on disk, with nothing of the command's."""
    output = tmp_path / "out.onnx"
    assert calibrate(small, "--data", album, "--eval", album, "-o", output, "--max-psnr-drop", 5) == 0
    exact, found = open_session(load_model(small)), open_session(emulate_half(load_model(output)))
    pictures = [cv2.imread(str(path)) for path in sorted(album.iterdir())]
    each = [
        decibels(*(session.run(["sharp"], {"frame": picture})[0] for session in (found, exact)))
        for picture in pictures
        if picture is not None
    ]
    row = report_of(output)["quality"][0]["rows"][2]
    assert row["psnr_to_fp32"] == pytest.approx(np.mean(each), abs=1e-6)


def test_the_search_meets_the_budget_and_measures_every_layer(small: Path, album: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    assert calibrate(small, "--data", album, "-o", output, "--max-psnr-drop", 5, "--cache", tmp_path / "a") == 0
    costs = {layer["name"]: layer["cost_db"] for layer in report_of(output)["layers"]}
    assert {name for name, cost in costs.items() if cost is not None} == set(costs) - {"gate", "head"}
    everything = sum(layer["precision"] == "int8" for layer in report_of(output)["layers"])
    budget = sorted(cost for cost in costs.values() if cost is not None)[-1] / 2
    words = ("--data", album, "--max-psnr-drop", budget, "--cache", tmp_path / "a", "--force", "-o", output)
    assert calibrate(small, *words) == 0
    tight = report_of(output)
    assert max(row["drop_db"] for row in tight["quality"][0]["rows"]) <= budget
    assert sum(layer["precision"] == "int8" for layer in tight["layers"]) < everything


def test_a_second_run_takes_ranges_and_measurements_from_the_cache(
    small: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (small, "--data", album, "--max-psnr-drop", 5, "-o")
    assert calibrate(*words, tmp_path / "one.onnx") == 0
    journal = next((tmp_path / "calib").glob("*.search.jsonl"))
    lines = journal.read_text()
    assert "from" not in capsys.readouterr().err
    assert calibrate(*words, tmp_path / "two.onnx") == 0
    assert "ranges: from" in capsys.readouterr().err
    assert journal.read_text() == lines
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_an_interrupted_search_goes_on(
    small: Path, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    def counting(model: ir.Model, sets: list[EvaluationSet]) -> float:
        if len(done) == 5 and not (tmp_path / "went-on").exists():
            raise KeyboardInterrupt
        done.append(1)
        return worst_mean_drop(model, sets)

    monkeypatch.setattr("calibration.decide.search.worst_mean_drop", counting)
    words = (small, "--data", album, "--max-psnr-drop", 5, "-o", tmp_path / "out.onnx")
    assert calibrate(*words) == 130
    assert not list(tmp_path.glob("out*"))
    (tmp_path / "went-on").touch()
    assert calibrate(*words) == 0
    assert len(done) == report_of(tmp_path / "out.onnx")["evaluations"], "nothing was measured twice"


def test_an_edited_plan_is_kept_to(small: Path, album: Path, tmp_path: Path) -> None:
    output, plan = tmp_path / "out.onnx", tmp_path / "mine.json"
    assert calibrate(small, "--data", album, "-o", output, "--max-psnr-drop", 5) == 0
    content = json.loads(output.with_suffix(".plan.json").read_text())
    for layer in content["layers"]:
        if layer["name"] in ("side", "up"):
            layer["precision"] = "fp16" if layer["name"] == "side" else "fp32"
        if layer["name"] == "down":
            layer["range"] = 123.0
    plan.write_text(json.dumps(content))
    words = ("--data", album, "-o", tmp_path / "two.onnx", "--max-psnr-drop", 20, "--plan", plan)
    assert calibrate(small, *words) == 0
    again = json.loads((tmp_path / "two.plan.json").read_text())
    found = {layer["name"]: layer for layer in again["layers"]}
    assert (found["side"]["precision"], found["up"]["precision"]) == ("fp16", "fp32")
    assert found["down"]["range"] == 123.0
    graph = load_model(tmp_path / "two.onnx")
    types = {node.name: node.outputs[0].dtype for node in graph.graph}
    assert str(types["up"]) == "FLOAT"
    assert str(types["side"]) == "FLOAT16"


def test_a_plan_that_was_trained_brings_its_own_ranges(small: Path, album: Path, tmp_path: Path) -> None:
    assert calibrate(small, "--data", album, "-o", tmp_path / "out.onnx", "--max-psnr-drop", 5) == 0
    content = json.loads((tmp_path / "out.plan.json").read_text())
    assert content["bias"]
    trained = {**content, "model_sha256": None, "bias": {}}
    (tmp_path / "qat.json").write_text(json.dumps(trained))
    words = ("--data", album, "-o", tmp_path / "two.onnx", "--max-psnr-drop", 20, "--plan", tmp_path / "qat.json")
    assert calibrate(small, *words) == 0
    again = json.loads((tmp_path / "two.plan.json").read_text())
    assert [layer["range"] for layer in again["layers"]] == [layer["range"] for layer in content["layers"]]
    assert again["bias"] == {}


def test_losses_can_be_measured_against_another_model(small: Path, album: Path, tmp_path: Path) -> None:
    """What fine-tuning began with: its own FP32 output is another one."""
    before = tmp_path / "before.onnx"
    onnx.save(residual_graph(weights(seed=9)), before)
    words = (small, "--data", album, "--max-psnr-drop", 100, "--evaluations", 0, "-o")
    assert calibrate(*words, tmp_path / "own.onnx") == 0
    assert calibrate(*words, tmp_path / "other.onnx", "--reference", before) == 0
    own, other = (report_of(tmp_path / f"{name}.onnx") for name in ("own", "other"))
    assert (own["reference"], other["reference"]) == ("small.onnx", "before.onnx")
    drops = [report["quality"][0]["rows"][2]["drop_db"] for report in (own, other)]
    assert drops[1] > drops[0] + 1
    assert (tmp_path / "own.onnx").stat().st_size == (tmp_path / "other.onnx").stat().st_size


def test_a_search_that_has_no_evaluations_left_does_not_pass_for_int8(
    small: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.onnx"
    assert calibrate(small, "--data", album, "-o", output, "--max-psnr-drop", 0, "--evaluations", 1) == 6
    assert not output.exists()
    assert "FP16 alone loses" in capsys.readouterr().err
    words = ("--data", album, "-o", output, "--force", "--evaluations", 1, "--max-psnr-drop")
    assert calibrate(small, *words, 0.001) == 6
    assert "no layer is INT8; expected some" in capsys.readouterr().err
    assert "No layer is INT8; expected some" in output.with_suffix(".refused.report.html").read_text()
    assert calibrate(small, *words, 50) == 0
    assert any(layer["precision"] == "int8" for layer in report_of(output)["layers"])


def test_fp16_over_the_budget_is_refused_before_int8_is_tried(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loud, output = write_loud(tmp_path / "loud.onnx"), tmp_path / "out.onnx"
    assert calibrate(loud, "--data", album, "-o", output) == 6
    assert "FP16 alone loses" in capsys.readouterr().err
    assert not (tmp_path / "calib").exists(), "nothing was observed"
    page = output.with_suffix(".refused.report.html").read_text()
    assert "FP16 alone loses" in page
    assert "--plan" not in page
    report = json.loads(output.with_suffix(".refused.report.json").read_text())
    assert (report["precision"], report["layers"], report["passed"]) == ("fp16", [], False)


def test_a_plan_may_save_with_fp32_what_fp16_alone_loses(album: Path, tmp_path: Path) -> None:
    loud, plan = write_loud(tmp_path / "loud.onnx"), tmp_path / "plan.json"
    words = (loud, "--data", album, "-o", tmp_path / "out.onnx", "--max-psnr-drop")
    assert calibrate(*words, 100) == 6, "the rule finds no layer wide enough for INT8"
    content = json.loads((tmp_path / "out.refused.plan.json").read_text())
    for layer in content["layers"]:
        layer["precision"] = "int8" if layer["name"] == "head" else "fp32"
    plan.write_text(json.dumps(content))
    assert calibrate(*words, 0.1, "--force") == 6
    assert calibrate(*words, 0.1, "--force", "--plan", plan) == 0


def test_the_same_pictures_as_pairs_and_as_frames_are_measured_apart(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    for place, frame in enumerate(frames(2, (48, 64), seed=5)):
        cv2.imwrite(str(folder / f"{place}_sharp.png"), frame)
        cv2.imwrite(str(folder / f"{place}_blur.png"), cv2.blur(frame, (5, 1)))
    words = (small, "--data", folder, "--max-psnr-drop", 100, "--cache", tmp_path / "cache")
    assert calibrate(*words, "--eval", folder, "-o", tmp_path / "pairs.onnx") == 0
    assert calibrate(*words, "--eval", f"{folder}/*.png", "-o", tmp_path / "frames.onnx") == 0
    costs = [
        [layer["cost_db"] for layer in report_of(tmp_path / f"{name}.onnx")["layers"] if layer["name"] == "stem"]
        for name in ("pairs", "frames")
    ]
    assert costs[0] != costs[1]


def test_fp16_alone(exported: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "half.onnx"
    words = ("--data", SOURCE, "--frames", 2, "-o", output, "--precision", "fp16", "--deform", "native")
    assert calibrate(exported("edge-n"), *words, "--max-psnr-drop", 0.01) == 0
    model = load_model(output)
    assert model.metadata_props["edgedeblur.precision"] == "fp16"
    assert not output.with_suffix(".plan.json").exists()
    assert macs_by_precision(model)["int8"] == 0
    assert [row["precision"] for row in report_of(output)["quality"][0]["rows"]] == ["fp32", "fp16"]
    assert "INT8" not in capsys.readouterr().out


def test_pairs_measure_and_unpaired_frames_estimate(small: Path, album: Path, tmp_path: Path) -> None:
    for place, frame in enumerate(frames(3, (48, 64), seed=5)):
        for side, picture in (("blur", cv2.blur(frame, (5, 1))), ("sharp", frame)):
            (tmp_path / "pairs" / side).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "pairs" / side / f"{place}.png"), picture)
    words = ("--data", album, "--eval", tmp_path / "pairs", "--eval", album, "--max-psnr-drop", 20)
    assert calibrate(small, *words, "-o", tmp_path / "out.onnx", "--evaluations", 0) == 0
    first, second = report_of(tmp_path / "out.onnx")["quality"]
    assert (first["truth"], second["truth"]) == (True, False)
    assert second["rows"][2]["psnr"] is None
    assert second["rows"][2]["drop_db"] > 0
    assert report_of(tmp_path / "out.onnx")["frames"]["held_out"] is None


def test_a_refusal_leaves_a_good_file_alone_and_says_what_costs_most(
    small: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.onnx"
    assert calibrate(small, "--data", album, "-o", output, "--max-psnr-drop", 20) == 0
    kept = {path: path.read_bytes() for path in tmp_path.glob("out*")}
    capsys.readouterr()
    words = ("--data", album, "-o", output, "--force", "--plan", output.with_suffix(".plan.json"))
    assert calibrate(small, *words, "--max-psnr-drop", 0.001) == 6
    message = capsys.readouterr().err
    assert re.search(r"loses [0-9.]+ dB; expected at most 0.001 dB; most is lost by \S+ \([0-9.]+ dB\)", message)
    assert {path: path.read_bytes() for path in kept} == kept
    refused = json.loads(output.with_suffix(".refused.report.json").read_text())
    assert not refused["passed"]
    assert output.with_suffix(".refused.plan.json").exists(), "what fine-tuning starts from"
    assert output.with_suffix(".refused.report.html").exists()
    assert "not written" in message


def test_a_pass_takes_away_what_tells_of_an_older_refusal(small: Path, album: Path, tmp_path: Path) -> None:
    refused = [tmp_path / f"out.refused.{name}" for name in ("plan.json", "report.json", "report.html")]
    words = (small, "--data", album, "-o", tmp_path / "out.onnx", "--evaluations", 0, "--max-psnr-drop")
    assert calibrate(*words, 0.001) == 6
    assert all(path.exists() for path in refused)
    assert calibrate(*words, 20, "--force", "--plan", refused[0]) == 0
    assert [path.exists() for path in refused] == [True, False, False], "a plan that was given is the user's"
    assert calibrate(*words, 20, "--force") == 0
    assert not any(path.exists() for path in refused)


def test_a_file_that_appears_meanwhile_is_left_alone(
    small: Path, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two processes that were started at once."""
    theirs = tmp_path / "out.report.json"

    def slow(*arguments: Any) -> Any:
        theirs.write_text("theirs")
        return measured(*arguments)

    monkeypatch.setattr("calibration.calibrate_command.measured", slow)
    words = (small, "--data", album, "-o", tmp_path / "out.onnx", "--evaluations", 0, "--max-psnr-drop", 20)
    assert calibrate(*words) == 2
    assert f"{theirs} appeared" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("out*")] == [theirs.name]
    assert theirs.read_text() == "theirs"
    assert calibrate(*words, "--force") == 0


def test_a_graph_without_convolutions_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.onnx"
    nodes = [onnx.helper.make_node("Relu", ["image"], ["residual_image"])]
    onnx.save(frame_model(nodes, weights()), path)
    assert calibrate(path, "--data", SOURCE, "--frames", 2) == 5
    assert "nothing to quantise" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--data", "{dark}"], ["--data", "{album}", "--eval", "{album}", "--eval", "{dark}"]]
)
def test_frames_that_show_nothing_are_refused(
    words: list[str], small: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A graph that answers them with anything at all would pass, or be calibrated on nothing."""
    dark = write_pictures(tmp_path / "dark", [np.full((20, 30, 3), level, np.uint8) for level in (0, 0, 90)])
    assert calibrate(small, *(word.format(dark=dark, album=album) for word in words)) == 4
    message = capsys.readouterr().err
    assert re.search(r"dark.*: 3 frames, all of one colour", message)
    assert not list(tmp_path.glob("*int8*"))


def test_held_out_frames_that_show_nothing_are_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [Sample(picture, "one", features=features_of(half_luma(picture), None)) for picture in frames(2)]
    dark = [Sample(np.zeros((24, 34, 3), np.uint8), "dark")]
    selection = Selection("a camera", 3, samples, dark, held_out=True)
    monkeypatch.setattr("calibration.calibrate_command.choose_frames", lambda *_: selection)
    assert calibrate(small, "--data", SOURCE, "-o", tmp_path / "out.onnx") == 4
    assert "held out: 1 frame, all of one colour" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("test://96x64@30", "test://96x64@30"),
        ("file:///home/me@work/frames", "file:///home/me@work/frames"),
        ("RTSPS://user:p@ss/w@host/a", "RTSPS://host/a"),
        ("http://user:pass@host/a", "http://host/a"),
    ],
)
def test_only_users_of_streams_are_taken_out_of_names(uri: str, name: str) -> None:
    assert without_credentials(uri) == name


def test_a_password_is_never_told(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dark = [Sample(np.zeros((24, 34, 3), np.uint8), "dark")]
    selection = Selection("rtsp://host/a", 1, dark, dark, held_out=False)
    monkeypatch.setattr("calibration.calibrate_command.choose_frames", lambda *_: selection)
    assert calibrate(small, "--data", "rtsp://user:secret@host/a", "-o", tmp_path / "out.onnx") == 4
    assert "secret" not in capsys.readouterr().err


def test_one_frame_is_enough_and_said(
    small: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--data", album / "0.png", "-o", tmp_path / "out.onnx", "--max-psnr-drop", 20, "--evaluations", 3)
    assert calibrate(small, *words) == 0
    report = report_of(tmp_path / "out.onnx")
    assert len(report["frames"]["chosen"]) == 1
    assert report["frames"]["held_out"] is False
    told = capsys.readouterr().err
    assert "1 frame to calibrate on; --frames asks for 128" in told
    assert "measured on the calibration frames themselves" in told
    assert "0.png: 1 frame, lost" in told


def test_frames_that_were_asked_for_and_found_are_not_told_of(
    small: Path, album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--data", album, "--frames", 4, "-o", tmp_path / "out.onnx", "--max-psnr-drop", 20, "--evaluations", 0)
    assert calibrate(small, *words) == 0
    told = capsys.readouterr().err
    assert "--frames" not in told
    assert "themselves" not in told


def test_the_model_may_stand_behind_the_sets(small: Path, album: Path, tmp_path: Path) -> None:
    words = ("-o", tmp_path / "out.onnx", "--max-psnr-drop", 20, "--evaluations", 0)
    assert calibrate(*words, "--data", album, "--eval", album, small) == 0


def test_help_says_each_default_once_and_none_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        calibrate("--help")
    told = " ".join(capsys.readouterr().out.split())
    assert "(default: calib beside the output)" in told
    assert "MODEL.fp16.onnx" in told
    assert "(default: 128)" in told
    assert not re.search(r"\(default: (None|\[\])\)|\) \(default:", told)


def test_frames_of_several_sizes(small: Path, album: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(album / "9.png"), frames(1, (30, 90))[0])
    words = ("--data", album, "-o", tmp_path / "out.onnx", "--max-psnr-drop", 20, "--evaluations", 3)
    assert calibrate(small, *words) == 0


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["{model}", "--data", SOURCE, "--max-psnr-drop", "nan"], 2, "--max-psnr-drop is nan"),
        (["{model}", "--data", SOURCE, "--evaluations", "-1"], 2, "--evaluations is -1"),
        (["{model}", "--data", SOURCE, "--precision", "fp16", "--plan", "p.json"], 2, "--plan says which layers"),
        (["{model}", "--data", SOURCE, "-o", "{model}"], 2, "{model}"),
        (["{model}", "--data", SOURCE, "-o", "{int8}"], 2, "--force"),
        (["{model}", "--data", SOURCE, "-o", "{tmp}/best.pt"], 2, ".onnx"),
        (["{model}", "--data", SOURCE, "-o", "{tmp}/taken.onnx"], 2, "taken.plan.json is there already"),
        (["{model}", "--data", SOURCE, "-o", "{tmp}/edited.onnx"], 2, "edited.refused.plan.json is there already"),
        (["{model}", "--data", SOURCE, "-o", "{tmp}/told.onnx"], 2, "told.refused.report.html is there already"),
        (
            ["{model}", "--data", SOURCE, "-o", "{tmp}/" + "n" * 236 + ".onnx"],
            3,
            "refused.report.json cannot be written",
        ),
        (["{model}", "--data", SOURCE, "-o", "{tmp}/new/" + "n" * 236 + ".onnx"], 3, "File name too long"),
        (["{model}", "--data", SOURCE, "--cache", ""], 2, "--cache is ''; expected a folder"),
        ([".", "--data", SOURCE], 5, "expected an .onnx file"),
        (["{model}", "--data", SOURCE, "--reference", "{int8}"], 5, "is precision int8"),
        (["{model}", "--data", SOURCE, "--reference", "{int8}", "-o", "{int8}", "--force"], 2, "is the input"),
        (["{gather}", "--data", SOURCE], 5, "deform gather; expected"),
        (["{model}", "--data", "{tmp}/tiny"], 4, "tiny.png"),
        (["{model}", "--data", "test://640x360", "--frames", "100000"], 2, "too many to hold"),
        (["{int8}", "--data", SOURCE], 5, "is precision int8"),
        (["{tmp}/fp16.onnx", "--data", SOURCE], 5, "is precision fp16"),
        (["{tmp}/relabelled.onnx", "--data", SOURCE], 5, "is quantised already"),
        (["{tmp}/foreign.onnx", "--data", SOURCE], 5, "not one that edgedeblur made"),
        (["{tmp}/none.onnx", "--data", SOURCE], 5, "does not exist"),
        (["{tmp}/noise.onnx", "--data", SOURCE], 5, "not a valid ONNX model"),
        (["{model}", "--data", "{tmp}/nothing"], 4, "nothing"),
        (["{model}", "--data", SOURCE, "--eval", "{tmp}/nothing"], 4, "nothing"),
        (["{model}", "--data", SOURCE, "--frames", "0"], 2, "--frames is 0"),
        (["{model}", "--data", SOURCE, "-o", "/proc/x.onnx"], 3, "cannot be written"),
        (["{model}", "--data", SOURCE, "--plan", "{tmp}/none.json"], 2, "none.json cannot be read"),
    ],
)
def test_mistakes(
    words: list[str],
    code: int,
    message: str,
    small: Path,
    quantised: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out" / "m.onnx"
    (tmp_path / "tiny").mkdir()
    cv2.imwrite(str(tmp_path / "tiny" / "tiny.png"), np.zeros((5, 9, 3), np.uint8))
    for name in ("taken.plan.json", "edited.refused.plan.json", "told.refused.report.html"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "noise.onnx").write_bytes(b"noise")
    for name, source, changes in (
        ("fp16", small, {"edgedeblur.precision": "fp16"}),
        ("relabelled", quantised, {"edgedeblur.precision": "fp32", "edgedeblur.deform": "native"}),
        ("foreign", small, None),
    ):
        write_relabelled(source, tmp_path / f"{name}.onnx", changes)
    names = {"model": small, "int8": quantised, "tmp": tmp_path, "gather": WEIGHTS / "edge-n.gather.onnx"}
    kept = {name: names[name].read_bytes() for name in ("model", "int8")}
    filled = [word.format(**names) for word in words]
    assert calibrate("-o", output, *filled) == code
    assert message.format(**names) in capsys.readouterr().err
    assert not output.exists()
    assert all(names[name].read_bytes() == data for name, data in kept.items())
