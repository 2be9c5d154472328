// Part of backward.cpp, compiled once per instruction set: the step from the gradient by a neuron's output to that by
// its preactivation, and the gradients of bias and activation parameters that follow from it.
#include "host/cpu/kernels/simd-inl.hpp"
#include "host/cpu/operations.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// One pass over one row: dy becomes the gradient by the preactivation. Returns its sum over the vectors of the pass;
/// the gradients by the activation's parameters are added to sums[1], sums[2] ..., `stride` floats apart.
template <int V, class Rule>
HWY_INLINE Vector differentiate(const Rule& rule, const float* HWY_RESTRICT saved, float* HWY_RESTRICT dy, float* sums,
                                std::size_t stride) {
    constexpr Index lanes = V * vector_lanes;
    if constexpr (Rule::num_parameters > 0) {
        alignas(64) float terms[Rule::num_parameters][lanes];
        for (Index i = 0; i < lanes; ++i) {
            float by_parameter[Rule::num_parameters];
            rule.parameter_derivatives(saved[i], by_parameter);
            for (int p = 0; p < Rule::num_parameters; ++p) terms[p][i] = dy[i] * by_parameter[p];
        }
        for (int p = 0; p < Rule::num_parameters; ++p) {
            sums[static_cast<std::size_t>(p + 1) * stride] += sum_floats(terms[p], lanes);
        }
    }
    for (Index i = 0; i < lanes; ++i) dy[i] *= rule.derivative(saved[i]);
    const LaneTag d;
    Vector sum = hn::Load(d, dy);
    for (Index i = vector_lanes; i < lanes; i += vector_lanes) sum = hn::Add(sum, hn::Load(d, dy + i));
    return sum;
}

/// The rows from `row` on, at most four, whose sums are then made together. A row's sum does not depend on its place.
template <int V, class Rule>
HWY_INLINE void differentiate_four(const Rule& rule, const CpuLayer& layer, const Saved& saved, Activations dy,
                                   Index tile, Index lane, Range rows, float* sums, std::size_t stride) {
    const FourTag four;
    const Index count = rows.end - rows.begin;
    Vector by_row[4] = {hn::Zero(LaneTag()), hn::Zero(LaneTag()), hn::Zero(LaneTag()), hn::Zero(LaneTag())};
    for (Index i = 0; i < count; ++i) {
        const Index row = rows.begin + i;
        const auto own = for_neuron(rule, layer.neurons.activation_parameters.data(), row, layer.num_outputs);
        by_row[i] = differentiate<V>(own, saved.values.row(tile, row) + lane, dy.row(tile, row) + lane, sums + i,
                                     stride);
    }
    const auto totals = sum_lanes(by_row[0], by_row[1], by_row[2], by_row[3]);
    if (count == 4) return hn::StoreU(hn::Add(hn::LoadU(four, sums), totals), four, sums);
    alignas(16) float each[4];
    hn::Store(totals, four, each);
    for (Index i = 0; i < count; ++i) sums[i] += each[i];
}

/// What the forward pass dropped of some rows is 0 in their gradients too. (Apart from the rest, which else compilers
/// no longer vectorise.)
HWY_NOINLINE void drop_gradients(const Dropped& dropped, Activations dy, Index tile, Index worked, Range rows) {
    for (Index r = rows.begin; r < rows.end; ++r) {
        const std::uint64_t bits = *dropped.row(tile, r);
        for (Index lane = 0; lane < worked; lane += pass_lanes) {
            with_vectors(pass_vectors(worked, lane),
                         [&]<int V>() { drop<V>(bits >> lane, dropped.scale, dy.row(tile, r) + lane); });
        }
    }
}

/// Rows of one tile; sums [1 + num_parameters][rows], `stride` floats apart, are overwritten.
template <class Rule>
HWY_NOINLINE void differentiate_rows(const Rule& rule, const CpuLayer& layer, const Saved& saved, Activations dy,
                                     Index tile, Range rows, float* sums, std::size_t stride) {
    const Index worked = worked_lanes(dy.used(tile));
    for (int p = 0; p < 1 + num_parameters(layer.activation); ++p) {
        std::memset(sums + static_cast<std::size_t>(p) * stride, 0, (rows.end - rows.begin) * sizeof(float));
    }
    for (Range some{rows.begin, rows.begin}; some.end < rows.end;) {
        some = {some.end, rows.end - some.end < 4 ? rows.end : some.end + 4};
        if (saved.dropped) drop_gradients(saved.dropped, dy, tile, worked, some);
        for (Index lane = 0; lane < worked; lane += pass_lanes) {
            with_vectors(pass_vectors(worked, lane), [&]<int V>() {
                differentiate_four<V>(rule, layer, saved, dy, tile, lane, some, sums + (some.begin - rows.begin),
                                      stride);
            });
        }
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
