#include "host/cpu/evolution/gradient_blocks.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "host/cpu/kernels/gradient_block.hpp"

namespace espalier {
namespace {

Extent extent_of(ConstActivations values, Index row) {
    double sum = 0, squares = 0;
    for (Index tile = 0; tile < values.tiles(); ++tile) add_sums(values.row(tile, row), values.used(tile), sum, squares);
    constexpr double any = std::numeric_limits<double>::infinity();
    if (!std::isfinite(squares)) return {any, any, any};  // what is no number may be anything
    const double mean = sum / values.batch;
    return {std::sqrt(squares), std::sqrt(std::max(0.0, squares - sum * mean)), std::abs(mean)};
}

void pack_block(ConstActivations values, GradientBlocks& blocks, Index block) {
    constexpr Index most = 64;
    static constexpr float none[most] = {};
    const float* rows[gradient_inputs];
    float* to = blocks.values + std::size_t{block} * values.batch * blocks.width;
    for (Index tile = 0; tile < values.tiles(); ++tile) {
        for (Index lane = 0; lane < values.used(tile); lane += most) {
            const Index count = std::min(most, values.used(tile) - lane);
            for (Index j = 0; j < blocks.width; ++j) {
                const Index place = block * blocks.width + j;
                rows[j] = place < values.rows ? values.row(tile, blocks.neuron[place]) + lane : none;
            }
            pack_neurons(rows, blocks.width, count, to);
            to += std::size_t{count} * blocks.width;
        }
    }
}

}  // namespace

GradientBlocks pack_blocks(ConstActivations values, Index width, BlockOrder order, int threads, CpuScratch& scratch) {
    GradientBlocks blocks;
    blocks.width = width;
    blocks.count = (values.rows + width - 1) / width;
    std::vector<Extent> extents(values.rows);
    const auto rows = static_cast<std::int64_t>(values.rows);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t row = 0; row < rows; ++row) {
        extents[static_cast<std::size_t>(row)] = extent_of(values, static_cast<Index>(row));
    }
    blocks.neuron.resize(values.rows);
    std::iota(blocks.neuron.begin(), blocks.neuron.end(), Index{0});
    if (order == BlockOrder::by_size) {
        std::sort(blocks.neuron.begin(), blocks.neuron.end(), [&](Index a, Index b) {
            return extents[a].deviation != extents[b].deviation ? extents[a].deviation > extents[b].deviation : a < b;
        });
    }
    blocks.place.resize(values.rows);
    for (Index at = 0; at < values.rows; ++at) blocks.place[blocks.neuron[at]] = at;
    blocks.largest.resize(blocks.count);
    for (Index at = 0; at < values.rows; ++at) {
        Extent& largest = blocks.largest[at / width];
        const Extent& own = extents[blocks.neuron[at]];
        largest = {std::max(largest.norm, own.norm), std::max(largest.deviation, own.deviation),
                   std::max(largest.mean, own.mean)};
    }
    blocks.values = scratch.take<float>(std::size_t{blocks.count} * width * values.batch);
    const auto all = static_cast<std::int64_t>(blocks.count);
#pragma omp parallel for num_threads(threads) schedule(static) if (threads > 1)
    for (std::int64_t block = 0; block < all; ++block) pack_block(values, blocks, static_cast<Index>(block));
    return blocks;
}

bool is_below(const Extent& output, const Extent& input, Index samples, float threshold) {
    const double norms = output.norm * input.norm;
    const double rounding = norms * samples * 0x1p-22 + samples * 0x1p-149;
    const double bound = output.deviation * input.deviation + output.mean * input.mean * samples + rounding;
    return bound < double{threshold} && norms < 0x1p127;  // not where a sum may overflow on its way
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
