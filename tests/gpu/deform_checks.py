"""The deformable convolution's kernels on a GPU, launched from the C function: no TensorRT is needed, only nvcc."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgedeblur import Failure
from engines.nvcc import find_nvcc
from tests.engines.plugin.deform_call import CASES, FP16, FP32, Case, Params, Tensors, channels_last, pointers, problem
from tests.gpu.machine import Measured, SkipCheck, graph_ms, imported, torch_on_gpu

FOLDER = Path(__file__).parents[2] / "engines" / "plugin"
SIZES = ((90, 160), (180, 320), (360, 640))
CHANNELS = (32, 64, 128)
SANITIZER = "compute-sanitizer"
SANITIZER_S = 60


def check_deform_kernels_are_right() -> Measured:
    """Every case in FP32 and FP16 against FP64: at most twice the error of plain torch in the same precision.

    On a stream of its own, into poisoned memory; what no tensor holds is NaN before and behind.
    """
    torch = torch_on_gpu()
    ratios: Measured = {}
    for dtype in (torch.float32, torch.float16):
        for case in CASES:
            ratios.setdefault(case.name, {})[str(dtype)] = _checked_ratio(torch, case, dtype)
    return {"error_over_torchs": ratios}


def check_deform_kernels_on_the_sizes_of_the_benchmark() -> Measured:
    """The same for each shape of the fused kernel that the benchmark times."""
    torch = torch_on_gpu()
    worst: Measured = {}
    for dtype in (torch.float32, torch.float16):
        for channels in (*CHANNELS, 56, 88):
            case = _benchmark_case(channels, (90, 160) if channels != 64 else (180, 320))
            worst.setdefault(case.name, {})[str(dtype)] = _checked_ratio(torch, case, dtype)
    return {"error_over_torchs": worst}


def check_deform_positions_far_to_the_right() -> Measured:
    """A ramp in FP16, sampled an eighth of a pixel off at x = 1900: the position's error in pixels, below 0.01."""
    torch = torch_on_gpu()
    # Eight columns around x = 1900 rise by 1 each, so that FP16 values are exact and only the position can be wrong.
    case = Case("ramp", (4, 1920), channels=8, out_channels=8, kernel=(1, 1), padding=(0, 0))
    x = (torch.arange(1920.0, device="cuda") - 1896).clamp(-8, 8).expand(1, 8, 4, 1920)
    offset = torch.tensor([0.0, 0.125], device="cuda").view(1, 2, 1, 1).expand(1, 2, 4, 1920).contiguous()
    weight = torch.eye(8, device="cuda").view(8, 8, 1, 1)
    values = {"x": x, "offset": offset, "mask": torch.ones(1, 1, 4, 1920, device="cuda"), "weight": weight}
    out = _Launch(torch, case, {**values, "bias": torch.zeros(8, device="cuda")}, torch.float16)()
    error = (out[..., 1890:1903].float() - x[..., 1890:1903] - 0.125).abs().max().item()
    assert error < 0.01, f"{error} px"
    return {"error_px": error}


def check_deform_positions_that_are_nowhere() -> Measured:
    """NaN, infinite and huge offsets sample nothing, in either kernel."""
    torch = torch_on_gpu()
    for case in (CASES[0], next(case for case in CASES if case.name == "odd channels")):
        values = problem(torch, case, seed=8, device="cuda")
        for where in (math.nan, math.inf, -math.inf, 1e30, -3e9, 1e6):
            lost = {**values, "offset": values["offset"].clone()}
            lost["offset"][:, ::4] = where  # y of every second tap
            still = {**values, "mask": values["mask"].clone()}
            still["mask"][:, ::2] = 0
            same = torch.equal(
                _Launch(torch, case, lost, torch.float16)(), _Launch(torch, case, still, torch.float16)()
            )
            assert same, f"{case.name}, offset {where}"
    return {}


def check_deform_benchmark() -> Measured:
    """Microseconds of one call, by CUDA graphs, beside what else computes it and the dense convolution of its shape.

    `of_bandwidth`, `of_tensor_cores`: the share of a measured device copy's bytes a second, each tensor counted once,
    and of a measured FP16 matrix product's operations a second.
    """
    torch = torch_on_gpu()
    copy_rate, product_rate = _ceilings(torch)
    rows = {}
    for channels in CHANNELS:
        for size in SIZES:
            rows[f"{channels}@{size[0]}x{size[1]}"] = _benchmark_row(
                torch, _benchmark_case(channels, size), copy_rate, product_rate
            )
    return {"copy_tb_per_s": copy_rate / 1e12, "product_tflop_per_s": product_rate / 1e12, "us": rows}


