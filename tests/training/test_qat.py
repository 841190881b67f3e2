"""Fake quantisation: the same numbers as the graph that is deployed, and gradients that go straight through."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import onnx.parser
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import edgedeblur
from calibration.graph.layers import find_layers, refind_layers
from calibration.graph.quantise import levels_of, quantise
from export.passes import apply_passes, passes_for
from runtime.sessions.onnx_session import session_options
from tests.training.plans import BLOCK, FILTER, KINDS, PLAN
from tests.training.tiny import MODEL
from training.blocks import PixelDependentFilter, ResidualBlock
from training.config import PRESETS
from training.frame_model import FrameModel
from training.learner import Learner
from training.network import SAPHNet
from training.qat import (
    FakeQuantBlock,
    FakeQuantConvolution,
    FakeQuantFilter,
    activation_scale,
    add_to_biases,
    fake_quantise,
    quantised_activation,
    quantised_weight,
)
from training.quantisation_plan import QuantisationPlan
from training.synthesis.deadleaves import dead_leaves
from training.train_config import TrainConfig

Array = npt.NDArray[np.float32]
WEIGHTS = Path(edgedeblur.__file__).parent / "runtime" / "weights"


def random_network(std: float) -> SAPHNet:
    """A network in which every layer moves the output, and offsets and modulation are at work."""
    torch.manual_seed(3)
    network = SAPHNet(MODEL).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network


@functools.lru_cache
def session_of(text: str) -> onnxruntime.InferenceSession:
    """A graph in ONNX's own text form, without fusions that saturate on old CPUs."""
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 19]> g {text}')
    return onnxruntime.InferenceSession(model.SerializeToString(), session_options(), ["CPUExecutionProvider"])


def onnx_results(text: str, **inputs: npt.ArrayLike) -> Array:
    """What that graph gives."""
    result: Array = session_of(text).run(None, {name: np.asarray(value) for name, value in inputs.items()})[0]
    return result


@settings(deadline=None, max_examples=60)
@given(
    st.floats(0, 1e7, allow_subnormal=False),
    st.lists(st.floats(-2, 2, width=32, allow_subnormal=False), min_size=1, max_size=30),
)
def test_activations_are_quantised_as_onnx_does_it(largest: float, shares: list[float]) -> None:
    """Ties, the range's ends and what lies beyond them included: -128 exists, +128 does not."""
    scale = activation_scale(largest)
    x = np.array([*shares, -1.1, -1, 1, 1.1], np.float32) * np.float32(scale * 127)
    x = np.append(x, np.arange(-130, 131, dtype=np.float32) * np.float32(scale / 2))
    expected = onnx_results(
        "(float[N] x, float s) => (float[N] y) "
        "<int8 z = {0}> { q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }",
        x=x,
        s=np.float32(scale),
    )
    assert np.array_equal(quantised_activation(torch.from_numpy(x), scale).numpy(), expected)
    assert {-128, 127} <= set(np.round(expected / np.float32(scale)))


def test_scales_are_numbers_of_fp16_above_its_denormals() -> None:
    scales = [activation_scale(largest) for largest in (0.0, 1e-9, 0.1, 127.0, 127.06, 1e7, 1e300)]
    assert scales == [2**-14, 2**-14, float(np.float16(0.1 / 127)), 1.0, 1.0, 65504.0, 65504.0]


def test_weights_are_quantised_as_calibration_does_it() -> None:
    weight = torch.randn(40, 3, 1, 5, generator=torch.Generator().manual_seed(1)) ** 3
    weight[7] *= 1e-9
    weight[8] = 0
    levels, scales = levels_of(weight.numpy(), 0)
    expected = levels.astype(np.float32) * scales.astype(np.float32)[:, None, None, None]
    assert np.array_equal(quantised_weight(weight).numpy(), expected)


def test_half_precision_does_not_reach_the_levels() -> None:
    x = torch.linspace(-2, 2, 999)
    with torch.autocast("cpu", torch.bfloat16):
        found = quantised_activation(x.bfloat16(), 0.013)
        weight = quantised_weight(x.view(27, 37))
    assert found.dtype == weight.dtype == torch.float32
    torch.testing.assert_close(found, quantised_activation(x.bfloat16().float(), 0.013), rtol=0, atol=0)


