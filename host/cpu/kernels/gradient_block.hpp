// Gradients of cells, edges or not, as chains of fused multiply-adds over the samples in their order: the bits of
// detail::PackedEvidence, many at a time with the widest instructions at hand.
#pragma once

#include <cstdint>

#include "espalier/index.hpp"

namespace espalier {

/// Cells that are computed together: so many outputs and inputs.
constexpr Index gradient_outputs = 8;
constexpr Index gradient_inputs = 48;

/// dz [samples][8], x [samples][48]: the keys of the 8 x 48 gradients, and which of a row's are at least `threshold`
/// (bit i: input i), NaN being taken for any number at all.
void gradient_block(const float* dz, const float* x, Index samples, std::uint32_t threshold,
                    std::uint32_t (&keys)[gradient_outputs * gradient_inputs],
                    std::uint64_t (&reached)[gradient_outputs]);

/// keys[i] = the bits of abs(sum over the samples of dz * x), dz of output outputs[i] and x of input inputs[i]; dz
/// [samples][num_outputs], x [samples][num_inputs].
void gradient_keys(const float* dz, Index num_outputs, const float* x, Index num_inputs, Index samples,
                   const Index* outputs, const Index* inputs, EdgeIndex count, std::uint32_t* keys);

/// Rows of `count` values side by side: to[value][row]. `num_rows` is a multiple of 4.
void pack_neurons(const float* const* rows, Index num_rows, Index count, float* to);

/// Adds `count` values and their squares.
void add_sums(const float* values, Index count, double& sum, double& squares);

}  // namespace espalier
