#include "host/cpu/backward_by_blocks.hpp"

#include <algorithm>

#include "host/cpu/halves.hpp"
#include "host/cpu/operations.hpp"
#include "host/system/processors.hpp"

namespace espalier {

namespace {

// As a rule the gradients of a block stay in the first-level cache. Where the tiles do not fit half of the second level
// together, a block should meet each row of a tile many times before the next tile displaces it.
constexpr EdgeIndex min_block_edges = 4096;
constexpr EdgeIndex largest_block_edges = 65536;
constexpr EdgeIndex meetings = 32;
constexpr Index block_rows = 512;
constexpr std::size_t padding = 16;

/// `across`: the activations that the edges of a block meet in no order.
BlockLimits block_limits(ConstActivations across) {
    if (across.tiles() == 1 || across.size() * sizeof(float) <= caches().second / 2) return {min_block_edges, block_rows};
    return {std::clamp(meetings * across.rows, min_block_edges, largest_block_edges), block_rows};
}

/// Room for the gradients of a block of edges: a row may have more of them than a block should.
std::size_t block_floats(const CpuLayer& layer) {
    return std::max<std::size_t>({largest_block_edges, layer.num_inputs, layer.num_outputs}) + padding;
}

/// Where the neurons' sums begin: behind the gradients.
std::size_t sums_at(const CpuLayer& layer, Index tiles) { return blocks_of_halves(tiles) * block_floats(layer); }

/// Where the activations of a narrow batch are packed: behind sums and gradients.
std::size_t packed_at(const CpuLayer& layer, Index tiles) {
    return sums_at(layer, tiles) + blocks_of_halves(tiles) * sums_per_neuron(layer) * block_rows;
}

/// Where the state arrays begin for parameter `index`.
template <class Array>
StateArrays states_at(std::vector<Array>& states, std::size_t index) {
    StateArrays result{};
    for (std::size_t s = 0; s < states.size(); ++s) result[s] = states[s].data() + index;
    return result;
}

}  // namespace

Range next_block(const EdgeIndex* start, Range rows, BlockLimits limits) {
    Range block{rows.begin, rows.begin + 1};
    while (block.end < rows.end && block.end - block.begin < limits.rows &&
           start[block.end + 1] - start[block.begin] <= limits.edges) {
        ++block.end;
    }
    return block;
}

void update_neurons(CpuLayer& layer, Range rows, const float* sums, std::size_t stride, const UpdateStep& step) {
    NeuronParameters& neurons = layer.neurons;
    const std::size_t count = rows.end - rows.begin;
    update_parameters(layer.optimizer, neurons.bias.data() + rows.begin, sums,
                      states_at(neurons.bias_state, rows.begin), count, step);
    for (std::size_t p = 1; p < sums_per_neuron(layer); ++p) {
        const std::size_t at = (p - 1) * layer.num_outputs + rows.begin;
        update_parameters(layer.optimizer, neurons.activation_parameters.data() + at, sums + p * stride,
                          states_at(neurons.activation_state, at), count, step);
    }
}

void update_edges(SparseCpuLayer& layer, EdgeIndex first, EdgeIndex end, const float* gradient,
                  const UpdateStep& step) {
    float* weights = layer.by_input() ? layer.input_weights.data() : layer.weights.data();
    update_parameters(layer.optimizer, weights + first, gradient, states_at(layer.state, first), end - first, step);
}

std::size_t backward_scratch(const CpuLayer& layer, Index tiles) {
    const std::size_t rows = std::max(layer.num_inputs, layer.num_outputs);
    return packed_at(layer, tiles) + rows * max_narrow_lanes;
}

void backward_neurons(CpuLayer& layer, const Saved& saved, Activations dy, Range rows, const UpdateStep& step,
                      float* scratch) {
    for (Range block{rows.begin, rows.begin}; block.end < rows.end;) {
        block = {block.end, std::min(block.end + block_rows, rows.end)};
        const std::size_t count = block.end - block.begin;
        const std::size_t sums = sums_per_neuron(layer) * count;
        sum_by_halves(dy.tiles(), scratch, sums, sums,
                      [&](Index tile, float* to) { differentiate(layer, saved, dy, tile, block, to, count); });
        update_neurons(layer, block, scratch, count, step);
    }
}

void differentiate_neurons(const CpuLayer& layer, ConstActivations saved, Activations dy, Range rows,
                           const TileShare& tiles, float* scratch) {
    for (Range block{rows.begin, rows.begin}; block.end < rows.end;) {
        block = {block.end, std::min(block.end + block_rows, rows.end)};
        for (Index i = 0; i < tiles.count(dy.tiles()); ++i) {
            differentiate(layer, {saved, {}}, dy, tiles.tile(i), block, scratch, block.end - block.begin);
        }
    }
}

void backward_columns(SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx, Range columns,
                      const UpdateStep& step, float* scratch) {
    const EdgeIndex* start = layer.column_start.data();
    const Packed packed = is_narrow(dy) ? pack_lanes(dy, scratch + packed_at(layer, x.tiles())) : Packed{};
    for (Range block{columns.begin, columns.begin}; block.end < columns.end;) {
        block = next_block(start, {block.end, columns.end}, block_limits(dy));
        const EdgeIndex first = start[block.begin];
        const EdgeIndex end = start[block.end];
        sum_by_halves(x.tiles(), scratch, block_floats(layer), end - first, [&](Index tile, float* to) {
            if (packed.values != nullptr) return narrow_column_gradients(input_edges(layer), x, packed, dx, block, to);
            column_gradients(input_edges(layer), x, dy, dx, tile, block, to);
        });
        update_edges(layer, first, end, scratch, step);
    }
}

void backward_rows(SparseCpuLayer& layer, ConstActivations x, const Saved& saved, Activations dy, Range rows,
                   const UpdateStep& step, float* scratch) {
    const EdgeIndex* start = layer.row_start.data();
    float* neurons_scratch = scratch + sums_at(layer, x.tiles());
    const Packed packed = is_narrow(x) ? pack_lanes(x, scratch + packed_at(layer, x.tiles())) : Packed{};
    for (Range block{rows.begin, rows.begin}; block.end < rows.end;) {
        block = next_block(start, {block.end, rows.end}, block_limits(x));
        const EdgeIndex first = start[block.begin];
        const EdgeIndex end = start[block.end];
        // first these: the rows of dy then lie in the cache
        backward_neurons(layer, saved, dy, block, step, neurons_scratch);
        sum_by_halves(x.tiles(), scratch, block_floats(layer), end - first, [&](Index tile, float* to) {
            if (packed.values != nullptr) return narrow_row_gradients(layer, packed, dy, block, to);
            row_gradients(layer, x, dy, tile, block, to);
        });
        update_edges(layer, first, end, scratch, step);
    }
}

}  // namespace espalier
