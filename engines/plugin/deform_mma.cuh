// Tensor-core products of 16-byte chunks: what one lane holds of a row is eight FP16 or four FP32 channels.
//
// The fragments of mma.sync want a lane's values from several places along the summed axis. A sum does not care about
// its order: both operands are read as whole chunks, lane q of a quad taking channels q·chunk, and the instruction's
// k-th place means the same channel in both. So global memory is read 16 bytes at a time, straight into fragments.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

namespace edgedeblur {

struct Sums {  // one 16x8 tile of the result: rows g and g + 8, columns 2q and 2q + 1 of lane 4g + q
    float value[4];
};

// sums += rows · columnsᵀ for FP16: 16 rows and 8 columns of 32 channels. `upper` is row g, `lower` row g + 8.
__device__ __forceinline__ void multiply(Sums& sums, const uint4& upper, const uint4& lower, const uint4& column, __half) {
    float* s = sums.value;
#if __CUDA_ARCH__ >= 800
    const auto step = [s](uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    };
    step(upper.x, lower.x, upper.y, lower.y, column.x, column.y);
    step(upper.z, lower.z, upper.w, lower.w, column.z, column.w);
#else  // Turing has the product of half the depth only
    const auto step = [s](uint32_t a0, uint32_t a1, uint32_t b0) {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
            : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
            : "r"(a0), "r"(a1), "r"(b0));
    };
    step(upper.x, lower.x, column.x);
    step(upper.y, lower.y, column.y);
    step(upper.z, lower.z, column.z);
    step(upper.w, lower.w, column.w);
#endif
}

#if __CUDA_ARCH__ >= 800
// value = high + low, both TF32: together they hold 22 of FP32's 24 bits.
struct Tf32Pair {
    uint32_t high, low;
    __device__ __forceinline__ explicit Tf32Pair(uint32_t value) {
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(high) : "f"(__uint_as_float(value)));
        const float rest = __uint_as_float(value) - __uint_as_float(high);
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(low) : "f"(rest));
    }
};
#endif

// The same for FP32: 16 channels. Three TF32 products stand for one of FP32; the fourth lies below its rounding. They are
// added up apart first: tensor cores cut off, not round, what does not fit beside a long sum.
__device__ __forceinline__ void multiply(Sums& sums, const uint4& upper, const uint4& lower, const uint4& column, float) {
#if __CUDA_ARCH__ >= 800
    float s[4] = {};
    const auto product = [&s](uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
        asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
            : "+f"(s[0]), "+f"(s[1]), "+f"(s[2]), "+f"(s[3])
            : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    };
    const auto step = [&](uint32_t u0, uint32_t l0, uint32_t u1, uint32_t l1, uint32_t c0, uint32_t c1) {
        const Tf32Pair a0(u0), a1(l0), a2(u1), a3(l1), b0(c0), b1(c1);
        product(a0.low, a1.low, a2.low, a3.low, b0.high, b1.high);
        product(a0.high, a1.high, a2.high, a3.high, b0.low, b1.low);
        product(a0.high, a1.high, a2.high, a3.high, b0.high, b1.high);
    };
    step(upper.x, lower.x, upper.y, lower.y, column.x, column.y);
    step(upper.z, lower.z, upper.w, lower.w, column.z, column.w);
#pragma unroll
    for (int index = 0; index < 4; ++index) sums.value[index] += s[index];
#endif
}

}  // namespace edgedeblur
