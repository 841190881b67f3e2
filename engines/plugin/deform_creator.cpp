// What TensorRT's registry looks for in a plugin library: `getCreators` and `setLoggerFinder`.
#include <atomic>
#include <cstdio>
#include <exception>
#include <stdexcept>

#include "deform_plugin.h"

#define EXPORTED extern "C" __attribute__((visibility("default")))

namespace edgedeblur {
namespace {

std::atomic<nvinfer1::ILoggerFinder*> logger_finder{nullptr};

class DeformCreator final : public nvinfer1::IPluginCreatorV3One {
public:
    const char* getPluginName() const noexcept override { return PLUGIN_NAME; }
    const char* getPluginVersion() const noexcept override { return PLUGIN_VERSION; }
    const char* getPluginNamespace() const noexcept override { return PLUGIN_NAMESPACE; }
    const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &collection_; }

    // Null, after an error was logged, for attributes that make no sense.
    nvinfer1::IPluginV3* createPlugin(const char*, const nvinfer1::PluginFieldCollection* fields,
                                      nvinfer1::TensorRTPhase) noexcept override {
        try {
            return new DeformPlugin(fields != nullptr ? attributes_from(*fields) : DeformAttributes{});
        } catch (const std::exception& error) {
            log_error(error.what());
            return nullptr;
        }
    }

private:
    const DeformAttributes defaults_;
    const DeformFields fields_{fields_of(defaults_)};
    const nvinfer1::PluginFieldCollection collection_{static_cast<int32_t>(fields_.size()), fields_.data()};
};

}  // namespace

void log_error(const char* message) noexcept {
    try {
        nvinfer1::ILoggerFinder* finder = logger_finder;
        nvinfer1::ILogger* logger = finder != nullptr ? finder->findLogger() : nullptr;
        if (logger != nullptr)
            logger->log(nvinfer1::ILogger::Severity::kERROR, message);
        else
            std::fprintf(stderr, "%s\n", message);
    } catch (...) {  // findLogger may throw, and there is nobody left to tell
    }
}

}  // namespace edgedeblur

EXPORTED void setLoggerFinder(nvinfer1::ILoggerFinder* finder) { edgedeblur::logger_finder = finder; }

EXPORTED nvinfer1::IPluginCreatorInterface* const* getCreators(int32_t& count) {
    static edgedeblur::DeformCreator creator;
    static nvinfer1::IPluginCreatorInterface* const creators[] = {&creator};
    count = 1;
    return creators;
}
