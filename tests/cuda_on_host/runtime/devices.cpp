// The machine's devices: how many, which is the thread's, what they are like.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "block.hpp"
#include "cuda_on_host.hpp"
#include "state.hpp"

namespace cuda_on_host {

Runtime& runtime() {
    static auto* const instance = new Runtime;  // asked for until the very end
    return *instance;
}

int num_devices() {
    const Machine& machine = runtime().machine;
    return machine.num_devices == 0 ? 0 : 1 + static_cast<int>(machine.more.size());
}
const Device& device(int number) {
    const Machine& machine = runtime().machine;
    return number == 0 ? machine : machine.more.at(static_cast<std::size_t>(number) - 1);
}
int& current_number() {
    static thread_local int number = 0;
    return number;
}
const Device& current_device() { return device(current_number()); }

bool is_broken() {
    const std::uint64_t most = runtime().machine.break_after;
    return most > 0 && runtime().counts.kernels >= most;
}

cudaError_t& last_error() {
    static thread_local cudaError_t error = cudaSuccess;
    return error;
}

cudaError_t failed(cudaError_t error) {
    last_error() = error;
    return error;
}

void set_machine(const Machine& machine) {
    runtime().machine = machine;
    runtime().launches_asked_for = 0;
    current_number() = 0;
}

bool device_is_broken() { return is_broken(); }

bool refuses_launch(const void* kernel, dim3 grid, dim3 block, std::size_t shared_bytes) {
    const Turn turn;
    if (++runtime().launches_asked_for == runtime().machine.launch_fails_after) {  // as where kernels are loaded lazily
        failed(cudaErrorMemoryAllocation);
        return true;
    }
    const auto& limits = runtime().shared_limits;
    const auto allowed = limits.find({current_number(), kernel});
    const std::size_t shared_limit = allowed == limits.end() ? default_shared_limit : allowed->second;
    const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
    const bool fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffU && grid.y <= 65535 &&
                      grid.z <= 65535 && threads > 0 && threads <= 1024 && block.z <= 64;
    if (fits && shared_bytes <= shared_limit) return false;
    failed(fits ? cudaErrorInvalidValue : cudaErrorInvalidConfiguration);
    return true;
}

}  // namespace cuda_on_host

using cuda_on_host::broken;
using cuda_on_host::failed;
using cuda_on_host::is_broken;
using cuda_on_host::runtime;

cudaError_t cudaGetDeviceCount(int* count) {
    const cuda_on_host::Turn turn;
    const auto& machine = runtime().machine;
    *count = machine.device_count_error == cudaSuccess ? cuda_on_host::num_devices() : 0;
    return failed(machine.device_count_error);
}

cudaError_t cudaSetDevice(int device) {
    const cuda_on_host::Turn turn;
    if (device < 0 || device >= cuda_on_host::num_devices()) return failed(cudaErrorInvalidDevice);
    cuda_on_host::current_number() = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
    const cuda_on_host::Turn turn;
    *device = cuda_on_host::current_number();
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    const cuda_on_host::Turn turn;
    if (device < 0 || device >= cuda_on_host::num_devices()) return failed(cudaErrorInvalidDevice);
    const cuda_on_host::Device& of = cuda_on_host::device(device);
    *properties = {};
    std::strcpy(properties->name, "host-executed device");
    properties->totalGlobalMem = of.memory_bytes;
    properties->major = of.major;
    properties->minor = of.minor;
    properties->multiProcessorCount = of.multiprocessors;
    properties->sharedMemPerBlockOptin = of.shared_bytes;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
    const cuda_on_host::Turn turn;
    if (device < 0 || device >= cuda_on_host::num_devices() || length < 13) return failed(cudaErrorInvalidValue);
    const int machine = runtime().machine.is_shared ? 0 : static_cast<int>(getpid());
    std::snprintf(id, static_cast<std::size_t>(length), "%08x:%02x", static_cast<unsigned>(machine), static_cast<unsigned>(device));
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute /*attribute*/, int value) {
    const cuda_on_host::Turn turn;
    if (is_broken()) return failed(broken);
    if (value < 0 || static_cast<std::size_t>(value) > cuda_on_host::current_device().shared_bytes) {
        return failed(cudaErrorInvalidValue);
    }
    const auto bytes = static_cast<std::size_t>(value);
    runtime().shared_limits[{cuda_on_host::current_number(), function}] = bytes;
    cuda_on_host::shared_limits()[function] = std::max(bytes, cuda_on_host::shared_limits()[function]);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
    const cuda_on_host::Turn turn;
    *version = runtime().machine.driver_version;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    const cuda_on_host::Turn turn;
    *version = runtime().machine.runtime_version;
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* /*function*/) {
    const cuda_on_host::Turn turn;
    *attributes = {90};
    return failed(cuda_on_host::current_device().kernel_error);
}

cudaError_t cudaGetLastError() {
    const cuda_on_host::Turn turn;
    const cudaError_t error = std::exchange(cuda_on_host::last_error(), cudaSuccess);
    return is_broken() ? broken : error;
}
