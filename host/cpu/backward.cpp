// Backward: edge gradients, input gradients and the update, one block of edges after another, so that no array of all
// gradients exists. A gradient is summed over the passes of a tile and over the tiles in order, whatever the threads.
// x, dx: [tile][num_inputs][64]; saved, dy: [tile][num_outputs][64]. The caller's range of rows or columns owns its
// edges, its rows of dy or dx, and its neurons.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/backward.cpp"
#include "host/cpu/targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/backward_neurons-inl.hpp"
#include "host/cpu/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// Edges whose gradients are held at once, and neurons whose sums are. As a rule the gradients of a block stay in the
/// first-level cache. Where the tiles do not fit the second level together, a block should meet each row of a tile
/// several times before the next tile displaces it.
constexpr EdgeIndex least_block_edges = 4096;
constexpr EdgeIndex largest_block_edges = 65536;
constexpr EdgeIndex meetings = 16;
constexpr std::size_t cached_bytes = std::size_t{1} << 20;
constexpr Index block_rows = 512;

/// `across`: the activations that the edges of a block meet in no order.
inline EdgeIndex block_edges(ConstActivations across) {
    if (across.tiles() == 1 || across.size() * sizeof(float) <= cached_bytes) return least_block_edges;
    return std::clamp(meetings * across.rows, least_block_edges, largest_block_edges);
}

/// The longest block of rows from `begin` with at most so many edges, at least one row.
inline Range next_block(const EdgeIndex* start, Index begin, Index end, EdgeIndex most_edges) {
    Range block{begin, begin + 1};
    while (block.end < end && block.end - begin < block_rows && start[block.end + 1] - start[begin] <= most_edges) {
        ++block.end;
    }
    return block;
}

/// Stores or adds four gradients. A group at a row's end writes up to three floats more: the next row's, which come
/// later (or get 0 added), or the scratch's padding.
HWY_INLINE void put_gradients(hn::Vec<FourTag> sums, float* gradient, bool add) {
    const FourTag four;
    if (add) sums = hn::Add(sums, hn::LoadU(four, gradient));
    hn::StoreU(sums, four, gradient);
}

/// What one pass over a block of rows reads and writes: addresses of its first lane in neuron 0, arrays of the edges.
struct EdgePass {
    const EdgeIndex* start;  // of the rows that own the edges: outputs, or inputs in the CSC view
    const Index* other;      // each edge's other end
    const float* weights;    // only used with an input gradient
    const float* own;        // activations on the owners' side
    const float* across;     // and on the other
    float* dx;               // may be null
    float* gradient;         // of the block's edges
    bool add;                // to what an earlier pass left in `gradient`
};

/// The products of an edge's two ends by lane; with an input gradient also dx += w * dy.
template <int V, bool WithInputGradient>
HWY_INLINE Vector edge_products(const EdgePass& pass, EdgeIndex edge, const Vector (&own)[V], Vector (&dx)[V]) {
    const LaneTag d;
    const float* across = pass.across + std::size_t{pass.other[edge]} * tile_lanes;
    Vector products = hn::Zero(d);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
        const Vector value = hn::Load(d, across + static_cast<Index>(v) * vector_lanes);
        products = v == 0 ? hn::Mul(value, own[v]) : hn::MulAdd(value, own[v], products);
        if constexpr (WithInputGradient) dx[v] = hn::MulAdd(hn::Set(d, pass.weights[edge]), value, dx[v]);
    }
    return products;
}

template <int V, bool WithInputGradient>
HWY_NOINLINE void edge_pass(const EdgePass& work, Range rows) {
    const EdgePass pass = work;  // a copy that no store can change, so it stays in registers
    const LaneTag d;
    const Vector zero = hn::Zero(d);
    float* gradient = pass.gradient;
    EdgeIndex edge = pass.start[rows.begin];
    for (Index r = rows.begin; r < rows.end; ++r) {
        Vector own[V];
        Vector dx[V];
        for (int v = 0; v < V; ++v) {
            own[v] = hn::Load(d, pass.own + std::size_t{r} * tile_lanes + static_cast<Index>(v) * vector_lanes);
            dx[v] = zero;
        }
        const auto products = [&](EdgeIndex e)
                                  HWY_ATTR { return edge_products<V, WithInputGradient>(pass, e, own, dx); };
        const EdgeIndex end = pass.start[r + 1];
        for (; edge + 4 <= end; edge += 4, gradient += 4) {
            const Vector first = products(edge);
            const Vector second = products(edge + 1);
            const Vector third = products(edge + 2);
            const Vector fourth = products(edge + 3);
            put_gradients(sum_lanes(first, second, third, fourth), gradient, pass.add);
        }
        const EdgeIndex left = end - edge;
        if (left > 0) {
            const Vector first = products(edge);
            const Vector second = left > 1 ? products(edge + 1) : zero;
            const Vector third = left > 2 ? products(edge + 2) : zero;
            put_gradients(sum_lanes(first, second, third, zero), gradient, pass.add);
            edge = end;
            gradient += left;
        }
        if constexpr (WithInputGradient) {
            for (int v = 0; v < V; ++v) {
                hn::Store(dx[v], d, pass.dx + std::size_t{r} * tile_lanes + static_cast<Index>(v) * vector_lanes);
            }
        }
    }
}

