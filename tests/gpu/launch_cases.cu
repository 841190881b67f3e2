// Launches the kernels on buffers of exactly the size they need: what compute-sanitizer watches. No framework is loaded, so
// that it takes seconds. Arguments: a DeformType and the ints of DeformParams, for each case.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "deform_kernel.h"

namespace {

constexpr int INTS = sizeof(DeformParams) / sizeof(int);

void check(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
    std::exit(1);
}

// `bytes` of device memory with values of every size in FP32, finite ones in FP16.
void* filled(size_t bytes) {
    std::vector<unsigned char> host(bytes);
    unsigned state = 1;
    for (auto& byte : host) byte = static_cast<unsigned char>((state = state * 1664525u + 1013904223u) >> 24) & 0xbb;
    void* device = nullptr;
    check(cudaMalloc(&device, bytes), "cudaMalloc");
    check(cudaMemcpy(device, host.data(), bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
    return device;
}

size_t area(DeformPair size) { return static_cast<size_t>(size.height) * size.width; }

void launch(DeformType type, const DeformParams& p) {
    const size_t element = type == DEFORM_FP16 ? 2 : 4, planes = p.offset_groups * area(p.kernel);
    const size_t pixels = p.batch * area(p.output);
    void* buffers[] = {
        filled(p.batch * area(p.input) * p.x_pitch * element),
        filled(2 * planes * pixels * sizeof(float)),
        filled(planes * pixels * element),
        filled(p.out_channels * area(p.kernel) * (p.channels / p.groups) * element),
        filled(p.out_channels * element),
        nullptr,
    };
    check(cudaMalloc(&buffers[5], pixels * p.out_pitch * element), "cudaMalloc");
    const DeformTensors tensors{buffers[0], static_cast<float*>(buffers[1]), buffers[2], buffers[3], buffers[4], buffers[5]};
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    check(edge_deform_conv2d_cuda(type, &p, &tensors, stream), "launch");
    check(cudaStreamSynchronize(stream), "kernel");
    std::vector<unsigned char> out(pixels * p.out_pitch * element);  // read back, so that initcheck sees what was not written
    check(cudaMemcpy(out.data(), buffers[5], out.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
    check(cudaStreamDestroy(stream), "cudaStreamDestroy");
    for (void* buffer : buffers) check(cudaFree(buffer), "cudaFree");
}

}  // namespace

int main(int count, char** words) {
    const int each = 1 + INTS;
    if (count < 2 || (count - 1) % each != 0) {
        std::fprintf(stderr, "expected a type and %d ints for each case, found %d words\n", INTS, count - 1);
        return 2;
    }
    for (int first = 1; first < count; first += each) {
        int numbers[INTS];
        for (int index = 0; index < INTS; ++index) numbers[index] = std::atoi(words[first + 1 + index]);
        DeformParams params;
        std::memcpy(&params, numbers, sizeof params);
        launch(static_cast<DeformType>(std::atoi(words[first])), params);
    }
    std::printf("%d cases launched\n", (count - 1) / each);
    return 0;
}
