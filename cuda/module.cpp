// The module's one exported function.
#include "espalier/module.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>

#include "cuda/cuda_backend.hpp"
#include "cuda/device.hpp"

extern "C" __attribute__((visibility("default"))) espalier::Backend* make_cuda_backend(
    int interface, const espalier::CudaOptions* options, char* reason, std::size_t capacity) {
    const auto refuse = [&](const std::string& why) -> espalier::Backend* {
        const std::size_t length = std::min(why.size(), capacity - 1);
        std::memcpy(reason, why.data(), length);
        reason[length] = '\0';
        return nullptr;
    };
    if (interface != espalier::module_interface) {
        return refuse("the CUDA module was built for interface " + std::to_string(espalier::module_interface) +
                      " and the program for " + std::to_string(interface) + "; build both from the same sources");
    }
    try {
        const std::string fault = espalier::cuda::take_device();
        if (!fault.empty()) return refuse(fault);
        return espalier::cuda::make_backend_on_device(*options).release();
    } catch (const std::exception& error) {
        return refuse(error.what());
    } catch (...) {
        return refuse("the CUDA module failed for an unknown reason");
    }
}
