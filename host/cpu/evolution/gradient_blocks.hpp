// The evidence of a layer in blocks of neurons, as gradient_block() reads it, and which cells of a few rows can hold no new
// edge, in the same order.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/common/evolution_steps.hpp"
#include "host/cpu/evolution/scratch.hpp"

namespace espalier {

/// One side of the product in blocks of `width` neurons, sample by sample; rows past the last neuron are 0.
struct GradientBlocks {
    Index width = 0;
    Index count = 0;
    std::vector<Index> neuron;    // by place
    std::vector<Index> place;     // by neuron
    std::vector<double> largest;  // norm of each block
    float* values = nullptr;      // [count][samples][width]
};

/// Whether largest norms come first, or neurons stay in order.
enum class BlockOrder { by_norm, by_neuron };

GradientBlocks pack_blocks(ConstActivations values, Index width, BlockOrder order, int threads, CpuScratch& scratch);

/// The largest magnitude that a rounded sum over the samples can have between two blocks: the product of the norms and
/// what rounding adds to it.
double gradient_bound(double largest_output, double largest_input, Index samples);

/// A bit for each cell of some rows that can hold no new edge.
class TakenCells {
public:
    TakenCells(const CsrView& edges, const GradientBlocks& inputs, Index rows);
    void clear();
    /// Row `row` of these is `output`'s. `pruned`: ascending slots, whose cells are free where `allow_removed`.
    void mark(Index row, Index output, const EdgeIndex* pruned, EdgeIndex num_pruned, bool allow_removed);
    [[nodiscard]] std::uint64_t bits(Index row, Index input_block) const {
        return bits_[std::size_t{row} * inputs_.count + input_block];
    }

private:
    const CsrView& edges_;
    const GradientBlocks& inputs_;
    std::vector<std::uint64_t> bits_;  // [row][block of inputs]
};

}  // namespace espalier
