// What a test can set and see of the runtime that stands in for CUDA's (runtime.cpp). Work queued on a stream runs when
// somebody waits for it, so a missing wait reads stale data; device memory is guarded and starts as 0xFF.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda_calls.hpp"

namespace cuda_on_host {

/// The machine that the runtime tells of.
struct Machine {
    cudaError_t device_count_error = cudaSuccess;  // of cudaGetDeviceCount
    int num_devices = 1;
    int driver_version = 13000;  // 0: no driver
    int runtime_version = 13000;
    cudaError_t kernel_error = cudaSuccess;           // what asking for a kernel's attributes gives
    std::size_t memory_bytes = std::size_t{4} << 30;  // of the device
    int multiprocessors = 132;
};
void set_machine(const Machine& machine);

/// Since the program began or count_afresh() was called, but for the live ones.
struct Counts {
    std::uint64_t allocations = 0;
    std::uint64_t live_allocations = 0;
    std::uint64_t live_bytes = 0;
    std::uint64_t peak_bytes = 0;  // of the live ones
    std::uint64_t live_streams = 0;
    std::uint64_t live_graphs = 0;  // instantiated or not
    std::uint64_t kernels = 0;      // run, from streams or graphs
    std::uint64_t launched = 0;     // enqueued one by one
    std::uint64_t captures = 0;
    std::uint64_t graph_launches = 0;
    std::uint64_t waits = 0;  // for a stream
};
Counts counts();
void count_afresh();

/// Lets the allocation after `succeeding` further ones fail, once; negative: none fails.
void fail_allocation(std::int64_t succeeding);
/// Lets all allocations fail after `succeeding` further ones until the next call.
void fail_allocations_from(std::int64_t succeeding);

}  // namespace cuda_on_host
