// What the sources of the runtime share: the machine, what was allocated, what went wrong.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "protected_memory.hpp"
#include "runtime.hpp"

namespace cuda_on_host {

struct Runtime {
    Machine machine = machine_of_environment();
    Counts counts;
    std::int64_t fail_after = machine.fail_after;
    bool keep_failing = true;
    std::uint64_t launches_asked_for = 0;
    std::uint64_t questions = 0;  // by cudaStreamQuery
    std::map<void*, ProtectedMemory> memory;
    std::set<CUstream_st*> streams;
    std::map<std::pair<int, const void*>, std::size_t> shared_limits;  // by device and kernel
};
Runtime& runtime();
/// Held by every call for as long as it lasts.
struct Turn {
    Turn() { device_mutex().lock(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { device_mutex().unlock(); }
};
/// Of the calling thread.
cudaError_t& last_error();

int num_devices();
const Device& device(int number);
/// The number of the calling thread's device.
int& current_number();
const Device& current_device();

/// What every call on a broken device gives.
inline constexpr cudaError_t broken = cudaErrorLaunchFailure;
/// A device that broke stays so.
bool is_broken();
/// Notes the error for cudaGetLastError.
cudaError_t failed(cudaError_t error);

}  // namespace cuda_on_host
