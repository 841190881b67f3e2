// Bilinear samples as the fused kernel keeps them: computed once for each pixel and tap, read by the lanes of a quad.
#pragma once

#include <cuda_fp16.h>

#include "deform_core.h"

namespace edgedeblur {

template <typename T>
constexpr int CHUNK = 16 / sizeof(T);  // channels in 16 bytes

// The weights of a sample's four corners in T's arithmetic, and the weighted sum of four chunks.
template <typename T>
struct Weights;

template <>
struct Weights<float> {
    float4 corner;

    Weights() = default;
    __device__ __forceinline__ explicit Weights(const float (&weight)[4])
        : corner{weight[0], weight[1], weight[2], weight[3]} {}

    __device__ __forceinline__ uint32_t operator()(uint32_t a, uint32_t b, uint32_t c, uint32_t d) const {
        return __float_as_uint(corner.x * __uint_as_float(a) + corner.y * __uint_as_float(b) +
                               corner.z * __uint_as_float(c) + corner.w * __uint_as_float(d));
    }
};

template <>
struct Weights<__half> {
    __half2 top, bottom;

    Weights() = default;
    __device__ __forceinline__ explicit Weights(const float (&weight)[4])
        : top(__floats2half2_rn(weight[0], weight[1])), bottom(__floats2half2_rn(weight[2], weight[3])) {}

    // Two channels in each word.
    __device__ __forceinline__ uint32_t operator()(uint32_t a, uint32_t b, uint32_t c, uint32_t d) const {
        __half2 sum = __hmul2(__low2half2(top), halves(a));
        sum = __hfma2(__high2half2(top), halves(b), sum);
        sum = __hfma2(__low2half2(bottom), halves(c), sum);
        sum = __hfma2(__high2half2(bottom), halves(d), sum);
        return reinterpret_cast<const uint32_t&>(sum);
    }

    static __device__ __forceinline__ __half2 halves(uint32_t word) { return reinterpret_cast<const __half2&>(word); }
};

// Chunks of a sample's four corners on their way from memory.
struct Quartet {
    uint4 corner[4];

    // `x` is the image, which all lanes share; `at` the first corner's place in it in bytes, as are the pitches.
    __device__ __forceinline__ void load(const char* x, uint32_t at, uint32_t pixel_pitch, uint32_t row_pitch) {
        corner[0] = chunk(x, at);
        corner[1] = chunk(x, at + pixel_pitch);
        corner[2] = chunk(x, at + row_pitch);
        corner[3] = chunk(x, at + row_pitch + pixel_pitch);
    }

    template <typename T>
    __device__ __forceinline__ uint4 blend(const Weights<T>& weights) const {
        const uint4 &a = corner[0], &b = corner[1], &c = corner[2], &d = corner[3];
        return {weights(a.x, b.x, c.x, d.x), weights(a.y, b.y, c.y, d.y), weights(a.z, b.z, c.z, d.z),
                weights(a.w, b.w, c.w, d.w)};
    }

    static __device__ __forceinline__ uint4 chunk(const char* x, uint32_t at) {
        return __ldg(reinterpret_cast<const uint4*>(x + at));
    }
};

// The samples of all taps of a block's pixels for one offset group, in shared memory.
template <typename T, int PIXELS>
struct CornerTable {
    static constexpr int BYTES = PIXELS * (sizeof(uint32_t) + sizeof(Weights<T>));  // for each tap

    Weights<T>* weights;  // (taps, PIXELS)
    uint32_t* places;     // (taps, PIXELS), of the first corners, in bytes from the image's first pixel

    __device__ __forceinline__ CornerTable(void* shared, int taps)
        : weights(static_cast<Weights<T>*>(shared)), places(reinterpret_cast<uint32_t*>(weights + taps * PIXELS)) {}

    __device__ __forceinline__ void set(int index, const Sample& sample, uint32_t pixel_pitch) const {
        weights[index] = Weights<T>(sample.weight);
        places[index] = static_cast<uint32_t>(sample.top_left) * pixel_pitch;
    }

};

}  // namespace edgedeblur
