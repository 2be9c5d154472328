// Aligned memory for the CPU kernels: cache-line aligned, and aligned to huge pages where it is large enough to use
// them. Running out is an error a person can mend, so it says how much was asked for.
#pragma once

#include <cstddef>
#include <vector>

namespace espalier {

/// Uninitialised memory. Throws UserError (device) with the bytes needed when there is not enough.
[[nodiscard]] void* allocate_aligned(std::size_t bytes);
void release_aligned(void* memory) noexcept;

template <class T>
struct AlignedAllocator {
    using value_type = T;
    AlignedAllocator() = default;
    template <class U>
    AlignedAllocator(const AlignedAllocator<U>& /*other*/) {}  // NOLINT(google-explicit-constructor)
    [[nodiscard]] T* allocate(std::size_t count) { return static_cast<T*>(allocate_aligned(count * sizeof(T))); }
    void deallocate(T* memory, std::size_t /*count*/) noexcept { release_aligned(memory); }
    friend bool operator==(const AlignedAllocator& /*a*/, const AlignedAllocator& /*b*/) { return true; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace espalier
