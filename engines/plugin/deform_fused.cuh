// The fused kernel: samples go from global memory through registers into tensor cores; no column buffer anywhere.
//
// A block takes a tile of output pixels, TILE_WIDTH of them in a row so that their samples lie close together, and
// 8·COLUMNS output channels. First its threads compute every sampling position and its bilinear weights, once for each
// pixel and tap, into shared memory. Then each warp works through taps and slabs of channels for its 16·TILES pixels: lane
// 4g + q reads chunk q of pixels g, g + 8, …, which is where tensor cores want it (deform_mma.cuh). The warps beside each
// other share a tap's weights, copied to shared memory while the tap before is worked on; TAP_WARPS rows of warps share
// out the taps, so that small frames fill a large GPU as well.
#pragma once

#include "deform_core.h"
#include "deform_corners.cuh"
#include "deform_mma.cuh"
#include "deform_stage.cuh"

namespace edgedeblur {

// Which part of the output a block computes.
template <int TILES_, int COLUMNS_, int PIXEL_WARPS_, int TAP_WARPS_>
struct Shape {
    static constexpr int TILES = TILES_, COLUMNS = COLUMNS_, PIXEL_WARPS = PIXEL_WARPS_, TAP_WARPS = TAP_WARPS_;
    static constexpr int ROWS = 2 * TILES;  // pixels that a lane reads
    static constexpr int WARP_PIXELS = 8 * ROWS;
    static constexpr int PIXELS = WARP_PIXELS * PIXEL_WARPS;
    static constexpr int TILE_WIDTH = 16, TILE_HEIGHT = PIXELS / TILE_WIDTH;
    static constexpr int CHANNELS = 8 * COLUMNS;  // of the output
    static constexpr int WARPS = PIXEL_WARPS * TAP_WARPS;
    static constexpr int THREADS = WARP * WARPS;
    static constexpr int STAGE = TAP_WARPS * CHANNELS * SLAB_CHUNKS;  // chunks of weights
    static constexpr int SUMS_PITCH = CHANNELS + 8;   // floats; eight more, so that rows start in other banks
    static constexpr int SUMS = 16 * SUMS_PITCH / 4;  // float4 of one warp and tile
    // Weights of two steps, and after the last one, sums; 16 bytes each.
    static constexpr int SHARED = 2 * STAGE > WARPS * SUMS ? 2 * STAGE : WARPS * SUMS;
};

// The part of x that one pass over the taps reads: a slab of channels, of which HALVES halves are there.
struct Slab {
    const char* x;  // its first chunk of pixel 0
    uint32_t pixel_pitch, row_pitch;  // bytes
    int left;  // channels from its first to the offset group's last
};

// Samples of this lane's pixels, one tap after the other. The corners of one pixel are always on their way while those of
// the pixel before are blended, over the end of a tap too.
template <typename T, typename S, int HALVES>
class Sampler {
public:
    __device__ __forceinline__ Sampler(const Slab& slab, const CornerTable<T, S::PIXELS>& table, int first_pixel, int lane)
        : slab_(slab), table_(table), pixel_(first_pixel + (lane >> 2)), swapped_(HALVES == 2 && (lane & 4)) {
#pragma unroll
        for (int turn = 0; turn < HALVES; ++turn) {
            // Odd quads begin with the other half: pixels lie 128 bytes apart, or a multiple, and the same half of all of
            // them would queue for the same half of the cache's banks.
            const int chunk = 4 * (swapped_ ? HALVES - 1 - turn : turn) + (lane & 3);
            // Chunks behind the last channel meet weights of zero: any finite sample does.
            place_[turn] = chunk * CHUNK<T> < slab.left ? 16 * chunk : 0;
        }
    }

    // Send for the first pixel of `tap`.
    __device__ __forceinline__ void start(int tap) { load(loading_[0], tap, 0); }

    // The samples of `tap`, for which `start` was called; `next` is started.
    __device__ __forceinline__ void finish(int tap, int next, uint4 (&samples)[HALVES][S::ROWS]) {
#pragma unroll
        for (int row = 0; row < S::ROWS; ++row) {
            if (row + 1 < S::ROWS)
                load(loading_[(row + 1) % 2], tap, row + 1);
            else
                load(loading_[0], next, 0);
            const Weights<T> weights = table_.weights[tap * S::PIXELS + pixel_ + 8 * row];
            uint4 half[HALVES];
#pragma unroll
            for (int turn = 0; turn < HALVES; ++turn) half[turn] = loading_[row % 2][turn].blend(weights);
#pragma unroll
            for (int turn = 0; turn < HALVES; ++turn) samples[turn][row] = swapped_ ? half[HALVES - 1 - turn] : half[turn];
        }
    }

private:
    __device__ __forceinline__ void load(Quartet (&quartets)[HALVES], int tap, int row) {
        const uint32_t at = table_.places[tap * S::PIXELS + pixel_ + 8 * row];
#pragma unroll
        for (int turn = 0; turn < HALVES; ++turn)
            quartets[turn].load(slab_.x, at + place_[turn], slab_.pixel_pitch, slab_.row_pitch);
    }

