"""`edgedeblur explain`: maps where the frame has them, filters whose direction is known, figures and refusals."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import edgedeblur
from edgedeblur import ExitCode
from training.blocks import ContentAware
from training.checkpoint import save_checkpoint
from training.config import PRESETS, ModelConfig
from training.data.pictures import read_picture
from training.explain.filters import direction, effective_filter, elongation, moments, tap_grid
from training.explain.observe import Layer, Sampling, observe
from training.explain.psf import Measurement, angular_error, line_psf, mean_elongation, measure
from training.explain.summary import telling_pixels
from training.frame_model import FrameModel
from training.network import SAPHNet
from training.synthesis.deadleaves import dead_leaves

# The whole of model.md in small: three levels, every kind of module, content-aware at all scales.
SMALL = ModelConfig(levels=3, widths=(4, 6, 8), encoder_blocks=(1, 1, 1), decoder_blocks=(0, 1, 1), descriptors=5)
# One content-aware module, at 1/16.
EDGE = dataclasses.replace(PRESETS["edge-n"], widths=(4, 6, 8), encoder_blocks=(1, 1, 1))
FRAME = dead_leaves(np.random.default_rng(0), (50, 75), leaves=100)  # not a multiple of anything


def random_network(config: ModelConfig) -> SAPHNet:
    """All parameters random: a fresh network has neither offsets nor a residual."""
    torch.manual_seed(5)
    network = SAPHNet(config).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    return network


def layers_of(network: SAPHNet, frame: NDArray[np.uint8] = FRAME) -> dict[str, Layer]:
    """What `observe` shows, by the module's name."""
    layers: list[Layer] = []
    observe(network, frame, layers.append)
    return {layer.name: layer for layer in layers}


