// Evolution's random draws on the CPU, many at a time with the widest instructions at hand: the same bits as draw by
// draw.
#pragma once

#include <cstdint>

#include "espalier/index.hpp"
#include "espalier/initialization.hpp"
#include "espalier/random.hpp"

namespace espalier {

/// images[i] = permutation(i) for i in [begin, end). The 32-bit form needs a size of at most 2^32.
void permute(const Permutation& permutation, EdgeIndex begin, EdgeIndex end, std::uint32_t* images);
void permute(const Permutation& permutation, EdgeIndex begin, EdgeIndex end, std::uint64_t* images);

/// weights[i] = law(stream.bits(cells[i]), num_inputs) for i in [begin, end).
void draw_weights(const WeightLaw& law, const Stream& stream, Index num_inputs, const std::uint32_t* cells,
                  EdgeIndex begin, EdgeIndex end, float* weights);
void draw_weights(const WeightLaw& law, const Stream& stream, Index num_inputs, const std::uint64_t* cells,
                  EdgeIndex begin, EdgeIndex end, float* weights);

}  // namespace espalier
