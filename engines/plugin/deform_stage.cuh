// Both ends of the fused kernel: positions and weights into shared memory ahead of their use, sums out of it.
#pragma once

#include <cuda_fp16.h>

#include "deform_core.h"
#include "deform_corners.cuh"
#include "deform_mma.cuh"

namespace edgedeblur {

constexpr int WARP = 32;
constexpr int SLAB_CHUNKS = 8;  // chunks of channels that are worked on at once: 128 bytes of a pixel

// A block's rectangle of output pixels, S::TILE_WIDTH in a row.
template <typename S>
struct Tile {
    int image, top, left;

    __device__ __forceinline__ Tile(const DeformParams& params, int index, int image_) : image(image_) {
        const int across = (params.output.width + S::TILE_WIDTH - 1) / S::TILE_WIDTH;
        top = index / across * S::TILE_HEIGHT, left = index % across * S::TILE_WIDTH;
    }
};

// Computes the samples of all taps for one offset group. A thread keeps to one pixel (those beyond the edge are computed
// as the last ones) and takes every STRIDE-th tap. Not unrolled: it would take registers from the main loop.
template <typename T, typename S>
__device__ __forceinline__ void fill_table(
    const CornerTable<T, S::PIXELS>& table, const DeformParams& params, const DeformTensors& tensors, const Tile<S>& tile,
    int group, int taps, uint32_t pixel_pitch) {
    constexpr int STRIDE = S::THREADS / S::PIXELS;
    const int pixel = threadIdx.x % S::PIXELS, first_tap = threadIdx.x / S::PIXELS;
    const int row = min(tile.top + pixel / S::TILE_WIDTH, params.output.height - 1);
    const int column = min(tile.left + pixel % S::TILE_WIDTH, params.output.width - 1);
    const int area = params.output.height * params.output.width;
    const int64_t plane = (static_cast<int64_t>(tile.image) * params.offset_groups + group) * taps + first_tap;
    const float* offset = tensors.offset + plane * area;
    int64_t at = plane * area + row * params.output.width + column;  // in the mask; the offset has two planes a tap
    const T* mask = static_cast<const T*>(tensors.mask);
    const float columns = 1.0f / params.kernel.width;
#pragma unroll 1
    for (int tap = first_tap; tap < taps; tap += STRIDE) {
        const int tap_y = static_cast<int>((tap + 0.5f) * columns), tap_x = tap - tap_y * params.kernel.width;
        const float y = tap_position(row, params.stride.height, params.padding.height, tap_y, params.dilation.height);
        const float x = tap_position(column, params.stride.width, params.padding.width, tap_x, params.dilation.width);
        const float modulation = mask == nullptr ? 1.0f : static_cast<float>(mask[at]);
        table.set(tap * S::PIXELS + pixel,
                  sample_at(y + __ldg(offset + at), x + __ldg(offset + at + area), params.input, modulation), pixel_pitch);
        at += STRIDE * static_cast<int64_t>(area), offset += STRIDE * static_cast<int64_t>(area);
    }
}

// Where chunk `chunk` of output channel `channel` lies: neighbouring channels use opposite halves of the 32 banks.
__device__ __forceinline__ int stage_place(int channel, int chunk) { return 8 * channel + (chunk ^ (channel & 1) << 2); }

// Copy 16 bytes in the background, or zeros where they are not wanted: then nothing is read.
__device__ __forceinline__ void copy_chunk(uint4* shared, const void* global, bool wanted) {
#if __CUDA_ARCH__ >= 800
    const uint32_t place = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(global), "r"(wanted ? 16 : 0) : "memory");
#else
    *shared = wanted ? __ldg(static_cast<const uint4*>(global)) : uint4{0, 0, 0, 0};
#endif
}

__device__ __forceinline__ void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// Copies one slab of channels of TAP_WARPS taps' weights, for the block's output channels. Every thread has its chunk of
// the slab, and every THREADS / 8th output channel.
template <typename T, typename S>
class WeightStager {
public:
    __device__ __forceinline__ WeightStager(const DeformParams& params, const DeformTensors& tensors, int first_channel)
        : taps_(params.kernel.height * params.kernel.width),
          channels_(params.channels),
          chunk_(threadIdx.x % 8),
          row_(threadIdx.x / 8),
          rows_(params.out_channels - first_channel),
          weight_(static_cast<const T*>(tensors.weight) +
                  static_cast<int64_t>(first_channel + row_) * taps_ * channels_ + chunk_ * CHUNK<T>) {}

