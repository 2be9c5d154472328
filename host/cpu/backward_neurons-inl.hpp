// Part of backward.cpp, compiled once per instruction set: the step from the gradient by a neuron's output to that by
// its preactivation, and the gradients of bias and activation parameters that follow from it.
#include "host/cpu/kernels.hpp"
#include "host/cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// One pass over one row: dy becomes the gradient by the preactivation, its lane sum is added to sums[0]; SReLU's
/// parameter gradients to sums[1..4], `stride` floats apart.
template <int V, class Rule>
HWY_INLINE void differentiate(const Rule& rule, const float* HWY_RESTRICT saved, float* HWY_RESTRICT dy, float* sums,
                              std::size_t stride) {
    constexpr Index lanes = V * vector_lanes;
    if constexpr (std::is_same_v<Rule, SRelu>) {
        alignas(64) float terms[SRelu::num_parameters][lanes];
        for (Index i = 0; i < lanes; ++i) {
            float by_parameter[SRelu::num_parameters];
            rule.parameter_derivatives(saved[i], by_parameter);
            for (int p = 0; p < SRelu::num_parameters; ++p) terms[p][i] = dy[i] * by_parameter[p];
        }
        for (int p = 0; p < SRelu::num_parameters; ++p) {
            sums[static_cast<std::size_t>(p + 1) * stride] += sum_floats(terms[p], lanes);
        }
    }
    for (Index i = 0; i < lanes; ++i) dy[i] *= rule.derivative(saved[i]);
    sums[0] += sum_floats(dy, lanes);
}

/// All passes of one row in one tile.
template <class Rule>
HWY_INLINE void differentiate_row(const Rule& rule, const float* saved, float* dy, Index worked, float* sums,
                                  std::size_t stride) {
    for (Index lane = 0; lane < worked; lane += pass_lanes) {
        with_vectors(pass_vectors(worked, lane),
                     [&]<int V>() { differentiate<V>(rule, saved + lane, dy + lane, sums, stride); });
    }
}

/// Rows of one tile; sums [1 + num_parameters][rows], `stride` floats apart, are overwritten.
template <class Rule>
HWY_NOINLINE void differentiate_rows(const Rule& rule, const CpuLayer& layer, ConstActivations saved, Activations dy,
                                     Index tile, Range rows, float* sums, std::size_t stride) {
    const Index worked = worked_lanes(dy.used(tile));
    for (int p = 0; p < 1 + num_parameters(layer.activation); ++p) {
        std::memset(sums + static_cast<std::size_t>(p) * stride, 0, (rows.end - rows.begin) * sizeof(float));
    }
    for (Index r = rows.begin; r < rows.end; ++r) {
        const auto own = for_neuron(rule, layer.neurons.activation_parameters.data(), r, layer.num_outputs);
        differentiate_row(own, saved.row(tile, r), dy.row(tile, r), worked, sums + (r - rows.begin), stride);
    }
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
