// What the engine tells the watch runtime, and what tests ask it. Two definitions: watch.cpp, for programs whose
// kernels are compiled with -fsanitize=thread, checks every access of a kernel; no_watch.cpp does nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cuda_on_host::watch {

/// Whether accesses are watched in this program.
bool enabled();

/// From now on a thread yields at one in `one_in` of its accesses, at random; 0: never.
void preempt(unsigned one_in, std::uint64_t seed);

/// Global-memory traffic of one kind of access: a request is one access of all lanes of a warp, a sector 32 bytes.
struct Traffic {
    std::uint64_t requests = 0;
    std::uint64_t sectors = 0;
    [[nodiscard]] double sectors_per_request() const {
        return requests == 0 ? 0 : static_cast<double>(sectors) / static_cast<double>(requests);
    }
};
/// Counts from 0 from now on, or no longer.
void count_traffic(bool on);
/// Reads (or writes) of `bytes` a lane since then.
Traffic traffic(unsigned bytes, bool write);

// Called by the engine.
void launch_begins(unsigned threads_per_block);
/// The races found, in words; empty if none were.
std::string launch_ends();
void block_begins(std::uint64_t block);
void block_ends();
/// [memory, memory + bytes) is newly allocated: whatever was known of it concerned something else.
void fresh(const void* memory, std::size_t bytes);
/// All threads of the block have met.
void block_barrier();
/// The lanes of `mask`, of the warp whose lane 0 is thread `first`, have met at a __syncwarp.
void warp_barrier(unsigned first, std::uint32_t mask);
/// The block's barrier of that number, counted from 0, begins its first phase.
void arrivals_begin(std::size_t barrier);
/// What the thread has done until now is ordered before whatever a thread does that passes this phase.
void arrives(std::size_t barrier, unsigned thread);
void phase_ends(std::size_t barrier);
/// The thread has waited for the last phase that ended.
void passes(std::size_t barrier, unsigned thread);

// Called by the compiled kernels, through watch_calls.cpp, and by the engine. `place`: the return address.
void access(const void* address, std::size_t bytes, bool write, bool atomic, const void* place);

}  // namespace cuda_on_host::watch
