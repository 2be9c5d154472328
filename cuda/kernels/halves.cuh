// The order in which the parts of a sum are added, one part for each batch tile: by halves, as on the CPU
// (host/cpu/halves.hpp). With P the least power of two that is not below their number, for w = P/2, P/4 .. 1:
// part[t] += part[t + w] for every t < w whose t + w exists. The parts t, t + R, t + 2R .. of one process of R (a power of
// two) are then a whole branch of the tree, and so are the processes: however tiles are dealt out, the sum has the same bits.
//
// Parts are made one after the other, and one sum waits for each level of the tree: in dynamic shared memory, for an array
// with an index that only the run knows has no place in registers. A single part needs none.
#pragma once

#include "cuda/kernels/warp.cuh"
#include "cuda/rank_share.hpp"

namespace espalier::cuda {

/// Dynamic shared memory of a block whose threads each sum `values` values of so many parts.
constexpr std::size_t halves_shared_bytes(Index parts, int block_threads, int values = 1) {
    const std::size_t levels = levels_of_halves(parts);  // the lowest waits in a register
    return (levels < 2 ? 0 : levels - 1) * static_cast<std::size_t>(block_threads * values) * sizeof(float);
}

/// sum = the sum over the parts of what make(part, values) sets; 0 where there are no parts.
template <int values, class Make>
__device__ void sum_by_halves(Index parts, float (&sum)[values], const Make& make) {
    const auto waiting = [](int level, int value) -> float& {
        return dynamic_shared<float>()[static_cast<Index>(level * values + value) * blockDim.x + threadIdx.x];
    };
    Index pairs = 1;  // of parts, the second `pairs` behind the first
    ESPALIER_NO_UNROLL
    while (pairs * 2 < parts) pairs *= 2;
    ESPALIER_UNROLL
    for (int v = 0; v < values; ++v) sum[v] = 0;
    Index first = 0;    // part of pair number `pair` from the left
    unsigned held = 0;  // bit l: the sum of 2^l pairs waits
    ESPALIER_NO_UNROLL
    for (Index pair = 0;; ++pair) {
        bool is_there = first < parts;
        ESPALIER_NO_UNROLL
        for (Index part = first; part < parts; part += pairs) {
            float of_part[values];
            make(part, of_part);
            ESPALIER_UNROLL
            for (int v = 0; v < values; ++v) sum[v] = part == first ? of_part[v] : sum[v] + of_part[v];
        }
        int level = 0;
        ESPALIER_NO_UNROLL
        for (; (pair >> level & 1U) != 0; ++level) {  // what is on the left waits; without it nothing is on the right
            if ((held >> level & 1U) == 0) continue;
            ESPALIER_UNROLL
            for (int v = 0; v < values; ++v) sum[v] = is_there ? waiting(level, v) + sum[v] : waiting(level, v);
            is_there = true;
        }
        if (pair + 1 == pairs) return;
        held = is_there ? held | 1U << level : held & ~(1U << level);
        ESPALIER_UNROLL
        for (int v = 0; v < values; ++v) waiting(level, v) = sum[v];
        Index bit = pairs / 2;  // the next first is the next number with its bits in reverse
        ESPALIER_NO_UNROLL
        for (; (first & bit) != 0; bit /= 2) first ^= bit;
        first |= bit;
    }
}

}  // namespace espalier::cuda
