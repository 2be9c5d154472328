// The evidence of a layer in blocks of neurons, as gradient_block() reads it, and which cells of a few rows can hold no new
// edge, in the same order.
#pragma once
#include <cstdint>
#include <vector>

#include "espalier/backend.hpp"
#include "espalier/common/evolution_steps.hpp"
#include "host/cpu/evolution/scratch.hpp"
#include "host/cpu/kernels/gradient_block.hpp"

namespace espalier {

/// How large the values of a neuron are, over the samples; of several neurons the largest of each.
struct Extent {
    double norm = 0;       // root of the sum of squares
    double deviation = 0;  // the same of what is left of the values without their mean
    double mean = 0;       // its magnitude
};

/// One side of the product in blocks of `width` neurons, sample by sample; rows past the last neuron are 0.
struct GradientBlocks {
    Index width = 0;
    Index count = 0;
    std::vector<Index> neuron;    // by place
    std::vector<Index> place;     // by neuron
    std::vector<Extent> largest;  // of each block
    float* values = nullptr;      // [count][samples][width]
};

/// Whether largest deviations come first, or neurons stay in order.
enum class BlockOrder { by_size, by_neuron };

GradientBlocks pack_blocks(ConstActivations values, Index width, BlockOrder order, int threads, CpuScratch& scratch);

/// Whether the rounded sum over the samples of no pair of neurons of two blocks can reach `threshold`, a positive number: it
/// is at most the product of the deviations (Cauchy and Schwarz), that of the means for each sample, and what rounding adds.
/// Pixels that are nearly always black have means but hardly any deviation.
bool is_below(const Extent& output, const Extent& input, Index samples, float threshold);

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

/// The gradients of one block of cells.
struct BlockKeys {
    alignas(64) std::uint32_t keys[gradient_outputs * gradient_inputs];
    std::uint64_t reached[gradient_outputs];  // bit i: input i is there and its key at least the threshold

    void look(const GradientBlocks& outputs, Index block, const GradientBlocks& inputs, Index input_block, Index samples,
              Index num_inputs, std::uint32_t threshold) {
        gradient_block(outputs.values + std::size_t{block} * samples * gradient_outputs,
                       inputs.values + std::size_t{input_block} * samples * gradient_inputs, samples, threshold, keys,
                       reached);
        const Index left = num_inputs - input_block * gradient_inputs;
        if (left >= gradient_inputs) return;
        for (std::uint64_t& bits : reached) bits &= (std::uint64_t{1} << left) - 1;
    }
};

}  // namespace espalier
