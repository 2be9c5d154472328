// Forward: y[r] = activation(b[r] + sum over the row's edges of w * x[column]), x [tile][num_inputs][64],
// y [tile][num_outputs][64]. One CSR row at a time, its accumulators in registers. The transposed product is the same
// over the CSC view.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/forward.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "espalier/error.hpp"
#include "host/cpu/operations.hpp"
#include "host/cpu/kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// Where one pass over a tile reads and writes: the address of its first lane in neuron 0.
struct ForwardPlace {
    const float* x;
    float* saved;  // may be null, or y
    float* y;
    const std::uint64_t* dropped;  // of neuron 0; may be null
    Index lane;                    // the first one of the pass
    float scale;                   // of what is not dropped
};

/// The edges by the neurons that the products belong to, and what is added to each.
struct ForwardEdges {
    const EdgeIndex* start;  // of each neuron's edges
    const Index* other;      // each edge's other end
    const float* weights;
    const float* bias;
};

/// y holds the preactivation z; `saved` receives z or y, whichever the derivative is made of.
template <int V, class Rule>
HWY_INLINE void activate(const Rule& rule, float* HWY_RESTRICT y, float* saved) {
    constexpr Index lanes = V * vector_lanes;
    if constexpr (Rule::saves_input) {
        if (saved != nullptr) std::memcpy(saved, y, lanes * sizeof(float));
    }
    for (Index i = 0; i < lanes; ++i) y[i] = rule.value(y[i]);
    if constexpr (!Rule::saves_input) {
        if (saved != nullptr && saved != y) std::memcpy(saved, y, lanes * sizeof(float));
    }
}

/// activate() of a neuron's lanes in place, and what is dropped of them.
template <int V, class Rule>
HWY_INLINE void finish(const Rule& rule, const ForwardPlace& at, Index row) {
    const std::size_t first = std::size_t{row} * tile_lanes;
    activate<V>(rule, at.y + first, at.saved == nullptr ? nullptr : at.saved + first);
    if (at.dropped != nullptr) drop<V>(at.dropped[row] >> at.lane, at.scale, at.y + first);
}

/// sum[v] += w * x[v]. Four lines in ascending order would be a few per cent slower (Zen 5): perhaps the processor then
/// fetches a fifth.
template <int V>
HWY_INLINE void multiply_add(float weight, const float* x, Vector (&sum)[V]) {
    const LaneTag d;
    const Vector w = hn::Set(d, weight);
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) {
        constexpr int shuffled[] = {1, 3, 0, 2};
        const int v = V == 4 ? shuffled[i] : i;
        sum[v] = hn::MulAdd(w, hn::Load(d, x + static_cast<Index>(v) * vector_lanes), sum[v]);
    }
}

template <int V, bool FetchAhead, class Rule>
HWY_NOINLINE void forward_pass(const CpuLayer& layer, const ForwardEdges& edges, const Rule& rule,
                               const ForwardPlace& place, Range rows) {
    const LaneTag d;
    const Index* HWY_RESTRICT column = edges.other;
    const float* HWY_RESTRICT weights = edges.weights;
    const float* HWY_RESTRICT bias = edges.bias;
    const float* parameters = layer.neurons.activation_parameters.data();
    const EdgeIndex* HWY_RESTRICT row_start = edges.start;
    const ForwardPlace at = place;
    EdgeIndex edge = row_start[rows.begin];
    const EdgeIndex last = std::max(row_start[rows.end], edge + 1) - 1;
    for (Index r = rows.begin; r < rows.end; ++r) {
        // two sets of accumulators hide the latency of the additions
        Vector even[V];
        Vector odd[V];
        for (int v = 0; v < V; ++v) {
            even[v] = hn::Set(d, bias[r]);
            odd[v] = hn::Zero(d);
        }
        const EdgeIndex end = row_start[r + 1];
        for (; edge + 1 < end; edge += 2) {
            if constexpr (FetchAhead) {
                fetch_ahead<V>(at.x, column, edge, last);
                fetch_ahead<V>(at.x, column, edge + 1, last);
            }
            multiply_add<V>(weights[edge], at.x + std::size_t{column[edge]} * tile_lanes, even);
            multiply_add<V>(weights[edge + 1], at.x + std::size_t{column[edge + 1]} * tile_lanes, odd);
        }
        if (edge < end) {
            if constexpr (FetchAhead) fetch_ahead<V>(at.x, column, edge, last);
            multiply_add<V>(weights[edge], at.x + std::size_t{column[edge]} * tile_lanes, even);
            ++edge;
        }
        const std::size_t row = std::size_t{r} * tile_lanes;
        for (int v = 0; v < V; ++v) {
            hn::Store(hn::Add(even[v], odd[v]), d, at.y + row + static_cast<Index>(v) * vector_lanes);
        }
        finish<V>(for_neuron(rule, parameters, r, layer.num_outputs), at, r);
    }
}

