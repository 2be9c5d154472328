// Integer types of the vocabulary.
#pragma once

#include <cstdint>

namespace espalier {

/// A neuron, sample lane or epoch; layer widths stay below 2^32.
using Index = std::uint32_t;
/// An edge slot within one layer: at most 4,294,967,295 edges a layer. Cells (row * columns + column) are 64-bit.
using EdgeIndex = std::uint32_t;
/// A cell of a layer's dense matrix: output * num_inputs + input.
using Cell = std::uint64_t;

}  // namespace espalier
