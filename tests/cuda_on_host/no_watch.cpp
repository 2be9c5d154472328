#include "watch.hpp"

namespace cuda_on_host::watch {

bool enabled() { return false; }
void preempt(unsigned /*one_in*/, std::uint64_t /*seed*/) {}
void count_traffic(bool /*on*/) {}
Traffic traffic(unsigned /*bytes*/, bool /*write*/) { return {}; }
void launch_begins(unsigned /*threads_per_block*/) {}
std::string launch_ends() { return {}; }
void block_begins(std::uint64_t /*block*/) {}
void block_ends() {}
void fresh(const void* /*memory*/, std::size_t /*bytes*/) {}
void block_barrier() {}
void warp_barrier(unsigned /*first*/, std::uint32_t /*mask*/) {}
void arrivals_begin(std::size_t /*barrier*/) {}
void arrives(std::size_t /*barrier*/, unsigned /*thread*/) {}
void phase_ends(std::size_t /*barrier*/) {}
void passes(std::size_t /*barrier*/, unsigned /*thread*/) {}
void access(const void* /*address*/, std::size_t /*bytes*/, bool /*write*/, bool /*atomic*/, const void* /*place*/) {}

}  // namespace cuda_on_host::watch
