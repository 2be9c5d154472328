#include "espalier/sparse_product.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "espalier/error.hpp"
#include "host/cpu/batch_parts.hpp"
#include "host/cpu/layer.hpp"
#include "host/cpu/layer_transfer.hpp"
#include "host/cpu/memory.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/team.hpp"

namespace espalier {
namespace {

/// Edges whose gradients are made together, tile after tile: what is added up stays in the first-level cache.
constexpr EdgeIndex edges_together = 4096;
/// The kernels write a few floats behind the last gradient.
constexpr std::size_t overhang = 16;

/// Inputs from `columns.begin` on of about edges_together edges, one at least.
Range next_columns(const AlignedVector<EdgeIndex>& start, Range columns) {
    Index end = columns.begin + 1;
    while (end < columns.end && start[end + 1] - start[columns.begin] <= edges_together) ++end;
    return {columns.begin, end};
}

void pack_features(BatchView<const float> from, Activations to, Index tile, Range features) {
    const Index used = to.used(tile);
    const Index worked = worked_lanes(used);
    const float* first = from.data + std::size_t{tile} * cpu_lanes;
    for (Index f = features.begin; f < features.end; ++f) {
        float* row = to.row(tile, f);
        std::memcpy(row, first + std::size_t{f} * from.samples, used * sizeof(float));
        std::memset(row + used, 0, (worked - used) * sizeof(float));
    }
}

/// Features `features` of a tile, with zeros in the worked lanes past the batch.
void pack_tile(BatchView<const float> from, Activations to, Index tile, Range features) {
    if (from.order == BatchOrder::feature_major) return pack_features(from, to, tile, features);
    Samples samples;
    samples.floats = from.data;
    samples.count = from.samples;
    samples.features = from.features;
    gather_rows(samples, {0, from.samples, false, 0}, to, nullptr, 0, tile, features);
}

void unpack_tile(ConstActivations from, BatchView<float> to, Index tile, Range features) {
    if (to.order == BatchOrder::sample_major) return unpack_rows(from, tile, features, to.data);
    float* first = to.data + std::size_t{tile} * cpu_lanes;
    for (Index f = features.begin; f < features.end; ++f) {
        std::memcpy(first + std::size_t{f} * to.samples, from.row(tile, f), from.used(tile) * sizeof(float));
    }
}

/// gather_rows walks blocks of so many features.
constexpr Index granule = 16;

}  // namespace

PackedBatch::PackedBatch(Index features, Index samples) : features_(features), samples_(samples) {
    memory_.reset(static_cast<float*>(allocate_aligned(view().size() * sizeof(float))));
}

void PackedBatch::Release::operator()(float* memory) const noexcept { release_aligned(memory); }

struct SparseProduct::State {
    SparseCpuLayer layer;
    Team team;
    std::vector<float> zeros;   // offsets of a product without any
    bool has_weights = false;

    explicit State(int threads) : team(threads) {}

    /// The kernels' two copies of the weights, made only when they are others than last time.
    void take(const float* weights) {
        const std::size_t bytes = layer.input_weights.size() * sizeof(float);
        if (has_weights && std::memcmp(layer.input_weights.data(), weights, bytes) == 0) return;
        if (bytes > 0) std::memcpy(layer.input_weights.data(), weights, bytes);
        has_weights = true;
        const EdgeIndex* slot = layer.slot.data();
        float* canonical = layer.weights.data();
        for (EdgeIndex e = 0; e < layer.num_edges(); ++e) canonical[slot[e]] = weights[e];
    }

    void run(const std::vector<Phase>& phases) { team.run(phases); }

