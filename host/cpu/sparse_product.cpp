#include "espalier/sparse_product.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "espalier/error.hpp"
#include "host/cpu/batch_memory.hpp"
#include "host/cpu/batch_parts.hpp"
#include "host/cpu/canonical_weights.hpp"
#include "host/cpu/layer.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/product_scratch.hpp"
#include "host/cpu/team.hpp"

namespace espalier {
namespace {

/// Edges whose gradients are made together, tile after tile: many enough to meet each row of a tile several times before
/// the next tile displaces it, few enough for what is added up to stay in the second-level cache.
constexpr EdgeIndex edges_together = 16384;
/// Neurons whose values go into the caller's memory together, before they leave that cache.
constexpr Index rows_together = 256;
/// Blocks begin at multiples of so many neurons: a cache line of a sample.
constexpr Index granule = 16;
/// The kernels write a few floats behind the last gradient.
constexpr std::size_t overhang = 16;

/// Inputs from `columns.begin` on of about edges_together edges, a granule at least.
Range next_columns(const EdgeIndex* start, Range columns) {
    const auto after = [&](Index column) { return std::min((column / granule + 1) * granule, columns.end); };
    Index end = after(columns.begin);
    while (end < columns.end && after(end) - columns.begin <= rows_together &&
           start[after(end)] - start[columns.begin] <= edges_together) {
        end = after(end);
    }
    return {columns.begin, end};
}

/// Calls work(block) for blocks of rows_together of `rows`.
template <class Work>
void for_blocks(Range rows, const Work& work) {
    for (Range block{rows.begin, rows.begin}; block.end < rows.end;) {
        block = {block.end, std::min(block.end + rows_together, rows.end)};
        work(block);
    }
}

/// A view of activations of which only the neurons from `first` on exist, those of one tile in the place of any: `memory`
/// holds rows_together of them. The kernels add the offset of a neuron before they read or write.
Activations block_view(float* memory, Index first, Index samples) {
    return {memory - std::size_t{first} * cpu_lanes, 0, samples, cpu_lanes};
}

void pack_tile(BatchView<const float> from, Activations to, Index tile, Range features) {
    if (from.order == BatchOrder::sample_major) return pack_rows(from.data, from.row_stride(), to, tile, features);
    const Index used = to.used(tile);
    const float* first = from.data + std::size_t{tile} * cpu_lanes;
    for (Index f = features.begin; f < features.end; ++f) {
        float* row = to.row(tile, f);
        std::memcpy(row, first + f * from.row_stride(), used * sizeof(float));
        std::memset(row + used, 0, (worked_lanes(used) - used) * sizeof(float));
    }
}

void unpack_tile(ConstActivations from, BatchView<float> to, Index tile, Range features) {
    if (to.order == BatchOrder::sample_major) return unpack_rows(from, tile, features, to.data, to.row_stride());
    float* first = to.data + std::size_t{tile} * cpu_lanes;
    for (Index f = features.begin; f < features.end; ++f) {
        std::memcpy(first + f * to.row_stride(), from.row(tile, f), from.used(tile) * sizeof(float));
    }
}

Index packed_lanes(Index samples) { return samples <= max_narrow_lanes ? std::max(narrow_lanes(samples), 1U) : cpu_lanes; }

bool is_narrow(const PackedBatch& batch) { return batch.samples() <= max_narrow_lanes; }

void pack_narrow(BatchView<const float> from, const PackedBatch& to, Range features) {
    const bool by_sample = from.order == BatchOrder::sample_major;
    const std::size_t sample_step = by_sample ? from.row_stride() : 1, feature_step = by_sample ? 1 : from.row_stride();
    const Index lanes = to.lanes();
    for (Index f = features.begin; f < features.end; ++f) {
        float* row = to.data() + std::size_t{f} * lanes;
        for (Index s = 0; s < lanes; ++s) row[s] = s < from.samples ? from.data[s * sample_step + f * feature_step] : 0.0F;
    }
}

/// Values [neuron][lanes] of `rows` to the caller.
void put_packed(const float* from, Index lanes, BatchView<float> to, Range rows) {
    const bool by_sample = to.order == BatchOrder::sample_major;
    const std::size_t sample_step = by_sample ? to.row_stride() : 1, feature_step = by_sample ? 1 : to.row_stride();
    for (Index r = rows.begin; r < rows.end; ++r, from += lanes) {
        for (Index s = 0; s < to.samples; ++s) to.data[s * sample_step + r * feature_step] = from[s];
    }
}

/// The same neurons as the kernels want those that they do not meet at random.
void widen(const PackedBatch& from, Range features, float* memory) {
    for (Index f = features.begin; f < features.end; ++f, memory += cpu_lanes) {
        std::memcpy(memory, from.data() + std::size_t{f} * from.lanes(), from.lanes() * sizeof(float));
    }
}

}  // namespace

PackedBatch::PackedBatch(Index features, Index samples) : features_(features), samples_(samples) {
    const std::size_t bytes = floats(features, samples) * sizeof(float);
    memory_ = {allocate_batch(bytes), Release{bytes}};
}

PackedBatch::PackedBatch(Index features, Index samples, float* memory)
    : memory_(memory, Release{0}), features_(features), samples_(samples) {}

std::size_t PackedBatch::floats(Index features, Index samples) {
    return TiledView<float>{nullptr, features, samples, packed_lanes(samples)}.size();
}

Index PackedBatch::lanes() const { return packed_lanes(samples_); }

void PackedBatch::Release::operator()(float* memory) const noexcept {
    if (bytes > 0) release_batch(memory, bytes);
}

struct SparseProduct::State {
    SparseCpuLayer layer;  // without input_weights: these are the caller's; weights only while a pass runs
    Team team;
    std::shared_ptr<ProductScratch> pass_memory = ProductScratch::shared();
    std::vector<EdgeIndex> next_edge;  // [parts of the rows][num_inputs]
    std::vector<float> zeros;  // offsets of a product without any
    std::vector<float> sums;   // of a narrow batch: [num_outputs][2][lanes]
    std::vector<std::uint8_t> odd;  // [num_outputs]