def check_deform_memory_accesses() -> Measured:
    """compute-sanitizer finds nothing over all cases in both precisions, on buffers of exactly their size.

    memcheck: accesses outside; racecheck: shared memory; initcheck: reads of what nobody wrote, of the output too.
    """
    torch_on_gpu()
    if shutil.which(SANITIZER) is None:
        raise SkipCheck(f"{SANITIZER} is not on the PATH; it comes with the CUDA toolkit")
    said: Measured = {}
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "launch_cases"
        sources = [str(Path(__file__).parent / "launch_cases.cu"), str(FOLDER / "deform_kernel.cu")]
        _compile([*sources, "-I", str(FOLDER), "-lineinfo"], program)
        for tool in ("memcheck", "racecheck", "initcheck"):
            command = [SANITIZER, "--tool", tool, "--error-exitcode", "9", str(program), *case_words()]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=SANITIZER_S)
            except subprocess.TimeoutExpired:
                raise SkipCheck(f"{SANITIZER} --tool {tool} was stopped after {SANITIZER_S} s; done: {said}") from None
            last = (done.stdout + done.stderr).strip().splitlines()[-3:]
            if "not supported" in " ".join(last).lower():
                raise SkipCheck(f"{SANITIZER} does not work here: {last}")
            assert done.returncode == 0, f"{tool}: {last}"
            said[tool] = last[-1].strip("= ")
    return said


