// Asks the plugin everything that TensorRT asks, for one case, and prints each answer as a line `key value`.
// Arguments: half or float, attributes (stride=1,2) and tensors (x=2,4,5,9; -1 is a size that is not known).
// The kernel is a stand-in that prints what it is given, so neither a GPU nor nvcc is needed.
#include <NvInfer.h>

#include <cstdio>
#include <deque>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "deform_kernel.h"

using namespace nvinfer1;

extern "C" void setLoggerFinder(ILoggerFinder* finder);
extern "C" IPluginCreatorInterface* const* getCreators(int32_t& count);

bool kernel_is_silent = false;

extern "C" cudaError_t edge_deform_conv2d_cuda(
    DeformType type, const DeformParams* p, const DeformTensors* t, cudaStream_t stream) noexcept {
    if (kernel_is_silent) return cudaSuccess;
    std::printf("kernel.type %d\nkernel.batch %d\nkernel.channels %d,%d\nkernel.pitch %d,%d\n", type, p->batch,
                p->channels, p->out_channels, p->x_pitch, p->out_pitch);
    std::printf("kernel.input %d,%d\nkernel.output %d,%d\nkernel.kernel %d,%d\nkernel.stride %d,%d\n", p->input.height,
                p->input.width, p->output.height, p->output.width, p->kernel.height, p->kernel.width, p->stride.height,
                p->stride.width);
    std::printf("kernel.padding %d,%d\nkernel.dilation %d,%d\nkernel.groups %d,%d\nkernel.activation %d\n",
                p->padding.height, p->padding.width, p->dilation.height, p->dilation.width, p->groups,
                p->offset_groups, p->activation);
    std::printf("kernel.tensors %zu,%zu,%zu,%zu,%zu,%zu\nkernel.stream %zu\n", size_t(t->x), size_t(t->weight),
                size_t(t->offset), size_t(t->bias), size_t(t->mask), size_t(t->out), size_t(stream));
    return p->batch == 13 ? cudaErrorLaunchFailure : cudaSuccess;
}
extern "C" const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaErrorLaunchFailure ? "the launch failed" : "no error";
}

struct PrintingLogger : ILogger {
    void log(Severity severity, const char* message) noexcept override {
        std::printf("log %d %s\n", static_cast<int>(severity), message);
    }
};
struct Finder : ILoggerFinder {
    PrintingLogger logger;
    ILogger* findLogger() override { return &logger; }
};
struct Size : IDimensionExpr {
    struct Known : apiv::VDimensionExpr {
        int64_t value;
        bool isConstant() const noexcept override { return value >= 0; }
        int64_t getConstantValue() const noexcept override { return value; }
        bool isSizeTensor() const noexcept override { return false; }
    } stored;
    explicit Size(int64_t value) {
        stored.value = value;
        mImpl = &stored;
    }
};

using Values = std::vector<int64_t>;
const char* const TENSORS[] = {"x", "weight", "offset", "bias", "mask"};
const DataType TYPES[] = {DataType::kFLOAT, DataType::kHALF, DataType::kINT8};
const char* const TYPE_NAMES[] = {"float", "half", "int8"};
const TensorFormat FORMATS[] = {TensorFormat::kLINEAR, TensorFormat::kHWC, TensorFormat::kHWC8, TensorFormat::kCHW32};
const char* const FORMAT_NAMES[] = {"linear", "hwc", "hwc8", "chw32"};

Dims dims_of(const Values& values) {
    Dims dims{static_cast<int32_t>(values.size()), {}};
    for (size_t i = 0; i < values.size(); ++i) dims.d[i] = values[i];
    return dims;
}

void print_fields(const char* key, const PluginFieldCollection& fields) {
    for (int32_t i = 0; i < fields.nbFields; ++i) {
        std::printf("%s.%s ", key, fields.fields[i].name);
        for (int32_t k = 0; k < fields.fields[i].length; ++k)
            std::printf("%s%d", k ? "," : "", static_cast<const int32_t*>(fields.fields[i].data)[k]);
        std::printf("\n");
    }
}

// One case: what the command line says.
struct Case {
    DataType type{DataType::kFLOAT};
    std::map<std::string, std::vector<int32_t>> attributes;
    std::vector<Values> tensors;

