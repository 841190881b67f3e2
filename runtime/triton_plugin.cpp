// Registers our TensorRT plugin when Triton opens this library. Triton opens plugin libraries and expects them to
// register themselves; ours leaves that to TensorRT's registry, which is asked here to load plugin.so beside this file.
// g++ -shared -fPIC -o load_plugin.so load_plugin.cpp -lnvinfer -ldl
#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <cstdio>
#include <string>

namespace {

const struct Registration {
    Registration() {
        Dl_info here{};
        if (dladdr(static_cast<const void*>(this), &here) == 0 || here.dli_fname == nullptr) return;
        const std::string file = here.dli_fname;
        const std::string plugin = file.substr(0, file.rfind('/') + 1) + "plugin.so";
        nvinfer1::IPluginRegistry* registry = getPluginRegistry();
        if (registry == nullptr || registry->loadLibrary(plugin.c_str()) == nullptr)
            std::fprintf(stderr, "edgedeblur: TensorRT does not load %s\n", plugin.c_str());
    }
} registration;

}  // namespace
