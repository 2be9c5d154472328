#include "shared_memory.hpp"

#include <algorithm>
#include <string>

#include "block.hpp"
#include "launch_limits.hpp"

namespace cuda_on_host {

void* SharedMemory::at(const void* key, std::size_t bytes, std::size_t alignment) {
    for (const Slot& slot : slots_) {
        if (slot.key == key) return slot.memory.data();
    }
    if (alignment > 256) fail("shared memory aligned to " + std::to_string(alignment) + " bytes; 256 is the most");
    std::size_t total = bytes;
    std::size_t fixed = key == &dynamic_key_ ? 0 : bytes;
    for (const Slot& slot : slots_) {
        total += slot.memory.bytes();
        if (slot.key != &dynamic_key_) fixed += slot.memory.bytes();
    }
    if (fixed > default_shared_limit) {
        fail("static shared memory of " + std::to_string(fixed) + " bytes; the limit is " +
             std::to_string(default_shared_limit));
    }
    if (total > limit_) {
        fail("shared memory of " + std::to_string(total) + " bytes; the kernel's limit is " + std::to_string(limit_));
    }
    slots_.push_back(
        {key, GuardedMemory(bytes, "shared memory of block " + index_text(blockIdx.x, blockIdx.y, blockIdx.z))});
    return slots_.back().memory.data();
}

bool SharedMemory::holds(const void* address, std::size_t bytes) const {
    const auto* byte = static_cast<const std::byte*>(address);
    return std::any_of(slots_.begin(), slots_.end(), [&](const Slot& slot) {
        const auto* begin = static_cast<const std::byte*>(slot.memory.data());
        return byte >= begin && byte + bytes <= begin + slot.memory.bytes();
    });
}

void SharedMemory::end_block() {
    for (const Slot& slot : slots_) slot.memory.check();
    slots_.clear();
}

}  // namespace cuda_on_host
