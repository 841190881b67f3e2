// Launches the CUDA kernels: one call, no allocation, nothing thrown.
#pragma once

#include <cuda_runtime_api.h>

#include "deform_params.h"

// out = activation(deformable convolution of x + bias) on `stream`, which must belong to the current device.
// Returns cudaErrorInvalidValue for sizes that make no sense, else what the launch returned.
extern "C" cudaError_t edge_deform_conv2d_cuda(
    DeformType type, const DeformParams* params, const DeformTensors* tensors, cudaStream_t stream) noexcept;
