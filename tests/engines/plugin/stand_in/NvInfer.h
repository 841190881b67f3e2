// The part of TensorRT's C++ interface that the plugin uses, declared again: TensorRT's own headers cannot be shipped,
// and the plugin's answers are tested without them, too. It says nothing about TensorRT's binary layout.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace nvinfer1 {

enum class DataType : int32_t { kFLOAT, kHALF, kINT8 };
enum class TensorFormat : int32_t { kLINEAR = 0, kHWC8 = 2, kCHW32 = 5, kHWC = 8 };
enum class PluginFieldType : int32_t { kINT32 = 5, kUNKNOWN = 8 };
enum class PluginCapabilityType : int32_t { kCORE, kBUILD, kRUNTIME };
enum class TensorRTPhase : int32_t { kBUILD, kRUNTIME };

struct Dims {
    int32_t nbDims;
    int64_t d[8];
};
struct PluginTensorDesc {
    Dims dims;
    DataType type;
    TensorFormat format;
    float scale;
};
struct DynamicPluginTensorDesc {
    PluginTensorDesc desc;
    Dims min, max, opt;
};
struct PluginField {
    const char* name;
    const void* data;
    PluginFieldType type;
    int32_t length;
    PluginField(const char* name = nullptr, const void* data = nullptr,
                PluginFieldType type = PluginFieldType::kUNKNOWN, int32_t length = 0) noexcept
        : name(name), data(data), type(type), length(length) {}
};
struct PluginFieldCollection {
    int32_t nbFields;
    const PluginField* fields;
};

namespace apiv {
struct VDimensionExpr {
    virtual ~VDimensionExpr() noexcept = default;
    virtual bool isConstant() const = 0;
    virtual int64_t getConstantValue() const = 0;
    virtual bool isSizeTensor() const = 0;
};
}  // namespace apiv

class IDimensionExpr {
public:
    IDimensionExpr() = default;
    IDimensionExpr(const IDimensionExpr&) = delete;
    IDimensionExpr& operator=(const IDimensionExpr&) = delete;
    bool isConstant() const noexcept { return mImpl->isConstant(); }
    int64_t getConstantValue() const noexcept { return mImpl->getConstantValue(); }

protected:
    virtual ~IDimensionExpr() noexcept = default;
    apiv::VDimensionExpr* mImpl;
};
struct DimsExprs {
    int32_t nbDims;
    const IDimensionExpr* d[8];
};
class IExprBuilder {
protected:
    virtual ~IExprBuilder() noexcept = default;
};
class IPluginResourceContext;

struct ILogger {
    enum class Severity : int32_t { kINTERNAL_ERROR, kERROR, kWARNING, kINFO, kVERBOSE };
    virtual void log(Severity severity, const char* message) noexcept = 0;
    virtual ~ILogger() = default;
};
struct ILoggerFinder {
    virtual ILogger* findLogger() = 0;
    virtual ~ILoggerFinder() = default;
};

struct InterfaceInfo {
    const char* kind;
    int32_t major, minor;
};
struct IVersionedInterface {
    virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
    virtual ~IVersionedInterface() noexcept = default;
};
struct IPluginCapability : IVersionedInterface {};
struct IPluginV3 : IVersionedInterface {
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN", 1, 0}; }
    virtual IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept = 0;
    virtual IPluginV3* clone() noexcept = 0;
};
struct IPluginV3OneCore : IPluginCapability {
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN_V3ONE_CORE", 1, 0}; }
    virtual const char* getPluginName() const noexcept = 0;
    virtual const char* getPluginVersion() const noexcept = 0;
    virtual const char* getPluginNamespace() const noexcept = 0;
};
struct IPluginV3OneBuild : IPluginCapability {
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN_V3ONE_BUILD", 1, 0}; }
    virtual int32_t configurePlugin(const DynamicPluginTensorDesc*, int32_t, const DynamicPluginTensorDesc*,
                                    int32_t) noexcept = 0;
    virtual int32_t getOutputDataTypes(DataType*, int32_t, const DataType*, int32_t) const noexcept = 0;
    virtual int32_t getOutputShapes(const DimsExprs*, int32_t, const DimsExprs*, int32_t, DimsExprs*, int32_t,
                                    IExprBuilder&) noexcept = 0;
    virtual bool supportsFormatCombination(int32_t, const DynamicPluginTensorDesc*, int32_t, int32_t) noexcept = 0;
    virtual int32_t getNbOutputs() const noexcept = 0;
    virtual size_t getWorkspaceSize(const DynamicPluginTensorDesc*, int32_t, const DynamicPluginTensorDesc*,
                                    int32_t) const noexcept {
        return 0;
    }
    virtual const char* getTimingCacheID() noexcept { return nullptr; }
    virtual const char* getMetadataString() noexcept { return nullptr; }
};
struct IPluginV3OneRuntime : IPluginCapability {
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN_V3ONE_RUNTIME", 1, 0}; }
    virtual int32_t onShapeChange(const PluginTensorDesc*, int32_t, const PluginTensorDesc*, int32_t) noexcept = 0;
    virtual int32_t enqueue(const PluginTensorDesc*, const PluginTensorDesc*, const void* const*, void* const*, void*,
                            cudaStream_t) noexcept = 0;
    virtual IPluginV3* attachToContext(IPluginResourceContext*) noexcept = 0;
    virtual const PluginFieldCollection* getFieldsToSerialize() noexcept = 0;
};
struct IPluginCreatorInterface : IVersionedInterface {};
struct IPluginCreatorV3One : IPluginCreatorInterface {
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN CREATOR_V3ONE", 1, 0}; }
    virtual IPluginV3* createPlugin(const char*, const PluginFieldCollection*, TensorRTPhase) noexcept = 0;
    virtual const PluginFieldCollection* getFieldNames() noexcept = 0;
    virtual const char* getPluginName() const noexcept = 0;
    virtual const char* getPluginVersion() const noexcept = 0;
    virtual const char* getPluginNamespace() const noexcept = 0;
};

}  // namespace nvinfer1
