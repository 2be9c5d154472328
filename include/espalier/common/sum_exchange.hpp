// Which messages add up the ranks' arrays, whatever backend holds them: every rank's whole array to all, or a piece to each
// rank and the sums of the pieces back.
#pragma once

#include <cstddef>

namespace espalier {

/// Floats up to which, for up to so many ranks, the first way is quicker: what counts is how often, not how much. Measured on
/// CPUs, on no GPU.
inline constexpr std::size_t gathered_floats = std::size_t{1} << 16;
inline constexpr int gathering_ranks = 4;

/// Whether arrays of so many floats go whole.
constexpr bool go_whole(std::size_t floats, int ranks) { return floats <= gathered_floats && ranks <= gathering_ranks; }

/// Floats of one rank's piece: whole cache lines, so that all pieces together may be longer than the array.
constexpr std::size_t piece_floats(std::size_t floats, int ranks) {
    const auto count = static_cast<std::size_t>(ranks);
    return ((floats + count - 1) / count + 15) / 16 * 16;
}

}  // namespace espalier