def test_gradients_go_straight_through_inside_the_range_alone() -> None:
    x = torch.tensor([-1.3, -1.28, -1.1, -0.004, 0.0, 0.33, 1.27, 1.28], requires_grad=True)
    quantised_activation(x, 0.01).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    weight = (torch.randn(9, 4, 3, 3, generator=torch.Generator().manual_seed(2)) * 0.3).requires_grad_()
    direction = torch.randn(9, 4, 3, 3, generator=torch.Generator().manual_seed(4))
    (quantised_weight(weight) * direction).sum().backward()  # type: ignore[no-untyped-call]
    assert weight.grad is not None
    assert torch.equal(weight.grad, direction)  # of the largest, too, although its scale is rounded


def test_a_convolution_is_that_of_an_onnx_graph_with_q_and_dq() -> None:
    torch.manual_seed(1)
    convolution = nn.Conv2d(3, 5, (3, 1), stride=(1, 2), padding=(2, 1))
    x = torch.randn(2, 3, 7, 10)
    levels, scales = levels_of(convolution.weight.detach().numpy(), 0)
    assert convolution.bias is not None
    expected = onnx_results(
        "(float[2,3,7,10] x, float s, int8[5,3,3,1] w, float[5] ws, float[5] b) => (float[B,M,H,W] y) "
        "<int8 z = {0}, int8[5] wz = {0,0,0,0,0}> { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
        "v = DequantizeLinear<axis=0>(w, ws, wz) y = Conv<strides=[1,2], pads=[2,1,2,1]>(d, v, b) }",
        x=x.numpy(),
        s=np.float32(activation_scale(1.7)),
        w=levels,
        ws=scales.astype(np.float32),
        b=convolution.bias.detach().numpy(),
    )
    plain = convolution(x).detach().numpy()
    convolution.__class__ = FakeQuantConvolution
    convolution.scale = activation_scale(1.7)  # type: ignore[assignment]
    found = convolution(x).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.abs(plain - expected).max() > 1e-3


def shipped_network(model: onnx.ModelProto) -> SAPHNet:
    """The network of the shipped weights, out of its graph."""
    network = SAPHNet(PRESETS["edge-n"]).eval()
    arrays = {value.name: np.array(onnx.numpy_helper.to_array(value)) for value in model.graph.initializer}
    network.load_state_dict({name: torch.from_numpy(arrays[f"network.{name}"]) for name in network.state_dict()})
    return network


def test_a_network_computes_what_its_calibrated_graph_does() -> None:
    """The shipped weights: convolutions, a lowered deformable one, a skip and a corrected bias, through calibration."""
    shipped = onnx.load(WEIGHTS / "edge-n.onnx")
    network, corrections = shipped_network(shipped), np.linspace(-0.3, 0.2, 88, dtype=np.float32)
    frame = dead_leaves(np.random.default_rng(0), (73, 98), leaves=60)
    model = ir.serde.deserialize_model(shipped)
    layers = find_layers(model)
    model = apply_passes(model, passes_for("gather", "fp32"))
    chosen = [layer for layer in refind_layers(model, layers) if layer.name in KINDS]
    assert {layer.name: layer.kind for layer in chosen} == KINDS
    ranges = {str(layer.activation.name): 1.5 for layer in chosen}
    quantise(model, chosen, ranges, {f"{BLOCK}.first": corrections})
    data = ir.serde.serialize_model(model).SerializeToString()
    session = onnxruntime.InferenceSession(data, session_options(), ["CPUExecutionProvider"])
    deployed = session.run(None, {"frame": frame})[0].astype(int)
    plain = deblurred(network, frame)
    add_to_biases(network, {f"{BLOCK}.first": corrections.tolist()})
    fake_quantise(network, QuantisationPlan(PLAN))
    trained = deblurred(network, frame)
    assert np.abs(trained - deployed).max() <= 1
    assert np.mean(trained != deployed) < 0.01  # sums in another order tip a level here and there
    assert np.mean(plain != deployed) > 0.3


