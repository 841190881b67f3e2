// The maths of deform_core.h on the CPU behind a C function, so that any language can test it. FP32 only.
#include "deform_core.h"

// out = activation(deformable convolution of x + bias). Returns 0, or 1 for sizes that make no sense.
extern "C" int edge_deform_conv2d_cpu(const DeformParams* params, const DeformTensors* tensors) noexcept {
    using namespace edgedeblur;
    if (!valid(*params)) return 1;
    float* out = static_cast<float*>(tensors->out);
    for (int image = 0; image < params->batch; ++image)
        for (int row = 0; row < params->output.height; ++row)
            for (int column = 0; column < params->output.width; ++column)
                for (int channel = 0; channel < params->out_pitch; ++channel)
                    *out++ = channel < params->out_channels
                                 ? output_value<float>(*params, *tensors, image, row, column, channel)
                                 : 0.0f;
    return 0;
}
