#include "host/cpu/backward_by_tiles.hpp"

#include <algorithm>

#include "host/cpu/backward_by_blocks.hpp"
#include "host/cpu/batch_parts.hpp"
#include "host/cpu/dense.hpp"
#include "host/cpu/halves.hpp"
#include "host/cpu/operations.hpp"

namespace espalier {

namespace {

// 4 MiB: the gradients of two tiles of half a million edges wait here. Of several processes each tile has as much, so
// that an exchange is large beside its start.
constexpr std::size_t arena_floats = std::size_t{1} << 20;
constexpr std::size_t padding = 16;

/// Room for `count` edges or sums: behind the last one others may be written, and no two threads should share a cache
/// line.
std::size_t padded(std::size_t count) { return (count + padding + 15) / 16 * 16; }

/// The most that must lie in one block.
std::size_t longest_block(const CpuLayer& layer) {
    const std::size_t neurons = std::max(layer.num_inputs, layer.num_outputs);
    const bool dense = dynamic_cast<const DenseCpuLayer*>(&layer) != nullptr;
    const std::size_t block = dense ? std::size_t{std::min(dense_block, layer.num_outputs)} * layer.num_inputs : 0;
    return std::max(sums_per_neuron(layer) * neurons, block);
}

}  // namespace

bool TileBackward::suits(const SparseCpuLayer& layer, ConstActivations x, int threads) {
    return threads > 1 && whole_tiles(x.tiles(), threads) &&
           x.tiles() * (longest_block(layer) + 2 * padding) <= arena_floats / 4;
}

std::size_t TileBackward::bucket_for(const CpuLayer& layer) const {
    return std::max({bucket_, arena_floats, 4 * padded(longest_block(layer))});
}

bool TileBackward::has_room(const CpuLayer& layer, Index tiles) const {
    return exchange_.alone() || (bucket_for(layer) == bucket_ && arenas_[0].size() >= room_for(tiles));
}

void TileBackward::reserve(const CpuLayer& layer, Index tiles) {
    if (exchange_.alone()) return;
    bucket_ = bucket_for(layer);
    room_ = std::max(room_, room_for(tiles));
    for (auto& arena : arenas_) {
        if (!arena.empty() || &arena == arenas_) arena.resize(room_);
    }
}

std::size_t TileBackward::room_for(Index tiles) const {
    if (exchange_.alone()) return arena_floats;
    return exchange_.tiles().most(tiles) * bucket_ + Exchange::slack(exchange_.ranks());
}

std::size_t TileBackward::capacity(Index tiles) const {
    if (!exchange_.alone()) return bucket_;
    // an odd number of lines: arrays a power of two apart would meet in the same lines of a cache
    return ((arena_floats / tiles / 16 - 1) | 1) * 16;
}

std::pair<EdgeIndex, Index> TileBackward::block_limits(const CpuLayer& layer, Index tiles) const {
    const std::size_t floats = capacity(tiles) / 4 - 2 * padding;
    return {static_cast<EdgeIndex>(floats), static_cast<Index>(floats / sums_per_neuron(layer))};
}

void TileBackward::enqueue(CpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy, Activations dx,
                           const StepScalars* step) {
    if (std::find(waiting_.begin(), waiting_.end(), &layer) != waiting_.end()) enqueue_updates();
    auto* sparse = dynamic_cast<SparseCpuLayer*>(&layer);
    if (sparse != nullptr && !sparse->by_input()) {
        enqueue_rows(*sparse, x, saved, dy, step);
    } else {
        enqueue_neurons(layer, x.tiles(), saved, dy, step);
        if (sparse != nullptr) {
            enqueue_columns(*sparse, x, dy, dx, step);
        } else {
            enqueue_dense(dynamic_cast<DenseCpuLayer&>(layer), x, dy, dx, step);
        }
    }
    waiting_.push_back(&layer);
}

void TileBackward::enqueue_neurons(CpuLayer& layer, Index tiles, const Saved& saved, Activations dy,
                                   const StepScalars* step) {
    const Range rows{0, layer.num_outputs};
    float* sums = take(tiles, padded(sums_per_neuron(layer) * layer.num_outputs));
    queue_.emplace_back(exchange_.tiles().count(tiles), [=, &layer, stride = stride()](const TeamMember& member) {
        for_own_tiles(member, tiles, [&](Index tile, Index number) {
            differentiate(layer, saved, dy, tile, rows, sums + number * stride, layer.num_outputs);
        });
    });
    set_aside_neurons(layer, rows, sums, step);
}

void TileBackward::enqueue_columns(SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx,
                                   const StepScalars* step) {
    const Index tiles = x.tiles();
    const EdgeIndex* start = layer.column_start.data();
    const auto [most_edges, most_columns] = block_limits(layer, tiles);
    for (Range block{0, 0}; block.end < layer.num_inputs;) {
        block = next_block(start, {block.end, layer.num_inputs}, {most_edges, most_columns});
        const Range edges{start[block.begin], start[block.end]};
        float* gradients = take(tiles, padded(edges.end - edges.begin));
        queue_.emplace_back(exchange_.tiles().count(tiles), [=, &layer, stride = stride(),
                                                             exchange = &exchange_](const TeamMember& member) {
            for_own_tiles(member, tiles, [&](Index tile, Index number) {
                column_gradients(input_edges(layer), x, dy, dx, tile, block, gradients + number * stride);
                if (member.index == 0) exchange->advance();
            });
        });
        set_aside_edges(layer, edges, gradients, step);
    }
}

void TileBackward::enqueue_rows(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy,
                                const StepScalars* step) {
    const Index tiles = x.tiles();
    const EdgeIndex* start = layer.row_start.data();
    const auto [most_edges, most_rows] = block_limits(layer, tiles);
    for (Range block{0, 0}; block.end < layer.num_outputs;) {
        block = next_block(start, {block.end, layer.num_outputs}, {most_edges, most_rows});
        const Index count = block.end - block.begin;
        const Range edges{start[block.begin], start[block.end]};
        const std::size_t sums_room = padded(sums_per_neuron(layer) * count);
        float* sums = take(tiles, sums_room + padded(edges.end - edges.begin));
        float* gradients = sums + sums_room;
        queue_.emplace_back(exchange_.tiles().count(tiles), [=, &layer, stride = stride(),
                                                             exchange = &exchange_](const TeamMember& member) {
            for_own_tiles(member, tiles, [&](Index tile, Index number) {
                // a few rows at a time, whose dy then lies in the cache
                for (Range few{block.begin, block.begin}; few.end < block.end;) {
                    few = {few.end, std::min(few.end + 64, block.end)};
                    differentiate(layer, saved, dy, tile, few, sums + number * stride + (few.begin - block.begin),
                                  count);
                    row_gradients(layer, x, dy, tile, few,
                                  gradients + number * stride + (layer.row_start[few.begin] - edges.begin));
                }
                if (member.index == 0) exchange->advance();
            });
        });
        set_aside_neurons(layer, block, sums, step);
        set_aside_edges(layer, edges, gradients, step);
    }
}

void TileBackward::enqueue_dense(DenseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx,
                                 const StepScalars* step) {
    const Index tiles = x.tiles();
    if (dx) {
        queue_.emplace_back(exchange_.tiles().count(tiles), [=, &layer](const TeamMember& member) {
            for_tile_rows(member, tiles, layer.num_inputs, dense_block, [&](Index tile, Range inputs) {
                for (Index block = inputs.begin / dense_block; block < dense_blocks(inputs.end); ++block) {
                    dense_input_gradient(layer, dy, dx, tile, dense_block_rows(block, inputs.end));
                }
            });
        });
    }
    for (Index block = 0; block < dense_blocks(layer.num_outputs); ++block) {
        const Range outputs = dense_block_rows(block, layer.num_outputs);
        const std::size_t first = std::size_t{outputs.begin} * layer.num_inputs;
        const Index count = (outputs.end - outputs.begin) * layer.num_inputs;
        float* gradients = take(tiles, padded(count));
        queue_.emplace_back(exchange_.tiles().count(tiles),
                            [=, &layer, stride = stride(), exchange = &exchange_](const TeamMember& member) {
                                for_own_tiles(member, tiles, [&](Index tile, Index number) {
                                    dense_gradient(layer, x, dy, tile, outputs, gradients + number * stride);
                                    if (member.index == 0) exchange->advance();
                                });
                            });
        updates_.emplace_back(Phase::disjoint, [=, &layer, stride = stride(),
                                                terms = terms()](const TeamMember& member) {
            const Range own = share(member, count);
            sum_in_place_by_halves(gradients, stride, terms, own);
            update_dense_weights(layer, first + own.begin, own.end - own.begin, gradients + own.begin, step->update);
        });
    }
}

void TileBackward::set_aside_neurons(CpuLayer& layer, Range rows, float* sums, const StepScalars* step) {
    const Index count = rows.end - rows.begin;
    updates_.emplace_back(Phase::disjoint, [=, &layer, stride = stride(), terms = terms()](const TeamMember& member) {
        const Range own = share(member, count);
        for (std::size_t p = 0; p < sums_per_neuron(layer); ++p) {
            sum_in_place_by_halves(sums + p * count, stride, terms, own);
        }
        update_neurons(layer, {rows.begin + own.begin, rows.begin + own.end}, sums + own.begin, count, step->update);
    });
}

void TileBackward::set_aside_edges(SparseCpuLayer& layer, Range edges, float* gradients, const StepScalars* step) {
    const Index count = edges.end - edges.begin;
    updates_.emplace_back(Phase::disjoint, [=, &layer, stride = stride(), terms = terms()](const TeamMember& member) {
        const Range own = share(member, count);
        sum_in_place_by_halves(gradients, stride, terms, own);
        update_edges(layer, edges.begin + own.begin, edges.begin + own.end, gradients + own.begin, step->update);
    });
}

float* TileBackward::take(Index tiles, std::size_t floats) {
    if (tiles != tiles_) enqueue_updates();
    if (taken_ + floats > capacity(tiles)) flush();
    AlignedVector<float>& arena = arenas_[bank_];
    if (arena.empty()) arena.resize(std::max(room_, room_for(tiles)));
    tiles_ = tiles;
    stride_ = capacity(tiles);
    float* memory = arena.data() + taken_;
    taken_ += floats;
    return memory;
}

void TileBackward::flush() {
    if (exchange_.alone()) {
        queue_.insert(queue_.end(), updates_.begin(), updates_.end());
    } else if (taken_ > 0) {
        float* own = arenas_[bank_].data();
        const Index held = exchange_.tiles().count(tiles_);
        queue_.emplace_back(Index{0}, [=, stride = stride(), taken = taken_](const TeamMember& member) {
            const Range lines = share(member, static_cast<Index>(taken / 16));  // threads should not share a cache line
            if (held > 0) sum_in_place_by_halves(own, stride, held, {lines.begin * 16, lines.end * 16});
        });
        queue_.emplace_back(Index{0},
                            [=, exchange = &exchange_, taken = taken_, tiles = tiles_](const TeamMember& member) {
                                if (member.index != 0) return;
                                exchange->finish();
                                exchange->begin(own, taken, tiles);
                            });
        queue_.insert(queue_.end(), travelling_.begin(), travelling_.end());
        travelling_ = updates_;
        bank_ = 1 - bank_;
    }
    updates_.clear();
    taken_ = 0;
}

void TileBackward::enqueue_updates() {
    flush();
    if (!travelling_.empty()) {
        queue_.emplace_back(Index{0}, [exchange = &exchange_](const TeamMember& member) {
            if (member.index == 0) exchange->finish();
        });
        queue_.insert(queue_.end(), travelling_.begin(), travelling_.end());
    }
    clear();
}

void TileBackward::clear() {
    updates_.clear();
    travelling_.clear();
    waiting_.clear();
    taken_ = 0;
    bank_ = 0;
}

}  // namespace espalier
