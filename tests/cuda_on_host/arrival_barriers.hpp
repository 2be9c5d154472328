// CUDA's barriers in shared memory (mbarrier): a phase ends with the last of `count` arrivals, and the next begins. An
// arrival gives a token of its phase; a device can tell only the running phase from the one before, so a wait for an
// older one is a Fault, as is whatever else CUDA leaves undefined.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "block.hpp"
#include "shared_memory.hpp"

namespace cuda_on_host {

struct ArrivalBarrier {
    std::size_t index = 0;          // among those of the block
    std::uint64_t identity = 0;     // its high word: which barrier of the launch; lies in its shared memory
    std::uint64_t phase = 0;        // the running one
    unsigned count = 0;             // arrivals that end a phase
    unsigned arrived = 0;           // in the running phase
    std::vector<unsigned> waiting;  // threads, for its end
};

/// A call and its place, with which every Fault begins.
struct Where {
    const char* what;
    Site site;
};

/// The barriers of the running block.
class ArrivalBarriers {
public:
    static constexpr unsigned max_count = (1U << 14) - 1;

    void begin_block() { barriers_.clear(); }
    /// A new barrier at that address of the block's shared memory.
    ArrivalBarrier& init(const SharedMemory& shared, std::uint64_t* address, unsigned count, const Where& where);
    /// The barrier that was made there.
    ArrivalBarrier& at(const SharedMemory& shared, const std::uint64_t* address, const Where& where);
    /// Counts an arrival and gives its token; the phase has ended if `arrived` is 0 then.
    static std::uint64_t arrive(ArrivalBarrier& barrier);
    /// Whether the phase of the token has ended.
    static bool has_ended(const ArrivalBarrier& barrier, std::uint64_t token, const Where& where);

private:
    std::map<const void*, ArrivalBarrier> barriers_;
    std::uint64_t made_ = 0;  // in this launch
};

}  // namespace cuda_on_host
