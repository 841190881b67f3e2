"""What a model has to beat: the unsharp mask, and non-blind deconvolution with the true kernel.

Constants are the usual ones, not tuned to any data set. All work on display values, as cameras give them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from training.evaluation.kernels import Kernel

Image = NDArray[np.uint8]
Values = NDArray[np.floating]

_LAPLACIAN = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]], np.float32)


def baselines(kernel: Kernel | None) -> dict[str, Callable[[Image], Image]]:
    """Functions of a blurred frame, by name. Those that are given its kernel only where there is one."""
    blind: dict[str, Callable[[Image], Image]] = {"unsharp mask": unsharp_mask}
    if kernel is None:
        return blind
    return {
        **blind,
        "Wiener (oracle)": partial(wiener, kernel=kernel),
        "Richardson-Lucy (oracle)": partial(richardson_lucy, kernel=kernel),
    }


def unsharp_mask(blurred: Image, sigma: float = 2.0, amount: float = 0.5) -> Image:
    """The frame plus `amount` of what a Gaussian of `sigma` pixels takes away (Gonzalez & Woods, section 3.6).

    blurred: (H, W, 3) uint8. Returns the same shape and type.
    """
    values = blurred.astype(np.float32)
    return _frame(values + amount * (values - cv2.GaussianBlur(values, (0, 0), sigma)))


def wiener(blurred: Image, kernel: Kernel, balance: float = 0.01) -> Image:
    """Wiener-Hunt deconvolution: conj(K) / (|K|² + balance |L|²), L the Laplacian (Hunt, IEEE Trans. Comp. 1973).

    blurred: (H, W, 3) uint8; kernel: as `read_kernel` gives it. Returns the same shape and type as blurred.
    """
    height, width = blurred.shape[:2]
    padded = _made_periodic(blurred.astype(np.float32), kernel.shape)
    size = padded.shape[:2]
    transfer, roughness = (_transfer(filter_, size)[:, :, None] for filter_ in (kernel, _LAPLACIAN))
    inverse = transfer.conj() / (np.abs(transfer) ** 2 + balance * np.abs(roughness) ** 2)
    spectrum = inverse * np.fft.rfft2(padded, axes=(0, 1))
    return _frame(np.fft.irfft2(spectrum, s=size, axes=(0, 1))[:height, :width])


def richardson_lucy(blurred: Image, kernel: Kernel, iterations: int = 30) -> Image:
    """Maximum likelihood under Poisson noise (Richardson, JOSA 1972; Lucy, AJ 1974), from a flat grey start.

    blurred: (H, W, 3) uint8; kernel: as `read_kernel` gives it. Returns the same shape and type as blurred.
    """
    observed = blurred.astype(np.float32) / 255
    estimate = np.full_like(observed, 0.5)
    mirrored = kernel[::-1, ::-1].copy()
    for _ in range(iterations):
        # OpenCV's filters correlate: convolving takes the mirrored kernel, its adjoint the kernel itself.
        ratio = observed / np.maximum(_correlate(estimate, mirrored), 1e-6)
        estimate *= _correlate(ratio, kernel)
    return _frame(estimate * 255)


def _correlate(values: Values, kernel: Kernel) -> Values:
    return np.asarray(cv2.filter2D(values, cv2.CV_32F, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)


def _made_periodic(values: Values, margin: tuple[int, ...]) -> Values:
    """Rows below and columns to the right, at least `margin`, that lead from the last back to the first.

    A Fourier transform sees the frame repeated: the jump from one edge to the opposite one would ring through it.
    """
    for axis in (0, 1):
        length = values.shape[axis]
        extra = cv2.getOptimalDFTSize(length + margin[axis]) - length
        first, last = np.take(values, [0], axis), np.take(values, [-1], axis)
        share = np.linspace(0, 1, extra + 2, dtype=np.float32)[1:-1]
        share = share.reshape([-1 if other == axis else 1 for other in range(3)])
        values = np.concatenate([values, last + share * (first - last)], axis)
    return values


def _transfer(kernel: Kernel, size: tuple[int, ...]) -> NDArray[np.complexfloating]:
    """The kernel's real Fourier transform on a grid of (height, width), its middle at the origin."""
    grid = np.zeros(size, np.float32)
    grid[: kernel.shape[0], : kernel.shape[1]] = kernel
    return np.fft.rfft2(np.roll(grid, [-(length // 2) for length in kernel.shape], (0, 1)))


def _frame(values: Values) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
