// Sums of gradients, and the optimizer step over arrays of parameters: w, g, states [count], all contiguous, vectorised
// by the compiler.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "host/cpu/kernels/update.cpp"
#include "host/cpu/kernels/simd_targets.hpp"
// clang-format off: in this order
#include "hwy/foreach_target.h"
// clang-format on
#include "host/cpu/kernels/simd-inl.hpp"
#include "host/cpu/operations.hpp"

HWY_BEFORE_NAMESPACE();
namespace espalier::HWY_NAMESPACE {

/// `states`: one array for each of the rule's.
template <class Rule, class... State>
HWY_NOINLINE void update_all(const Rule& rule, float* HWY_RESTRICT w, const float* HWY_RESTRICT g, std::size_t count,
                             const UpdateStep step, State* HWY_RESTRICT... states) {
    for (std::size_t i = 0; i < count; ++i) {
        OptimizerState<Rule::num_states> own{states[i]...};
        update_parameter(rule, w[i], g[i], own, step);
        [[maybe_unused]] std::size_t s = 0;
        ((states[i] = own[s++]), ...);
    }
}

void UpdateParameters(const Optimizer& optimizer, float* w, const float* g, const StateArrays& states,
                      std::size_t count, const UpdateStep& step) {
    std::visit(
        [&]<class Rule>(const Rule& rule) {
            [&]<std::size_t... s>(std::index_sequence<s...>) { update_all(rule, w, g, count, step, states[s]...); }
            (std::make_index_sequence<Rule::num_states>());
        },
        optimizer);
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

void update_parameters(const Optimizer& optimizer, float* parameters, const float* gradient, const StateArrays& states,
                       std::size_t count, const UpdateStep& step) {
    HWY_DYNAMIC_DISPATCH(UpdateParameters)(optimizer, parameters, gradient, states, count, step);
}

void add_floats(float* sum, const float* term, std::size_t count) { HWY_DYNAMIC_DISPATCH(AddFloats)(sum, term, count); }

}  // namespace espalier
#endif
