// Kernels for batches of at most eight samples. What the edges meet is packed, [neuron][1, 2, 4 or 8], so that a cache
// line holds several neurons; vectors are as wide as that. Every number is the sum, in the order of the kernels for
// whole tiles, of the terms that those sum besides zeros: the same bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/narrow.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/canonical_weights.hpp"
#include "host/cpu/kernels/simd-inl.hpp"
#include "host/cpu/operations.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// Edges by the neurons that own them.
struct EdgeArrays {
    const EdgeIndex* start;  // of each neuron's edges
    const Index* other;      // each edge's other end
    const float* weights;
    const float* bias;  // of the owners, where their sums are made
};

/// As many of the vectors of a neuron's `Lanes` floats as the processor needs.
template <int Lanes>
struct Narrow {
    using Tag = hn::CappedTag<float, Lanes>;
    using Vec = hn::Vec<Tag>;
    static constexpr int vector = hn::MaxLanes(Tag());
    static constexpr int count = Lanes / vector;
};

/// Calls function.template operator()<Lanes>() for packed activations.
template <class Function>
HWY_INLINE void with_lanes(Index lanes, const Function& function) {
    switch (lanes) {
        case 1:
            return function.template operator()<1>();
        case 2:
            return function.template operator()<2>();
        case 4:
            return function.template operator()<4>();
        default:
            return function.template operator()<8>();
    }
}

void PackLanes(ConstActivations values, Index lanes, float* packed) {
    with_lanes(lanes, [&]<int Lanes>() {
        for (Index r = 0; r < values.rows; ++r) {
            const float* row = values.row(0, r);
            for (Index i = 0; i < Lanes; ++i) packed[std::size_t{r} * Lanes + i] = i < values.batch ? row[i] : 0.0F;
        }
    });
}

/// sum[v] += weight * x[v]
template <int Lanes>
HWY_INLINE void narrow_multiply_add(float weight, const float* x,
                                    typename Narrow<Lanes>::Vec (&sum)[Narrow<Lanes>::count]) {
    const typename Narrow<Lanes>::Tag d;
    for (int v = 0; v < Narrow<Lanes>::count; ++v) {
        sum[v] = hn::MulAdd(hn::Set(d, weight), hn::LoadU(d, x + v * Narrow<Lanes>::vector), sum[v]);
    }
}

/// sums [row][Lanes] = bias + the products of the rows' edges, in the two chains of the kernel for whole tiles.
template <int Lanes>
HWY_NOINLINE void narrow_products(const EdgeArrays& edges, const float* packed, Range rows, float* sums) {
    using N = Narrow<Lanes>;
    const typename N::Tag d;
    const Index* HWY_RESTRICT other = edges.other;
    const float* HWY_RESTRICT weights = edges.weights;
    EdgeIndex edge = edges.start[rows.begin];
    for (Index r = rows.begin; r < rows.end; ++r) {
        typename N::Vec even[N::count];
        typename N::Vec odd[N::count];
        for (int v = 0; v < N::count; ++v) {
            even[v] = hn::Set(d, edges.bias[r]);
            odd[v] = hn::Zero(d);
        }
        const EdgeIndex end = edges.start[r + 1];
        for (; edge + 1 < end; edge += 2) {
            narrow_multiply_add<Lanes>(weights[edge], packed + std::size_t{other[edge]} * Lanes, even);
            narrow_multiply_add<Lanes>(weights[edge + 1], packed + std::size_t{other[edge + 1]} * Lanes, odd);
        }
        if (edge < end) {
            narrow_multiply_add<Lanes>(weights[edge], packed + std::size_t{other[edge]} * Lanes, even);
            ++edge;
        }
        for (int v = 0; v < N::count; ++v) {
            hn::StoreU(hn::Add(even[v], odd[v]), d, sums + v * N::vector);
        }
        sums += Lanes;
    }
}

/// The lanes of a tile that other kernels read beyond the batch become 0.
HWY_INLINE void put_narrow(const float* values, Index lanes, float* row) {
    const LaneTag d;
    for (Index i = 0; i < 16; i += vector_lanes) hn::Store(hn::Zero(d), d, row + i);
    for (Index i = 0; i < lanes; ++i) row[i] = values[i];
}

