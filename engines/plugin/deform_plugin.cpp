// See deform_plugin.h. Nothing is thrown across an entry: what goes wrong is logged and returned as a code.
#include "deform_plugin.h"

#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <stdexcept>

#include "deform_kernel.h"

namespace edgedeblur {
namespace {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;
using nvinfer1::TensorFormat;

enum Input { X, WEIGHT, OFFSET, BIAS, MASK, MOST_INPUTS };
constexpr int64_t ANY = -1;  // as TensorRT writes a size that is not known yet
constexpr int32_t FAILED = -1;

struct Slot {
    const char* name;
    size_t place;
    int32_t length;
};
constexpr Slot SLOTS[] = {
    {"stride", offsetof(DeformAttributes, stride), 2},
    {"padding", offsetof(DeformAttributes, padding), 4},
    {"dilation", offsetof(DeformAttributes, dilation), 2},
    {"group", offsetof(DeformAttributes, group), 1},
    {"offset_group", offsetof(DeformAttributes, offset_group), 1},
    {"activation", offsetof(DeformAttributes, activation), 1},
};

[[noreturn]] void refuse(const std::string& message) {
    throw std::invalid_argument(std::string(PLUGIN_NAME) + ": " + message);
}

// 0 when `body` came through, else what it threw is logged.
template <typename Body>
int32_t guarded(Body&& body) noexcept {
    try {
        body();
        return 0;
    } catch (const std::exception& error) {
        log_error(error.what());
    } catch (...) {
        log_error("EdgeDeformConv2d: an unknown exception");
    }
    return FAILED;
}

void read_field(const PluginField& field, const Slot& slot, DeformAttributes& attributes) {
    if (field.type != PluginFieldType::kINT32 || field.length != slot.length || field.data == nullptr)
        refuse(std::string("attribute '") + slot.name + "' is not " + std::to_string(slot.length) + " int32");
    std::memcpy(reinterpret_cast<char*>(&attributes) + slot.place, field.data, slot.length * sizeof(int32_t));
}

void check_least(const char* name, int32_t least, std::initializer_list<int32_t> values) {
    for (int32_t value : values)
        if (value < least)
            refuse(std::string("attribute '") + name + "' has " + std::to_string(value) + "; expected at least " +
                   std::to_string(least));
}

std::string described(const DeformAttributes& attributes) {
    std::string text;
    for (const PluginField& field : fields_of(attributes)) {
        text += text.empty() ? field.name : std::string(" ") + field.name;
        for (int32_t i = 0; i < field.length; ++i)
            text += (i ? "," : "=") + std::to_string(static_cast<const int32_t*>(field.data)[i]);
    }
    return text;
}

std::string text_of(const int64_t* sizes, size_t count) {
    std::string text = "(";
    for (size_t i = 0; i < count; ++i)
        text += (i ? ", " : "") + (sizes[i] < 0 ? std::string("?") : std::to_string(sizes[i]));
    return text + ")";
}

void check_sizes(const char* name, const Dims& found, std::initializer_list<int64_t> expected) {
    const size_t count = static_cast<size_t>(found.nbDims);
    bool fits = count == expected.size();
    for (size_t i = 0; fits && i < count; ++i) {
        const int64_t wanted = expected.begin()[i];
        fits = found.d[i] < 0 || wanted < 0 || found.d[i] == wanted;
    }
    if (!fits)
        refuse(std::string(name) + " is " + text_of(found.d, count) + "; expected " +
               text_of(expected.begin(), expected.size()));
}

int64_t output_size(int64_t size, int64_t padding, int64_t kernel, int64_t dilation, int64_t stride) {
    return size < 0 ? ANY : (size + padding - dilation * (kernel - 1) - 1) / stride + 1;
}

// Throws when sizes contradict each other or the attributes; sizes that are not known yet contradict nothing.
void check_inputs(const DeformAttributes& to, const Dims* inputs, int32_t count) {
    if (count != MASK && count != MOST_INPUTS)
        refuse("there are " + std::to_string(count) + " inputs; expected x, weight, offset, bias and perhaps mask");
    const Dims &x = inputs[X], &weight = inputs[WEIGHT];
    check_sizes("weight", weight, {ANY, ANY, ANY, ANY});
    if (weight.d[0] < 1 || weight.d[1] < 1 || weight.d[2] < 1 || weight.d[3] < 1)
        refuse("weight is " + text_of(weight.d, 4) + "; expected sizes that are known when the engine is built");
    const int64_t channels = weight.d[3] * to.group, taps = weight.d[1] * weight.d[2] * to.offset_group;
    check_sizes("x", x, {ANY, channels, ANY, ANY});
    if (weight.d[0] % to.group != 0 || channels % to.offset_group != 0)
        refuse(std::to_string(weight.d[0]) + " output channels in " + std::to_string(to.group) + " groups, " +
               std::to_string(channels) + " channels in " + std::to_string(to.offset_group) +
               " offset groups; expected groups of equal size");
    const int64_t down = int64_t{to.padding[0]} + to.padding[2], across = int64_t{to.padding[1]} + to.padding[3];
    const int64_t height = output_size(x.d[2], down, weight.d[1], to.dilation[0], to.stride[0]);
    const int64_t width = output_size(x.d[3], across, weight.d[2], to.dilation[1], to.stride[1]);
    check_sizes("offset", inputs[OFFSET], {x.d[0], 2 * taps, height, width});
    check_sizes("bias", inputs[BIAS], {weight.d[0]});
    if (count > MASK) check_sizes("mask", inputs[MASK], {x.d[0], taps, height, width});
}

template <typename Desc, typename DimsOf>
void check_descs(const DeformAttributes& attributes, const Desc* inputs, int32_t count, DimsOf dims_of) {
    Dims dims[MOST_INPUTS]{};
    for (int32_t i = 0; i < count && i < MOST_INPUTS; ++i) dims[i] = dims_of(inputs[i]);
    check_inputs(attributes, dims, count);
}

int pitch_of(const nvinfer1::PluginTensorDesc& desc) {
    const int channels = static_cast<int>(desc.dims.d[1]);
    return desc.format == TensorFormat::kHWC8 ? (channels + 7) / 8 * 8 : channels;
}

DeformPair pair_of(const int64_t* sizes) { return {static_cast<int>(sizes[0]), static_cast<int>(sizes[1])}; }

DeformPair pair_of(const int32_t* values) { return {values[0], values[1]}; }

DeformParams params_of(const DeformAttributes& attributes, const nvinfer1::PluginTensorDesc* inputs,
                       const nvinfer1::PluginTensorDesc& out) {
    const Dims &x = inputs[X].dims, &weight = inputs[WEIGHT].dims;
    DeformParams params{};
    params.batch = static_cast<int>(x.d[0]);
    params.channels = static_cast<int>(x.d[1]);
    params.out_channels = static_cast<int>(weight.d[0]);
    params.x_pitch = pitch_of(inputs[X]);
    params.out_pitch = pitch_of(out);
    params.input = pair_of(x.d + 2);
    params.output = pair_of(out.dims.d + 2);
    params.kernel = pair_of(weight.d + 1);
    params.stride = pair_of(attributes.stride);
    params.padding = pair_of(attributes.padding);
    params.dilation = pair_of(attributes.dilation);
    params.groups = attributes.group;
    params.offset_groups = attributes.offset_group;
    params.activation = attributes.activation;
    return params;
}

}  // namespace

DeformFields fields_of(const DeformAttributes& attributes) {
    DeformFields fields;
    for (size_t i = 0; i < fields.size(); ++i)
        fields[i] = PluginField(SLOTS[i].name, reinterpret_cast<const char*>(&attributes) + SLOTS[i].place,
                                PluginFieldType::kINT32, SLOTS[i].length);
    return fields;
}

DeformAttributes attributes_from(const nvinfer1::PluginFieldCollection& fields) {
    DeformAttributes read;
    for (const Slot& slot : SLOTS)
        for (int32_t i = 0; i < fields.nbFields; ++i)
            if (std::strcmp(fields.fields[i].name, slot.name) == 0) read_field(fields.fields[i], slot, read);
    check_least("stride", 1, {read.stride[0], read.stride[1]});
    check_least("padding", 0, {read.padding[0], read.padding[1], read.padding[2], read.padding[3]});
    check_least("dilation", 1, {read.dilation[0], read.dilation[1]});
    check_least("group", 1, {read.group});
    check_least("offset_group", 1, {read.offset_group});
    if (read.activation != DEFORM_LINEAR && read.activation != DEFORM_RELU)
        refuse("attribute 'activation' is " + std::to_string(read.activation) + "; expected 0 (none) or 1 (ReLU)");
    return read;
}

DeformPlugin::DeformPlugin(const DeformAttributes& attributes)
    : attributes_(attributes),
      fields_(fields_of(attributes_)),
      serialized_{static_cast<int32_t>(fields_.size()), fields_.data()},
      description_(described(attributes_)) {}

nvinfer1::IPluginCapability* DeformPlugin::getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept {
    switch (type) {
        case nvinfer1::PluginCapabilityType::kCORE: return static_cast<IPluginV3OneCore*>(this);
        case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<IPluginV3OneBuild*>(this);
        case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<IPluginV3OneRuntime*>(this);
    }
    return nullptr;
}

nvinfer1::IPluginV3* DeformPlugin::clone() noexcept {
    DeformPlugin* copy = nullptr;
    guarded([&] {
        copy = new DeformPlugin(attributes_);
        copy->input_count_ = input_count_;
    });
    return copy;
}

nvinfer1::IPluginV3* DeformPlugin::attachToContext(nvinfer1::IPluginResourceContext*) noexcept { return clone(); }

int32_t DeformPlugin::getOutputDataTypes(DataType* output_types, int32_t, const DataType* input_types,
                                         int32_t) const noexcept {
    output_types[0] = input_types[X];
    return 0;
}

int32_t DeformPlugin::getOutputShapes(const nvinfer1::DimsExprs* inputs, int32_t input_count,
                                      const nvinfer1::DimsExprs*, int32_t, nvinfer1::DimsExprs* outputs, int32_t,
                                      nvinfer1::IExprBuilder&) noexcept {
    return guarded([&] {
        const auto known = [](const nvinfer1::DimsExprs& from) {
            Dims to{from.nbDims, {}};
            for (int32_t i = 0; i < from.nbDims; ++i) to.d[i] = from.d[i]->isConstant() ? from.d[i]->getConstantValue() : ANY;
            return to;
        };
        check_descs(attributes_, inputs, input_count, known);
        outputs[0].nbDims = 4;
        outputs[0].d[0] = inputs[X].d[0];
        outputs[0].d[1] = inputs[WEIGHT].d[0];
        outputs[0].d[2] = inputs[OFFSET].d[2];
        outputs[0].d[3] = inputs[OFFSET].d[3];
    });
}

bool DeformPlugin::supportsFormatCombination(int32_t position, const nvinfer1::DynamicPluginTensorDesc* tensors,
                                             int32_t input_count, int32_t) noexcept {
    const nvinfer1::PluginTensorDesc &asked = tensors[position].desc, &x = tensors[X].desc;
    const bool half = x.type == DataType::kHALF;
    if (position == X || position == input_count)
        return asked.type == x.type && (half || x.type == DataType::kFLOAT) &&
               asked.format == (half ? TensorFormat::kHWC8 : TensorFormat::kHWC);
    return asked.type == (position == OFFSET ? DataType::kFLOAT : x.type) && asked.format == TensorFormat::kLINEAR;
}

int32_t DeformPlugin::configurePlugin(const nvinfer1::DynamicPluginTensorDesc* inputs, int32_t input_count,
                                      const nvinfer1::DynamicPluginTensorDesc*, int32_t) noexcept {
    input_count_ = input_count;
    const auto dims_of = [](const nvinfer1::DynamicPluginTensorDesc& tensor) { return tensor.desc.dims; };
    return guarded([&] { check_descs(attributes_, inputs, input_count, dims_of); });
}

int32_t DeformPlugin::onShapeChange(const nvinfer1::PluginTensorDesc* inputs, int32_t input_count,
                                    const nvinfer1::PluginTensorDesc*, int32_t) noexcept {
    input_count_ = input_count;
    const auto dims_of = [](const nvinfer1::PluginTensorDesc& tensor) { return tensor.dims; };
    return guarded([&] { check_descs(attributes_, inputs, input_count, dims_of); });
}

int32_t DeformPlugin::enqueue(const nvinfer1::PluginTensorDesc* input_descs,
                              const nvinfer1::PluginTensorDesc* output_descs, const void* const* inputs,
                              void* const* outputs, void*, cudaStream_t stream) noexcept {
    if (input_count_ == 0) {
        log_error("EdgeDeformConv2d: enqueue came before onShapeChange");
        return FAILED;
    }
    const DeformParams params = params_of(attributes_, input_descs, output_descs[0]);
    const void* mask = input_count_ > MASK ? inputs[MASK] : nullptr;
    const DeformTensors tensors{inputs[X],      static_cast<const float*>(inputs[OFFSET]), mask, inputs[WEIGHT],
                                inputs[BIAS],   outputs[0]};
    const DeformType type = input_descs[X].type == DataType::kHALF ? DEFORM_FP16 : DEFORM_FP32;
    const cudaError_t status = edge_deform_conv2d_cuda(type, &params, &tensors, stream);
    if (status != cudaSuccess) log_error(cudaGetErrorString(status));
    return status == cudaSuccess ? 0 : FAILED;
}

}  // namespace edgedeblur