    Case(int count, char** arguments) {
        std::map<std::string, Values> found;
        for (int i = 1; i < count; ++i) {
            std::string text = arguments[i], number;
            if (text == "half") type = DataType::kHALF;
            const size_t equals = text.find('=');
            if (equals == std::string::npos) continue;
            std::istringstream numbers(text.substr(equals + 1));
            Values& values = found[text.substr(0, equals)];
            while (std::getline(numbers, number, ',')) values.push_back(std::stoll(number));
        }
        for (const char* name : TENSORS)
            if (found.count(name)) {
                tensors.push_back(found[name]);
                found.erase(name);
            }
        for (const auto& [name, values] : found) attributes[name].assign(values.begin(), values.end());
    }

    IPluginV3* plugin(IPluginCreatorV3One& creator) const {
        std::vector<PluginField> fields;
        for (const auto& [name, values] : attributes)
            fields.emplace_back(name.c_str(), values.data(), PluginFieldType::kINT32, int32_t(values.size()));
        const PluginFieldCollection collection{static_cast<int32_t>(fields.size()), fields.data()};
        return creator.createPlugin("layer", &collection, TensorRTPhase::kBUILD);
    }

    // Inputs and the output, as TensorRT would describe them to a plugin that takes channels last.
    std::vector<PluginTensorDesc> descs() const {
        std::vector<PluginTensorDesc> made;
        const TensorFormat last = type == DataType::kHALF ? TensorFormat::kHWC8 : TensorFormat::kHWC;
        for (size_t i = 0; i < tensors.size(); ++i)
            made.push_back({dims_of(tensors[i]), i == 2 ? DataType::kFLOAT : type, i ? TensorFormat::kLINEAR : last, 1.0f});
        if (tensors.size() > 2)
            made.push_back({dims_of({tensors[0][0], tensors[1][0], tensors[2][2], tensors[2][3]}), type, last, 1.0f});
        return made;
    }
};

// Prints the rank-4 output's sizes by the input they were taken from, such as x.0.
void ask_shapes(IPluginV3OneBuild& build, const Case& asked, IExprBuilder& builder) {
    std::deque<Size> sizes;  // expressions cannot be copied, and must not move
    std::map<const IDimensionExpr*, std::string> sources;
    std::vector<DimsExprs> inputs;
    for (size_t i = 0; i < asked.tensors.size(); ++i) {
        DimsExprs dims{static_cast<int32_t>(asked.tensors[i].size()), {}};
        for (int32_t k = 0; k < dims.nbDims; ++k) {
            dims.d[k] = &sizes.emplace_back(asked.tensors[i][k]);
            sources[dims.d[k]] = std::string(TENSORS[i]) + "." + std::to_string(k);
        }
        inputs.push_back(dims);
    }
    DimsExprs out{};
    const int32_t status =
        build.getOutputShapes(inputs.data(), static_cast<int32_t>(inputs.size()), nullptr, 0, &out, 1, builder);
    std::printf("shapes.status %d\n", status);
    for (int32_t k = 0; status == 0 && k < out.nbDims; ++k) std::printf("shapes.out %s\n", sources[out.d[k]].c_str());
}

// Prints every type and layout that is taken at each place, given that what stands before it is what the case says.
void ask_formats(IPluginV3OneBuild& build, const Case& asked) {
    std::vector<DynamicPluginTensorDesc> tensors;
    for (const PluginTensorDesc& desc : asked.descs()) tensors.push_back({desc, desc.dims, desc.dims, desc.dims});
    const int32_t inputs = static_cast<int32_t>(asked.tensors.size());
    for (int32_t position = 0; position <= inputs; ++position) {
        const PluginTensorDesc right = tensors[position].desc;
        for (size_t type = 0; type < std::size(TYPES); ++type)
            for (size_t format = 0; format < std::size(FORMATS); ++format) {
                tensors[position].desc.type = TYPES[type];
                tensors[position].desc.format = FORMATS[format];
                if (build.supportsFormatCombination(position, tensors.data(), inputs, 1))
                    std::printf("format.%s %s/%s\n", position < inputs ? TENSORS[position] : "out", TYPE_NAMES[type],
                                FORMAT_NAMES[format]);
            }
        tensors[position].desc = right;
    }
}