/// All passes of one tile over a block of rows; `pass` holds the addresses of lane 0.
template <bool WithInputGradient>
HWY_INLINE void edge_passes(EdgePass pass, Index worked, Range rows) {
    Index lane = 0;
    for (; lane < worked; lane += pass_lanes) {
        with_vectors(pass_vectors(worked, lane), [&]<int V>() { edge_pass<V, WithInputGradient>(pass, rows); });
        pass.own += pass_lanes;
        pass.across += pass_lanes;
        if constexpr (WithInputGradient) pass.dx += pass_lanes;
        pass.add = true;
    }
}

/// Lanes that are not worked on: their gradients are zero too.
inline void clear_unused_lanes(Activations dx, Index tile, Range rows) {
    const Index worked = worked_lanes(dx.used(tile));
    if (worked == tile_lanes) return;
    for (Index r = rows.begin; r < rows.end; ++r) {
        std::memset(dx.row(tile, r) + worked, 0, (tile_lanes - worked) * sizeof(float));
    }
}

/// The update of the edges of a block, `gradient` being theirs, and of the forward pass's copy of their weights.
inline void update_edges(SparseCpuLayer& layer, EdgeIndex first, EdgeIndex end, const float* gradient,
                         const UpdateStep& step) {
    std::array<float*, 2> states{};
    for (std::size_t s = 0; s < layer.state.size(); ++s) states[s] = layer.state[s].data() + first;
    float* weights = layer.by_input() ? layer.input_weights.data() : layer.weights.data();
    update_parameters(layer.optimizer, weights + first, gradient, states, end - first, step);
    if (!layer.by_input()) return;
    float* HWY_RESTRICT copy = layer.weights.data();
    const EdgeIndex* HWY_RESTRICT slot = layer.slot.data();
    for (EdgeIndex e = first; e < end; ++e) copy[slot[e]] = weights[e];
}

void BackwardColumns(SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx, Range columns,
                     const UpdateStep& step, float* gradient) {
    const EdgeIndex* start = layer.column_start.data();
    for (Range block{columns.begin, columns.begin}; block.end < columns.end;) {
        block = next_block(start, block.end, columns.end, block_edges(dy));
        for (Index tile = 0; tile < x.tiles(); ++tile) {
            const EdgePass pass{start,          layer.row.data(), layer.input_weights.data(),
                                x.row(tile, 0), dy.row(tile, 0),  dx ? dx.row(tile, 0) : nullptr,
                                gradient,       tile > 0};
            if (dx) {
                edge_passes<true>(pass, worked_lanes(x.used(tile)), block);
                clear_unused_lanes(dx, tile, block);
            } else {
                edge_passes<false>(pass, worked_lanes(x.used(tile)), block);
            }
        }
        update_edges(layer, start[block.begin], start[block.end], gradient, step);
    }
}

void BackwardRows(SparseCpuLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Range rows,
                  const UpdateStep& step, float* scratch) {
    const EdgeIndex* start = layer.row_start.data();
    float* sums = scratch;
    float* gradient = scratch + num_neuron_sums * block_rows;
    for (Range block{rows.begin, rows.begin}; block.end < rows.end;) {
        block = next_block(start, block.end, rows.end, block_edges(x));
        clear_neuron_sums(layer, block, sums);
        for (Index tile = 0; tile < x.tiles(); ++tile) {
            std::visit([&](const auto& rule) { differentiate_rows(rule, layer, saved, dy, tile, block, sums); },
                       layer.activation);
            const EdgePass pass{
                start, layer.column.data(), nullptr, dy.row(tile, 0), x.row(tile, 0), nullptr, gradient, tile > 0};
            edge_passes<false>(pass, worked_lanes(x.used(tile)), block);
        }
        update_neurons(layer, block, sums, step);
        update_edges(layer, start[block.begin], start[block.end], gradient, step);
    }
}

void BackwardNeurons(CpuLayer& layer, ConstActivations saved, Activations dy, Range rows, const UpdateStep& step,
                     float* sums) {
    for (Range block{rows.begin, rows.begin}; block.end < rows.end;) {
        block = {block.end, std::min(block.end + block_rows, rows.end)};
        clear_neuron_sums(layer, block, sums);
        for (Index tile = 0; tile < dy.tiles(); ++tile) {
            std::visit([&](const auto& rule) { differentiate_rows(rule, layer, saved, dy, tile, block, sums); },
                       layer.activation);
        }
        update_neurons(layer, block, sums, step);
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(BackwardColumns);
HWY_EXPORT(BackwardRows);
HWY_EXPORT(BackwardNeurons);

std::size_t backward_scratch(const CpuLayer& layer) {
    using namespace HWY_NAMESPACE;  // NOLINT(google-build-using-namespace): any target's constants, they agree
    constexpr std::size_t sums = num_neuron_sums * block_rows;
    constexpr std::size_t padding = 16;
    // a row or column is never cut, so its edges must fit
    return sums + std::max<std::size_t>({largest_block_edges, layer.num_inputs, layer.num_outputs}) + padding;
}

void backward_neurons(CpuLayer& layer, ConstActivations saved, Activations dy, Range rows, const UpdateStep& step,
                      float* scratch) {
    HWY_DYNAMIC_DISPATCH(BackwardNeurons)(layer, saved, dy, rows, step, scratch);
}

void backward_columns(SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Activations dx, Range columns,
                      const UpdateStep& step, float* scratch) {
    HWY_DYNAMIC_DISPATCH(BackwardColumns)(layer, x, dy, dx, columns, step, scratch);
}

void backward_rows(SparseCpuLayer& layer, ConstActivations x, ConstActivations saved, Activations dy, Range rows,
                   const UpdateStep& step, float* scratch) {
    HWY_DYNAMIC_DISPATCH(BackwardRows)(layer, x, saved, dy, rows, step, scratch);
}

}  // namespace espalier
#endif
