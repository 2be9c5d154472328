// The module's exported functions.
#include "espalier/module.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <string>

#include "cuda/cuda_backend.hpp"
#include "cuda/device.hpp"
#include "cuda/device_product.hpp"
#include "cuda/nccl/nccl_ranks.hpp"

namespace {

/// Text for a caller, cut where its room ends.
void hand_over(const std::string& text, char* to, std::size_t capacity) {
    if (capacity == 0) return;
    const std::size_t length = std::min(text.size(), capacity - 1);
    std::memcpy(to, text.data(), length);
    to[length] = '\0';
}

std::string other_interface(int wanted) {
    return "the CUDA module was built for interface " + std::to_string(espalier::module_interface) +
           " and the program for " + std::to_string(wanted) + "; build both from the same sources";
}

/// The GPU that the options name, or that is this rank's.
int device_for(const espalier::CudaOptions& options) {
    if (options.ranks == nullptr) return options.device;
    if (const auto* ranks = dynamic_cast<const espalier::cuda::NcclRanks*>(options.ranks)) return ranks->device();
    return options.device >= 0 ? options.device : espalier::cuda::device_of_rank(options.ranks->place());
}

}  // namespace

extern "C" __attribute__((visibility("default"))) espalier::Backend* make_cuda_backend(
    int interface, const espalier::CudaOptions* options, char* reason, std::size_t capacity) {
    const auto refuse = [&](const std::string& why) -> espalier::Backend* {
        hand_over(why, reason, capacity);
        return nullptr;
    };
    if (interface != espalier::module_interface) return refuse(other_interface(interface));
    try {
        espalier::CudaOptions own = *options;
        own.device = device_for(*options);
        const std::string fault = espalier::cuda::take_device(own.device);
        if (!fault.empty()) return refuse(fault);
        return espalier::cuda::make_backend_on_device(own).release();
    } catch (const std::exception& error) {
        return refuse(error.what());
    } catch (...) {
        return refuse("the CUDA module failed for an unknown reason");
    }
}

extern "C" __attribute__((visibility("default"))) espalier::DeviceProduct* make_cuda_product(
    int interface, const espalier::Topology* topology, int device, char* reason, std::size_t capacity) {
    const auto refuse = [&](const std::string& why) -> espalier::DeviceProduct* {
        hand_over(why, reason, capacity);
        return nullptr;
    };
    if (interface != espalier::module_interface) return refuse(other_interface(interface));
    try {
        return espalier::cuda::make_product_on_device(*topology, device).release();
    } catch (const std::exception& error) {
        return refuse(error.what());
    } catch (...) {
        return refuse("the CUDA module failed for an unknown reason");
    }
}

extern "C" __attribute__((visibility("default"))) std::size_t describe_cuda_module(int interface, int try_devices,
                                                                                   char* json, std::size_t capacity) {
    std::string text;
    try {
        text = interface != espalier::module_interface
                   ? R"({"fault": "the CUDA module and the program are of different sources", "devices": []})"
                   : espalier::cuda::describe_module(try_devices != 0);
    } catch (...) {
        text = R"({"fault": "CUDA fails when it is asked for the machine's GPUs", "devices": []})";
    }
    hand_over(text, json, capacity);
    return text.size() + 1;
}

extern "C" __attribute__((visibility("default"))) espalier::Ranks* make_nccl_ranks(int interface, double timeout_s,
                                                                                  char* reason, std::size_t capacity) {
    const auto refuse = [&](const std::string& why) -> espalier::Ranks* {
        hand_over(why, reason, capacity);
        return nullptr;
    };
    if (interface != espalier::ranks_interface) return refuse("the CUDA module was built for another version of the program");
    try {
        return espalier::cuda::join_by_nccl(timeout_s);
    } catch (const std::exception& error) {
        return refuse(error.what());
    } catch (...) {
        return refuse("NCCL failed for an unknown reason");
    }
}
