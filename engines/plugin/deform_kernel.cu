// Chooses a kernel for the sizes at hand and launches it: the fused one, in a shape that fills the GPU, or the plain one.
#include "deform_kernel.h"

#include <cuda_fp16.h>

#include "deform_fused.cuh"

namespace edgedeblur {
namespace {

constexpr int PLAIN_THREADS = 256;

// One thread an output value: for channels that do not fill 16 bytes, grouped weights, one-pixel rows or columns.
template <typename T>
__global__ void __launch_bounds__(PLAIN_THREADS) plain_kernel(const DeformParams params, const DeformTensors tensors) {
    const int64_t index = static_cast<int64_t>(blockIdx.x) * PLAIN_THREADS + threadIdx.x;
    const int64_t pixel = index / params.out_pitch;
    const int channel = static_cast<int>(index - pixel * params.out_pitch);
    const int64_t line = pixel / params.output.width;
    const int image = static_cast<int>(line / params.output.height);
    if (image >= params.batch) return;
    const int row = static_cast<int>(line - static_cast<int64_t>(image) * params.output.height);
    const int column = static_cast<int>(pixel - line * params.output.width);
    static_cast<T*>(tensors.out)[index] =
        channel < params.out_channels ? static_cast<T>(output_value<T>(params, tensors, image, row, column, channel))
                                      : static_cast<T>(0.0f);
}

template <typename T>
cudaError_t launch_plain(const DeformParams& params, const DeformTensors& tensors, cudaStream_t stream) {
    const int64_t values =
        static_cast<int64_t>(params.batch) * params.output.height * params.output.width * params.out_pitch;
    const int64_t blocks = (values + PLAIN_THREADS - 1) / PLAIN_THREADS;
    if (blocks > INT32_MAX) return cudaErrorInvalidValue;
    plain_kernel<T><<<static_cast<unsigned>(blocks), PLAIN_THREADS, 0, stream>>>(params, tensors);
    return cudaGetLastError();  // taken, not looked at: the next launch must not be told of this one's error
}

bool aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// What the device in use can do.
struct Device {
    int multiprocessors = 0, shared_bytes = 0, major = 0;

