// How the kernels of evolution share a list: chunk by chunk, a block each, so few of them that every block can add up
// what all before it found. So a list is compacted by two launches, without a scan of its own between them.
#pragma once

#include <cstdint>

namespace espalier::cuda {

inline constexpr int evolution_threads = 256;
inline constexpr unsigned max_chunks = 1024;

struct Chunks {
    unsigned shift = 8;  // a chunk has 2^shift elements, a multiple of the threads of a block
    unsigned count = 0;  // at most max_chunks
};
static_assert(evolution_threads == 1 << 8);

/// Of `size` elements.
constexpr Chunks chunks_of(std::uint64_t size) {
    Chunks chunks;
    while ((size >> chunks.shift) >= max_chunks) ++chunks.shift;
    chunks.count = static_cast<unsigned>((size + (std::uint64_t{1} << chunks.shift) - 1) >> chunks.shift);
    return chunks;
}

}  // namespace espalier::cuda