void ask_build(IPluginV3& plugin, const Case& asked) {
    auto& build = *static_cast<IPluginV3OneBuild*>(plugin.getCapabilityInterface(PluginCapabilityType::kBUILD));
    struct Builder : IExprBuilder {
    } builder;
    const int32_t inputs = static_cast<int32_t>(asked.tensors.size());
    ask_shapes(build, asked, builder);
    DataType types[6]{}, out{};
    for (int32_t i = 0; i < inputs && i < 6; ++i) types[i] = asked.descs()[i].type;
    std::printf("types %d\n", build.getOutputDataTypes(&out, 1, types, inputs));
    std::printf("out.type %s\nout.count %d\n", out == DataType::kHALF ? "half" : "float", build.getNbOutputs());
    if (inputs > 3) ask_formats(build, asked);
    std::vector<DynamicPluginTensorDesc> tensors;
    for (const PluginTensorDesc& desc : asked.descs()) tensors.push_back({desc, desc.dims, desc.dims, desc.dims});
    const DynamicPluginTensorDesc* described = tensors.data();
    std::printf("configure %d\n", build.configurePlugin(described, inputs, described + inputs, 1));
    std::printf("workspace %zu\n", build.getWorkspaceSize(described, inputs, described + inputs, 1));
    std::printf("timing %s\nmetadata %s\n", build.getTimingCacheID(), build.getMetadataString());
}

void ask_runtime(IPluginV3& plugin, const Case& asked) {
    auto& core = *static_cast<IPluginV3OneRuntime*>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    std::unique_ptr<IPluginV3> attached(core.attachToContext(nullptr));
    auto& run = *static_cast<IPluginV3OneRuntime*>(attached->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    print_fields("attached", *run.getFieldsToSerialize());
    const std::vector<PluginTensorDesc> descs = asked.descs();
    const int32_t inputs = static_cast<int32_t>(asked.tensors.size());
    const PluginTensorDesc* out = descs.data() + inputs;
    const void* pointers[] = {(void*)1, (void*)2, (void*)3, (void*)4, (void*)5};
    void* outputs[] = {(void*)6};
    const auto stream = (cudaStream_t)7;
    std::printf("early %d\n", run.enqueue(descs.data(), out, pointers, outputs, nullptr, stream));
    const int32_t status = run.onShapeChange(descs.data(), inputs, out, 1);
    std::printf("change %d\n", status);
    if (status == 0) std::printf("enqueue %d\n", run.enqueue(descs.data(), out, pointers, outputs, nullptr, stream));
    std::unique_ptr<IPluginV3> cloned(attached->clone());
    auto& again = *static_cast<IPluginV3OneRuntime*>(cloned->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    print_fields("cloned", *again.getFieldsToSerialize());
    kernel_is_silent = true;
    std::printf("again %d\n", again.enqueue(descs.data(), out, pointers, outputs, nullptr, stream));
}

int main(int count, char** arguments) {
    Finder finder;
    setLoggerFinder(&finder);
    int32_t creators = 0;
    auto& creator = *static_cast<IPluginCreatorV3One*>(getCreators(creators)[0]);
    std::printf("creators %d\nname %s\nversion %s\nnamespace %s\nkind %s\n", creators, creator.getPluginName(),
                creator.getPluginVersion(), creator.getPluginNamespace(), creator.getInterfaceInfo().kind);
    print_fields("default", *creator.getFieldNames());
    const Case asked(count, arguments);
    std::unique_ptr<IPluginV3> plugin(asked.plugin(creator));
    std::printf("created %d\n", plugin != nullptr);
    if (plugin == nullptr) return 0;
    auto& core = *static_cast<IPluginV3OneCore*>(plugin->getCapabilityInterface(PluginCapabilityType::kCORE));
    std::printf("core %s/%s/%s\n", core.getPluginNamespace(), core.getPluginName(), core.getPluginVersion());
    auto& run = *static_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    const PluginFieldCollection& kept = *run.getFieldsToSerialize();
    print_fields("kept", kept);
    if (!asked.tensors.empty()) ask_build(*plugin, asked);
    std::unique_ptr<IPluginV3> restored(creator.createPlugin("layer", &kept, TensorRTPhase::kRUNTIME));
    plugin.reset();  // what a plan was read into must not need what it was written from
    if (asked.tensors.size() > 3) ask_runtime(*restored, asked);
}
