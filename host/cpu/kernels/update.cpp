// Sums of gradients, and the optimizer step over arrays of parameters: w, g, states [count], all contiguous, vectorised
// by the compiler.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/update.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/operations.hpp"
#include "host/cpu/kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

template <class Rule>
HWY_NOINLINE void update_all(const Rule& rule, float* HWY_RESTRICT w, const float* HWY_RESTRICT g,
                             float* HWY_RESTRICT state0, float* HWY_RESTRICT state1, std::size_t count,
                             const UpdateStep step) {
    for (std::size_t i = 0; i < count; ++i) {
        OptimizerState<Rule::num_states> state;
        if constexpr (Rule::num_states > 0) state[0] = state0[i];
        if constexpr (Rule::num_states > 1) state[1] = state1[i];
        update_parameter(rule, w[i], g[i], state, step);
        if constexpr (Rule::num_states > 0) state0[i] = state[0];
        if constexpr (Rule::num_states > 1) state1[i] = state[1];
    }
}

void UpdateParameters(const Optimizer& optimizer, float* w, const float* g, const std::array<float*, 2>& states,
                      std::size_t count, const UpdateStep& step) {
    std::visit([&](const auto& rule) { update_all(rule, w, g, states[0], states[1], count, step); }, optimizer);
}

void AddFloats(float* HWY_RESTRICT sum, const float* HWY_RESTRICT term, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) sum[i] += term[i];
}

}  // namespace espalier::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace espalier {

HWY_EXPORT(UpdateParameters);
HWY_EXPORT(AddFloats);

void update_parameters(const Optimizer& optimizer, float* parameters, const float* gradient,
                       const std::array<float*, 2>& states, std::size_t count, const UpdateStep& step) {
    HWY_DYNAMIC_DISPATCH(UpdateParameters)(optimizer, parameters, gradient, states, count, step);
}

void add_floats(float* sum, const float* term, std::size_t count) { HWY_DYNAMIC_DISPATCH(AddFloats)(sum, term, count); }

}  // namespace espalier
#endif
