// What a modulated deformable convolution is asked to compute, and the memory it works on. Plain C: every caller,
// the plugin, the CPU library and Python's ctypes, fills the same two structs. Pairs are (height, width).
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

enum DeformType { DEFORM_FP32 = 0, DEFORM_FP16 = 1 };
enum DeformActivation { DEFORM_LINEAR = 0, DEFORM_RELU = 1 };

struct DeformPair {
    int height, width;
};

struct DeformParams {
    int batch;
    int channels;       // C, of x
    int out_channels;   // M
    int x_pitch;        // elements from one pixel of x to the next: C, or more where the layout pads channels
    int out_pitch;      // the same of out; what lies between M and the pitch is written as 0
    struct DeformPair input, output;  // sizes of x and out in pixels
    struct DeformPair kernel, stride;
    struct DeformPair padding;        // before the first row and column; that behind the last is in the output's size
    struct DeformPair dilation;
    int groups;         // of the weight; divides C and M
    int offset_groups;  // G, groups of channels that share sampling positions; divides C
    int activation;     // a DeformActivation, applied after the bias
};

// T is float or half, as the DeformType says. K = kernel height x kernel width taps.
struct DeformTensors {
    const void* x;       // (batch, H, W, x_pitch) T, channels last
    const float* offset; // (batch, G·K·2, OH, OW) pixels, y before x for each tap: never below FP32
    const void* mask;    // (batch, G·K, OH, OW) T; null for all ones
    const void* weight;  // (M, kernel height, kernel width, C / groups) T, channels last
    const void* bias;    // (M) T; null for none
    void* out;           // (batch, OH, OW, out_pitch) T, channels last
};

#ifdef __cplusplus
}
#endif