def case_words() -> list[str]:
    """All cases in both precisions as launch_cases.cu takes them, channels padded to 16 bytes."""
    words: list[str] = []
    for kind, unit in ((FP32, 4), (FP16, 8)):
        for case in CASES:
            x_pitch, out_pitch = (-(-channels // unit) * unit for channels in (case.channels, case.out_channels))
            words.append(str(kind))
            words += [str(number) for number in memoryview(case.params(x_pitch, out_pitch)).cast("B").cast("i")]
    return words


@functools.cache
def library() -> Any:
    """The kernels, compiled for this GPU. Raises SkipCheck where nvcc is missing."""
    built = Path(tempfile.gettempdir()) / f"edge_deform_{_architecture()}.{_hash_of_sources()}.so"
    if not built.exists():
        _compile([str(FOLDER / "deform_kernel.cu"), "--shared", "-Xcompiler", "-fPIC"], built)
    loaded = ctypes.CDLL(str(built))
    loaded.edge_deform_conv2d_cuda.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 3]
    return loaded


def _compile(options: list[str], target: Path) -> None:
    """With nvcc, for this GPU only. Raises SkipCheck where nvcc is missing."""
    try:
        nvcc = find_nvcc()
    except Failure as failure:
        raise SkipCheck(str(failure)) from failure
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / target.name
        nvcc.run(["-O3", "-std=c++17", f"-arch={_architecture()}", *options, "-o", str(fresh)])
        shutil.copy(fresh, target)


def _architecture() -> str:
    return "sm_{}{}".format(*torch_on_gpu().cuda.get_device_capability())


def _hash_of_sources() -> str:
    sources = sorted(path for path in FOLDER.iterdir() if path.suffix in (".h", ".cu", ".cuh"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]


class _Launch:
    """One problem on the GPU in `dtype`, laid out as the kernel takes it; calling it gives (N, M, OH, OW)."""

    def __init__(self, torch: Any, case: Case, values: dict[str, Any], dtype: Any) -> None:
        unit: int = 16 // torch.empty(0, dtype=dtype).element_size()

        def pitch(channels: int) -> int:
            return -(-channels // unit) * unit

        self._torch, self._case = torch, case
        self._type = FP16 if dtype == torch.float16 else FP32
        x = channels_last(torch, values["x"].to(dtype), pitch(case.channels))
        weight = values["weight"].to(dtype).permute(0, 2, 3, 1).contiguous()
        mask, bias = values["mask"].to(dtype).contiguous(), values["bias"].to(dtype)
        shape = (case.batch, *case.out_size, pitch(case.out_channels))
        self._out = torch.empty(shape, dtype=dtype, device="cuda")
        self._held = (x, values["offset"].float().contiguous(), mask, weight, bias, self._out)
        self._params: Params = case.params(x.shape[3], self._out.shape[3])
        self._tensors: Tensors = pointers(self._held)

    def launch(self) -> None:
        """On torch's current stream."""
        stream = self._torch.cuda.current_stream().cuda_stream
        places = (ctypes.byref(self._params), ctypes.byref(self._tensors), stream)
        error = library().edge_deform_conv2d_cuda(self._type, *places)
        assert error == 0, f"CUDA error {error}"

    def __call__(self) -> Any:
        self._out.fill_(math.nan)
        stream = self._torch.cuda.Stream()
        stream.wait_stream(self._torch.cuda.current_stream())
        with self._torch.cuda.stream(stream):
            self.launch()
        stream.synchronize()
        assert (self._out[..., self._case.out_channels :] == 0).all(), "what lies behind the channels is not 0"
        return self._out[..., : self._case.out_channels].permute(0, 3, 1, 2)


def _checked_ratio(torch: Any, case: Case, dtype: Any) -> float:
    """Largest error of our kernel in `dtype` over plain torch's, both against FP64 on the same values; at most 2."""
    values = problem(torch, case, seed=2, device="cuda")
    rounded = {name: value if name == "offset" else value.to(dtype) for name, value in values.items()}
    exact = _plain_torch(case, {name: value.double() for name, value in rounded.items()})
    ours = (_Launch(torch, case, rounded, dtype)() - exact).abs().max().item()
    torchs = (_plain_torch(case, rounded) - exact).abs().max().item()
    assert ours <= 2 * torchs, f"{case.name} in {dtype}: error {ours:.2e}, torch's {torchs:.2e}"
    return round(float(ours / torchs), 3)


def _plain_torch(case: Case, values: dict[str, Any]) -> Any:
    """The reference in plain torch operations; FP32 is FP32, not the TF32 that cuDNN takes by default."""
    from training.deform import deform_conv2d

    torch_on_gpu().backends.cudnn.allow_tf32 = False

    x, offset, mask, weight, bias = (values[name] for name in ("x", "offset", "mask", "weight", "bias"))
    return deform_conv2d(x, offset, mask, weight, bias, case.stride, case.padding, case.dilation, case.groups)


def _benchmark_case(channels: int, size: tuple[int, int]) -> Case:
    return Case(f"{channels}@{size[0]}x{size[1]}", size, channels=channels, out_channels=channels)


def _benchmark_row(torch: Any, case: Case, copy_rate: float, product_rate: float) -> Measured:
    vision = imported("torchvision")
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    values = problem(torch, case, seed=9, device="cuda")
    row: Measured = {}
    for name, dtype in (("fp16", torch.float16), ("fp32", torch.float32)):
        x, offset, mask, weight, bias = (values[key].to(dtype) for key in ("x", "offset", "mask", "weight", "bias"))
        last = torch.channels_last
        dense = functools.partial(
            torch.nn.functional.conv2d, x.to(memory_format=last), weight.to(memory_format=last), bias, padding=1
        )
        theirs = functools.partial(vision.ops.deform_conv2d, x, offset, weight, bias, 1, 1, 1, mask)
        calls: dict[str, Callable[[], Any]] = {
            "ours": _Launch(torch, case, values, dtype).launch,
            "torchvision": theirs,
            "grid_sample": functools.partial(
                _plain_torch, case, {**values, "x": x, "mask": mask, "weight": weight, "bias": bias}
            ),
            "dense": dense,
        }
        times = {what: 1e3 * graph_ms(torch, call) for what, call in calls.items()}
        row |= {f"{name}_{what}": round(microseconds, 1) for what, microseconds in times.items()}
        row |= {f"{name}_{what}_over_ours": round(times[what] / times["ours"], 2) for what in ("torchvision", "dense")}
        element = x.element_size()
        moved = (x.numel() * 2 + mask.numel() + weight.numel()) * element + values["offset"].numel() * 4
        work = 2 * case.taps * case.channels * case.out_channels * case.out_size[0] * case.out_size[1]
        row[f"{name}_of_bandwidth"] = round(moved / times["ours"] * 1e6 / copy_rate, 3)
        if name == "fp16":
            row["fp16_of_tensor_cores"] = round(work / times["ours"] * 1e6 / product_rate, 3)
    return row


def _ceilings(torch: Any) -> tuple[float, float]:
    """Bytes a second of a device copy, read and written, and operations a second of an FP16 matrix product."""
    source, target = torch.empty(2, 1 << 30, dtype=torch.uint8, device="cuda")
    copied = 2 * source.numel() / graph_ms(torch, functools.partial(target.copy_, source), calls=5) * 1e3
    side = 8192
    a, b = torch.randn(2, side, side, device="cuda", dtype=torch.float16)
    return copied, 2 * side**3 / graph_ms(torch, functools.partial(torch.matmul, a, b), calls=5) * 1e3