    explicit State(int threads) : team(threads) { team.reserve_scratch(2 * rows_together * cpu_lanes); }

    [[nodiscard]] InputEdges edges(const float* weights) const {
        return {layer.column_start.data(), layer.row.data(), weights};
    }
    /// By input: column_start and row.
    void build_input_view();
    [[nodiscard]] Phase taking(const float* weights) {
        return {0, [this, weights](const TeamMember& member) {
                    const auto part = static_cast<Index>(member.index);
                    if (part >= num_row_parts(layer)) return;
                    take_weights(layer, weights, member, next_edge.data() + std::size_t{part} * layer.num_inputs);
                }};
    }

    [[nodiscard]] Phase packing(BatchView<const float> from, const PackedBatch& to) const;
    [[nodiscard]] Phase multiplying(const PackedBatch& x, BatchView<float> y);
    [[nodiscard]] Phase multiplying_narrow(const PackedBatch& x, const float* weights, BatchView<float> y);
    [[nodiscard]] Phase bias_gradient(const PackedBatch& dy, float* to) const;
    [[nodiscard]] Phase gradients(const PackedBatch& x, const PackedBatch& dy, const float* weights, const Gradients& to);
    [[nodiscard]] Phase input_gradient(const PackedBatch& dy, const float* weights, BatchView<float> dx);
    void edge_block(const PackedBatch& x, const PackedBatch& dy, InputEdges by_input, Range block,
                    std::vector<float>& other, float* gradient, BatchView<float> dx, float* scratch) const;
};

void SparseProduct::State::build_input_view() {
    layer.column_start.assign(std::size_t{layer.num_inputs} + 1, 0);
    layer.row.resize(layer.column.size());
    for (const Index c : layer.column) ++layer.column_start[c + 1];
    std::partial_sum(layer.column_start.begin(), layer.column_start.end(), layer.column_start.begin());
    std::vector<EdgeIndex> next(layer.column_start.begin(), layer.column_start.end() - 1);
    for (Index r = 0; r < layer.num_outputs; ++r) {
        for (EdgeIndex e = layer.row_start[r]; e < layer.row_start[r + 1]; ++e) layer.row[next[layer.column[e]]++] = r;
    }
}

Phase SparseProduct::State::packing(BatchView<const float> from, const PackedBatch& to) const {
    return {0, [from, &to](const TeamMember& member) {
                if (is_narrow(to)) return pack_narrow(from, to, share(member, to.features()));
                const Activations tiles = to.tiles();
                for_tile_rows(member, tiles.tiles(), tiles.rows, granule,
                              [&](Index tile, Range features) { pack_tile(from, tiles, tile, features); });
            }};
}

Phase SparseProduct::State::multiplying(const PackedBatch& x, BatchView<float> y) {
    return {0, [this, &x, y](const TeamMember& member) {
                for_tile_rows(member, x.tiles().tiles(), layer.num_outputs, granule, [&](Index tile, Range rows) {
                    for_blocks(rows, [&](Range block) {
                        const Activations to = block_view(member.scratch, block.begin, y.samples);
                        forward_rows(layer, x.tiles(), {}, to, {}, tile, block);
                        unpack_tile(to, y, tile, block);
                    });
                });
            }};
}

/// By input: weights in canonical order would cost more than the product.
Phase SparseProduct::State::multiplying_narrow(const PackedBatch& x, const float* weights, BatchView<float> y) {
    sums.resize(std::size_t{2} * layer.num_outputs * x.lanes());
    odd.resize(layer.num_outputs);
    return {0, [this, &x, weights, y](const TeamMember& member) {
                const Index parts = num_row_parts(layer);
                for (auto i = static_cast<Index>(member.index); i < parts; i += static_cast<Index>(member.count)) {
                    const RowPart part = row_part(layer, i);
                    float* const own = sums.data() + std::size_t{2} * part.rows.begin * x.lanes();
                    narrow_forward_by_input(edges(weights), part, {x.data(), x.lanes()}, layer.num_inputs,
                                            layer.neurons.bias.data(), odd.data() + part.rows.begin, own);
                    put_packed(own, x.lanes(), y, part.rows);
                }
            }};
}

Phase SparseProduct::State::bias_gradient(const PackedBatch& dy, float* to) const {
    return {0, [&dy, to](const TeamMember& member) {
                const Range rows = share(member, dy.features());
                const Index group = std::min(dy.lanes(), granule);
                const Activations tiles = dy.tiles();
                for (Index r = rows.begin; r < rows.end; ++r) {
                    float sum = 0;
                    for (Index tile = 0; tile < tiles.tiles(); ++tile) {
                        const float* row = tiles.row(tile, r);
                        const Index worked = is_narrow(dy) ? group : worked_lanes(tiles.used(tile));
                        float lanes[granule] = {};
                        for (Index s = 0; s < worked; s += group) {
                            for (Index i = 0; i < group; ++i) lanes[i] += row[s + i];
                        }
                        float of_tile = 0;
                        for (const float each : lanes) of_tile += each;
                        sum += of_tile;
                    }
                    to[r] = sum;
                }
            }};
}

/// The gradients of the edges of `block`, and of its inputs if `dx` is asked for. `other`: memory for those of one more tile.
void SparseProduct::State::edge_block(const PackedBatch& x, const PackedBatch& dy, InputEdges by_input, Range block,
                                      std::vector<float>& other, float* gradient, BatchView<float> dx,
                                      float* scratch) const {
    const Activations to = dx.data == nullptr ? Activations() : block_view(scratch, block.begin, x.samples());
    if (is_narrow(x)) {
        float* own = scratch + rows_together * cpu_lanes;
        widen(x, block, own);
        narrow_column_gradients(by_input, block_view(own, block.begin, x.samples()), {dy.data(), dy.lanes()}, to, block,
                                gradient);
        if (to) unpack_tile(to, dx, 0, block);
        return;
    }
    const EdgeIndex count = by_input.start[block.end] - by_input.start[block.begin];
    for (Index tile = 0; tile < x.tiles().tiles(); ++tile) {
        column_gradients(by_input, x.tiles(), dy.tiles(), to, tile, block, tile == 0 ? gradient : other.data());
        if (tile > 0) add_floats(gradient, other.data(), count);
        if (to) unpack_tile(to, dx, tile, block);
    }
}

Phase SparseProduct::State::gradients(const PackedBatch& x, const PackedBatch& dy, const float* weights,
                                      const Gradients& to) {
    return {0, [this, &x, &dy, weights, to](const TeamMember& member) {
                const EdgeIndex* start = layer.column_start.data();
                const Range own = share_of_edges(member, start, layer.num_inputs);
                std::vector<float> one(edges_together + overhang), other(one.size());
                for (Range block{own.begin, own.begin}; block.end < own.end;) {
                    block = next_columns(start, {block.end, own.end});
                    const EdgeIndex count = start[block.end] - start[block.begin];
                    if (count + overhang > one.size()) {
                        one.resize(count + overhang);
                        other.resize(count + overhang);
                    }
                    edge_block(x, dy, edges(weights), block, other, one.data(), to.x, member.scratch);
                    if (to.weights != nullptr && count > 0) {
                        std::memcpy(to.weights + start[block.begin], one.data(), count * sizeof(float));
                    }
                }
            }};
}

Phase SparseProduct::State::input_gradient(const PackedBatch& dy, const float* weights, BatchView<float> dx) {
    return {0, [this, &dy, weights, dx](const TeamMember& member) {
                for_tile_rows(member, dy.tiles().tiles(), layer.num_inputs, granule, [&](Index tile, Range columns) {
                    for_blocks(columns, [&](Range block) {
                        const Activations to = block_view(member.scratch, block.begin, dx.samples);
                        transposed_rows(layer, edges(weights), zeros.data(), dy.tiles(), to, tile, block);
                        unpack_tile(to, dx, tile, block);
                    });
                });
            }};
}

SparseProduct::SparseProduct(const Topology& topology, int threads) : state_(std::make_unique<State>(threads)) {
    expects(fault(topology).empty(), "a topology without fault");
    SparseCpuLayer& layer = state_->layer;
    layer.num_inputs = topology.num_inputs;
    layer.num_outputs = topology.num_outputs;
    layer.activation = Identity{};
    layer.row_start.assign(topology.row_start.begin(), topology.row_start.end());
    layer.column.assign(topology.column.begin(), topology.column.end());
    layer.neurons.bias.resize(topology.num_outputs);
    state_->build_input_view();
    cut_rows(layer, state_->team.threads());
    state_->next_edge.resize(std::size_t{num_row_parts(layer)} * topology.num_inputs);
    state_->zeros.resize(topology.num_inputs);
}

SparseProduct::SparseProduct(SparseProduct&&) noexcept = default;
SparseProduct& SparseProduct::operator=(SparseProduct&&) noexcept = default;
SparseProduct::~SparseProduct() = default;

Index SparseProduct::num_inputs() const { return state_->layer.num_inputs; }
Index SparseProduct::num_outputs() const { return state_->layer.num_outputs; }
EdgeIndex SparseProduct::num_edges() const { return state_->layer.num_edges(); }

PackedBatch SparseProduct::pack(BatchView<const float> x) {
    expects(x.features == num_inputs(), "as many features as inputs");
    PackedBatch packed(x.features, x.samples);
    if (x.samples > 0) state_->team.run({state_->packing(x, packed)});
    return packed;
}

void SparseProduct::forward(const PackedBatch& x, const float* weights, const float* bias, BatchView<float> y) {
    expects(x.features() == num_inputs() && y.features == num_outputs() && y.samples == x.samples(),
            "x [samples, inputs] and y [samples, outputs]");
    if (x.samples() == 0) return;
    SparseCpuLayer& layer = state_->layer;
    if (bias != nullptr) {
        std::copy_n(bias, layer.num_outputs, layer.neurons.bias.begin());
    } else {
        std::fill(layer.neurons.bias.begin(), layer.neurons.bias.end(), 0.0F);
    }
    if (is_narrow(x)) return state_->team.run({state_->multiplying_narrow(x, weights, y)});
    const BorrowedScratch borrowed(*state_->pass_memory, layer.weights, num_edges());
    state_->team.run({state_->taking(weights), state_->multiplying(x, y)});
}

void SparseProduct::backward(const PackedBatch& x, const float* weights, BatchView<const float> dy,
                             const Gradients& to) {
    expects(x.features() == num_inputs() && dy.features == num_outputs() && dy.samples == x.samples(),
            "x [samples, inputs] and dy [samples, outputs]");
    expects(to.x.data == nullptr || (to.x.features == num_inputs() && to.x.samples == x.samples()),
            "a gradient shaped as x");
    if (x.samples() == 0) {
        if (to.weights != nullptr) std::fill_n(to.weights, num_edges(), 0.0F);
        if (to.bias != nullptr) std::fill_n(to.bias, num_outputs(), 0.0F);
        return;
    }
    AlignedVector<float> memory;
    const BorrowedScratch borrowed(*state_->pass_memory, memory, PackedBatch::floats(num_outputs(), x.samples()));
    const PackedBatch packed(num_outputs(), x.samples(), memory.data());
    std::vector<Phase> phases{state_->packing(dy, packed)};
    if (to.bias != nullptr) phases.push_back(state_->bias_gradient(packed, to.bias));
    if (to.weights != nullptr || (to.x.data != nullptr && is_narrow(x))) {
        phases.push_back(state_->gradients(x, packed, weights, to));
    } else if (to.x.data != nullptr) {
        phases.push_back(state_->input_gradient(packed, weights, to.x));
    }
    state_->team.run(phases);
}

}  // namespace espalier
