#include "host/cpu/backward_by_tiles.hpp"

#include <algorithm>

#include "host/cpu/backward_by_blocks.hpp"
#include "host/cpu/halves.hpp"
#include "host/cpu/operations.hpp"

namespace espalier {

namespace {

// 4 MiB: the gradients of two tiles of half a million edges wait here.
constexpr std::size_t arena_floats = std::size_t{1} << 20;
constexpr std::size_t padding = 16;

/// Floats from one tile's gradients to the next's, of `count` edges or sums: behind the last one others may be written,
/// and no two threads should share a cache line.
std::size_t tile_stride(std::size_t count) { return (count + padding + 15) / 16 * 16; }

/// Limits of a block whose gradients of all tiles take at most a quarter of the arena.
BlockLimits arena_limits(const CpuLayer& layer, Index tiles) {
    const std::size_t floats = arena_floats / 4 / tiles - 2 * padding;
    return {static_cast<EdgeIndex>(floats), static_cast<Index>(floats / sums_per_neuron(layer))};
}

}  // namespace

bool TileBackward::suits(const SparseCpuLayer& layer, ConstActivations x, int threads) {
    const std::size_t longest = sums_per_neuron(layer) * std::max(layer.num_inputs, layer.num_outputs);
    return threads > 1 && whole_tiles(x.tiles(), threads) && x.tiles() * (longest + 2 * padding) <= arena_floats / 4;
}

void TileBackward::enqueue(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                           Activations dx, const StepScalars* step) {
    if (std::find(waiting_.begin(), waiting_.end(), &layer) != waiting_.end()) enqueue_updates();
    if (layer.by_input()) {
        enqueue_columns(layer, x, saved, dy, dx, step);
    } else {
        enqueue_rows(layer, x, saved, dy, step);
    }
    waiting_.push_back(&layer);
}

void TileBackward::enqueue_columns(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                                   Activations dx, const StepScalars* step) {
    const Index tiles = x.tiles();
    const Range rows{0, layer.num_outputs};
    const std::size_t stride = tile_stride(sums_per_neuron(layer) * layer.num_outputs);
    float* sums = take(tiles * stride);
    queue_.emplace_back(tiles, [=, &layer](const TeamMember& member) {
        const Range own = share(member, tiles);
        for (Index tile = own.begin; tile < own.end; ++tile) {
            differentiate(layer, saved, dy, tile, rows, sums + tile * stride, layer.num_outputs);
        }
    });
    set_aside_neurons(layer, rows, tiles, sums, step);
    const EdgeIndex* start = layer.column_start.data();
    for (Range block{0, 0}; block.end < layer.num_inputs;) {
        block = next_block(start, {block.end, layer.num_inputs}, arena_limits(layer, tiles));
        const Range edges{start[block.begin], start[block.end]};
        const std::size_t gradient_stride = tile_stride(edges.end - edges.begin);
        float* gradients = take(tiles * gradient_stride);
        queue_.emplace_back(tiles, [=, &layer](const TeamMember& member) {
            const Range own = share(member, tiles);
            for (Index tile = own.begin; tile < own.end; ++tile) {
                column_gradients(input_edges(layer), x, dy, dx, tile, block, gradients + tile * gradient_stride);
            }
        });
        set_aside_edges(layer, edges, tiles, gradients, step);
    }
}

void TileBackward::enqueue_rows(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                                const StepScalars* step) {
    const Index tiles = x.tiles();
    const EdgeIndex* start = layer.row_start.data();
    for (Range block{0, 0}; block.end < layer.num_outputs;) {
        block = next_block(start, {block.end, layer.num_outputs}, arena_limits(layer, tiles));
        const Index count = block.end - block.begin;
        const Range edges{start[block.begin], start[block.end]};
        const std::size_t sums_stride = tile_stride(sums_per_neuron(layer) * count);
        const std::size_t gradient_stride = tile_stride(edges.end - edges.begin);
        float* sums = take(tiles * (sums_stride + gradient_stride));
        float* gradients = sums + tiles * sums_stride;
        queue_.emplace_back(tiles, [=, &layer](const TeamMember& member) {
            const Range own = share(member, tiles);
            for (Index tile = own.begin; tile < own.end; ++tile) {
                // a few rows at a time, whose dy then lies in the cache
                for (Range few{block.begin, block.begin}; few.end < block.end;) {
                    few = {few.end, std::min(few.end + 64, block.end)};
                    differentiate(layer, saved, dy, tile, few, sums + tile * sums_stride + (few.begin - block.begin),
                                  count);
                    row_gradients(layer, x, dy, tile, few,
                                  gradients + tile * gradient_stride + (layer.row_start[few.begin] - edges.begin));
                }
            }
        });
        set_aside_neurons(layer, block, tiles, sums, step);
        set_aside_edges(layer, edges, tiles, gradients, step);
    }
}

void TileBackward::set_aside_neurons(SparseCpuLayer& layer, Range rows, Index tiles, float* sums,
                                     const StepScalars* step) {
    const Index count = rows.end - rows.begin;
    const std::size_t stride = tile_stride(sums_per_neuron(layer) * count);
    updates_.emplace_back(Phase::disjoint, [=, &layer](const TeamMember& member) {
        const Range own = share(member, count);
        for (std::size_t p = 0; p < sums_per_neuron(layer); ++p) sum_in_place_by_halves(sums + p * count, stride, tiles, own);
        update_neurons(layer, {rows.begin + own.begin, rows.begin + own.end}, sums + own.begin, count, step->update);
    });
}

void TileBackward::set_aside_edges(SparseCpuLayer& layer, Range edges, Index tiles, float* gradients,
                                   const StepScalars* step) {
    const Index count = edges.end - edges.begin;
    const std::size_t stride = tile_stride(count);
    updates_.emplace_back(Phase::disjoint, [=, &layer](const TeamMember& member) {
        const Range own = share(member, count);
        sum_in_place_by_halves(gradients, stride, tiles, own);
        update_edges(layer, edges.begin + own.begin, edges.begin + own.end, gradients + own.begin, step->update);
    });
}

float* TileBackward::take(std::size_t floats) {
    if (arena_.empty()) arena_.resize(arena_floats);
    if (taken_ + floats > arena_floats) enqueue_updates();
    float* memory = arena_.data() + taken_;
    taken_ += floats;
    return memory;
}

void TileBackward::enqueue_updates() {
    queue_.insert(queue_.end(), updates_.begin(), updates_.end());
    clear();
}

void TileBackward::clear() {
    updates_.clear();
    waiting_.clear();
    taken_ = 0;
}

}  // namespace espalier