template <int V, class Rule>
HWY_INLINE void forward_pass(const CpuLayer& layer, const ForwardEdges& edges, const Rule& rule,
                             const ForwardPlace& place, Range rows, bool fetch_ahead) {
    if (fetch_ahead) return forward_pass<V, true>(layer, edges, rule, place, rows);
    forward_pass<V, false>(layer, edges, rule, place, rows);
}

/// Walks the passes of a tile: function.operator()<V>(place of the pass). `x` may be null, `saved` and `dropped` empty.
template <class Function>
HWY_INLINE void for_passes(const float* x, Activations saved, Activations y, const Dropped& dropped, Index tile,
                           const Function& function) {
    const Index worked = worked_lanes(y.used(tile));
    for (Index lane = 0; lane < worked; lane += pass_lanes) {
        const ForwardPlace place{x ? x + lane : nullptr,
                                 saved ? saved.row(tile, 0) + lane : nullptr,
                                 y.row(tile, 0) + lane,
                                 dropped ? dropped.row(tile, 0) : nullptr,
                                 lane,
                                 dropped.scale};
        with_vectors(pass_vectors(worked, lane), [&]<int V>() { function.template operator()<V>(place); });
    }
}

void ForwardRows(const SparseCpuLayer& layer, ConstActivations x, Activations saved, Activations y,
                 const Dropped& dropped, Index tile, Range rows) {
    const ForwardEdges edges{layer.row_start.data(), layer.column.data(), layer.weights.data(),
                             layer.neurons.bias.data()};
    std::visit(
        [&](const auto& rule) {
            for_passes(x.row(tile, 0), saved, y, dropped, tile, [&]<int V>(const ForwardPlace& place) {
                forward_pass<V>(layer, edges, rule, place, rows, fetches_ahead(x.rows));
            });
        },
        layer.activation);
}

void TransposedRows(const CpuLayer& layer, const InputEdges& by_input, const float* offsets, ConstActivations y,
                    Activations x, Index tile, Range columns) {
    const ForwardEdges edges{by_input.start, by_input.output, by_input.weights, offsets};
    for_passes(y.row(tile, 0), {}, x, {}, tile, [&]<int V>(const ForwardPlace& place) {
        forward_pass<V>(layer, edges, Identity{}, place, columns, fetches_ahead(y.rows));
    });
}

template <int V, class Rule>
HWY_NOINLINE void finish_pass(const CpuLayer& layer, const Rule& rule, const ForwardPlace& place, Range rows) {
    for (Index r = rows.begin; r < rows.end; ++r) {
        float* y = place.y + std::size_t{r} * tile_lanes;
        for (Index i = 0; i < V * vector_lanes; ++i) y[i] += layer.neurons.bias[r];
        finish<V>(for_neuron(rule, layer.neurons.activation_parameters.data(), r, layer.num_outputs), place, r);
    }
}

void FinishRows(const CpuLayer& layer, Activations saved, Activations y, const Dropped& dropped, Index tile,
                Range rows) {
    std::visit(
        [&](const auto& rule) {
            for_passes(nullptr, saved, y, dropped, tile,
                       [&]<int V>(const ForwardPlace& place) { finish_pass<V>(layer, rule, place, rows); });
        },
        layer.activation);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(ForwardRows);
HWY_EXPORT(TransposedRows);
HWY_EXPORT(FinishRows);

void forward_rows(const SparseCpuLayer& layer, ConstActivations x, Activations saved, Activations y,
                  const Dropped& dropped, Index tile, Range rows) {
    HWY_DYNAMIC_DISPATCH(ForwardRows)(layer, x, saved, y, dropped, tile, rows);
}

void transposed_rows(const CpuLayer& layer, const InputEdges& edges, const float* offsets, ConstActivations y,
                     Activations x, Index tile, Range columns) {
    HWY_DYNAMIC_DISPATCH(TransposedRows)(layer, edges, offsets, y, x, tile, columns);
}

void finish_rows(const CpuLayer& layer, Activations saved, Activations y, const Dropped& dropped, Index tile,
                 Range rows) {
    HWY_DYNAMIC_DISPATCH(FinishRows)(layer, saved, y, dropped, tile, rows);
}

std::string instruction_set() {
    const std::int64_t usable = HWY_TARGETS & hwy::SupportedTargets();
    if (usable == 0) throw UserError(ExitCode::device, "the cpu backend needs a processor with SSSE3 or better");
    return hwy::TargetName(usable & -usable);  // better sets have lower bits
}

}  // namespace espalier
#endif