    // first: a tap and an input channel; left: input channels from there to the end of the offset group.
    __device__ __forceinline__ void copy(uint4* stage, int first_tap, int first, int left) const {
        const T* source = weight_ + first_tap * channels_ + first;
        const bool inside = chunk_ * CHUNK<T> < left;
#pragma unroll
        for (int tap = 0; tap < TAPS; ++tap) {
            const bool there = inside && first_tap + tap < taps_;
            const T* from = source + tap * channels_;
#pragma unroll
            for (int pass = 0; pass < PASSES; ++pass) {
                const int row = row_ + pass * STRIDE;
                if (S::CHANNELS % STRIDE != 0 && row >= S::CHANNELS) break;
                const bool wanted = there && row < rows_;
                copy_chunk(stage + tap * S::CHANNELS * 8 + stage_place(row, chunk_), from, wanted);
                from += static_cast<int64_t>(STRIDE) * taps_ * channels_;
            }
        }
    }

private:
    static constexpr int STRIDE = S::THREADS / 8, PASSES = (S::CHANNELS + STRIDE - 1) / STRIDE;
    static constexpr int TAPS = S::STAGE / S::CHANNELS / 8;

    int taps_, channels_, chunk_, row_, rows_;
    const T* weight_;
};

__device__ __forceinline__ uint4 packed(const float (&value)[8], __half) {
    uint4 chunk;
    __half2* words = reinterpret_cast<__half2*>(&chunk);
#pragma unroll
    for (int pair = 0; pair < 4; ++pair) words[pair] = __floats2half2_rn(value[2 * pair], value[2 * pair + 1]);
    return chunk;
}

__device__ __forceinline__ uint4 packed(const float (&value)[4], float) {
    return {__float_as_uint(value[0]), __float_as_uint(value[1]), __float_as_uint(value[2]), __float_as_uint(value[3])};
}

// Add the tap warps' sums of one row of the tile, whose first pixel's output is `out`, and the bias from first_channel on.
// `worker` is one of WARP·TAP_WARPS.
template <typename T, typename S>
__device__ __forceinline__ void store_row(
    const DeformParams& params, const T* bias, const float4* parts, int worker, T* out, int pixels, int first_channel) {
    constexpr int CHUNKS = S::CHANNELS / CHUNK<T>;
#pragma unroll 1
    for (int place = worker; place < S::TILE_WIDTH * CHUNKS; place += WARP * S::TAP_WARPS) {
        const int pixel = place / CHUNKS, channel = place % CHUNKS * CHUNK<T>;
        if (pixel >= pixels || first_channel + channel >= params.out_pitch) continue;
        float value[CHUNK<T>];
#pragma unroll
        for (int index = 0; index < CHUNK<T>; ++index) {
            const int biased = first_channel + channel + index;
            value[index] = bias != nullptr && biased < params.out_channels ? static_cast<float>(bias[biased]) : 0.0f;
        }
#pragma unroll
        for (int part = 0; part < S::TAP_WARPS; ++part)
#pragma unroll
            for (int four = 0; four < CHUNK<T> / 4; ++four) {
                const float4 more = parts[part * S::PIXEL_WARPS * S::SUMS + (pixel * S::SUMS_PITCH + channel) / 4 + four];
                value[4 * four] += more.x;
                value[4 * four + 1] += more.y;
                value[4 * four + 2] += more.z;
                value[4 * four + 3] += more.w;
            }
        if (params.activation == DEFORM_RELU)
#pragma unroll
            for (int index = 0; index < CHUNK<T>; ++index) value[index] = activated(value[index], DEFORM_RELU);
        *reinterpret_cast<uint4*>(out + pixel * params.out_pitch + channel) = packed(value, T());
    }
}

// Warps that share out the taps meet in shared memory, 16 pixels at a time; activation and whole chunks follow.
template <typename T, typename S>
__device__ __forceinline__ void store_sums(
    const Sums (&sums)[S::TILES][S::COLUMNS], const DeformParams& params, const DeformTensors& tensors, uint4* shared,
    const Tile<S>& tile, int first_channel) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int pixel_warp = warp % S::PIXEL_WARPS, tap_warp = warp / S::PIXEL_WARPS;
    float* mine = reinterpret_cast<float*>(shared + warp * S::SUMS) + (lane >> 2) * S::SUMS_PITCH + 2 * (lane & 3);
    const float4* parts = reinterpret_cast<const float4*>(shared) + pixel_warp * S::SUMS;
#pragma unroll
    for (int part = 0; part < S::TILES; ++part) {
        __syncthreads();
#pragma unroll
        for (int column = 0; column < S::COLUMNS; ++column) {
            const float* s = sums[part][column].value;
            reinterpret_cast<float2*>(mine + 8 * column)[0] = {s[0], s[1]};
            reinterpret_cast<float2*>(mine + 8 * column + 8 * S::SUMS_PITCH)[0] = {s[2], s[3]};
        }
        __syncthreads();
        const int row = tile.top + pixel_warp * S::TILES + part;  // 16 pixels are a row of the tile
        if (row >= params.output.height) continue;
        const int64_t line = static_cast<int64_t>(tile.image) * params.output.height + row;
        T* out = static_cast<T*>(tensors.out) + (line * params.output.width + tile.left) * params.out_pitch + first_channel;
        store_row<T, S>(params, static_cast<const T*>(tensors.bias), parts, tap_warp * WARP + lane, out,
                        params.output.width - tile.left, first_channel);
    }
}

}  // namespace edgedeblur
