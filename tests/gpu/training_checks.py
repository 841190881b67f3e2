"""Training on a GPU: the operators it is made of, one step, its speed and that of the virtual camera."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from tests.gpu.machine import Measured, median_ms, torch_on_gpu


def check_deform_conv_equals_the_cpu() -> Measured:
    """FP32 on the GPU against FP64 on the CPU, at most twice the error of FP32 on the CPU."""
    torch = torch_on_gpu()
    from training.deform import deform_conv2d

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 16, 45, 80, generator=generator)
    offset = torch.randn(2, 18, 45, 80, generator=generator) * 8
    mask, weight = torch.rand(2, 9, 45, 80, generator=generator), torch.randn(16, 16, 3, 3, generator=generator)

    def convolve(*values: Any) -> Any:
        x, offset, mask, weight = values
        return deform_conv2d(x, offset, mask, weight, None, padding=(1, 1))

    inputs = (x, offset, mask, weight)
    exact = convolve(*(value.double() for value in inputs))
    on_cpu = (convolve(*inputs) - exact).abs().max().item()
    previous = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        on_gpu = convolve(*(value.cuda() for value in inputs)).cpu()
    finally:
        torch.backends.cudnn.allow_tf32 = previous
    error = (on_gpu - exact).abs().max().item()
    assert error <= 2 * on_cpu, f"GPU error {error:.2e}, CPU error {on_cpu:.2e}"
    return {"gpu_error": error, "cpu_error": on_cpu}


def check_autocast_keeps_positions_exact() -> Measured:
    """A ramp of 1920 columns, sampled half a pixel to the right at half precision: positions must not be rounded."""
    torch = torch_on_gpu()
    from training.deform import deform_conv2d

    ramp = (torch.arange(1920.0, device="cuda") / 1920).expand(1, 1, 4, 1920).contiguous()
    offset = torch.tensor([0.0, 0.5], device="cuda").view(1, 2, 1, 1).expand(1, 2, 4, 1920)
    ones = torch.ones(1, 1, 4, 1920, device="cuda")
    with torch.autocast("cuda", torch.float16):
        moved = deform_conv2d(ramp, offset.half(), ones, torch.ones(1, 1, 1, 1, device="cuda"), None)
    # One step of FP16 near 1 is 2**-11, of the ramp 1/1920: a position rounded to half a pixel would show.
    error = (moved[0, 0, :, :-1].float() - ramp[0, 0, :, :-1] - 0.5 / 1920).abs().max().item()
    assert error <= 2**-11, f"error {error:.2e}"
    return {"error": error}


def check_a_training_step_with_amp() -> Measured:
    """Twenty steps with FP16 autocast lower the loss on one batch."""
    torch = torch_on_gpu()
    from training.config import PRESETS
    from training.losses import deblurring_loss
    from training.network import SAPHNet

    torch.manual_seed(0)
    network = SAPHNet(PRESETS["edge-n"]).cuda()
    optimiser, scaler = torch.optim.AdamW(network.parameters(), 1e-3), torch.amp.GradScaler()
    sharp = torch.rand(4, 3, 128, 128, device="cuda")
    blurred = torch.nn.functional.avg_pool2d(sharp, (1, 9), 1, (0, 4))
    losses = []
    for _ in range(20):
        with torch.autocast("cuda"):
            outputs = network.outputs(blurred)
        loss = deblurring_loss([output.float() for output in outputs], sharp)
        optimiser.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0], f"loss went from {losses[0]:.4f} to {losses[-1]:.4f}"
    return {"first_loss": losses[0], "last_loss": losses[-1]}


def check_training_speed() -> Measured:
    """Patches a second that training steps take, batch 16 of 256x256 in BF16: plain, and with each speed setting.

    None where the GPU has too little memory. Compiling costs a minute a preset: only those for the device are compiled.
    """
    torch_on_gpu()
    from training.config import PRESETS

    speeds: Measured = {}
    for preset in PRESETS:
        settings = ["channels_last"] + ["compile"] * preset.startswith("edge-")
        speeds[f"{preset}_patches_per_s"] = _training_speed(preset)
        for setting in settings:
            speeds[f"{preset}_{setting}_patches_per_s"] = _training_speed(preset, **{setting: True})
    return speeds


def check_pairs_are_made_as_fast_as_they_are_trained_on() -> Measured:
    """Rendered pairs a second, batch 16 of 256x256, beside the patches a second that edge-n trains on."""
    torch_on_gpu()
    import numpy as np

    from training.synthesis.benchmark import benchmark
    from training.synthesis.config import SynthConfig
    from training.synthesis.deadleaves import dead_leaves

    photos = [dead_leaves(np.random.default_rng(seed), (800, 900)) for seed in range(4)]
    spent = benchmark(photos, SynthConfig(), count=64, seed=0)
    rendered = next(1e3 / milliseconds for what, milliseconds in spent.items() if "GPU" in what)
    trained = _training_speed("edge-n")
    return {"rendered_pairs_per_s": rendered, "edge-n_patches_per_s": trained, "benchmark_ms": spent}


def check_network_time() -> Measured:
    """Milliseconds of the bare network on a 720p frame in FP16, through PyTorch, by CUDA events; median of 20."""
    torch = torch_on_gpu()
    from training.config import PRESETS
    from training.network import SAPHNet

    times: Measured = {}
    for preset in ("edge-n", "edge-s", "edge-m"):
        network = SAPHNet(PRESETS[preset]).cuda().eval()
        height = -(-720 // network.config.multiple_of[0]) * network.config.multiple_of[0]
        image = torch.rand(1, 3, height, 1280, device="cuda")
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            times[f"{preset}_ms"] = median_ms(torch, functools.partial(network, image))
    return times


def _training_speed(preset: str, **settings: bool) -> float | None:
    torch = torch_on_gpu()
    from training.config import PRESETS
    from training.learner import Learner, precision
    from training.train_config import TrainConfig

    batch, side = 16, 256
    amp = precision("auto", "cuda")
    plain = TrainConfig(preset, PRESETS[preset], "", 1, batch, side, 5e-4, 0, 0, 0.999, amp, "cuda", 1, 1)
    config = dataclasses.replace(plain, **settings)  # type: ignore[arg-type]
    images = torch.rand(2, batch, 3, side, side, device="cuda")
    try:
        step = functools.partial(Learner(config).step, images[0], images[1], 5e-4, batch)
        return round(batch * 1000 / median_ms(torch, step, repeats=10), 1)
    except torch.OutOfMemoryError:
        return None
    finally:
        torch.cuda.empty_cache()
