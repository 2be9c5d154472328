// The order in which the parts of a sum are added, one part for each batch tile: by halves. With P the least power of two
// that is not below their number, for w = P/2, P/4 .. 1: part[t] += part[t + w] for every t < w whose t + w exists. The
// parts t, t + R, t + 2R .. of one process of R (a power of two) are then a whole branch of the tree, and so are the
// processes: however the tiles are dealt out, the sum has the same bits. What does not exist is left out, not added as 0.
#pragma once

#include <bit>
#include <cstddef>

#include "host/cpu/operations.hpp"

namespace espalier {

/// Blocks of memory that sum_by_halves needs for so many parts.
inline std::size_t blocks_of_halves(Index parts) {
    return static_cast<std::size_t>(std::bit_width(std::bit_ceil(parts)));
}

/// The sum of the parts first, first + step .. below `parts` into `sum`, `count` floats each. make(part, to) makes one
/// part; every block behind `sum` begins `stride` floats after the one before.
template <class Make>
void sum_by_halves(Index parts, float* sum, std::size_t stride, std::size_t count, const Make& make, Index first = 0,
                   Index step = 1) {
    if (first + step >= parts) return make(first, sum);
    sum_by_halves(parts, sum, stride, count, make, first, 2 * step);
    sum_by_halves(parts, sum + stride, stride, count, make, first + step, 2 * step);
    add_floats(sum, sum + stride, count);
}

/// The same of parts that are all there, `stride` floats apart: items `range` of their sum take the first one's place.
inline void sum_in_place_by_halves(float* parts, std::size_t stride, Index count, Range range) {
    for (Index half = std::bit_ceil(count) / 2; half >= 1; half /= 2) {
        for (Index t = 0; t < half && t + half < count; ++t) {
            add_floats(parts + t * stride + range.begin, parts + (t + half) * stride + range.begin,
                       range.end - range.begin);
        }
    }
}

}  // namespace espalier
