// The engine: runs a grid of CUDA blocks one after another, each block's threads as fibers, in an order that a policy
// sets. Barriers and warp collectives are strict: whatever CUDA leaves undefined is a Fault that names thread and
// place. A kernel sees memory as the device would give it: shared memory is fresh for each block and filled with 0xFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "guarded_memory.hpp"
#include "vector_types.hpp"

extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;
inline constexpr int warpSize = 32;

namespace cuda_on_host {

struct Site {
    const char* file;
    int line;
};
/// "file:line".
std::string text(const Site& site);

/// Which thread runs next, and which block.
enum class Order { forward, reverse, shuffled };
struct Policy {
    Order order = Order::forward;
    std::uint64_t seed = 0;  // of `shuffled`
};
void set_policy(const Policy& policy);

inline constexpr std::size_t default_shared_limit = std::size_t{48} << 10;
inline constexpr std::size_t largest_shared_limit = std::size_t{227} << 10;  // of sm_90, when opted in

/// Runs body() once per thread. Throws Fault for a grid that no device takes, for what a thread did wrong and for
/// threads that wait for ever; rethrows what a thread threw.
void run_grid(dim3 grid, dim3 block, std::size_t dynamic_shared_bytes, std::size_t shared_limit,
              const std::function<void()>& body);

/// Throws a Fault that begins with the running thread, if one runs.
[[noreturn]] void fail(const std::string& what);

// For the running thread; each is a fault outside a kernel.
void barrier(Site site);
/// Every warp collective: waits until all lanes of `mask` have come with the same `what` and `mask`, then gives each
/// the 32 words (0 from lanes outside the mask). `orders_memory` only tells the watch runtime.
const std::uint64_t* exchange(const char* what, std::uint32_t mask, std::uint64_t word, bool orders_memory, Site site);
/// The block's shared memory under `key`.
void* shared(const void* key, std::size_t bytes, std::size_t alignment);
void* dynamic_shared();
unsigned lane();

/// 16 bytes on their way into shared memory.
struct PendingCopy {
    void* to;
    const void* from;
};
void begin_copy(PendingCopy copy);
/// Closes the running thread's group of copies.
void commit_copies();
/// Takes the oldest copy of a closed group other than the last `groups`; false when none is left.
bool take_copy(std::size_t groups, PendingCopy& copy);

// A barrier in shared memory whose phases end by arrivals (arrival_barriers.hpp).
void init_arrivals(std::uint64_t* barrier, unsigned count, Site site);
/// The token of the phase in which the running thread arrived.
std::uint64_t arrive(const std::uint64_t* barrier, Site site);
/// Returns when the phase of the token has ended.
void wait_at(const std::uint64_t* barrier, std::uint64_t token, Site site);

// For the watch runtime.
/// Number of the running thread in its block; -1 outside a kernel.
int running_thread();
bool on_running_stack(const void* address);
bool is_shared(const void* address);
/// Lets other threads run.
void yield();

}  // namespace cuda_on_host
