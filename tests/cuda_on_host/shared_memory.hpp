// A block's shared memory: what its threads ask for by key, fresh for each block, within the limits of the launch.
#pragma once

#include <cstddef>
#include <vector>

#include "guarded_memory.hpp"

namespace cuda_on_host {

class SharedMemory {
public:
    /// Of launches with `dynamic_bytes` of a kernel whose limit is `limit` bytes.
    SharedMemory(std::size_t dynamic_bytes, std::size_t limit) : dynamic_bytes_(dynamic_bytes), limit_(limit) {}

    /// The memory under `key`, made when first asked for.
    void* at(const void* key, std::size_t bytes, std::size_t alignment);
    void* dynamic() { return at(&dynamic_key_, dynamic_bytes_, 16); }
    /// Whether all of [address, address + bytes) is shared.
    [[nodiscard]] bool holds(const void* address, std::size_t bytes) const;
    /// Gives the block's memory back. Throws Fault when something was written past an end.
    void end_block();

private:
    struct Slot {
        const void* key;
        GuardedMemory memory;
    };

    std::size_t dynamic_bytes_;
    std::size_t limit_;
    std::vector<Slot> slots_;
    char dynamic_key_ = 0;
};

}  // namespace cuda_on_host