    [[nodiscard]] Phase packing(BatchView<const float> from, Activations to) const {
        return {0, [from, to](const TeamMember& member) {
                    for_tile_rows(member, to.tiles(), to.rows, granule,
                                  [&](Index tile, Range features) { pack_tile(from, to, tile, features); });
                }};
    }
    [[nodiscard]] Phase unpacking(ConstActivations from, BatchView<float> to) const {
        return {0, [from, to](const TeamMember& member) {
                    for_tile_rows(member, from.tiles(), from.rows, granule,
                                  [&](Index tile, Range features) { unpack_tile(from, to, tile, features); });
                }};
    }
    [[nodiscard]] Phase bias_gradient(ConstActivations dy, float* to);
    [[nodiscard]] Phase edge_gradients(ConstActivations x, ConstActivations dy, Activations dx, float* to);
    [[nodiscard]] Phase input_gradient(ConstActivations dy, Activations dx);
};

Phase SparseProduct::State::bias_gradient(ConstActivations dy, float* to) {
    return {0, [dy, to](const TeamMember& member) {
                const Range rows = share(member, dy.rows);
                for (Index r = rows.begin; r < rows.end; ++r) {
                    float sum = 0;
                    for (Index tile = 0; tile < dy.tiles(); ++tile) {
                        const float* row = dy.row(tile, r);
                        float lanes[16] = {};
                        for (Index s = 0; s < worked_lanes(dy.used(tile)); s += 16) {
                            for (Index i = 0; i < 16; ++i) lanes[i] += row[s + i];
                        }
                        float of_tile = 0;
                        for (const float each : lanes) of_tile += each;
                        sum += of_tile;
                    }
                    to[r] = sum;
                }
            }};
}

Phase SparseProduct::State::edge_gradients(ConstActivations x, ConstActivations dy, Activations dx, float* to) {
    return {0, [this, x, dy, dx, to](const TeamMember& member) {
                const EdgeIndex* start = layer.column_start.data();
                const Range own = share_of_edges(member, start, layer.num_inputs);
                const EdgeIndex last = start[own.end];
                std::vector<float> one(edges_together + overhang), other;
                for (Range block{own.begin, own.begin}; block.end < own.end;) {
                    block = next_columns(layer.column_start, {block.end, own.end});
                    const EdgeIndex first = start[block.begin];
                    const EdgeIndex count = start[block.end] - first;
                    one.resize(std::max<std::size_t>(one.size(), count + overhang));
                    column_gradients(layer, x, dy, dx, 0, block, one.data());
                    for (Index tile = 1; tile < x.tiles(); ++tile) {
                        other.resize(one.size());
                        column_gradients(layer, x, dy, dx, tile, block, other.data());
                        add_floats(one.data(), other.data(), count);
                    }
                    if (first < last) std::memcpy(to + first, one.data(), count * sizeof(float));
                }
            }};
}

Phase SparseProduct::State::input_gradient(ConstActivations dy, Activations dx) {
    return {0, [this, dy, dx](const TeamMember& member) {
                for_tile_rows(member, dx.tiles(), dx.rows, granule, [&](Index tile, Range columns) {
                    transposed_rows(layer, zeros.data(), dy, dx, tile, columns);
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
    layer.weights.resize(topology.column.size());
    layer.neurons.bias.resize(topology.num_outputs);
    build_input_view(layer);
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
    if (x.samples > 0) state_->run({state_->packing(x, packed.view())});
    return packed;
}

void SparseProduct::forward(const PackedBatch& x, const float* weights, const float* bias, BatchView<float> y) {
    expects(x.features() == num_inputs() && y.features == num_outputs() && y.samples == x.samples(),
            "x [samples, inputs] and y [samples, outputs]");
    if (x.samples() == 0) return;
    state_->take(weights);
    SparseCpuLayer& layer = state_->layer;
    if (bias != nullptr) {
        std::copy_n(bias, layer.num_outputs, layer.neurons.bias.begin());
    } else {
        std::fill(layer.neurons.bias.begin(), layer.neurons.bias.end(), 0.0F);
    }
    const PackedBatch out(layer.num_outputs, x.samples());
    const ConstActivations from = x.view();
    const Activations to = out.view();
    const Phase multiply(0, [&layer, from, to](const TeamMember& member) {
        for_tile_rows(member, to.tiles(), to.rows, granule,
                      [&](Index tile, Range rows) { forward_rows(layer, from, {}, to, {}, tile, rows); });
    });
    state_->run({multiply, state_->unpacking(to, y)});
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
    state_->take(weights);
    const PackedBatch packed(num_outputs(), x.samples());
    const PackedBatch dx = to.x.data != nullptr ? PackedBatch(num_inputs(), x.samples()) : PackedBatch();
    const Activations none;
    const Activations dx_view = to.x.data != nullptr ? dx.view() : none;
    std::vector<Phase> phases{state_->packing(dy, packed.view())};
    if (to.bias != nullptr) phases.push_back(state_->bias_gradient(packed.view(), to.bias));
    if (to.weights != nullptr) {
        phases.push_back(state_->edge_gradients(x.view(), packed.view(), dx_view, to.weights));
    } else if (to.x.data != nullptr) {
        phases.push_back(state_->input_gradient(packed.view(), dx_view));
    }
    if (to.x.data != nullptr) phases.push_back(state_->unpacking(dx_view, to.x));
    state_->run(phases);
}

}  // namespace espalier
