// Backward kernels: gradients of edges, inputs and preactivations in one tile. x, dx: [tile][num_inputs][64]; saved,
// dy: [tile][num_outputs][64]. Every gradient is a sum over the lanes of the tile, pass by pass; the caller adds the
// tiles.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/backward.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/kernels/backward_neurons-inl.hpp"
#include "host/cpu/operations.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

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
    bool fetch_ahead;        // of `across`
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
        Vector value = hn::Load(d, across + static_cast<Index>(v) * vector_lanes);
        if constexpr (WithInputGradient) keep_in_register(value);
        products = v == 0 ? hn::Mul(value, own[v]) : hn::MulAdd(value, own[v], products);
        if constexpr (WithInputGradient) dx[v] = hn::MulAdd(hn::Set(d, pass.weights[edge]), value, dx[v]);
    }
    return products;
}

template <int V, bool WithInputGradient, bool FetchAhead>
HWY_NOINLINE void edge_pass(const EdgePass& work, Range rows) {
    const EdgePass pass = work;  // a copy that no store can change, so it stays in registers
    const LaneTag d;
    const Vector zero = hn::Zero(d);
    float* gradient = pass.gradient;
    EdgeIndex edge = pass.start[rows.begin];
    const EdgeIndex last = std::max(pass.start[rows.end], edge + 1) - 1;
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
            if constexpr (FetchAhead) {
                for (EdgeIndex e = edge; e < edge + 4; ++e) fetch_ahead<V>(pass.across, pass.other, e, last);
            }
            const Vector first = products(edge);
            const Vector second = products(edge + 1);
            const Vector third = products(edge + 2);
            const Vector fourth = products(edge + 3);
            put_gradients(sum_lanes(first, second, third, fourth), gradient, pass.add);
        }
        const EdgeIndex left = end - edge;
        if (left > 0) {
            if constexpr (FetchAhead) {
                for (EdgeIndex e = edge; e < end; ++e) fetch_ahead<V>(pass.across, pass.other, e, last);
            }
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
        with_vectors(pass_vectors(worked, lane), [&]<int V>() {
            if (pass.fetch_ahead) return edge_pass<V, WithInputGradient, true>(pass, rows);
            edge_pass<V, WithInputGradient, false>(pass, rows);
        });
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

void ColumnGradients(const InputEdges& edges, ConstActivations x, ConstActivations dy, Activations dx, Index tile,
                     Range columns, float* gradient) {
    const EdgePass pass{
        .start = edges.start,
        .other = edges.output,
        .weights = edges.weights,
        .own = x.row(tile, 0),
        .across = dy.row(tile, 0),
        .dx = dx ? dx.row(tile, 0) : nullptr,
        .gradient = gradient,
        .fetch_ahead = fetches_ahead(dy.rows),
        .add = false,
    };
    if (!dx) return edge_passes<false>(pass, worked_lanes(x.used(tile)), columns);
    edge_passes<true>(pass, worked_lanes(x.used(tile)), columns);
    clear_unused_lanes(dx, tile, columns);
}

void RowGradients(const SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Index tile, Range rows,
                  float* gradient) {
    const EdgePass pass{
        .start = layer.row_start.data(),
        .other = layer.column.data(),
        .weights = nullptr,
        .own = dy.row(tile, 0),
        .across = x.row(tile, 0),
        .dx = nullptr,
        .gradient = gradient,
        .fetch_ahead = fetches_ahead(x.rows),
        .add = false,
    };
    edge_passes<false>(pass, worked_lanes(x.used(tile)), rows);
}

void Differentiate(const CpuLayer& layer, const Saved& saved, Activations dy, Index tile, Range rows, float* sums,
                   std::size_t stride) {
    std::visit([&](const auto& rule) { differentiate_rows(rule, layer, saved, dy, tile, rows, sums, stride); },
               layer.activation);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(ColumnGradients);
HWY_EXPORT(RowGradients);
HWY_EXPORT(Differentiate);

void column_gradients(const InputEdges& edges, ConstActivations x, ConstActivations dy, Activations dx, Index tile,
                      Range columns, float* gradient) {
    HWY_DYNAMIC_DISPATCH(ColumnGradients)(edges, x, dy, dx, tile, columns, gradient);
}

void row_gradients(const SparseCpuLayer& layer, ConstActivations x, ConstActivations dy, Index tile, Range rows,
                   float* gradient) {
    HWY_DYNAMIC_DISPATCH(RowGradients)(layer, x, dy, tile, rows, gradient);
}

void differentiate(const CpuLayer& layer, const Saved& saved, Activations dy, Index tile, Range rows, float* sums,
                   std::size_t stride) {
    HWY_DYNAMIC_DISPATCH(Differentiate)(layer, saved, dy, tile, rows, sums, stride);
}

}  // namespace espalier
#endif