def test_every_module_is_seen_in_the_frames_own_grid() -> None:
    layers = layers_of(random_network(SMALL))
    content_aware = [layer for layer in layers.values() if layer.content_aware]
    assert len(content_aware) == 3 * (3 + 2)
    assert len(layers) == len(content_aware) + 3 * 2 + 2  # skips, exchanges
    assert len({layer.place for layer in layers.values()}) == len(layers)
    for layer in layers.values():
        size = (-(-50 // layer.stride), -(-75 // layer.stride))
        assert layer.mask is not None
        assert layer.mask.shape == size
        assert (layer.sampling is not None) == (layer.fusion is not None) == layer.content_aware
        if layer.sampling is not None:
            assert layer.sampling.offset.shape == (9, 2, *size)
            assert layer.sampling.modulation.shape == (9, *size)
    assert {layer.place: layer.grid for layer in content_aware}["level 3 encoder, scale 1/4, block 1"] == (2, 2)
    assert "level 2 to level 1, scale 1/4" in {layer.place for layer in layers.values()}


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_patchs_maps_are_where_the_patch_is(top: int, left: int) -> None:
    frame = dead_leaves(np.random.default_rng(1), (48, 80), leaves=50)
    changed = frame.copy()
    rows, columns = slice(24 * top, 24 * top + 24), slice(40 * left, 40 * left + 40)
    changed[rows, columns] = 255 - changed[rows, columns]
    network = random_network(SMALL)
    before, after = (layers_of(network, image)["encoders.2.stages.0.0.content_aware"] for image in (frame, changed))
    assert before.sampling is not None
    assert after.sampling is not None
    differs = np.abs(before.sampling.offset - after.sampling.offset).max(axis=(0, 1)) > 0
    assert differs[rows, columns].mean() > 0.9
    differs[rows, columns] = False
    assert not differs.any()


def test_watching_changes_nothing_and_ends() -> None:
    network = random_network(SMALL)
    sharp = observe(network, FRAME, lambda layer: None)
    assert np.array_equal(sharp, FrameModel(network)(torch.from_numpy(FRAME)).numpy())
    assert not any(module._forward_pre_hooks for module in network.modules())


def sampling_of(positions: NDArray[Any], modulation: NDArray[Any] | None = None) -> Sampling:
    """A filter that is the same on a map of 5x7: positions (9, 2), (y, x), and modulation (9,)."""
    everywhere = np.ones((5, 7), np.float32)
    offset = (positions - tap_grid(9))[:, :, None, None] * everywhere
    weights = (np.ones(9) if modulation is None else modulation)[:, None, None] * everywhere
    return Sampling(offset.astype(np.float32), weights.astype(np.float32), np.ones(9, np.float32))


def along(angle: float) -> NDArray[np.float64]:
    """Unit vector (y, x) of a direction on the screen, whose rows grow downwards."""
    return np.array((-np.sin(np.radians(angle)), np.cos(np.radians(angle))))


@given(angle=st.floats(0, 180), reach=st.floats(0.05, 30))
def test_direction_of_filters_stretched_along_an_angle(angle: float, reach: float) -> None:
    stretched = tap_grid(9) + reach * np.outer(tap_grid(9) @ along(angle), along(angle))
    vector = mean_elongation(sampling_of(stretched), 1)
    assert angular_error(direction(vector), angle) < 0.1
    assert 0 < np.hypot(*vector) <= 1


@given(angle=st.floats(0, 180))
def test_direction_of_filters_pulled_onto_a_line(angle: float) -> None:
    line = np.outer(tap_grid(9) @ along(angle), along(angle))  # the offsets themselves are perpendicular to it
    vector = mean_elongation(sampling_of(line), 0)
    assert angular_error(direction(vector), angle) < 0.1
    assert np.hypot(*vector) == pytest.approx(1, abs=1e-5)


def test_taps_that_are_switched_off_do_not_count() -> None:
    column = (tap_grid(9)[:, 1] == 0).astype(float)
    assert float(direction(mean_elongation(sampling_of(tap_grid(9), column), 0))) == pytest.approx(90)
    centroid, _ = moments(sampling_of(tap_grid(9) + np.array((3, -2)), column))
    assert centroid[:, 0, 0] == pytest.approx((3, -2))


def test_a_square_grid_has_no_direction() -> None:
    assert np.isnan(direction(mean_elongation(sampling_of(tap_grid(9)), 0)))


@pytest.mark.parametrize("angle", [0, 35, 90, 160])
def test_offsets_of_a_real_module_along_a_known_angle(angle: float) -> None:
    network = random_network(EDGE)
    _turn_offsets(network, angle)
    (layer,) = layers_of(network).values()
    assert layer.sampling is not None
    assert angular_error(direction(mean_elongation(layer.sampling, 1)), angle) < 2


def test_effective_filter_samples_where_the_offsets_say() -> None:
    network = random_network(EDGE)
    (layer,) = layers_of(network).values()
    assert layer.sampling is not None
    found = effective_filter(layer.sampling, layer.stride, (37, 70))  # feature pixel (2, 4)
    assert found.centre == pytest.approx((39.5, 71.5))
    assert found.positions == pytest.approx((tap_grid(9) + layer.sampling.offset[:, :, 2, 4]) * 16)
    module = network.encoders[0].stages[2][0].content_aware.filter  # type: ignore[index, union-attr]
    weight = module.filter.weight.detach().numpy()
    amounts = [found.modulation[tap] * np.linalg.norm(weight[:, :, tap // 3, tap % 3]) for tap in range(9)]
    assert found.weights == pytest.approx(np.array(amounts) / sum(amounts))


@given(length=st.floats(3, 40), angle=st.floats(0, 180))
def test_a_linear_psf_lies_along_its_angle(length: float, angle: float) -> None:
    psf = line_psf(length, angle)
    y, x = np.mgrid[: len(psf), : len(psf)] - len(psf) // 2
    yy, xx, yx, *means = (float((psf * values).sum()) for values in (y * y, x * x, y * x, y, x))
    assert psf.sum() == pytest.approx(1)
    assert means == pytest.approx([0, 0], abs=1e-9)
    assert angular_error(direction(elongation(np.array((yy, xx, yx)))), angle) < 6  # sharing out widens short lines
    assert length**2 / 12 <= yy + xx <= length**2 / 12 * 1.2 + 0.6


class _BlurReader(nn.Module):
    """Predicts offsets that stretch the filter along the direction with the least gradient of the frame."""

    def __init__(self) -> None:
        super().__init__()
        self.angle = 0.0

    def look(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Hook: `inputs` is the image (1, 3, H, W) at the network's door."""
        grey = inputs[0][0].mean(dim=0).numpy()
        down, right = np.gradient(grey)
        tensor = np.array([(down * down).sum(), (right * right).sum(), (down * right).sum()])
        self.angle = float(direction(-elongation(tensor)))

    def forward(self, x: Tensor) -> Tensor:
        stretch = np.outer(tap_grid(9) @ along(self.angle), along(self.angle)).ravel()
        return torch.from_numpy(stretch.astype(np.float32))[None, :, None, None].expand(1, -1, *x.shape[2:])


def test_a_network_that_reads_the_blur_is_found_to() -> None:
    network, reader = SAPHNet(EDGE).eval(), _BlurReader()
    network.encoders[0].unshuffle.register_forward_pre_hook(reader.look)  # type: ignore[union-attr]
    for module in network.modules():
        if isinstance(module, ContentAware):
            assert module.filter is not None
            module.filter.offset = reader  # type: ignore[assignment]
    rows = list(measure(network, {"leaves": dead_leaves(np.random.default_rng(2), (96, 128), leaves=200)}))
    assert len(rows) == 24
    assert np.mean([row.error for row in rows]) < 5


def _turn_offsets(network: SAPHNet, angle: float) -> None:
    """Make every filter stretch along an angle, whatever it sees."""
    for module in network.modules():
        if isinstance(module, ContentAware):
            assert module.filter is not None
            assert module.filter.offset is not None
            assert module.filter.modulation is not None
            stretch = 2 * np.outer(tap_grid(9) @ along(angle), along(angle)).ravel()
            assert module.filter.offset.bias is not None
            with torch.no_grad():
                module.filter.offset.weight.zero_()
                module.filter.offset.bias.copy_(torch.from_numpy(stretch))
                module.filter.modulation.weight.zero_()


def test_telling_pixels_are_apart_and_edges_come_first() -> None:
    frame = np.full((60, 200, 3), 90, np.uint8)
    frame[20:40, 60:80] = 250
    edges, flats = telling_pixels(frame)[:1], telling_pixels(frame)[-2:]
    assert abs(edges[0][0] - 30) <= 14
    assert abs(edges[0][1] - 70) <= 14
    assert all(abs(column - 70) > 18 for _, column in flats)
    assert telling_pixels(frame[:3, :3]) == telling_pixels(frame[:3, :3])[:1]


@pytest.fixture(scope="module")
def frame_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 50x75."""
    path = tmp_path_factory.mktemp("frames") / "frame.png"
    cv2.imwrite(str(path), FRAME)
    return path


def saved(folder: Path, **changes: Any) -> Path:
    """A checkpoint of EDGE with some switches turned."""
    path = folder / "model.pt"
    save_checkpoint(path, random_network(dataclasses.replace(EDGE, **changes)), "edge-n", {}, {})
    return path


def explain(*arguments: object) -> int:
    """Run `edgedeblur explain` in this process."""
    return edgedeblur.main(["explain", *map(str, arguments)])


def test_explain_writes_figures_and_arrays_and_nothing_over_them(
    frame_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = saved(tmp_path), tmp_path / "out"
    assert explain(frame_path, "--model", model, "-o", out, "--npz", "--pixels", "37,70", "0,0") == 0
    module = "level-1-encoder-scale-1-16-block-1"
    kinds = ("filters.png", "fusion.png", "mask.png", "npz", "offsets.png")
    assert sorted(path.name for path in out.iterdir()) == [*(f"{module}.{kind}" for kind in kinds), "overview.png"]
    assert min(read_picture(path).shape[0] for path in out.glob("*.png")) > 300
    arrays = np.load(out / f"{module}.npz")
    (layer,) = layers_of(random_network(EDGE)).values()
    assert layer.sampling is not None
    assert layer.mask is not None
    assert np.array_equal(arrays["offset"], layer.sampling.offset)
    assert np.array_equal(arrays["mask"], layer.mask)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert explain(frame_path, "--model", model, "-o", out) == ExitCode.USAGE
    assert "--force" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("changes", "kinds", "said"),
    [
        ({"local_branch": False}, {"mask"}, "no offsets: the model has no local branch"),
        ({"global_branch": False}, {"offsets", "filters"}, "no mask: the model has no global branch"),
        ({"learn_offsets": False, "learn_fusion": False}, {"mask", "filters"}, "no offsets: the model learns no"),
    ],
)
def test_an_ablated_model_shows_what_it_has_and_says_what_not(
    changes: dict[str, bool],
    kinds: set[str],
    said: str,
    frame_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain(frame_path, "--model", saved(tmp_path, **changes), "-o", tmp_path / "out") == 0
    figures = {path.name.split(".")[1] for path in (tmp_path / "out").glob("level*")}
    assert figures == kinds
    assert (tmp_path / "out" / "overview.png").exists()
    assert said in capsys.readouterr().out


def test_psf_reports_a_filter_that_never_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = random_network(EDGE)
    _turn_offsets(network, 30)
    save_checkpoint(tmp_path / "model.pt", network, "edge-n", {}, {})
    cv2.imwrite(str(tmp_path / "sharp.png"), dead_leaves(np.random.default_rng(3), (64, 80), leaves=100))
    out = tmp_path / "out"
    assert explain("--psf", tmp_path / "sharp.png", "--model", tmp_path / "model.pt", "-o", out) == 0
    (layer,) = json.loads((out / "psf.json").read_text())["layers"]
    assert layer["error"] == pytest.approx(45, abs=0.1)  # a fixed direction is as good as chance
    assert layer["turning_error"] is None
    with (out / "psf.csv").open() as file:
        errors = {row["angle_deg"]: float(row["error_deg"]) for row in csv.DictReader(file)}
    assert len(errors) == 12
    assert errors["30"] < 2
    assert errors["120"] > 88
    assert "at random" in capsys.readouterr().out
    assert (out / "psf.png").stat().st_size > 10_000


def test_interrupting_keeps_what_was_measured(
    frame_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def interrupted(network: SAPHNet, pictures: dict[str, Any]) -> Iterator[Measurement]:
        for row in itertools.islice(measure(network, pictures), 2):
            measured.append(row)
            yield row
        raise KeyboardInterrupt

    monkeypatch.setattr("training.explain.psf_report.measure", interrupted)
    out = tmp_path / "out"
    assert explain("--psf", frame_path, "--model", saved(tmp_path), "-o", out) == ExitCode.INTERRUPTED
    with (out / "psf.csv").open() as file:
        kept = [(row["layer"], int(row["angle_deg"])) for row in csv.DictReader(file)]
    assert kept == [(row.layer, row.angle) for row in measured]
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "message"),
    [
        ("{frame} --model {folder}/m.onnx", {}, ExitCode.USAGE, "give the .pt"),
        ("{frame} --model {folder}/none.pt", {}, ExitCode.MODEL, "does not exist"),
        ("{folder}/none.png --model {model}", {}, ExitCode.SOURCE, "cannot be read"),
        ("--model {model}", {}, ExitCode.USAGE, "expected one FRAME"),
        ("{frame} --model {model} --pixels 3", {}, ExitCode.USAGE, "expected ROW,COLUMN"),
        ("{frame} --model {model} --pixels 50,1", {}, ExitCode.USAGE, "the frame is 50x75"),
        ("{frame} --model {model} --psf --npz", {}, ExitCode.USAGE, "leave out --psf"),
        ("{frame} --model {model}", {"content_aware": (False,) * 3}, ExitCode.MODEL, "no content-aware module"),
        ("--psf --model {model}", {"local_branch": False}, ExitCode.MODEL, "the same for every pixel"),
    ],
)
def test_mistakes_get_a_message_and_leave_no_folder(
    arguments: str,
    changes: dict[str, Any],
    code: int,
    message: str,
    frame_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = arguments.format(frame=frame_path, folder=tmp_path, model=saved(tmp_path, **changes)).split()
    assert explain(*words, "-o", tmp_path / "out") == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