template <class Rule>
HWY_NOINLINE void narrow_finish(const Rule& rule, const CpuLayer& layer, Index lanes, const Dropped& dropped,
                                Range rows, float* sums, Activations saved, Activations y) {
    const float* parameters = layer.neurons.activation_parameters.data();
    for (Index r = rows.begin; r < rows.end; ++r, sums += lanes) {
        const auto own = for_neuron(rule, parameters, r, layer.num_outputs);
        if (Rule::saves_input && saved) put_narrow(sums, lanes, saved.row(0, r));
        for (Index i = 0; i < lanes; ++i) sums[i] = own.value(sums[i]);
        if (!Rule::saves_input && saved && saved.data != y.data) put_narrow(sums, lanes, saved.row(0, r));
        if (dropped) {
            const std::uint64_t bits = *dropped.row(0, r);
            for (Index i = 0; i < lanes; ++i) sums[i] *= (bits >> i & 1) != 0 ? 0.0F : dropped.scale;
        }
        put_narrow(sums, lanes, y.row(0, r));
    }
}

/// Rows whose sums are kept together.
constexpr Index narrow_rows = 64;

template <class Finish>
HWY_INLINE void narrow_blocks(const EdgeArrays& edges, const Packed& x, Range rows, const Finish& finish) {
    alignas(64) float sums[narrow_rows * max_narrow_lanes];
    for (Range block{rows.begin, rows.begin}; block.end < rows.end;) {
        block = {block.end, std::min(block.end + narrow_rows, rows.end)};
        with_lanes(x.lanes, [&]<int Lanes>() { narrow_products<Lanes>(edges, x.values, block, sums); });
        finish(block, sums);
    }
}

void NarrowForward(const SparseCpuLayer& layer, const Packed& x, Activations saved, Activations y,
                   const Dropped& dropped, Range rows) {
    const EdgeArrays edges{layer.row_start.data(), layer.column.data(), layer.weights.data(),
                           layer.neurons.bias.data()};
    std::visit(
        [&](const auto& rule) {
            narrow_blocks(edges, x, rows, [&](Range block, float* sums) {
                narrow_finish(rule, layer, x.lanes, dropped, block, sums, saved, y);
            });
        },
        layer.activation);
}

/// Inputs ascend, so that each row meets its edges in canonical order: odd[row] says which of its two chains is next.
template <int Lanes>
HWY_NOINLINE void narrow_products_by_input(const InputEdges& edges, const RowPart& part, const float* packed,
                                           Index num_inputs, const float* bias, std::uint8_t* HWY_RESTRICT odd,
                                           float* HWY_RESTRICT sums) {
    using N = Narrow<Lanes>;
    const typename N::Tag d;
    const Index* HWY_RESTRICT output = edges.output;
    const float* HWY_RESTRICT weights = edges.weights;
    const Index first = part.rows.begin;
    const Index rows = part.rows.end - first;
    for (Index r = 0; r < rows; ++r) {
        odd[r] = 0;
        for (int i = 0; i < Lanes; ++i) {
            sums[(std::size_t{r} * 2) * Lanes + i] = bias[first + r];
            sums[(std::size_t{r} * 2 + 1) * Lanes + i] = 0;
        }
    }
    for (Index input = 0; input < num_inputs; ++input, packed += Lanes) {
        typename N::Vec x[N::count];
        for (int v = 0; v < N::count; ++v) x[v] = hn::LoadU(d, packed + v * N::vector);
        for (EdgeIndex e = part.begin[input], end = part.end[input]; e < end; ++e) {
            const Index row = output[e] - first;
            float* const sum = sums + (std::size_t{row} * 2 + odd[row]) * Lanes;
            odd[row] ^= 1;
            for (int v = 0; v < N::count; ++v) {
                float* const at = sum + v * N::vector;
                hn::StoreU(hn::MulAdd(hn::Set(d, weights[e]), x[v], hn::LoadU(d, at)), d, at);
            }
        }
    }
    for (Index r = 0; r < rows; ++r) {
        const float* const both = sums + std::size_t{r} * 2 * Lanes;
        for (int v = 0; v < N::count; ++v) {
            const auto sum = hn::Add(hn::LoadU(d, both + v * N::vector), hn::LoadU(d, both + Lanes + v * N::vector));
            hn::StoreU(sum, d, sums + std::size_t{r} * Lanes + v * N::vector);
        }
    }
}

void NarrowForwardByInput(const InputEdges& edges, const RowPart& part, const Packed& x, Index num_inputs,
                          const float* bias, std::uint8_t* odd, float* sums) {
    with_lanes(x.lanes, [&]<int Lanes>() {
        narrow_products_by_input<Lanes>(edges, part, x.values, num_inputs, bias, odd, sums);
    });
}

void NarrowTransposed(const SparseCpuLayer& layer, const float* offsets, const Packed& y, Activations x,
                      Range columns) {
    const EdgeArrays edges{layer.column_start.data(), layer.row.data(), layer.input_weights.data(), offsets};
    narrow_blocks(edges, y, columns, [&](Range block, const float* sums) {
        for (Index r = block.begin; r < block.end; ++r, sums += y.lanes) put_narrow(sums, y.lanes, x.row(0, r));
    });
}

