#include "host/cpu/evolution/gradient_blocks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "host/cpu/kernels/gradient_block.hpp"

namespace espalier {
namespace {

double norm_of(ConstActivations values, Index row) {
    constexpr Index chains = 8;  // of additions, side by side
    double sums[chains] = {};
    for (Index tile = 0; tile < values.tiles(); ++tile) {
        const float* lanes = values.row(tile, row);
        const Index used = values.used(tile);
        Index lane = 0;
        for (; lane + chains <= used; lane += chains) {
            for (Index c = 0; c < chains; ++c) sums[c] += double{lanes[lane + c]} * lanes[lane + c];
        }
        for (; lane < used; ++lane) sums[0] += double{lanes[lane]} * lanes[lane];
    }
    const double sum = std::accumulate(std::begin(sums), std::end(sums), 0.0);
    // what is no number may be anything
    return std::isnan(sum) ? std::numeric_limits<double>::infinity() : std::sqrt(sum);
}

void pack_block(ConstActivations values, GradientBlocks& blocks, Index block) {
    float* const to = blocks.values + std::size_t{block} * values.batch * blocks.width;
    for (Index j = 0; j < blocks.width; ++j) {
        const Index place = block * blocks.width + j;
        for (Index tile = 0; tile < values.tiles(); ++tile) {
            const float* from = place < values.rows ? values.row(tile, blocks.neuron[place]) : nullptr;
            float* next = to + std::size_t{tile} * values.lanes * blocks.width + j;
            for (Index lane = 0; lane < values.used(tile); ++lane, next += blocks.width) {
                *next = from == nullptr ? 0.0F : from[lane];
            }
        }
    }
}

}  // namespace

GradientBlocks pack_blocks(ConstActivations values, Index width, BlockOrder order, int threads, CpuScratch& scratch) {
    GradientBlocks blocks;
    blocks.width = width;
    blocks.count = (values.rows + width - 1) / width;
    std::vector<double> norms(values.rows);
    const auto rows = static_cast<std::int64_t>(values.rows);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t row = 0; row < rows; ++row) {
        norms[static_cast<std::size_t>(row)] = norm_of(values, static_cast<Index>(row));
    }
    blocks.neuron.resize(values.rows);
    std::iota(blocks.neuron.begin(), blocks.neuron.end(), Index{0});
    if (order == BlockOrder::by_norm) {
        std::stable_sort(blocks.neuron.begin(), blocks.neuron.end(), [&](Index a, Index b) { return norms[a] > norms[b]; });
    }
    blocks.place.resize(values.rows);
    for (Index at = 0; at < values.rows; ++at) blocks.place[blocks.neuron[at]] = at;
    blocks.largest.assign(blocks.count, 0);
    for (Index at = 0; at < values.rows; ++at) {
        double& largest = blocks.largest[at / width];
        largest = std::max(largest, norms[blocks.neuron[at]]);
    }
    blocks.values = scratch.take<float>(std::size_t{blocks.count} * width * values.batch);
    const auto all = static_cast<std::int64_t>(blocks.count);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t block = 0; block < all; ++block) pack_block(values, blocks, static_cast<Index>(block));
    return blocks;
}

double gradient_bound(double largest_output, double largest_input, Index samples) {
    return largest_output * largest_input * (1 + samples * 0x1p-22) + samples * 0x1p-149;
}

TakenCells::TakenCells(const CsrView& edges, const GradientBlocks& inputs, Index rows)
    : edges_(edges), inputs_(inputs), bits_(std::size_t{rows} * inputs.count, 0) {}

void TakenCells::clear() { std::fill(bits_.begin(), bits_.end(), 0); }

void TakenCells::mark(Index row, Index output, const EdgeIndex* pruned, EdgeIndex num_pruned, bool allow_removed) {
    std::uint64_t* const bits = bits_.data() + std::size_t{row} * inputs_.count;
    const EdgeIndex* const end = pruned + num_pruned;
    const EdgeIndex* gone_next = std::lower_bound(pruned, end, edges_.row_start[output]);
    for (EdgeIndex slot = edges_.row_start[output]; slot < edges_.row_start[output + 1]; ++slot) {
        const bool removed = gone_next != end && *gone_next == slot;
        gone_next += removed ? 1 : 0;
        if (removed && allow_removed) continue;
        const Index at = inputs_.place[edges_.column[slot]];
        bits[at / gradient_inputs] |= std::uint64_t{1} << (at % gradient_inputs);
    }
}

}  // namespace espalier
