// The TensorRT plugin `EdgeDeformConv2d`: tells TensorRT types, layouts and sizes and launches the kernel. No maths.
//
// One source for TensorRT 10.3 to 11.x. Inputs, in the order of export/passes/rename_deform.py, and the output:
//   x       (N, C, H, W)        FP16 as kHWC8 (channels padded to a multiple of 8) or FP32 as kHWC
//   weight  (M, KH, KW, C / group)   type of x, linear: channels last, turned so in the graph, once
//   offset  (N, 2·G·KH·KW, OH, OW)   FP32 always, linear; pixels, y before x for each tap
//   bias    (M)                 type of x, linear
//   mask    (N, G·KH·KW, OH, OW)     type of x, linear; may be left out, which is all ones
//   out     (N, M, OH, OW)      type and layout of x
#pragma once

#include <NvInfer.h>

#include <array>
#include <string>

#include "deform_params.h"

namespace edgedeblur {

constexpr const char* PLUGIN_NAME = "EdgeDeformConv2d";
constexpr const char* PLUGIN_VERSION = "1";
constexpr const char* PLUGIN_NAMESPACE = "edgedeblur";

// The node's attributes, which are also the plugin's fields and what a plan keeps of it. Pairs are (height, width).
struct DeformAttributes {
    int32_t stride[2]{1, 1};
    int32_t padding[4]{};  // top, left, bottom, right
    int32_t dilation[2]{1, 1};
    int32_t group{1};
    int32_t offset_group{1};
    int32_t activation{DEFORM_LINEAR};
};

using DeformFields = std::array<nvinfer1::PluginField, 6>;

// Fields that point into `attributes`, which must outlive them.
DeformFields fields_of(const DeformAttributes& attributes);

// What `fields` say; those that are missing keep their defaults, unknown ones are left alone.
// Throws std::invalid_argument for a value that makes no sense.
DeformAttributes attributes_from(const nvinfer1::PluginFieldCollection& fields);

// Sends an error to TensorRT's logger, or to stderr when it gave none.
void log_error(const char* message) noexcept;

class DeformPlugin final : public nvinfer1::IPluginV3,
                           public nvinfer1::IPluginV3OneCore,
                           public nvinfer1::IPluginV3OneBuild,
                           public nvinfer1::IPluginV3OneRuntime {
public:
    explicit DeformPlugin(const DeformAttributes& attributes);

    nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override;
    nvinfer1::IPluginV3* clone() noexcept override;

    const char* getPluginName() const noexcept override { return PLUGIN_NAME; }
    const char* getPluginVersion() const noexcept override { return PLUGIN_VERSION; }
    const char* getPluginNamespace() const noexcept override { return PLUGIN_NAMESPACE; }

    int32_t getNbOutputs() const noexcept override { return 1; }
    int32_t getOutputDataTypes(nvinfer1::DataType* output_types, int32_t outputs, const nvinfer1::DataType* input_types,
                               int32_t inputs) const noexcept override;
    int32_t getOutputShapes(const nvinfer1::DimsExprs* inputs, int32_t input_count, const nvinfer1::DimsExprs*, int32_t,
                            nvinfer1::DimsExprs* outputs, int32_t output_count,
                            nvinfer1::IExprBuilder& builder) noexcept override;
    bool supportsFormatCombination(int32_t position, const nvinfer1::DynamicPluginTensorDesc* tensors, int32_t inputs,
                                   int32_t outputs) noexcept override;
    int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* inputs, int32_t input_count,
                            const nvinfer1::DynamicPluginTensorDesc* outputs, int32_t output_count) noexcept override;
    const char* getTimingCacheID() noexcept override { return description_.c_str(); }
    const char* getMetadataString() noexcept override { return description_.c_str(); }

    int32_t onShapeChange(const nvinfer1::PluginTensorDesc* inputs, int32_t input_count,
                          const nvinfer1::PluginTensorDesc* outputs, int32_t output_count) noexcept override;
    int32_t enqueue(const nvinfer1::PluginTensorDesc* input_descs, const nvinfer1::PluginTensorDesc* output_descs,
                    const void* const* inputs, void* const* outputs, void* workspace,
                    cudaStream_t stream) noexcept override;
    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
    const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override { return &serialized_; }

private:
    const DeformAttributes attributes_;
    const DeformFields fields_;
    const nvinfer1::PluginFieldCollection serialized_;
    const std::string description_;  // all attributes: layers with equal ones, types and sizes are timed once
    int32_t input_count_{0};         // 4, or 5 with a mask: enqueue is not told
};

}  // namespace edgedeblur