/// The products of an edge's two ends, in a vector of at least four lanes where there are several, added up by
/// narrow_sums as the lanes of a tile are.
template <int Lanes>
struct NarrowGradient {
    static constexpr int widened = Lanes == 2 ? 4 : Lanes;
    using N = Narrow<widened>;
    using Vec = typename N::Vec;

    static HWY_INLINE Vec load(const float* values, int v) {
        const typename N::Tag d;
        if constexpr (Lanes == 2) {
            const hn::Half<typename N::Tag> half;
            return hn::ZeroExtendVector(d, hn::LoadU(half, values));
        } else {
            return hn::LoadU(d, values + v * N::vector);
        }
    }
};

/// (sum of a's lanes, b's, c's, d's)
template <class Tag>
HWY_INLINE hn::Vec<FourTag> narrow_sums(Tag tag, hn::Vec<Tag> a, hn::Vec<Tag> b, hn::Vec<Tag> c, hn::Vec<Tag> d) {
    const hn::Repartition<double, Tag> pairs;
    const auto ab = hn::Add(hn::InterleaveLower(tag, a, b), hn::InterleaveUpper(tag, a, b));
    const auto cd = hn::Add(hn::InterleaveLower(tag, c, d), hn::InterleaveUpper(tag, c, d));
    const auto ab_pairs = hn::BitCast(pairs, ab);
    const auto cd_pairs = hn::BitCast(pairs, cd);
    return fold_blocks(tag, hn::Add(hn::BitCast(tag, hn::InterleaveLower(pairs, ab_pairs, cd_pairs)),
                                    hn::BitCast(tag, hn::InterleaveUpper(pairs, ab_pairs, cd_pairs))));
}

/// A row of a tile becomes 0. (Of a call of memset compilers make an instruction that is slow to start.)
HWY_INLINE void clear_tile(float* row) {
    const LaneTag d;
    for (Index i = 0; i < tile_lanes; i += vector_lanes) hn::Store(hn::Zero(d), d, row + i);
}

/// One sample: a product an edge. Two columns at a time would not help: the processor runs ahead into the next.
template <bool WithInputGradient>
HWY_NOINLINE void narrow_gradients_of_one(const EdgeArrays& edges, ConstActivations own, const float* across,
                                          Activations dx, Range rows, float* gradient) {
    const hn::CappedTag<float, 1> d;
    const Index* HWY_RESTRICT other = edges.other;
    const float* HWY_RESTRICT weights = edges.weights;
    EdgeIndex edge = edges.start[rows.begin];
    for (Index r = rows.begin; r < rows.end; ++r) {
        const auto mine = hn::LoadU(d, own.row(0, r));
        auto sum = hn::Zero(d);
        for (const EdgeIndex end = edges.start[r + 1]; edge < end; ++edge, ++gradient) {
            const auto value = hn::LoadU(d, across + other[edge]);
            hn::StoreU(hn::MulAdd(value, mine, hn::Zero(d)), d, gradient);
            if constexpr (WithInputGradient) sum = hn::MulAdd(hn::LoadU(d, weights + edge), value, sum);
        }
        if constexpr (WithInputGradient) {
            clear_tile(dx.row(0, r));
            hn::StoreU(sum, d, dx.row(0, r));
        }
    }
}

