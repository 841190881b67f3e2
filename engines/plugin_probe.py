"""The plugin tried for itself, once for each library, TensorRT and GPU, before engines are built with it.

A trained network hides a wrong deformable convolution: offsets are small and its output is a part of a small residual.
Here it is all there is between frame and output, with offsets that reach far over every edge.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

from edgedeblur import ExitCode, Failure
from engines.build import BuildConfig, engine_from_onnx
from engines.memory import LEAST
from engines.parity import Parity, measure, references, running
from engines.plugin_library import PluginLibrary
from engines.sizes import text_of
from engines.toolkit import Toolkit
from export.passes.model_file import SCHEMA_KEY, model_from_bytes
from export.passes.whole_files import write_whole
from runtime.sessions.engine_file import EngineFile
from runtime.sessions.size_range import fixed_size
from runtime.sessions.user_cache import user_cache

NAME = Path("plugin-probe.onnx")
SIZE = (24, 2040)  # (height, width): beyond column 1024 half-precision positions are whole pixels
CHANNELS, OUT_CHANNELS, OFFSET_GROUPS, KERNEL = 32, 24, 2, (3, 5)
REACH = (40.0, 120.0)  # pixels (down, across) that a black and a white steering pixel are apart at most
# dB from ONNX Runtime. With the Gather form in the plugin's place it reaches 60 in FP16 and 99 in FP32; half-precision
# positions reach 29, nearest pixels 22; exchanged axes, groups or taps, no mask or no offsets less than 20.
LEAST_DB = 45.0
# Blue steers the offsets and green the mask, both FP32 in every precision: positions are the same bits in all of them.
GRAPH = f"""
<ir_version: 9, opset_import: ["" : 19], metadata_props: ["{SCHEMA_KEY}" : "1"]>
probe (uint8[{SIZE[0]}, {SIZE[1]}, 3] frame) => (uint8[{SIZE[0]}, {SIZE[1]}, 3] sharp)
{{
    pixels = Cast <to = 1> (frame)
    scaled = Div (pixels, white)
    planes = Transpose <perm = [2, 0, 1]> (scaled)
    image = Unsqueeze (planes, zero)
    blue = Slice (image, zero, one, one)
    green = Slice (image, one, two, one)
    steering = Sub (blue, grey)
    offset = Mul (steering, reach)
    mask = Mul (green, strength)
    features = Conv <pads = [1, 1, 1, 1]> (image, filters)
    sampled = DeformConv <pads = [1, 2, 1, 2], offset_group = {OFFSET_GROUPS}> (features, weight, offset, bias, mask)
    mixed = Conv (sampled, mixer, level)
    result = Squeeze (mixed, zero)
    rows = Transpose <perm = [1, 2, 0]> (result)
    grown = Mul (rows, white)
    whole = Round (grown)
    clipped = Clip (whole, black, white)
    sharp = Cast <to = 2> (clipped)
}}
"""


def probe_bytes() -> bytes:
    """The probe as an ONNX file in canonical form: `frame` uint8 (*SIZE, 3) in, `sharp` the same out; always equal."""
    model = onnx.parser.parse_model(GRAPH)
    arrays = {**_constants(), **_weights()}
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return bytes(model.SerializeToString())


def check_plugin(plugin: PluginLibrary, config: BuildConfig, toolkit: Toolkit) -> None:
    """Build the probe as `config` says, run it on this GPU and compare it with ONNX Runtime, unless that was done.

    Raises Failure: QUALITY when the plugin computes something else, and what building and running raise.
    """
    data, precision = probe_bytes(), "fp32" if config.precision == "fp32" else "fp16"
    passed = _passed_file(plugin, toolkit, precision, data)
    if passed.is_file():
        return
    try:
        expected = references(data, NAME, "fp32", [], fixed_size(SIZE))
    except Failure as failure:
        print(f"the plugin was not tried for itself: {failure}", file=sys.stderr)
        return
    print(f"trying the plugin on {text_of(SIZE)}, once for this {toolkit.name} and GPU", file=sys.stderr, flush=True)
    small = dataclasses.replace(config, sizes=fixed_size(SIZE), precision=precision, workspace_gib=LEAST)
    built = engine_from_onnx(model_from_bytes(data, NAME), small, toolkit)
    with running(EngineFile(NAME, built.plan, toolkit.name, None)) as engine:
        parity = measure(engine, expected)
    _check(parity, plugin, toolkit)
    _remember(passed, parity)


def _constants() -> dict[str, np.ndarray]:
    axes = {"zero": 0, "one": 1, "two": 2}
    numbers = {"black": 0.0, "grey": 0.5, "white": 255.0}
    return {
        **{name: np.array([axis], np.int64) for name, axis in axes.items()},
        **{name: np.array(number, np.float32) for name, number in numbers.items()},
    }


def _weights() -> dict[str, np.ndarray]:
    """Every tap moves by a factor of its own, up or down, and is shared in by one of its own."""
    draw = np.random.default_rng(5)
    taps = OFFSET_GROUPS * KERNEL[0] * KERNEL[1]

    def normal(*shape: int, gain: float = 1.0) -> np.ndarray:
        return np.asarray(draw.normal(size=shape) * gain / np.sqrt(np.prod(shape[1:])), np.float32)

    filters = normal(CHANNELS, 3, 3, 3, gain=4.0)  # of the finest texture only: smooth frames forgive wrong positions
    reach = draw.uniform(-1, 1, (taps, 2)) * REACH
    return {
        "reach": reach.astype(np.float32).reshape(1, 2 * taps, 1, 1),
        "strength": draw.uniform(0, 2, (1, taps, 1, 1)).astype(np.float32),
        "filters": filters - filters.mean(axis=(2, 3), keepdims=True),
        "weight": normal(OUT_CHANNELS, CHANNELS, *KERNEL),
        "bias": normal(OUT_CHANNELS, gain=0.1),
        "mixer": normal(3, OUT_CHANNELS, 1, 1, gain=0.7),
        "level": np.full(3, 0.5, np.float32),
    }


def _check(parity: Parity, plugin: PluginLibrary, toolkit: Toolkit) -> None:
    if not parity.worst >= LEAST_DB:  # NaN neither
        raise Failure(
            f"the plugin {plugin.path} computes something else with {toolkit.name} {toolkit.version} than ONNX Runtime "
            f"does: {parity.worst:.1f} dB on {parity.worst_frame}, expected at least {LEAST_DB:g} dB; build with "
            "--deform gather, which needs no plugin, and please report this",
            ExitCode.QUALITY,
        )


def _passed_file(plugin: PluginLibrary, toolkit: Toolkit, precision: str, data: bytes) -> Path:
    """The file that is there once the probe went well."""
    parts = [
        plugin.sha256,
        toolkit.name,
        toolkit.version,
        str(toolkit.gpu),
        precision,
        hashlib.sha256(data).hexdigest(),
    ]
    return user_cache() / f"probe.{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}.json"


def _remember(passed: Path, parity: Parity) -> None:
    try:
        passed.parent.mkdir(parents=True, exist_ok=True)
        write_whole({passed: json.dumps(parity.as_json()).encode()})
    except (OSError, Failure) as error:  # it costs the next build some seconds
        print(f"that the plugin passed is not remembered: {error}", file=sys.stderr)
