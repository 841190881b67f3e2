// The maths of modulated deformable convolution (DCNv2; Zhu et al., CVPR 2019), once: plain C++ for the CPU, device code
// under nvcc. Semantics are those of ONNX DeformConv 19: bilinear samples, zero outside. Pairs are (height, width).
#pragma once

#include <cmath>
#include <cstdint>

#include "deform_params.h"

#ifdef __CUDACC__
#define EDGE_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define EDGE_HOST_DEVICE inline
#endif

namespace edgedeblur {

// One bilinear sample of an image: four corners, corner c at pixel `top_left + (c & 1) + (c >> 1) * width`. They lie
// inside wherever the image has two rows and two columns; in a smaller one, those outside have weight zero.
struct Sample {
    int top_left;
    float weight[4];
};

// The same along one axis: pixels `first` and `first + 1`.
struct AxisSample {
    int first;
    float weight[2];
};

// Where a tap looks along one axis, in pixels, before the offset is added: always FP32, exact below 2**24.
EDGE_HOST_DEVICE float tap_position(int out, int stride, int padding, int tap, int dilation) {
    return static_cast<float>(out * stride - padding + tap * dilation);
}

// Weights of the two pixels around `position`, which lies in (-1, size). At the border the pair is moved inside, and the
// weight with it: a neighbour outside counts as 0. Written without branches.
EDGE_HOST_DEVICE AxisSample axis_sample(float position, int size) {
    const float below = floorf(position), far = position - below, near = 1.0f - far;
    const int pixel = static_cast<int>(below), last = size > 1 ? size - 2 : 0;
    const int first = pixel < 0 ? 0 : pixel > last ? last : pixel;
    const float second = pixel == first && first + 1 < size ? far : 0.0f;
    return {first, {pixel == first ? near : pixel < first ? far : 0.0f, pixel > first ? near : second}};
}

// The sample at (y, x) in pixels, times `modulation`. Positions outside, infinite or NaN weigh nothing.
EDGE_HOST_DEVICE Sample sample_at(float y, float x, DeformPair size, float modulation) {
    // NaN compares as false: it is outside.
    const bool inside = y > -1.0f && y < size.height && x > -1.0f && x < size.width;
    const AxisSample down = axis_sample(inside ? y : 0.0f, size.height), across = axis_sample(inside ? x : 0.0f, size.width);
    const float times = inside ? modulation : 0.0f;
    const float top = down.weight[0] * times, bottom = down.weight[1] * times;
    return {down.first * size.width + across.first,
            {top * across.weight[0], top * across.weight[1], bottom * across.weight[0], bottom * across.weight[1]}};
}

// The sample that tap (tap_y, tap_x) of offset group `group` takes for output pixel (row, column) of image `image`.
// mask null: all ones.
template <typename T>
EDGE_HOST_DEVICE Sample tap_sample(
    const DeformParams& params, const float* offset, const T* mask, int image, int group, int tap, int row, int column) {
    const int taps = params.kernel.height * params.kernel.width;
    const int64_t area = static_cast<int64_t>(params.output.height) * params.output.width;
    const int64_t plane = (static_cast<int64_t>(image) * params.offset_groups + group) * taps + tap;
    const int64_t pixel = static_cast<int64_t>(row) * params.output.width + column;
    const int tap_y = tap / params.kernel.width, tap_x = tap - tap_y * params.kernel.width;
    const float y = tap_position(row, params.stride.height, params.padding.height, tap_y, params.dilation.height);
    const float x = tap_position(column, params.stride.width, params.padding.width, tap_x, params.dilation.width);
    const float modulation = mask == nullptr ? 1.0f : static_cast<float>(mask[plane * area + pixel]);
    return sample_at(
        y + offset[2 * plane * area + pixel], x + offset[(2 * plane + 1) * area + pixel], params.input, modulation);
}

EDGE_HOST_DEVICE float activated(float value, int activation) {
    return activation == DEFORM_RELU && value < 0.0f ? 0.0f : value;  // NaN stays NaN
}

// One output value, FP32 sums. The slow way, for any sizes: what the CPU runs, and a GPU where the fused kernel cannot.
template <typename T>
EDGE_HOST_DEVICE float output_value(
    const DeformParams& params, const DeformTensors& tensors, int image, int row, int column, int out_channel) {
    const int taps = params.kernel.height * params.kernel.width;
    const int group_channels = params.channels / params.groups;
    const int sharing = params.channels / params.offset_groups;
    const int first = out_channel / (params.out_channels / params.groups) * group_channels;
    const int64_t input_area = static_cast<int64_t>(params.input.height) * params.input.width;
    const T* x = static_cast<const T*>(tensors.x) + image * input_area * params.x_pitch;
    const T* weight = static_cast<const T*>(tensors.weight) + static_cast<int64_t>(out_channel) * taps * group_channels;
    float sum = tensors.bias == nullptr ? 0.0f : static_cast<float>(static_cast<const T*>(tensors.bias)[out_channel]);
    for (int tap = 0; tap < taps; ++tap) {
        Sample sample{};
        float part = 0.0f;  // a tap's own sum: many short sums round less than a long one
        for (int inner = 0; inner < group_channels; ++inner) {
            const int channel = first + inner;
            if (inner == 0 || channel % sharing == 0)
                sample = tap_sample(params, tensors.offset, static_cast<const T*>(tensors.mask), image,
                                    channel / sharing, tap, row, column);
            float value = 0.0f;
            for (int corner = 0; corner < 4; ++corner) {
                const int64_t pixel = sample.top_left + (corner & 1) + (corner >> 1) * params.input.width;
                if (sample.weight[corner] != 0.0f)
                    value += sample.weight[corner] * static_cast<float>(x[pixel * params.x_pitch + channel]);
            }
            part += value * static_cast<float>(weight[tap * group_channels + inner]);
        }
        sum += part;
    }
    return activated(sum, params.activation);
}

inline bool divides(int divisor, int value) { return divisor > 0 && value % divisor == 0; }

inline bool at_least(int least, DeformPair pair) { return pair.height >= least && pair.width >= least; }

inline bool countable(DeformPair size) {  // pixels of one image are counted in 32 bits, a border included
    return (static_cast<int64_t>(size.height) + 2) * (static_cast<int64_t>(size.width) + 2) < INT32_MAX;
}

// Whether taps' positions along one axis are counted in 32 bits, before the offset is added.
inline bool reachable(int output, int stride, int padding, int kernel, int dilation) {
    return static_cast<int64_t>(output) * stride + padding + static_cast<int64_t>(kernel) * dilation < INT32_MAX;
}

// Whether the sizes make sense together; the pointers are the caller's to check.
inline bool valid(const DeformParams& params) {
    return params.batch > 0 && params.channels > 0 && params.out_channels > 0 && params.x_pitch >= params.channels &&
           params.out_pitch >= params.out_channels && at_least(1, params.input) && at_least(1, params.output) &&
           at_least(1, params.kernel) && at_least(1, params.stride) && at_least(0, params.padding) &&
           at_least(1, params.dilation) && countable(params.input) && countable(params.output) &&
           countable(params.kernel) &&
           reachable(params.output.height, params.stride.height, params.padding.height, params.kernel.height,
                     params.dilation.height) &&
           reachable(params.output.width, params.stride.width, params.padding.width, params.kernel.width,
                     params.dilation.width) &&
           divides(params.groups, params.channels) && divides(params.groups, params.out_channels) &&
           divides(params.offset_groups, params.channels) &&
           (params.activation == DEFORM_LINEAR || params.activation == DEFORM_RELU);
}

}  // namespace edgedeblur
