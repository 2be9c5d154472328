// The oracle's optimizers, written from PyTorch's documentation (torch.optim), from Kingma & Ba 2015, Loshchilov &
// Hutter 2019 and the original SET programs.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "oracle.hpp"

namespace espalier::oracle {

namespace {

/// theta and its memory after one step, decay left out. `m` and `v` are the first and second memory, where used.
double step(const Optimizer& optimizer, double theta, double g, double& m, double& v, double lr, std::uint64_t t) {
    if (std::holds_alternative<Sgd>(optimizer)) return theta - lr * g;
    if (const auto* rule = std::get_if<Momentum>(&optimizer)) {
        m = double{rule->momentum} * m + g;
        return theta - lr * m;
    }
    if (const auto* rule = std::get_if<SetMomentum>(&optimizer)) {
        m = double{rule->momentum} * m - lr * g;  // the velocity
        return theta + m;
    }
    if (const auto* rule = std::get_if<Nesterov>(&optimizer)) {
        m = double{rule->momentum} * m + g;
        return theta - lr * (g + double{rule->momentum} * m);
    }
    if (const auto* rule = std::get_if<RmsProp>(&optimizer)) {
        m = double{rule->alpha} * m + (1 - double{rule->alpha}) * g * g;  // its only memory: the mean square
        return theta - lr * g / (std::sqrt(m) + double{rule->epsilon});
    }
    const auto* adamw = std::get_if<AdamW>(&optimizer);
    const auto* adam = adamw != nullptr ? static_cast<const Adam*>(adamw) : std::get_if<Adam>(&optimizer);
    if (adam == nullptr) throw std::logic_error("the oracle does not know this optimizer");
    const double beta1 = adam->beta1;
    const double beta2 = adam->beta2;
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    const double m_hat = m / (1 - std::pow(beta1, static_cast<double>(t)));
    const double v_hat = v / (1 - std::pow(beta2, static_cast<double>(t)));
    return theta - lr * m_hat / (std::sqrt(v_hat) + double{adam->epsilon});
}

/// One parameter and its memory after one step.
std::vector<double> updated(double theta, double g, const std::vector<double>& memory, const Update& update) {
    const double lambda = update.weight_decay;
    const double l1 = theta == 0 ? 0 : std::copysign(update.l1, theta);
    double m = memory.empty() ? 0 : memory[0];
    double v = memory.size() < 2 ? 0 : memory[1];
    double kept = theta;  // what decay leaves of the weight
    if (std::holds_alternative<Coupled>(update.decay_form)) {
        g += lambda * theta + l1;
    } else if (std::holds_alternative<Decoupled>(update.decay_form)) {
        kept = theta * (1 - update.learning_rate * lambda) - update.learning_rate * l1;
    } else if (std::holds_alternative<Shrink>(update.decay_form)) {
        kept = theta * (1 - lambda) - l1;
    } else {
        throw std::logic_error("the oracle does not know this decay form");
    }
    std::vector<double> result{step(update.optimizer, kept, g, m, v, update.learning_rate, update.t)};
    if (!memory.empty()) result.push_back(m);
    if (memory.size() > 1) result.push_back(v);
    return result;
}

}  // namespace

Parameters updated(const Parameters& parameters, const std::vector<double>& gradient, const Update& update,
                   const std::vector<bool>& present) {
    Parameters result = parameters;
    for (std::size_t i = 0; i < parameters.values.size(); ++i) {
        if (!present.empty() && !present[i]) continue;
        std::vector<double> memory;
        for (const auto& state : parameters.states) memory.push_back(state.at(i));
        const auto after = updated(parameters.values[i], gradient.at(i), memory, update);
        result.values[i] = after[0];
        for (std::size_t k = 0; k < memory.size(); ++k) result.states[k][i] = after.at(k + 1);
    }
    return result;
}

Parameters allowance(const Parameters& parameters, const std::vector<double>& gradient, const Update& update,
                     double absolute, double relative, const std::vector<bool>& present) {
    auto shifted = [&](double sign) {
        std::vector<double> moved = gradient;
        for (double& g : moved) g += sign * (absolute + relative * std::abs(g));
        return updated(parameters, moved, update, present);
    };
    const Parameters middle = updated(parameters, gradient, update, present);
    const Parameters above = shifted(1);
    const Parameters below = shifted(-1);
    auto farther = [](const std::vector<double>& from, const std::vector<double>& a, const std::vector<double>& b) {
        std::vector<double> result(from.size());
        for (std::size_t i = 0; i < from.size(); ++i) {
            result[i] = std::max(std::abs(a[i] - from[i]), std::abs(b[i] - from[i]));
        }
        return result;
    };
    Parameters result{farther(middle.values, above.values, below.values), {}};
    for (std::size_t k = 0; k < middle.states.size(); ++k) {
        result.states.push_back(farther(middle.states[k], above.states[k], below.states[k]));
    }
    return result;
}

}  // namespace espalier::oracle