    Slab slab_;
    CornerTable<T, S::PIXELS> table_;
    int pixel_;
    bool swapped_;
    uint32_t place_[HALVES];  // of this lane's chunks within a pixel, in bytes
    Quartet loading_[2][HALVES];
};

// sums += samples · weights for all taps and one slab. `copy_next` sends for the weights of the step after.
template <typename T, typename S, int HALVES, typename CopyNext>
__device__ __forceinline__ void multiply_slab(
    Sums (&sums)[S::TILES][S::COLUMNS], const Slab& slab, const CornerTable<T, S::PIXELS>& table, const uint4* shared,
    int taps, int& turn, const CopyNext& copy_next) {
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int tap_warp = warp / S::PIXEL_WARPS;
    const auto tap_at = [&](int step) { return min(step + tap_warp, taps - 1); };  // too many ones meet weights of zero
    Sampler<T, S, HALVES> sampler(slab, table, warp % S::PIXEL_WARPS * S::WARP_PIXELS, lane);
    sampler.start(tap_at(0));
    for (int step = 0; step < taps; step += S::TAP_WARPS, turn ^= 1) {
        wait_for_copies();
        __syncthreads();  // this step's weights are there, and nobody reads those of the step before any more
        copy_next(step + S::TAP_WARPS, turn ^ 1);
        uint4 samples[HALVES][S::ROWS];
        sampler.finish(tap_at(step), tap_at(step + S::TAP_WARPS), samples);
        const uint4* weights = shared + turn * S::STAGE + tap_warp * S::CHANNELS * SLAB_CHUNKS;
#pragma unroll
        for (int half = 0; half < HALVES; ++half)
#pragma unroll
            for (int column = 0; column < S::COLUMNS; ++column) {
                const uint4 filters = weights[stage_place(8 * column + (lane >> 2), 4 * half + (lane & 3))];
#pragma unroll
                for (int tile = 0; tile < S::TILES; ++tile)
                    multiply(sums[tile][column], samples[half][2 * tile], samples[half][2 * tile + 1], filters, T());
            }
    }
}

template <typename T, typename S, int BLOCKS>
__global__ void __launch_bounds__(S::THREADS, BLOCKS)
    fused_kernel(const DeformParams params, const DeformTensors tensors) {
    constexpr int SLAB = SLAB_CHUNKS * CHUNK<T>;  // channels
    extern __shared__ uint4 shared[];

    const int taps = params.kernel.height * params.kernel.width;
    const int sharing = params.channels / params.offset_groups;
    const uint32_t pixel_pitch = params.x_pitch * sizeof(T), row_pitch = pixel_pitch * params.input.width;
    const Tile<S> tile(params, blockIdx.x, blockIdx.z);
    const int first_channel = blockIdx.y * S::CHANNELS;
    const char* x = static_cast<const char*>(tensors.x) + static_cast<int64_t>(blockIdx.z) * row_pitch * params.input.height;
    const WeightStager<T, S> stager(params, tensors, first_channel);
    const CornerTable<T, S::PIXELS> table(shared + S::SHARED, taps);

    Sums sums[S::TILES][S::COLUMNS] = {};
    int turn = 0;  // which half of the stage holds this step's weights
    for (int group = 0; group < params.offset_groups; ++group) {
        __syncthreads();  // the table and the weights of the group before are done with
        stager.copy(shared + turn * S::STAGE, 0, group * sharing, sharing);
        fill_table<T, S>(table, params, tensors, tile, group, taps, pixel_pitch);
        __syncthreads();
        for (int channel = 0; channel < sharing; channel += SLAB) {
            const Slab slab{x + (group * sharing + channel) * sizeof(T), pixel_pitch, row_pitch, sharing - channel};
            const auto copy_next = [&](int step, int to) {
                const bool same_slab = step < taps;
                const int next = channel + (same_slab ? 0 : SLAB);
                if (next < sharing)
                    stager.copy(shared + to * S::STAGE, same_slab ? step : 0, group * sharing + next, sharing - next);
            };
            if (slab.left > SLAB / 2)
                multiply_slab<T, S, 2>(sums, slab, table, shared, taps, turn, copy_next);
            else
                multiply_slab<T, S, 1>(sums, slab, table, shared, taps, turn, copy_next);
        }
    }
    store_sums<T, S>(sums, params, tensors, shared, tile, first_channel);
}

}  // namespace edgedeblur
