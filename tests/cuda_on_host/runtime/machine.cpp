// The machine that a program's environment asks for, and CUDA's words for errors.
#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <string>

#include "runtime.hpp"

namespace cuda_on_host {

Machine machine_of_environment() {
    Machine machine;
    bool has_old_device = false;
    const char* const text = std::getenv("CUDA_ON_HOST");
    std::istringstream words(text != nullptr ? text : "");
    for (std::string word; words >> word;) {
        const std::string name = word.substr(0, word.find('='));
        const auto value = std::strtoull(word.c_str() + std::min(word.size(), name.size() + 1), nullptr, 10);
        if (name == "devices") machine.num_devices = static_cast<int>(value);
        if (name == "multiprocessors") machine.multiprocessors = static_cast<int>(value);
        if (name == "last_is_old") has_old_device = value != 0;
        if (name == "shared_by_processes") machine.is_shared = value != 0;
        if (name == "shared") machine.shared_bytes = value;
        if (name == "memory") machine.memory_bytes = value;
        if (name == "context") machine.context_bytes = value;
        if (name == "graph_node") machine.graph_node_bytes = value;
        if (name == "kernel_error") machine.kernel_error = static_cast<cudaError_t>(value);
        if (name == "device_count_error") machine.device_count_error = static_cast<cudaError_t>(value);
        if (name == "driver") machine.driver_version = static_cast<int>(value);
        if (name == "graph_error") machine.graph_error = static_cast<cudaError_t>(value);
        if (name == "capture_error") machine.capture_error = static_cast<cudaError_t>(value);
        if (name == "launch_fails_after") machine.launch_fails_after = value;
        if (name == "stuck_after") machine.stuck_after = value;
        if (name == "break_after") machine.break_after = value;
        if (name == "fail_after") machine.fail_after = static_cast<std::int64_t>(value);
    }
    if (machine.num_devices > 1) machine.more.resize(static_cast<std::size_t>(machine.num_devices) - 1, machine);
    if (has_old_device && !machine.more.empty()) {
        machine.more.back().major = 6;
        machine.more.back().minor = 1;
        machine.more.back().kernel_error = cudaErrorNoKernelImageForDevice;
    }
    return machine;
}

}  // namespace cuda_on_host

const char* cudaGetErrorName(cudaError_t error) {
    switch (error) {
        case cudaSuccess:
            return "cudaSuccess";
        case cudaErrorMemoryAllocation:
            return "cudaErrorMemoryAllocation";
        case cudaErrorInsufficientDriver:
            return "cudaErrorInsufficientDriver";
        case cudaErrorNoDevice:
            return "cudaErrorNoDevice";
        case cudaErrorNoKernelImageForDevice:
            return "cudaErrorNoKernelImageForDevice";
        case cudaErrorInvalidConfiguration:
            return "cudaErrorInvalidConfiguration";
        case cudaErrorInvalidValue:
            return "cudaErrorInvalidValue";
        case cudaErrorLaunchFailure:
            return "cudaErrorLaunchFailure";
        default:
            return "cudaErrorOfAnotherKind";
    }
}

const char* cudaGetErrorString(cudaError_t error) {
    return error == cudaSuccess ? "no error" : "an error set by a test";
}
