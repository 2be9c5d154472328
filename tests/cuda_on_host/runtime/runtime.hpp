// What a test can set and see of the runtime that stands in for CUDA's (runtime.cpp). Work queued on a stream runs when
// somebody waits for it, so a missing wait reads stale data; device memory begins as 0xFF, holds 0xA5 once it is given
// back as scratch, and is out of the host's reach. Programs that are not tests set the machine by the environment:
// CUDA_ON_HOST="devices=2 multiprocessors=20 shared=65536 memory=1000000 context=1000 driver=12020
// device_count_error=35 kernel_error=209 graph_error=2 capture_error=2 launch_fails_after=9 graph_node=512
// break_after=17 fail_after=5 last_is_old=1 shared_by_processes=1
// stuck_after=4", any of them; last_is_old: the last of several devices is
// of a compute capability from before all that is built for; shared_by_processes: other processes see these devices, not
// their own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuda_calls.hpp"

namespace cuda_on_host {

struct Device {
    int major = 9;
    int minor = 0;
    int multiprocessors = 132;
    std::size_t shared_bytes = std::size_t{227} << 10;  // that a block may ask for
    std::size_t memory_bytes = std::size_t{4} << 30;
    std::size_t context_bytes = 0;           // of them, in use from the beginning
    std::size_t graph_node_bytes = 0;        // of them, for every launch in a graph that can run
    cudaError_t kernel_error = cudaSuccess;  // what asking for a kernel's attributes gives
};

/// The machine that the runtime tells of: a first device and `more`.
struct Machine : Device {
    cudaError_t device_count_error = cudaSuccess;  // of cudaGetDeviceCount
    int num_devices = 1;                           // 0: none at all
    bool is_shared = false;                        // with other processes
    std::vector<Device> more;
    int driver_version = 13000;  // 0: no driver
    int runtime_version = 13000;
    cudaError_t graph_error = cudaSuccess;    // of cudaGraphInstantiate
    cudaError_t capture_error = cudaSuccess;  // of cudaStreamEndCapture
    std::uint64_t launch_fails_after = 0;     // launches, after which one finds no memory for its kernel's code; 0: never
    std::uint64_t stuck_after = 0;            // questions whether a stream is done, after which none ever is; 0: never
    std::uint64_t break_after = 0;            // kernels, after which every call fails; 0: never
    std::int64_t fail_after = -1;           // of the environment: allocations, after which none succeeds
};
void set_machine(const Machine& machine);
/// As CUDA_ON_HOST describes it.
Machine machine_of_environment();

/// Since the program began or count_afresh() was called, but for the live ones.
struct Counts {
    std::uint64_t allocations = 0;
    std::uint64_t live_allocations = 0;
    std::uint64_t live_bytes = 0;
    std::uint64_t peak_bytes = 0;  // of the live ones
    std::uint64_t live_streams = 0;
    std::uint64_t live_graphs = 0;  // instantiated or not
    std::uint64_t live_nodes = 0;   // of instantiated ones
    std::uint64_t peak_nodes = 0;
    std::uint64_t kernels = 0;      // run, from streams or graphs
    std::uint64_t launched = 0;     // enqueued one by one
    std::uint64_t captures = 0;
    std::uint64_t graph_launches = 0;
    std::uint64_t waits = 0;       // for a stream
    std::uint64_t memsets = 0;     // of device memory
    std::uint64_t copies = 0;      // within device memory
    std::uint64_t transfers = 0;   // from or to the host
    std::uint64_t algorithms = 0;  // of Thrust's, each of which is one kernel or more on a device
};
Counts counts();
void count_afresh();
void count_algorithm();

/// Lets the allocation after `succeeding` further ones fail, once; negative: none fails.
void fail_allocation(std::int64_t succeeding);
/// Lets all allocations fail after `succeeding` further ones until the next call.
void fail_allocations_from(std::int64_t succeeding);

}  // namespace cuda_on_host