    cudaError_t read() {
        int device = 0;
        const auto get = [&](int& value, cudaDeviceAttr attribute) {
            return cudaDeviceGetAttribute(&value, attribute, device);
        };
        cudaError_t error = cudaGetDevice(&device);
        if (error == cudaSuccess) error = get(multiprocessors, cudaDevAttrMultiProcessorCount);
        if (error == cudaSuccess) error = get(shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin);
        if (error == cudaSuccess) error = get(major, cudaDevAttrComputeCapabilityMajor);
        return error;
    }
};

int ceil_div(int value, int by) { return (value + by - 1) / by; }

template <typename S>
int tiles_of(const DeformParams& params) {
    return ceil_div(params.output.width, S::TILE_WIDTH) * ceil_div(params.output.height, S::TILE_HEIGHT);
}

template <typename T, typename S>
int64_t shared_bytes_of(const DeformParams& params) {
    return 16 * S::SHARED + int64_t{CornerTable<T, S::PIXELS>::BYTES} * params.kernel.height * params.kernel.width;
}

template <typename T, typename S, int BLOCKS>
cudaError_t launch_fused(const DeformParams& params, const DeformTensors& tensors, const Device& device, cudaStream_t stream) {
    const int64_t wanted = shared_bytes_of<T, S>(params);
    if (wanted > device.shared_bytes) return launch_plain<T>(params, tensors, stream);  // some 7x7 taps and more
    const int bytes = static_cast<int>(wanted);
    const auto kernel = fused_kernel<T, S, BLOCKS>;
    if (bytes > 48 * 1024) {
        const cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
        if (error != cudaSuccess) return error;
    }
    const dim3 grid(tiles_of<S>(params), ceil_div(params.out_pitch, S::CHANNELS), params.batch);
    kernel<<<grid, S::THREADS, bytes, stream>>>(params, tensors);
    return cudaGetLastError();
}

// `Large`, or `Small`, whose warps share out the taps, where Large would leave multiprocessors with one block or none.
template <typename T, typename Large, int LARGE_BLOCKS, typename Small, int SMALL_BLOCKS>
cudaError_t launch_by_size(const DeformParams& params, const DeformTensors& tensors, const Device& device, cudaStream_t stream) {
    const int64_t blocks = static_cast<int64_t>(tiles_of<Large>(params)) * params.batch;
    if (blocks >= 2 * device.multiprocessors || shared_bytes_of<T, Small>(params) > device.shared_bytes)
        return launch_fused<T, Large, LARGE_BLOCKS>(params, tensors, device, stream);
    return launch_fused<T, Small, SMALL_BLOCKS>(params, tensors, device, stream);
}

// The shapes that were fastest; README.md has the measurements.
cudaError_t choose(
    const DeformParams& params, const DeformTensors& tensors, const Device& device, cudaStream_t stream, __half) {
    if (params.out_pitch <= 32)
        return launch_by_size<__half, Shape<2, 4, 4, 1>, 4, Shape<2, 4, 2, 3>, 2>(params, tensors, device, stream);
    if (params.out_pitch <= 64)
        return launch_by_size<__half, Shape<2, 8, 4, 1>, 2, Shape<2, 8, 2, 3>, 2>(params, tensors, device, stream);
    if (params.out_pitch <= 96) return launch_fused<__half, Shape<2, 12, 4, 1>, 2>(params, tensors, device, stream);
    return launch_fused<__half, Shape<2, 16, 4, 1>, 2>(params, tensors, device, stream);
}

cudaError_t choose(
    const DeformParams& params, const DeformTensors& tensors, const Device& device, cudaStream_t stream, float) {
    if (device.major < 8) return launch_plain<float>(params, tensors, stream);  // no TF32
    if (params.out_pitch <= 32)
        return launch_by_size<float, Shape<1, 4, 4, 1>, 4, Shape<2, 4, 2, 3>, 2>(params, tensors, device, stream);
    return launch_fused<float, Shape<2, 8, 4, 1>, 2>(params, tensors, device, stream);
}

// Whether the fused kernel's 16-byte chunks and 32-bit places hold these tensors.
template <typename T>
bool fits_fused(const DeformParams& params, const DeformTensors& tensors) {
    const int64_t image_bytes =
        static_cast<int64_t>(params.input.height) * params.input.width * params.x_pitch * static_cast<int64_t>(sizeof(T));
    return params.groups == 1 && divides(CHUNK<T>, params.channels / params.offset_groups) &&
           divides(CHUNK<T>, params.x_pitch) && divides(CHUNK<T>, params.out_pitch) && at_least(2, params.input) &&
           image_bytes < UINT32_MAX && params.batch <= 65535 && aligned(tensors.x) && aligned(tensors.weight) &&
           aligned(tensors.out);
}

template <typename T>
cudaError_t launch(const DeformParams& params, const DeformTensors& tensors, cudaStream_t stream) {
    if (!fits_fused<T>(params, tensors)) return launch_plain<T>(params, tensors, stream);
    Device device;
    const cudaError_t error = device.read();
    return error == cudaSuccess ? choose(params, tensors, device, stream, T()) : error;
}

}  // namespace
}  // namespace edgedeblur

extern "C" cudaError_t edge_deform_conv2d_cuda(
    DeformType type, const DeformParams* params, const DeformTensors* tensors, cudaStream_t stream) noexcept {
    using namespace edgedeblur;
    if (!valid(*params)) return cudaErrorInvalidValue;
    if (type == DEFORM_FP16) return launch<__half>(*params, *tensors, stream);
    if (type == DEFORM_FP32) return launch<float>(*params, *tensors, stream);
    return cudaErrorInvalidValue;
}