def deblurred(network: SAPHNet, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """A frame through a network."""
    with torch.no_grad():
        sharp: npt.NDArray[np.uint8] = FrameModel(network)(torch.from_numpy(frame)).numpy()
    return sharp.astype(np.int64)


def test_each_kind_of_layer_is_quantised_where_it_should_be() -> None:
    network = random_network(0.1)
    before = {name: (value.data_ptr(), value.clone()) for name, value in network.state_dict().items()}
    order = [name for name, _ in network.named_parameters()]
    fake_quantise(network, QuantisationPlan(PLAN))
    fakes = {name for name, module in network.named_modules() if type(module).__name__.startswith("FakeQuant")}
    skip_of = f"{BLOCK}.second.skip"
    assert fakes == {*KINDS} - {FILTER, skip_of} | {FILTER.removesuffix(".filter"), BLOCK}
    assert [name for name, _ in network.named_parameters()] == order
    for name, value in network.state_dict().items():
        assert value.data_ptr() == before[name][0]
        assert torch.equal(value, before[name][1])


def test_a_block_adds_its_input_as_its_first_convolution_reads_it() -> None:
    torch.manual_seed(2)
    block, x = ResidualBlock(4, MODEL, content_aware=False), torch.randn(1, 4, 5, 9)
    added = block(x) - x
    block.__class__ = FakeQuantBlock
    block.scale = 0.02  # type: ignore[assignment]
    torch.testing.assert_close(block(x), quantised_activation(x, 0.02) + added)
    assert not torch.equal(quantised_activation(x, 0.02), x)


def test_an_undeformed_filter_is_a_convolution_in_int8() -> None:
    torch.manual_seed(2)
    layer, x = PixelDependentFilter(6, MODEL), torch.randn(2, 6, 5, 9)
    plain = nn.Conv2d(6, 6, 3, padding=1)
    plain.load_state_dict(layer.filter.state_dict())
    exact = plain(x)
    for module, form in ((layer, FakeQuantFilter), (plain, FakeQuantConvolution)):
        module.__class__ = form
        module.scale = 0.02  # type: ignore[assignment]
    torch.testing.assert_close(layer(x), plain(x), atol=1e-5, rtol=0)
    assert (layer(x) - exact).abs().max() > 1e-3


def learner(**settings: Any) -> Learner:
    """The tiny network under quantisation, with these settings."""
    basis = TrainConfig("tiny", MODEL, "", 100, 2, 32, 1e-3, 0, 0, 0.9, "off", "cpu", 10, 1)
    taught = Learner(TrainConfig(**{**basis.__dict__, "plan": QuantisationPlan(PLAN), **settings}))
    taught.start_from(random_network(0.05).state_dict())
    return taught


def step(taught: Learner) -> tuple[float, float]:
    """One step on two fixed pairs; loss and gradient norm."""
    sharp = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    blurred = nn.functional.avg_pool2d(sharp, (1, 5), 1, (0, 2))
    return taught.step(blurred, sharp, 1e-3, 2)


@pytest.mark.parametrize(
    "settings", [{"amp": "bf16"}, {"amp": "fp16"}, {"channels_last": True}, {"compile": True}], ids=str
)
def test_precision_layout_and_compilation_change_no_more_than_they_do_otherwise(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda *a, **k: compile_(*a, **k, backend="eager"))
    plain, other = (step(learner(**chosen)) for chosen in ({}, settings))
    assert other == pytest.approx(plain, rel=0.01)
    assert step(learner(plan=None)) != pytest.approx(plain, rel=1e-6)


def test_every_weight_learns_and_the_average_is_quantised() -> None:
    taught = learner()
    step(taught)
    missing = [name for name, value in taught.network.named_parameters() if value.grad is None or not value.grad.any()]
    assert not missing
    assert isinstance(taught.averaged.get_submodule(f"{BLOCK}.first"), FakeQuantConvolution)
    assert isinstance(taught.averaged.get_submodule(BLOCK), FakeQuantBlock)
