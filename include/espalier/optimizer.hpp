// Optimizers: one scalar update per parameter, called by the backends' fused kernels for weights and biases alike.
// Each has `num_states` floats of memory per parameter, which start at 0. An optimizer whose arithmetic changes from
// step to step has a prepare(), which is called once a step, on the host.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "espalier/host_device.hpp"
#include "espalier/rule.hpp"

namespace espalier {

/// How weight decay enters an update.
/// coupled: gradient += decay * w (PyTorch's weight_decay). decoupled: w -= learning_rate * decay * w (AdamW).
/// shrink: w -= decay * w, not multiplied by the learning rate (the original SET programs).
struct Coupled {
    static constexpr std::string_view name = "coupled";
    static constexpr auto fields() { return std::tuple{}; }
};
struct Decoupled {
    static constexpr std::string_view name = "decoupled";
    static constexpr auto fields() { return std::tuple{}; }
};
struct Shrink {
    static constexpr std::string_view name = "shrink";
    static constexpr auto fields() { return std::tuple{}; }
};
using DecayForm = std::variant<Coupled, Decoupled, Shrink>;

/// What changes from step to step, the same for every parameter.
struct UpdateStep {
    float learning_rate = 0;
    float coupled_decay = 0;  // added to the gradient, times w
    float shrink = 0;         // taken from the weight, times w
    float correction1 = 1;    // these two are for the optimizer's prepare(): Adam's 1 / (1 - beta1^t)
    float correction2 = 1;    // and 1 / (1 - beta2^t)
    float coupled_l1 = 0;     // added to the gradient, times the weight's sign
    float shrink_l1 = 0;      // taken from the weight, times its sign
};

template <int N>
using OptimizerState = std::array<float, N>;

/// w -= lr * g
struct Sgd {
    static constexpr std::string_view name = "sgd";
    static constexpr int num_states = 0;
    using DefaultDecay = Coupled;
    static constexpr auto fields() { return std::tuple{}; }
    ESPALIER_HOST_DEVICE void operator()(float& w, float g, OptimizerState<0>& /*state*/,
                                         const UpdateStep& step) const {
        w -= step.learning_rate * g;
    }
};

/// PyTorch's form: m = momentum * m + g; w -= lr * m
struct Momentum {
    float momentum = 0.9F;
    static constexpr std::string_view name = "momentum";
    static constexpr int num_states = 1;
    using DefaultDecay = Coupled;
    static constexpr auto fields() { return std::tuple{field("momentum", &Momentum::momentum, 0, 1)}; }
    ESPALIER_HOST_DEVICE void operator()(float& w, float g, OptimizerState<1>& state, const UpdateStep& step) const {
        state[0] = momentum * state[0] + g;
        w -= step.learning_rate * state[0];
    }
};

/// The original SET programs' form: v = momentum * v - lr * g; w += v. Decay shrinks the weight directly.
struct SetMomentum {
    float momentum = 0.9F;
    static constexpr std::string_view name = "set-momentum";
    static constexpr int num_states = 1;
    using DefaultDecay = Shrink;
    static constexpr auto fields() { return std::tuple{field("momentum", &SetMomentum::momentum, 0, 1)}; }
    ESPALIER_HOST_DEVICE void operator()(float& w, float g, OptimizerState<1>& state, const UpdateStep& step) const {
        state[0] = momentum * state[0] - step.learning_rate * g;
        w += state[0];
    }
};

/// Nesterov momentum in PyTorch's form: m = momentum * m + g; w -= lr * (g + momentum * m)
struct Nesterov {
    float momentum = 0.9F;
    static constexpr std::string_view name = "nesterov";
    static constexpr int num_states = 1;
    using DefaultDecay = Coupled;
    static constexpr auto fields() { return std::tuple{field("momentum", &Nesterov::momentum, 0, 1)}; }
    ESPALIER_HOST_DEVICE void operator()(float& w, float g, OptimizerState<1>& state, const UpdateStep& step) const {
        state[0] = momentum * state[0] + g;
        w -= step.learning_rate * (g + momentum * state[0]);
    }
};

/// Adam (Kingma & Ba, 2015, algorithm 1); decay is coupled unless chosen otherwise.
struct Adam {
    float beta1 = 0.9F;
    float beta2 = 0.999F;
    float epsilon = 1e-8F;
    static constexpr std::string_view name = "adam";
    static constexpr int num_states = 2;
    using DefaultDecay = Coupled;
    static constexpr auto fields() {
        return std::tuple{field("beta1", &Adam::beta1, 0, 0.99999), field("beta2", &Adam::beta2, 0, 0.999999),
                          field("epsilon", &Adam::epsilon, 0, 1)};
    }
    /// The bias corrections of step t, counted from 1.
    void prepare(UpdateStep& step, std::uint64_t t) const {
        step.correction1 = static_cast<float>(1.0 / (1.0 - std::pow(beta1, static_cast<double>(t))));
        step.correction2 = static_cast<float>(1.0 / (1.0 - std::pow(beta2, static_cast<double>(t))));
    }
    ESPALIER_HOST_DEVICE void operator()(float& w, float g, OptimizerState<2>& state, const UpdateStep& step) const {
        state[0] = beta1 * state[0] + (1.0F - beta1) * g;
        state[1] = beta2 * state[1] + (1.0F - beta2) * g * g;
        w -= step.learning_rate * step.correction1 * state[0] / (sqrtf(step.correction2 * state[1]) + epsilon);
    }
};

/// Adam with decoupled decay (Loshchilov & Hutter, 2019).
struct AdamW : Adam {
    static constexpr std::string_view name = "adamw";
    using DefaultDecay = Decoupled;
    static constexpr auto fields() {
        return std::tuple{field("beta1", static_cast<float AdamW::*>(&AdamW::beta1), 0, 0.99999),
                          field("beta2", static_cast<float AdamW::*>(&AdamW::beta2), 0, 0.999999),
                          field("epsilon", static_cast<float AdamW::*>(&AdamW::epsilon), 0, 1)};
    }
};

/// RMSprop in PyTorch's form: v = alpha * v + (1 - alpha) * g^2; w -= lr * g / (sqrt(v) + epsilon)
struct RmsProp {
    float alpha = 0.99F;
    float epsilon = 1e-8F;
    static constexpr std::string_view name = "rmsprop";
    static constexpr int num_states = 1;
    using DefaultDecay = Coupled;
    static constexpr auto fields() {
        return std::tuple{field("alpha", &RmsProp::alpha, 0, 1), field("epsilon", &RmsProp::epsilon, 0, 1)};
    }
    ESPALIER_HOST_DEVICE void operator()(float& w, float g, OptimizerState<1>& state, const UpdateStep& step) const {
        state[0] = alpha * state[0] + (1.0F - alpha) * g * g;
        w -= step.learning_rate * g / (sqrtf(state[0]) + epsilon);
    }
};

using Optimizer = std::variant<Sgd, Momentum, SetMomentum, Nesterov, Adam, AdamW, RmsProp>;

inline int num_states(const Optimizer& optimizer) {
    return std::visit([](const auto& rule) { return rule.num_states; }, optimizer);
}

namespace detail {
template <class... Rules>
constexpr std::size_t max_states_of(const std::variant<Rules...>* /*type*/) {
    return std::max({std::size_t{0}, static_cast<std::size_t>(Rules::num_states)...});
}
}  // namespace detail

/// States of the optimizer that has most.
inline constexpr std::size_t max_states = detail::max_states_of(static_cast<const Optimizer*>(nullptr));

/// The decay form an optimizer uses unless told otherwise.
inline DecayForm default_decay_form(const Optimizer& optimizer) {
    return std::visit(
        [](const auto& rule) -> DecayForm { return typename std::decay_t<decltype(rule)>::DefaultDecay{}; }, optimizer);
}

/// The scalars of step `t` (counted from 1) for these hyper-parameters. `l1` decays by the weight's sign and enters as
/// the other decay does.
inline UpdateStep update_step(const Optimizer& optimizer, const DecayForm& form, double learning_rate,
                              double weight_decay, std::uint64_t t, double l1 = 0) {
    UpdateStep step;
    step.learning_rate = static_cast<float>(learning_rate);
    const double taken = std::holds_alternative<Decoupled>(form) ? learning_rate : 1;  // of a decay from the weight
    if (std::holds_alternative<Coupled>(form)) {
        step.coupled_decay = static_cast<float>(weight_decay);
        step.coupled_l1 = static_cast<float>(l1);
    } else {
        step.shrink = static_cast<float>(taken * weight_decay);
        step.shrink_l1 = static_cast<float>(taken * l1);
    }
    std::visit(
        [&](const auto& rule) {
            if constexpr (requires { rule.prepare(step, t); }) rule.prepare(step, t);
        },
        optimizer);
    return step;
}

/// One parameter's update with decay: what every kernel calls.
template <class Rule>
ESPALIER_HOST_DEVICE void update_parameter(const Rule& rule, float& w, float g, OptimizerState<Rule::num_states>& state,
                                           const UpdateStep& step) {
    const float before = w;
    const float sign = before > 0 ? 1.0F : before < 0 ? -1.0F : 0.0F;
    rule(w, g + (step.coupled_decay * before + step.coupled_l1 * sign), state, step);
    w -= step.shrink * before + step.shrink_l1 * sign;
}

}  // namespace espalier