template <int Lanes, bool WithInputGradient>
HWY_NOINLINE void narrow_gradients_of(const EdgeArrays& edges, ConstActivations own, const float* across,
                                      Activations dx, Range rows, float* gradient) {
    using G = NarrowGradient<Lanes>;
    using N = typename G::N;
    using Vec = typename G::Vec;
    const typename N::Tag d;
    const Index* HWY_RESTRICT other = edges.other;
    const float* HWY_RESTRICT weights = edges.weights;
    EdgeIndex edge = edges.start[rows.begin];
    for (Index r = rows.begin; r < rows.end; ++r) {
        Vec mine[N::count];
        Vec sum[N::count];
        for (int v = 0; v < N::count; ++v) {
            mine[v] = G::load(own.row(0, r), v);
            sum[v] = hn::Zero(d);
        }
        const auto products = [&](EdgeIndex e) HWY_ATTR {
            const float* values = across + std::size_t{other[e]} * Lanes;
            Vec result = hn::Zero(d);
            for (int v = 0; v < N::count; ++v) {
                const Vec value = G::load(values, v);
                result = v == 0 ? hn::Mul(value, mine[v]) : hn::MulAdd(value, mine[v], result);
                if constexpr (WithInputGradient) sum[v] = hn::MulAdd(hn::Set(d, weights[e]), value, sum[v]);
            }
            return result;
        };
        const EdgeIndex end = edges.start[r + 1];
        for (; edge < end; edge += 4, gradient += 4) {
            const Vec zero = hn::Zero(d);
            const EdgeIndex left = end - edge;
            const Vec first = products(edge);
            const Vec second = left > 1 ? products(edge + 1) : zero;
            const Vec third = left > 2 ? products(edge + 2) : zero;
            const Vec fourth = left > 3 ? products(edge + 3) : zero;
            // of a row's last group up to three floats too many: the next row's, which come later, or padding
            const auto sums = narrow_sums(d, first, second, third, fourth);
            hn::StoreU(hn::Add(sums, hn::Zero(FourTag())), FourTag(), gradient);  // + 0 as from the other lanes
            if (left < 4) {
                gradient += left;
                edge = end;
                break;
            }
        }
        if constexpr (WithInputGradient) {
            clear_tile(dx.row(0, r));
            alignas(64) float lanes[16];
            for (int v = 0; v < N::count; ++v) hn::Store(sum[v], d, lanes + v * N::vector);
            std::memcpy(dx.row(0, r), lanes, Lanes * sizeof(float));
        }
    }
}

template <bool WithInputGradient>
void narrow_gradients(const EdgeArrays& edges, ConstActivations own, const Packed& across, Activations dx, Range rows,
                      float* gradient) {
    with_lanes(across.lanes, [&]<int Lanes>() {
        if constexpr (Lanes == 1) {
            narrow_gradients_of_one<WithInputGradient>(edges, own, across.values, dx, rows, gradient);
        } else {
            narrow_gradients_of<Lanes, WithInputGradient>(edges, own, across.values, dx, rows, gradient);
        }
    });
}

void NarrowColumnGradients(const InputEdges& by_input, ConstActivations x, const Packed& dy, Activations dx,
                           Range columns, float* gradient) {
    const EdgeArrays edges{by_input.start, by_input.output, by_input.weights, nullptr};
    if (!dx) return narrow_gradients<false>(edges, x, dy, dx, columns, gradient);
    narrow_gradients<true>(edges, x, dy, dx, columns, gradient);
}

void NarrowRowGradients(const SparseCpuLayer& layer, const Packed& x, ConstActivations dy, Range rows,
                        float* gradient) {
    const EdgeArrays edges{layer.row_start.data(), layer.column.data(), nullptr, nullptr};
    narrow_gradients<false>(edges, dy, x, {}, rows, gradient);
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(PackLanes);
HWY_EXPORT(NarrowForward);
HWY_EXPORT(NarrowForwardByInput);
HWY_EXPORT(NarrowTransposed);
HWY_EXPORT(NarrowColumnGradients);
HWY_EXPORT(NarrowRowGradients);

Packed pack_lanes(ConstActivations values, float* memory) {
    const Index lanes = narrow_lanes(values.batch);
    HWY_DYNAMIC_DISPATCH(PackLanes)(values, lanes, memory);
    return {memory, lanes};
}

void narrow_forward(const SparseCpuLayer& layer, const Packed& x, Activations saved, Activations y,
                    const Dropped& dropped, Range rows) {
    HWY_DYNAMIC_DISPATCH(NarrowForward)(layer, x, saved, y, dropped, rows);
}

void narrow_forward_by_input(const InputEdges& edges, const RowPart& part, const Packed& x, Index num_inputs,
                             const float* bias, std::uint8_t* odd, float* sums) {
    HWY_DYNAMIC_DISPATCH(NarrowForwardByInput)(edges, part, x, num_inputs, bias, odd, sums);
}

void narrow_transposed(const SparseCpuLayer& layer, const float* offsets, const Packed& y, Activations x,
                       Range columns) {
    HWY_DYNAMIC_DISPATCH(NarrowTransposed)(layer, offsets, y, x, columns);
}

void narrow_column_gradients(const InputEdges& edges, ConstActivations x, const Packed& dy, Activations dx,
                             Range columns, float* gradient) {
    HWY_DYNAMIC_DISPATCH(NarrowColumnGradients)(edges, x, dy, dx, columns, gradient);
}

void narrow_row_gradients(const SparseCpuLayer& layer, const Packed& x, ConstActivations dy, Range rows,
                          float* gradient) {
    HWY_DYNAMIC_DISPATCH(NarrowRowGradients)(layer, x, dy, rows, gradient);
}

}  // namespace espalier
#endif
